"""A data set with a video of every kind of damage, by list files, and what is to be said of each."""

import numpy as np

from tests.helpers.videos import moving_frames, place_of_packet, with_zeros, write_video

LENGTH = 40  # frames of a whole video
FASTSTART = {"container": {"movflags": "faststart"}}


def flipped(content, start):
    """The bytes of a file of which some from `start` on are inverted."""
    found = np.frombuffer(content, np.uint8).copy()
    found[start : start + 200 : 5] ^= 0xFF
    return found.tobytes()


def _empty(path):
    path.touch()


def _page(path):
    path.write_text("<!DOCTYPE html><html><body>video unavailable</body></html>")


def _without_moov(path):
    path.write_bytes(write_video(path, moving_frames(LENGTH)).read_bytes()[:2000])  # it stands at the end


def _truncated(path):
    content = write_video(path, moving_frames(LENGTH), **FASTSTART).read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])


def _hole(path):
    place = place_of_packet(write_video(path, moving_frames(LENGTH)), 20)
    path.write_bytes(with_zeros(path.read_bytes(), place, 300))


def _flipped(path):
    place = place_of_packet(write_video(path, moving_frames(LENGTH)), 20)
    path.write_bytes(flipped(path.read_bytes(), place + 5))


# What makes a broken video, and the beginning of the reason that is told. No one writes the first.
BROKEN = {
    "missing": (None, "no such file or folder"),
    "empty": (_empty, "empty file"),
    "page": (_page, "a text, not a video"),
    "without-moov": (_without_moov, "truncated"),
    "truncated": (_truncated, "ends after "),
    "hole": (_hole, ""),
    "flipped": (_flipped, ""),
}
HIDDEN = ("hole", "flipped")  # of which nothing is known until the damaged frames are decoded


def make_broken_set(folder, whole=6, kinds=tuple(BROKEN)):
    """Write `whole` sound videos, one of each kind of damage and a short one, and lists; returns the flags of the data.

    Both lists hold all of them: the sound ones first, then the short one.
    """
    folder.mkdir()
    for number in range(whole):
        write_video(folder / f"whole {number}.mp4", moving_frames(LENGTH, seed=number), g=8)
    if whole:
        write_video(folder / "short.mp4", moving_frames(9))
    for kind in kinds:
        make = BROKEN[kind][0]
        if make:
            make(folder / f"{kind}.mp4")
    names = [f"whole {number}.mp4" for number in range(whole)] + ["short.mp4"] * bool(whole)
    names += [f"{kind}.mp4" for kind in kinds]
    for part in ("train", "val"):
        (folder / f"{part}.txt").write_text("".join(f"{name} {number % 2}\n" for number, name in enumerate(names)))
    return ("--data-dir", folder, "--train-list", folder / "train.txt", "--val-list", folder / "val.txt")
