"""The forms of list files, line by line: what an entry names, and its label. Nothing is looked up but by `found`."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import os
import re
import typing

from a2net_gluon.data import ucf101
from a2net_gluon.errors import UsageError
from a2net_gluon.fields import CLASSES, WHOLE, Rule

__all__ = ["Lines", "Row", "kinetics_rows", "read_class_names", "read_lines", "rows_of_columns"]

_TWO_COLUMNS = "two columns: path label"
_THREE_COLUMNS = "three columns: path frames label"
_NUMBER_FIRST = "three columns: number label path"
_NAMED = "two columns: path, name of the class"
_UNLABELLED = "UCF-101's test list: path without a label"
_KINETICS = "Kinetics' csv"

_BYTES = 256 * 2**20  # Kinetics' longest list has 25 MB
_LONGEST = 8192  # characters of a line
_SHOWN = 80  # characters of a wrong line in a message
_LABEL = Rule(int, 0, CLASSES.most - 1)

_BLANK = r"[ \t]"  # other spaces may belong to names
_GAP = rf"(?:{_BLANK}*,{_BLANK}*|{_BLANK}+)"
_NUMBER = r"[-+]?[0-9]+(?:\.[0-9]*)?"  # also what is no label, so that a message can say why
_TWO = re.compile(rf"(?P<path>.*[^ \t,]){_GAP}(?P<label>{_NUMBER})")
_THREE = re.compile(rf"(?P<path>.*[^ \t,]){_GAP}(?P<frames>{_NUMBER}){_GAP}(?P<label>{_NUMBER})")
_FIRST = re.compile(rf"{_NUMBER}{_BLANK}+(?P<label>{_NUMBER}){_BLANK}+(?P<path>.+)")


@dataclasses.dataclass(frozen=True)
class Lines:
    """The lines of a file that are neither blank nor comments, each with its number."""

    name: str
    lines: tuple[tuple[int, str], ...]

    def wrong(self, number: int, reason: str) -> UsageError:
        """The error that names a line."""
        return UsageError(f"{self.name}, line {number}: {reason}")


class Row(typing.NamedTuple):
    """An entry of a list.

    Attributes
    ----------
    line : int
    places : tuple of str
        Paths, of which the first that exists is meant.
    label : int, str or None
        The number of the class in the list's own numbering, or its name; None where the list has no labels.
    frames : int, optional
        Number of frames.
    """

    line: int
    places: tuple[str, ...]
    label: int | str | None
    frames: int | None = None


def read_lines(path: str | os.PathLike[str]) -> Lines:
    """Read a text file in UTF-8, with or without a byte-order mark; lines that start with ``#`` are comments.

    Raises
    ------
    UsageError
        If there is no such file, or it is empty or not text.
    """
    name = os.fspath(path)
    if not os.path.isfile(name):
        raise UsageError(f"{name}: no such file")
    try:
        with open(name, "rb") as file:
            content = file.read(_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{name}: cannot be read ({error.strerror})") from None
    if len(content) > _BYTES or b"\0" in content:
        raise UsageError(f"{name}: is not a list; write a text file in UTF-8 with one video on each line")
    lines = Lines(name, tuple(_text_lines(name, content)))
    if not lines.lines:
        raise UsageError(f"{name}: lists nothing; write one entry on each line")
    for number, text in lines.lines:
        if len(text) > _LONGEST:
            raise lines.wrong(number, f"has {len(text)} characters; an entry has at most {_LONGEST}")
    return lines


def _text_lines(name: str, content: bytes) -> typing.Iterator[tuple[int, str]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{name}, line {number}: is not UTF-8; save the list as UTF-8") from None
    # Only these end a line: splitlines() would cut names at other characters too.
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip(" \t\r")
        if line and not line.startswith("#"):
            yield number, line


def read_class_names(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Read the names of classes: one on each line in order, or ``number name`` as in UCF-101's ``classInd.txt``.

    Raises
    ------
    UsageError
        If the file is not of either form, or a name is there twice.
    """
    lines = read_lines(path)
    pairs = [re.fullmatch(rf"([0-9]{{1,7}}){_BLANK}+(.+)", text) for _, text in lines.lines]
    names = [text for _, text in lines.lines]
    if all(pairs):
        numbered = sorted((int(pair[1]), pair[2]) for pair in pairs if pair)
        if [number - numbered[0][0] for number, _ in numbered] != [*range(len(names))] or numbered[0][0] > 1:
            raise UsageError(f"{lines.name}: the numbers of the classes must be 1, 2, 3, … or 0, 1, 2, …, each once")
        names = [name for _, name in numbered]
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UsageError(f"{lines.name}: class {name!r} is there twice")
        seen.add(name)
    return tuple(names)


def rows_of_columns(
    lines: Lines, names: typing.Collection[str], found: typing.Callable[[str], object]
) -> tuple[str, list[Row]]:
    """Read lines of columns, all of one form.

    Parameters
    ----------
    lines : Lines
    names : collection of str
        Names of classes that may stand in the place of a number.
    found : callable
        Whether a path names a video. It decides where a number may belong to the path: ``clip 1 0``.

    Returns
    -------
    form : str
        In words.
    rows : list of Row

    Raises
    ------
    UsageError
        If a line is no entry, has another form than the first, or a number is no label or number of frames.
    """
    names = frozenset(names)
    form, rows = "", []
    for number, text in lines.lines:
        this, path, label, frames = _columns(text, names, found)
        if not this:
            raise lines.wrong(
                number,
                f"{text[:_SHOWN]!r} is not an entry; write the path and the label, a number from 0"
                + (f" or one of the {len(names)} classes" if names else ""),
            )
        form = form or this
        if this != form:
            raise lines.wrong(number, f"{text[:_SHOWN]!r} has {this}; the lines before have {form}; use one form")
        rows.append(Row(number, (path,), _label(lines, number, form, label), _frames(lines, number, frames)))
    return form, rows


_Columns = typing.Tuple[str, str, typing.Optional[str], typing.Optional[str]]  # form, path, label, frames


def _columns(text: str, names: frozenset[str], found: typing.Callable[[str], object]) -> _Columns:
    two, three, first = _TWO.fullmatch(text), _THREE.fullmatch(text), _FIRST.fullmatch(text)
    if two and (three or first) and found(two["path"]):
        three = first = None
    if three:
        return _THREE_COLUMNS, three["path"], three["label"], three["frames"]
    if first:
        return _NUMBER_FIRST, first["path"], first["label"], None
    if two:
        return _TWO_COLUMNS, two["path"], two["label"], None
    if ucf101.class_folder(text):
        return _UNLABELLED, text, None, None
    for gap in re.finditer(_GAP, text):  # the first that leaves a name leaves the longest one
        if gap.start() and text[gap.end() :] in names:
            return _NAMED, text[: gap.start()], text[gap.end() :], None
    return "", text, None, None


def _label(lines: Lines, number: int, form: str, text: str | None) -> int | str | None:
    return text if text is None or form == _NAMED else _whole(lines, number, "label", _LABEL, text)


def _frames(lines: Lines, number: int, text: str | None) -> int | None:
    return None if text is None else _whole(lines, number, "number of frames", WHOLE, text)


def _whole(lines: Lines, number: int, what: str, rule: Rule, text: str) -> int:
    try:
        return int(rule.parse(text))
    except ValueError as error:
        raise lines.wrong(number, f"{what} {error}") from None


def kinetics_rows(lines: Lines) -> tuple[str, list[Row]] | None:
    """Read the csv of Kinetics, with the columns of its header in any order; None if the file has no such header.

    A video is ``<youtube_id>_<time_start>_<time_end>`` with six digits for a time, in the folder itself, in a folder of
    its class, whose name may have ``_`` for spaces, or in either below a folder of its split.

    Raises
    ------
    UsageError
        If the file has no labels, or a line is not as the header says.
    """
    number, header = lines.lines[0]
    columns = [column.lower() for column in _cells(header)]
    if not {"youtube_id", "time_start", "time_end"} <= set(columns):
        return None
    if "label" not in columns:
        raise lines.wrong(number, "has no column 'label'; a list without labels cannot be trained on or evaluated")
    if len(lines.lines) == 1:
        raise UsageError(f"{lines.name}: lists nothing below its header")
    return _KINETICS, [_kinetics_row(lines, number, columns, text) for number, text in lines.lines[1:]]


def _cells(text: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([text], strict=True))]
    except csv.Error:
        return []


def _kinetics_row(lines: Lines, number: int, columns: list[str], text: str) -> Row:
    cells = _cells(text)
    if len(cells) != len(columns):
        raise lines.wrong(number, f"{text[:_SHOWN]!r} is not of the form {','.join(columns)}")
    cell = dict(zip(columns, cells))
    label, video, split = cell["label"], cell["youtube_id"], cell.get("split", "")
    # Each is the name of a file or folder here.
    for name in (label, video):
        if not name or "/" in name or name in (".", ".."):
            raise lines.wrong(number, f"{name!r} cannot be a label or an identifier; it must not be empty or a path")
    start, end = (_whole(lines, number, column, WHOLE, cell[column]) for column in ("time_start", "time_end"))
    folders = ["", label, label.replace(" ", "_")]
    parts = ["", split] if split and "/" not in split else [""]
    places = [os.path.join(*one, f"{video}_{start:06d}_{end:06d}") for one in itertools.product(parts, folders)]
    return Row(number, tuple(dict.fromkeys(places)), label)
