"""The folder that the implementations of a scenario share: parameters, exports, JPEGs, answers."""

import contextlib
import math
import pathlib
import tempfile
import typing

from benchmarks.runner import Implementation, ImplementationError, run_once, take_turns

__all__ = ["Form", "Setup", "open_setup"]

BLOCK_LOCATIONS = 25_000  # that a run of a block takes, over all of its steps


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
        return [form for form in forms if self.settings.torch or form.family != "torch"]

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
        facts = self._prepare("photographs", {**task, "kind": "photographs", "generated": settings.generated})
        described = f"JPEGs of {given.name}" if given else "generated JPEGs of noise"
        return {"of": described, **{key: facts[key] for key in ("different", "kilobytes", "height", "width")}}

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

    def epochs(self, form, workers):
        """Return an implementation that trains whole epochs: form "native", "records" or "benchmark"."""
        sizes = {"workers": workers, "epochs": self.settings.epochs, "folder": str(self._folder)}
        return Implementation(
            form.name, form.family, {**self._task("epochs", form), **self._data_task(form, "short"), **sizes}
        )

    def block(self, form, mode, place):
        """Return an implementation of a block on a map, form "left", "right" or "nl", "inference" or "training".

        A run has many steps on a small map: a single one is too short to be measured.
        """
        settings, steps = self.settings, max(1, BLOCK_LOCATIONS // math.prod(place))
        sizes = {"map": place, "channels": settings.channels, "width": settings.width, "steps": steps}
        return Implementation(
            form.name, form.family, {"kind": "block", "form": form.form, "mode": mode, **sizes}, images=steps
        )

    def _data_task(self, form, part):
        """Return folder and training data of a task, see `mxnet_worker.training_settings`."""
        settings, folder = self.settings, self._photographs / "images"
        if form.form in ("native", "records"):
            records = {name: str(self._photographs / f"{file}.rec") for name, file in (("train", part), ("val", "val"))}
            data = {"kind": "Records", **records, "native": form.form == "native", "classes": settings.classes}
        elif form.form == "benchmark":
            data = {"kind": "Synthetic", "batches": settings.steps, "classes": settings.classes}
        else:
            data = {"kind": "ImageFolder", "path": str(folder)}
        return {"folder": str(folder), "data": data}

    def _task(self, kind, form):
        settings = self.settings
        sizes = {"network": settings.network, "batch": settings.batch, "size": settings.size}
        return {"kind": kind, "form": form.form, **sizes}

    def _network_task(self, kind, form, network):
        folder = self._folder / network
        folder.mkdir(exist_ok=True)
        files = {
            "weights": folder / "parameters.npz",
            "export": folder / "export" / "net",
            "answers": self._new_answers(),
        }
        return {
            **self._task(kind, form),
            **{name: str(path) for name, path in files.items()},
            "network": network,
            "classes": self.settings.classes,
            "channels_last": form.tuned,
        }

    def _new_answers(self):
        self._count += 1
        return str(self._folder / f"answers-{self._count}.npz")

    def _prepare(self, name, task):
        try:
            facts = run_once(Implementation(name, "mxnet", task), self.settings.threads, self.settings.timeout)
        except ImplementationError as error:
            raise ImplementationError(f"{name}: {error}") from None
        self.settings.log(f"{name}: ready")
        return facts
