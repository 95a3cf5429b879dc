"""Sizes of a benchmark, and the folder that its implementations share: parameters, exports, JPEGs, answers."""

import contextlib
import dataclasses
import math
import pathlib
import tempfile
import typing

import numpy as np

from benchmarks.runner import PEERS, Implementation, ImplementationError, take_turns

__all__ = ["ENCODINGS", "QUICK", "Form", "Settings", "Setup", "open_setup"]

BLOCK_LOCATIONS = 5_000  # that a run of a block takes, over all of its steps
# Codec, ending and options of each generated video, by its name in reports. 250 is what x264 takes without "g".
ENCODINGS = {
    "H.264, keyframes 250 apart": ("libx264", "mp4", {"g": 250, "crf": 23}),
    "H.264, keyframes 32 apart": ("libx264", "mp4", {"g": 32, "crf": 23}),
    "H.264, keyframes 8 apart": ("libx264", "mp4", {"g": 8, "crf": 23}),
    "MPEG-4, AVI": ("mpeg4", "avi", {"g": 12, "b": 640_000}),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Sizes of a benchmark; the defaults are those of docs/results/speed.md."""

    network: str = "a2net_resnet50"  # with attention blocks
    plain: str = "resnet50"  # without
    classes: int = 1000
    size: int = 224
    frames: typing.Optional[int] = None  # of a clip; None: the networks take images
    batch: int = 16
    # Networks for clips: name, frames, size, batch.
    clip_networks: tuple = (("a2net_resnet26_3d", 16, 112, 4), ("a2net_resnet50_3d", 8, 224, 2))
    square: int = 4096  # size of the matrices whose product gives the machine's peak
    rounds: int = 7  # turns of each implementation
    runs: int = 2  # timed runs of a turn
    images: typing.Optional[pathlib.Path] = None  # folder of JPEGs for the scenario input; None: generate some
    generated: tuple = (64, 375, 500)  # number, height and width of generated JPEGs
    files: int = 1024  # of a reader's epoch; fewer JPEGs are repeated
    smaller: int = 256  # shorter edge of the images in smaller records
    reads: int = 16  # batches of a reader's run
    readers: tuple = (1, 2, 3)  # numbers of workers
    steps: int = 6  # of an epoch of a training run
    epochs: int = 3  # of a training run
    video: tuple = (300, 256, 340)  # number, height and width of the frames of each generated video
    clip: tuple = (8, 8)  # frames of a clip, and its stride
    clips: int = 24  # of a run, each of which opens the file
    turns: int = 2  # of implementations that get a new process for each turn: training runs, and blocks on maps
    maps: tuple = ((14, 14), (20, 20), (28, 28), (40, 40), (56, 56), (8, 28, 28), (32, 28, 28))
    channels: int = 256  # c of a block on a map
    width: int = 64  # its m and n
    threads: int = 1
    timeout: float = 900  # seconds for each answer of a worker
    torch: bool = True  # whether PyTorch and the other peers take part
    log: typing.Callable = print  # takes lines of progress


# For tests, and to see whether everything runs: the figures mean nothing.
QUICK = {
    "network": "a2net_resnet20_small",
    "plain": "resnet20_small",
    "clip_networks": (("a2net_resnet20_small_3d", 4, 32, 2),),
    "classes": 10,
    "size": 32,
    "batch": 4,
    "square": 256,
    "rounds": 1,
    "runs": 1,
    "generated": (6, 48, 64),
    "files": 24,
    "smaller": 36,
    "reads": 2,
    "readers": (1,),
    "steps": 2,
    "epochs": 2,
    "video": (40, 48, 64),
    "clip": (4, 2),
    "clips": 3,
    "turns": 1,
    "maps": ((2, 3, 4),),
    "channels": 16,
    "width": 4,
    "timeout": 180,
}


class Form(typing.NamedTuple):
    """A way to run a network or to read images: name, family and form of an `Implementation`."""

    name: str
    family: str
    form: str
    tuned: bool = False
    plain: bool = True  # measured with the network without blocks too, so that their cost is known


@contextlib.contextmanager
def open_setup(settings):
    """Yield a `Setup` in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="a2net-benchmark-") as folder:
        yield Setup(settings, pathlib.Path(folder))


class Setup:
    """Shared files and the implementations that use them.

    `settings` are the sizes of the benchmark, `macs` the multiply-adds for one image of each added network, by name.
    """

    def __init__(self, settings, folder):
        self.settings, self.macs = settings, {}
        self._folder, self._photographs, self._count = folder, folder / "photographs", 0

    def taking_part(self, forms):
        """Return those of some forms that the settings do not leave out."""
        return [form for form in forms if self.settings.torch or form.family not in PEERS]

    def run(self, implementations, rounds=0):
        """Run implementations interleaved, see `take_turns`."""
        return take_turns(implementations, self.settings, rounds)

    def add_network(self, network, export=False):
        """Write the parameters of a network and, on demand, its export."""
        form = Form(f"parameters of {network}", "mxnet", "")
        task = self._network_task("parameters", form, network)
        self.macs[network] = self._prepare(form.name, {**task, "exported": export})["macs"]

    def add_photographs(self):
        """Lay out JPEGs, in folders and packed as records; returns their number and mean sizes."""
        settings = self.settings
        given = settings.images and settings.images.resolve()
        parts = {"train": settings.files, "short": settings.steps * settings.batch, "val": settings.batch}
        task = {"folder": str(self._photographs), "images": given and str(given), "parts": parts}
        facts = self._prepare(
            "photographs", {**task, "kind": "photographs", "generated": settings.generated, "smaller": settings.smaller}
        )
        return {"of": f"JPEGs of {given.name}" if given else "generated JPEGs of noise", **facts["photographs"]}

    def add_videos(self):
        """Write the same frames as videos of different encodings; returns paths and sizes by their names."""
        task = {"kind": "videos", "folder": str(self._folder), "generated": self.settings.video, "encodings": ENCODINGS}
        return self._prepare("videos", task)["videos"]

    def network(self, form, kind, network, **sizes):
        """Return the implementation of a network in a `Form`: kind "inference" or "training"."""
        task = {**self._network_task(kind, form, network), **sizes}
        return Implementation(form.name, form.family, task, form.tuned, images=task["batch"])

    def sgemm(self):
        """Return implementations of a matrix product: the fastest gives the machine's peak."""
        forms = [Form("sgemm of MXNet", "sgemm", "mxnet"), Form("sgemm of NumPy", "sgemm", "numpy")]
        forms += [Form("sgemm of PyTorch", "sgemm", "torch", tuned=True)] * self.settings.torch
        task = {"kind": "sgemm", "size": self.settings.square}
        return [Implementation(form.name, form.family, {**task, "form": form.form}, form.tuned) for form in forms]

    def reader(self, form, workers):
        """Return an implementation that reads the photographs: form "native", "records", "folder" or "dataloader"."""
        sizes = {"workers": workers, "reads": self.settings.reads, "answers": self._new_answers()}
        task = {**self._task("input", form), **self._data_task(form, "train"), **sizes}
        return Implementation(f"{form.name}, {workers}", form.family, task, images=task["batch"] * task["reads"])

    def clips(self, form, video, path):
        """Return an implementation that reads clips of a video from random frames on, the same for all readers."""
        (length, stride), count = self.settings.clip, self.settings.clips
        last = self.settings.video[0] - (length - 1) * stride - 1
        starts = np.random.default_rng(0).integers(last, size=count, endpoint=True).tolist()
        files = {"video": video, "path": path, "answers": self._new_answers()}
        task = {"kind": "clips", "form": form.form, "clip": (length, stride), "starts": starts, **files}
        return Implementation(form.name, form.family, task, images=count)

    def epochs(self, form, workers):
        """Return an implementation that trains whole epochs: form "native", "records" or "benchmark"."""
        sizes = {"workers": workers, "epochs": self.settings.epochs, "folder": str(self._folder)}
        task = {**self._task("epochs", form), **self._data_task(form, "short"), **sizes}
        return Implementation(form.name, form.family, task)

    def block(self, form, mode, place):
        """Return an implementation of a block on a map, form "left", "right" or "nl", "inference" or "training".

        A run has many steps on a small map: a single one is too short to be measured.
        """
        settings, steps = self.settings, max(1, BLOCK_LOCATIONS // math.prod(place))
        sizes = {"map": place, "channels": settings.channels, "width": settings.width, "steps": steps}
        task = {"kind": "block", "form": form.form, "mode": mode, **sizes}
        return Implementation(form.name, form.family, task, images=steps)

    def _data_task(self, form, part):
        """Return folder and training data of a task, see `mxnet_worker.training_settings`."""
        settings, folder = self.settings, self._photographs / "images"
        if form.form in ("native", "records", "smaller"):
            part = "smaller" if form.form == "smaller" else part
            records = {name: str(self._photographs / f"{file}.rec") for name, file in (("train", part), ("val", "val"))}
            data = {"kind": "Records", **records, "native": form.form == "native", "classes": settings.classes}
        elif form.form == "benchmark":
            data = {"kind": "Synthetic", "batches": settings.steps, "classes": settings.classes}
        else:
            data = {"kind": "ImageFolder", "path": str(folder)}
        return {"folder": str(folder), "data": data}

    def _task(self, kind, form):
        settings = self.settings
        names = ("network", "batch", "size", "frames")
        return {"kind": kind, "form": form.form, **{name: getattr(settings, name) for name in names}}

    def _network_task(self, kind, form, network):
        folder = self._folder / network
        folder.mkdir(exist_ok=True)
        files = {
            "weights": folder / "net.params",
            "torch_code": folder / "net_torch.py",
            "torch_weights": folder / "net.safetensors",
            "export": folder / "export" / "net",
            "answers": self._new_answers(),
        }
        return {
            **self._task(kind, form),
            **{name: str(path) for name, path in files.items()},
            "network": network,
            "attended": network == self.settings.network,
            "classes": self.settings.classes,
            "channels_last": form.tuned,
        }

    def _new_answers(self):
        self._count += 1
        return str(self._folder / f"answers-{self._count}.npz")

    def _prepare(self, name, task):
        (facts,) = self.run([Implementation(name, "mxnet", task)])
        if "error" in facts:
            raise ImplementationError(f"{name}: {facts['error']}")
        return facts
