"""Where contenders meet: sizes, parameters, exports, and the rows of a table made of what they answer."""

import contextlib
import dataclasses
import pathlib
import statistics
import tempfile
import typing

import numpy as np

from benchmarks.contenders import Contender, ContenderError, take_turns

__all__ = ["QUICK", "Settings", "Stage", "load_answers", "open_stage"]

TOLERANCE = 1e-4  # of the largest value: what differs by more is no equal and has no place in a comparison


@dataclasses.dataclass(frozen=True)
class Settings:
    """How large everything is.

    Attributes
    ----------
    network, plain : str
        The network with attention blocks, and that without.
    blocks : tuple of (str, int)
        Stage and unit of the network's blocks, in the order in which the growth scenario adds them.
    classes, size, batch : int
    sizes, batches : tuple of int
        What the scenarios memory (batches) and growth (both) go through.
    square : int
        Size of the matrices whose product gives the machine's peak.
    rounds, runs : int
        See `contenders.take_turns`.
    images : Path or None
        A folder with JPEGs, which the scenario input reads; it makes some unless given.
    edges : (int, int)
        Height and width of those it makes.
    made, stored : int
        How many it makes, and how many files an epoch has, given or made: the same take turns in it.
    reads : int
        Batches of a run of a reader.
    readers : tuple of int
        Numbers of workers that readers are tried with.
    steps, epochs, turns : int
        Of the scenario's commands: steps of an epoch, epochs of a command, and commands of each kind.
    threads : int
    timeout : float
        Seconds for one answer of a contender.
    torch : bool
        Whether PyTorch takes part.
    tell : callable
        Takes lines of progress.
    """

    network: str = "a2net_resnet50"
    plain: str = "resnet50"
    blocks: tuple = (("conv3", 2), ("conv3", 4), ("conv4", 2), ("conv4", 4), ("conv4", 6))
    classes: int = 1000
    size: int = 224
    batch: int = 16
    sizes: tuple = (128, 160, 192, 224, 256, 320)
    batches: tuple = (2, 4, 8, 16)
    square: int = 4096
    rounds: int = 7
    runs: int = 2
    images: typing.Optional[pathlib.Path] = None
    edges: typing.Tuple[int, int] = (375, 500)
    made: int = 64
    stored: int = 1024
    reads: int = 16
    readers: tuple = (1, 2, 3)
    steps: int = 6
    epochs: int = 3
    turns: int = 2
    threads: int = 1
    timeout: float = 900
    torch: bool = True
    tell: callable = print


# For tests, and to see whether everything runs: the figures mean nothing.
QUICK = {
    "network": "a2net_resnet20_small",
    "plain": "resnet20_small",
    "blocks": (("conv3", 2), ("conv4", 2)),
    "classes": 10,
    "size": 32,
    "batch": 4,
    "sizes": (32, 48),
    "batches": (2, 4),
    "square": 256,
    "rounds": 1,
    "runs": 1,
    "edges": (48, 64),
    "made": 6,
    "stored": 24,
    "reads": 2,
    "readers": (1,),
    "steps": 2,
    "epochs": 2,
    "turns": 1,
    "timeout": 180,
}


@contextlib.contextmanager
def open_stage(settings):
    """Yield a `Stage` in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="a2net-benchmark-") as folder:
        yield Stage(settings, folder)


class Stage:
    """A folder with what contenders share.

    Attributes
    ----------
    settings : Settings
    macs : dict
        Multiply-adds for one image of the networks that were added, by name.
    """

    def __init__(self, settings, folder):
        self.settings, self.macs = settings, {}
        self._folder, self._count = pathlib.Path(folder), 0

    def add(self, network, placement=None, export=False):
        """Make the parameters of a network, and its export if asked for."""
        maker = self.contender(f"parameters of {network}", "mxnet", "material", "", network, placement)
        if not export:
            maker.task["export"] = None
        self.macs[network] = self._made(maker, network)["macs"]

    def add_photographs(self):
        """Lay out JPEGs, in folders and packed as records; returns what they are."""
        settings, folder = self.settings, self._folder / "photographs"
        folder.mkdir()
        task = {
            "kind": "photographs",
            "form": "",
            "folder": str(folder),
            "images": settings.images and str(settings.images.resolve()),
            "edges": settings.edges,
            "made": settings.made,
            "parts": {"train": settings.stored, "short": settings.steps * settings.batch, "val": settings.batch},
        }
        facts = self._made(Contender("photographs", "mxnet", task), "photographs")
        of = f"JPEGs of {settings.images.resolve().name}" if settings.images else "made JPEGs of noise"
        return {"of": of, **{key: facts[key] for key in ("different", "kilobytes", "height", "width")}}

    def _made(self, maker, what):
        (facts,) = self.run([maker])
        if "error" in facts:
            raise ContenderError(f"{what}: {facts['error']}")
        return facts

    def reader(self, name, family, form, workers):
        """A contender that reads the photographs of `add_photographs`."""
        settings = self.settings
        self._count += 1
        task = {
            "kind": "input",
            "form": form,
            "network": settings.network,
            "folder": str(self._folder / "photographs"),
            "flags": self.reader_flags(form, workers, "train"),
            "answers": str(self._folder / f"answers-{self._count}.npz"),
            "batch": settings.batch,
            "size": settings.size,
            "workers": workers,
            "reads": settings.reads,
        }
        return Contender(name, family, task)

    def reader_flags(self, form, workers, part):
        """Flags of our command line for those photographs: form "native", "records" or "folder"."""
        folder = self._folder / "photographs"
        if form == "folder":
            return ["--data-dir", str(folder / "images"), "-j", str(workers)]
        flags = ["--rec-train", f"{folder / part}.rec", "--rec-val", f"{folder / 'val'}.rec", "-j", str(workers)]
        return [*flags, "--native-reader"] if form == "native" else flags

    def folder_for_runs(self):
        """Where run folders may lie."""
        return self._folder / "runs"

    def contender(self, name, family, kind, form, network, placement=None, tuned=False, **sizes):
        """A contender whose task is about a network."""
        settings = self.settings
        blocks = "".join(f"-{stage}-{'-'.join(map(str, units))}" for stage, units in (placement or {}).items())
        folder = self._folder / f"{network}{blocks}"
        folder.mkdir(exist_ok=True)
        self._count += 1
        task = {
            "kind": kind,
            "form": form,
            "network": network,
            "placement": placement,
            "classes": settings.classes,
            "weights": str(folder / "parameters.npz"),
            "export": str(folder / "export" / "net"),
            "answers": str(folder / f"answers-{self._count}.npz"),
            "batch": settings.batch,
            "size": settings.size,
            "contexts": 1,
            "channels_last": True,
            **sizes,
        }
        return Contender(name, family, task, tuned)

    def sgemm(self):
        """Contenders that multiply matrices: what they reach is the machine's peak."""
        task = {"kind": "sgemm", "size": self.settings.square}
        forms = ["MXNet", "NumPy"] + ["PyTorch"] * self.settings.torch
        return [
            Contender(f"sgemm of {form}", "sgemm", {**task, "form": form.lower()}, form == "PyTorch") for form in forms
        ]

    def run(self, contenders, rounds=0):
        """See `take_turns`."""
        settings = self.settings
        return take_turns(contenders, settings.threads, rounds, settings.runs, settings.timeout, settings.tell)


def row(contender, result, unit):
    """A row of a table: what ran, and the milliseconds of each of `unit` images (or products)."""
    task = contender.task
    sizes = ("network", "form", "batch", "size", "contexts", "dtype", "workers")
    known = {key: task[key] for key in sizes if key in task}
    told = {key: result[key] for key in ("version", "error", "peak_mb", "first_peak_mb") if key in result}
    times = [1000 * seconds / unit for seconds in result.get("seconds", ())]
    measured = {"ms": times, "min_ms": min(times), "median_ms": statistics.median(times)} if times else {}
    return {"name": contender.name, "family": contender.family, "tuned": contender.tuned, **known, **told, **measured}


def difference(contender, reference):
    """Largest difference of what two contenders have computed, relative to each array's largest value.

    None if one of them has computed nothing.
    """
    answers, expected = load_answers(contender), load_answers(reference)
    if answers is None or expected is None:
        return None
    return max(_relative(answers[name], expected[name]) for name in expected)


def load_answers(contender):
    """What a contender has computed, a dict of arrays; None if there is nothing."""
    path = pathlib.Path(contender.task["answers"])
    if not path.is_file():
        return None
    with np.load(path) as file:
        return dict(file)


def _relative(answers, expected):
    return float(np.abs(answers - expected).max() / max(np.abs(expected).max(), np.finfo(expected.dtype).tiny))
