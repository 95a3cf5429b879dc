"""The judge of all cases: the rules that hold for every command with every input."""

from __future__ import annotations

import csv
import json
import re

import PIL.Image

from a2net_gluon.formats.arrays import check_array_file

__all__ = ["judge"]

_PANIC = re.compile(
    r"Traceback|Exception ignored|Error in atexit|Fatal Python error|Segmentation fault|terminate called"
    r"|\w+Warning:|Assertion|\.cc?:\d+|\.cpp:\d+|Stack trace"
)
_LEFT = re.compile(r"\.tmp$|^\.staging-|^\.replaced-|^\.lock$|^injected$")


def judge(case, outcomes):
    """Return what is wrong with the outcomes of a case, a line each; nothing if all is as it should be."""
    found = [text for outcome in outcomes for rule in _RULES for text in rule(case, outcome)]
    if len(outcomes) == 2:
        found += _disagreement(*outcomes)
    return list(dict.fromkeys(found))


def _end(case, outcome):
    if outcome.killed:
        yield f"exceeded {outcome.killed}"
    elif not (outcome.code in (0, 1, 2) or (case.stop and outcome.stopped)):
        yield f"exit code {outcome.code}"
    if outcome.left:
        yield f"left {outcome.left} processes"
    if outcome.peak > case.memory:
        yield f"took {outcome.peak >> 20} MiB"


def _text(case, outcome):
    said = outcome.output + outcome.errors
    panic = _PANIC.search(said)
    if panic:
        yield f"says {said[panic.start() :].splitlines()[0][:100]!r}"
    control = re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", said)
    if control:
        yield f"prints the control character {control[0]!r}"
    if outcome.killed or outcome.code < 0:
        return
    lines = outcome.errors.count("\n")
    if lines != bool(outcome.code) and not (case.tells_each and outcome.code):
        yield f"{lines} lines of errors with exit code {outcome.code}: {outcome.errors[:200]!r}"


def _files(case, outcome):
    for folder in (outcome.folder, outcome.temporary):
        for path in sorted(folder.rglob("*")):
            if folder == outcome.temporary or (
                _LEFT.search(path.name) and str(path.relative_to(folder)) not in case.files
            ):
                yield f"left {path.relative_to(folder.parent)}"
    for name, content in case.files.items():
        path = outcome.folder / name
        if not name.startswith(case.writes_into or "\0") and (not path.is_file() or path.read_bytes() != content):
            yield f"changed {name}"
    for name, content in case.same.items():
        path = outcome.folder / name
        if not outcome.code and (not path.is_file() or path.read_bytes() != content):
            yield f"wrote another {name}"


def _whole(case, outcome):
    """Files that were written can be read."""
    for path in sorted(outcome.folder.rglob("*")):
        name = str(path.relative_to(outcome.folder))
        check = _CHECKS.get(path.suffix)
        if check and path.is_file() and case.files.get(name) != path.read_bytes() and "damaged-" not in name:
            try:
                check(path)
            except Exception as error:
                yield f"wrote {name}, which is damaged ({error!r:.100})"


def _check_image(path):
    with PIL.Image.open(path) as image:
        image.load()


def _check_rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        widths = {len(row) for row in csv.reader(file)}
    if len(widths) != 1:
        raise ValueError(f"rows of {widths} columns")


_CHECKS = {
    ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
    ".params": check_array_file,
    ".png": _check_image,
    ".csv": _check_rows,
}
_RULES = (_end, _text, _files, _whole)


def _disagreement(one, other):
    """Where two processes with the same input, but other memory, say something else."""
    if (one.code, one.output, one.errors) == (other.code, other.output, other.errors):
        return
    lines = zip(*((f"{end.code}\n{end.output}{end.errors}").splitlines() for end in (one, other)))
    yield f"two processes say {next((pair for pair in lines if pair[0] != pair[1]), 'more or less')}"
