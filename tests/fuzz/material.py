"""What is mutated: small data, a run folder, an export, records, made once by the commands themselves."""

from __future__ import annotations

import typing

import numpy as np
import PIL.Image

from tests.fuzz.case import Case
from tests.helpers.encoded import encoded
from tests.helpers.videos import moving_frames, write_video

__all__ = ["CLIPS", "EPOCHS", "LISTS", "MODEL", "START", "VIDEOS", "Material", "make_material"]

MODEL = "a2net_resnet20_small"
_SMALL = ("--model", MODEL, "--input-size", "8", "--batch-size", "4", "--warmup-epochs", "0", "--augmentation", "none")
START = ("train", *_SMALL, "--lr", "0.01", "--seed", "3", "-j", "1", "--log-interval", "1")
EPOCHS = 3
CLIPS = ("--clip-length", "2", "--frame-interval", "1", "--input-size", "8", "--batch-size", "1", "-j", "1")
# Videos of each container and kind of coding, with names as UCF-101 has them.
VIDEOS = {
    "Cat/v_Cat_g01_c01.mp4": ("libx264", "yuv420p"),
    "Cat/v_Cat_g02_c01.avi": ("mjpeg", "yuvj420p"),
    "Dog/v_Dog_g01_c01.mkv": ("mpeg4", "yuv420p"),
    "Dog/v_Dog_g02_c01.webm": ("libvpx", "yuv420p"),
}
LISTS = ("--data-dir", "v", "--train-list", "v/train.txt", "--val-list", "v/list.txt")
# Momentum of a trainer of Gluon, pickled.
_STATES = """
import sys, mxnet as mx
from a2net_gluon import get_model
net = get_model("a2net_resnet20_small", pretrained=True)
trainer = mx.gluon.Trainer(net.collect_params(), "nag", {"momentum": 0.9, "learning_rate": 0.1})
with mx.autograd.record():
    loss = net(mx.nd.ones((1, 3, 32, 32))).sum()
loss.backward()
trainer.step(1)
trainer.save_states("gluon.states")
"""

Files = typing.Dict[str, bytes]


class Material(typing.NamedTuple):
    """Files by their path, in groups.

    Attributes
    ----------
    data : dict
        ``data/``, an image folder.
    records : dict
        The same images as ``train.*`` and ``val.*``.
    clips : dict
        The images as frames of videos, packed as ``clips/val.*``.
    run : dict
        ``run/``: two of the three epochs of a run.
    finished : dict
        The files of the uninterrupted run that a resumed one must write too.
    export : dict
        ``x.json``, ``x-symbol.json``, …: an export of every form but that of 8 bits.
    states : dict
        ``gluon.states``
    videos : dict
        ``v/``: folders of videos and list files.
    clip_run, clip_export : dict
        ``run3/best.params`` and the export ``y`` of a network for clips.
    """

    data: Files
    records: Files
    clips: Files
    run: Files
    finished: Files
    export: Files
    states: Files
    videos: Files
    clip_run: Files
    clip_export: Files


def make_material(zygote, folder):
    """Make all files in a folder, with a `Zygote`."""

    def call(files, *words):
        outcome = zygote.run(Case(words, files, writes_into=("",), seconds=600), folder)
        if outcome.code:
            raise RuntimeError(f"{words}: {outcome.errors}")
        made = {str(path.relative_to(folder / "here")): path for path in (folder / "here").rglob("*") if path.is_file()}
        return {name: path.read_bytes() for name, path in made.items() if name not in files}

    data = _image_folder()
    records = {}
    for part in ("train", "val"):
        records.update(call(data, "a2net", "pack", f"data/{part}", part))
    frames = {name.replace("/val/", "/val/shots/"): data[name] for name in data if "/val/" in name}
    clips = call(frames, "a2net", "pack-clips", "clips", "--data-dir", "data", "-j", "1")
    clips = {name: content for name, content in clips.items() if name.startswith("clips/")}
    start = ("a2net", *START, "--data-dir", "data", "--save-dir", "run", "--num-epochs")
    run = call(data, *start, str(EPOCHS - 1))
    last = f"run/checkpoints/epoch-{EPOCHS:04}"
    finished = call(data, *start, str(EPOCHS))
    finished = {name: finished[name] for name in ("run/best.params", f"{last}/net.params", f"{last}/optimizer.params")}
    options = ("--params", "run/best.params", "--output", "x", "--input-size", "8", "--onnx", "--optimize", "--torch")
    export = call(run, "a2net", "export", MODEL, *options)
    states = call({}, "python", _STATES)
    videos = _videos(folder.parent)
    network = ("--model", f"{MODEL}_3d", *CLIPS)
    clip_run = call(videos, "a2net", "train-video", *network, *LISTS, "--num-epochs", "1", "--save-dir", "run3")
    clip_run = {name: clip_run[name] for name in ("run3/best.params", "run3/model.json")}
    options = ("--params", "run3/best.params", "--output", "y", "--onnx", "--optimize", "--files", next(iter(videos)))
    clip_export = call({**videos, **clip_run}, "a2net", "export", f"{MODEL}_3d", *options)
    return Material(data, records, clips, run, finished, export, states, videos, clip_run, clip_export)


def _videos(folder):
    files = {}
    for number, (name, (codec, pixels)) in enumerate(VIDEOS.items()):
        path = write_video(
            folder / f"video.{name.rpartition('.')[2]}", moving_frames(8, 32, 32, number), codec, pixels=pixels
        )
        files[f"v/{name}"] = path.read_bytes()
        files[f"v/{name[:3]}/v_{name[:3]}_g03_c01.mp4"] = files[f"v/{name}"]  # a group of its own
    files["v/train.txt"] = b"Cat/v_Cat_g03_c01.mp4 0\nDog/v_Dog_g03_c01.mp4 1\n"
    files["v/list.txt"] = "".join(f"{name} {int('Dog' in name)}\n" for name in VIDEOS).encode()
    return files


def _image_folder():
    rng, files = np.random.default_rng(0), {}
    for part, count in (("train", 6), ("val", 2)):
        for name, level in (("cat", 60), ("dog", 160)):
            for number in range(count):
                pixels = rng.normal(level, 40, (12, 12, 3)).clip(0, 255).astype(np.uint8)
                files[f"data/{part}/{name}/{number}.png"] = encoded(PIL.Image.fromarray(pixels), "PNG")
    return files
