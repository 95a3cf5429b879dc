"""JPEGs for those who read them: the same files for every contender, given or made."""

import pathlib

import cv2
import numpy as np

from a2net_gluon.data import pack_folder
from a2net_gluon.data.folder import read_image
from benchmarks import worker

__all__ = ["lay_out", "make_jpegs", "prepare"]

CLASSES = 2
QUALITY = 90
# Grey levels of the spread of the noise: made JPEGs then take as many bytes as photographs, and as long to decode.
SPREAD = 32


def prepare(task):
    """Lay out the JPEGs of a task and pack them as they are; tells how many and how large they are.

    ``train`` is for readers, ``short`` for an epoch of training, ``val`` what both have to be given.
    """
    folder = pathlib.Path(task["folder"])
    given = task["images"]
    found = worker.find_jpegs(given) if given else make_jpegs(folder / "made", task["made"], *task["edges"])
    for part, count in task["parts"].items():
        lay_out(found, folder / "images" / part, count)
        pack_folder(folder / "images" / part, folder / part)
    used = found[: max(task["parts"].values())]
    heights, widths = zip(*(read_image(path).shape[:2] for path in used[:50]))
    facts = {"different": len(used), "kilobytes": float(np.mean([path.stat().st_size for path in used])) / 1e3}
    return (lambda: None), {**facts, "height": float(np.mean(heights)), "width": float(np.mean(widths))}


def make_jpegs(folder, count, height, width):
    """Write `count` different JPEGs of noise in octaves; returns their paths."""
    folder.mkdir(parents=True)
    paths = [folder / f"{number:04}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        (image,) = worker.images({"batch": 1, "size": max(height, width), "seed": number})
        pixels = np.clip(128 + SPREAD * image[:, :height, :width], 0, 255).astype(np.uint8)
        cv2.imwrite(str(path), pixels.transpose(1, 2, 0), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return paths


def lay_out(jpegs, folder, count):
    """Make an image folder with `count` of `jpegs`, which take turns where they are fewer, as links."""
    for number in range(count):
        link = folder / f"class{number % CLASSES}" / f"{number:05}.jpg"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(jpegs[number % len(jpegs)])
