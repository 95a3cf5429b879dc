"""Cases of videos, and of lists of videos."""

from __future__ import annotations

from tests.fuzz.case import Case
from tests.fuzz.material import CLIPS, LISTS, MODEL, VIDEOS
from tests.fuzz.mutations import mutated, pick
from tests.helpers.encoded import IMAGES

__all__ = ["video_lists", "videos"]

_NETWORK = f"{MODEL}_3d"
_TRAIN = ("train-video", "--model", _NETWORK, *CLIPS, "--save-dir", "run", "--num-epochs", "1")
_EVALUATE = ("evaluate", _NETWORK, "--params", "run3/best.params", "--batch-size", "1", "-j", "1")
_EXPORT = ("export", _NETWORK, "--params", "run3/best.params", "--output", "e/x")
_COMMANDS = (
    ("a2net", *_TRAIN, *LISTS, "--test-io"),
    ("a2net", *_EVALUATE, *LISTS),
    ("a2net", "check", *_TRAIN, *LISTS, "--bad-list", "bad.tsv"),
    ("a2net", "pack-clips", "packed", *LISTS, "-j", "1"),
)


def videos(rng, material):
    """Video files, and folders of frames, of every format."""
    files = dict(material.videos)
    names = [name for name in files if not name.endswith(".txt")]
    for name in names:
        change = rng.integers(4)
        if change == 0:
            files[name] = mutated(rng, files[name])
        elif change == 1:  # the whole content of another container, or a piece of it
            files[name] = files[name][: rng.integers(len(files[name]))] + files[pick(rng, names)]
    if rng.random() < 0.2:  # a folder of frames in place of a file
        del files[names[0]]
        frames = {f"{names[0]}/{number}.png": mutated(rng, IMAGES["png"]) for number in range(3)}
        files.update(frames, **{f"{names[0]}/9.jpg": IMAGES["jpeg"]})
    single = (
        ("a2net", "predict", "y", *names, "--json", "--form", pick(rng, ("symbol", "optimized", "onnx"))),
        ("a2net", "attention", *names, "--params", "run3/best.params", "--output", "a"),
        ("a2net", *_EXPORT, "--files", *names),
    )
    reencode = ("a2net", "pack-clips", "packed", *LISTS, "-j", "1", "--reencode")
    words = pick(rng, (*_COMMANDS, *single, reencode))
    return Case(words, {**files, **material.clip_run, **material.clip_export}, tells_each=True)


def video_lists(rng, material):
    """List files of every form, which name videos that are there."""
    files, names = dict(material.videos), list(VIDEOS)
    labels = [int("Dog" in name) for name in names]
    forms = (
        [f"{name} {label}" for name, label in zip(names, labels)],
        [f"{name} 8 {label}" for name, label in zip(names, labels)],
        [f"{number} {label} {name}" for number, (name, label) in enumerate(zip(names, labels))],
        [f"{name}, {label}" for name, label in zip(names, labels)],
        [f"{name} {name.partition('/')[0]}" for name in names],
        names,
        ["label,youtube_id,time_start,time_end,split", *(f"{name.partition('/')[0]},x,0,10,val" for name in names)],
    )
    text = "\n".join(pick(rng, forms)).encode() + b"\n"
    words = (b"-1", b"1e3", b"\t", b'"', b"\n", b"../../", b"#", b"9" * 30, b"\x1b[31m", b"\xef\xbb\xbf", b"/", b", ")
    if rng.random() < 0.5:
        files["v/classInd.txt"] = mutated(rng, b"1 Cat\n2 Dog\n", words) if rng.random() < 0.5 else b"1 Cat\n2 Dog\n"
    if rng.random() < 0.3:  # as Kinetics names its videos
        files["v/Cat/x_000000_000010.mp4"] = files[f"v/{names[0]}"]
    files["v/list.txt"] = mutated(rng, text, words) if rng.random() < 0.8 else text
    return Case(pick(rng, _COMMANDS), {**files, **material.clip_run}, tells_each=True)
