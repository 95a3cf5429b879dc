"""The folder that the implementations of a scenario share: parameters, exports, JPEGs, answers."""

import contextlib
import pathlib
import tempfile
import typing

from benchmarks.runner import Implementation, ImplementationError, run_once, take_turns

__all__ = ["Form", "Setup", "open_setup"]


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
        records = {part: str(self._photographs / f"{part}.rec") for part in ("train", "val")}
        task = {
            **self._task("input", form),
            "folder": str(self._photographs / "images"),
            "records": {**records, "native": form.form == "native"} if form.form in ("native", "records") else None,
            "answers": self._new_answers(),
            "workers": workers,
            "reads": self.settings.reads,
        }
        return Implementation(f"{form.name}, {workers}", form.family, task, images=task["batch"] * task["reads"])

    def training_command(self, form, workers, turn):
        """Return train_imagenet.py, form "native", "records" or "benchmark", as an implementation."""
        settings, folder = self.settings, self._folder / "runs" / f"{turn}-{form.form}"
        flags = f"--model {settings.network} --classes {settings.classes} --input-size {settings.size}"
        flags += f" --batch-size {settings.batch} --num-epochs {settings.epochs} --lr 1e-3 --warmup-epochs 0"
        if form.form == "benchmark":
            flags += f" --benchmark --benchmark-batches {settings.steps}"
            records = {}
        else:
            flags += f" -j {workers}" + " --native-reader" * (form.form == "native")
            records = {"--rec-train": self._photographs / "short.rec", "--rec-val": self._photographs / "val.rec"}
        paths = [str(word) for pair in {"--save-dir": folder, **records}.items() for word in pair]
        task = {**self._task("command", form), "flags": [*flags.split(), *paths], "folder": str(folder)}
        return Implementation(form.name, form.family, task)

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
            "channels_last": True,
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
