"""UCF-101: what the names of its videos and lists tell.

A video is ``<class>/v_<class>_gNN_cNN.avi``: clip cNN of a group gNN of clips that are cut from one recording. Source:
Soomro, Zamir and Shah, "UCF101: A Dataset of 101 Human Actions Classes From Videos in The Wild", 2012.
"""

from __future__ import annotations

import re
import typing

__all__ = ["CLASS_FILE", "class_folder", "classes_in_order", "group", "split_of"]

CLASS_FILE = "classInd.txt"

_VIDEO = re.compile(r"(?:(?:.*/)?(?P<folder>[^/]+)/)?(?P<group>v_[^/]+_g[0-9]{2})_c[0-9]{2}(?:\.\w+)?/?", re.ASCII)
# The official lists are trainlist01.txt and testlist01.txt, others ucf101_train_split_1_videos.txt and the like.
_SPLIT = re.compile(r"(?:list|split)_?0?([1-3])(?![0-9])")


def class_folder(path: str) -> str | None:
    """The folder of the class in the path of a video of UCF-101; None for other paths.

    In one class it differs from the name in the file's name: ``HandstandPushups/v_HandStandPushups_g01_c01.avi``.
    """
    found = _VIDEO.fullmatch(path)
    return found["folder"] if found else None


def group(path: str) -> str | None:
    """The class and the group of a video, e.g. "v_Archery_g07"; None if its name is not of UCF-101's form."""
    found = _VIDEO.fullmatch(path)
    return found["group"] if found else None


def split_of(name: str) -> str | None:
    """The split that a list is by its file's name, e.g. "ucf101/1" for ``trainlist01.txt``."""
    found = _SPLIT.search(name)
    return f"ucf101/{found[1]}" if found else None


def classes_in_order(
    numbers: typing.Mapping[str, int], names: typing.Sequence[str] | None
) -> tuple[int, tuple[str, ...]]:
    """Find how a list numbers the classes.

    Parameters
    ----------
    numbers : dict of str to int
        The number that the list gives to the videos of each folder.
    names : sequence of str, optional
        All classes in order, from ``classInd.txt``.

    Returns
    -------
    first : int
        The number of the first class: 1 in the official lists, 0 in others.
    classes : tuple of str
        `names`; without them, the folders, and the number, counted from 0, of a class that the list lacks.

    Raises
    ------
    ValueError
        If the numbers are not those of `names`.
    """
    if names is None:
        first = 1 if min(numbers.values()) == 1 else 0
        folders = {number - first: folder for folder, number in numbers.items()}
        return first, tuple(folders.get(number, str(number)) for number in range(max(folders) + 1))
    order = {name: number for number, name in enumerate(names)}
    for first in (1, 0):
        if all(order.get(folder) == number - first for folder, number in numbers.items()):
            return first, tuple(names)
    raise ValueError(f"its labels are not the numbers of the classes in {CLASS_FILE}, counted from 1 or from 0")
