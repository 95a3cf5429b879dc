"""Settings of what is done with a trained network: evaluation, export, attention maps."""

from __future__ import annotations

import dataclasses
import typing

from a2net_gluon.errors import UsageError
from a2net_gluon.fields import (
    BATCH_SIZE,
    CLASSES,
    COUNT,
    RATE,
    RELATIVE,
    Path,
    Settings,
    documented,
    option,
    with_defaults,
)
from a2net_gluon.settings.data import BATCH, WORKERS, Data, Digits, defaults_of
from a2net_gluon.settings.network import KV_STORES, Devices, Input, Network
from a2net_gluon.settings.views import Views

__all__ = ["Attention", "Evaluation", "Export", "Import", "Trained"]


@documented
@dataclasses.dataclass(frozen=True)
class Trained(Settings):
    """A network and its parameters. Classes, blocks and preprocessing kept beside the parameters are used."""

    network: Network = Network()
    params: Path | None = option(
        None, "--params", metavar="FILE", help="parameter file of a run, or of an export", exclusive="parameters"
    )
    pretrained: bool = option(False, "--use-pretrained", help="the published parameters", exclusive="parameters")
    input: Input = Input()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.network.name:
            raise UsageError("the network has no name: Network(name), one of a2net_gluon.list_models()")


@documented
@dataclasses.dataclass(frozen=True)
class Evaluation(Trained):
    """The measurement of a trained network on validation data; see `a2net_gluon.evaluate`."""

    data: Data = Digits()
    batch_size: int = option(32, "--batch-size", **BATCH)
    workers: int | None = option(None, "-j", "--num-data-workers", **WORKERS)
    devices: Devices = Devices()
    views: Views = Views()
    scores: Path | None = option(
        None, "--scores", metavar="FILE", help="write the probabilities of every view of every video, as CSV"
    )
    kv_store: str | None = option(
        None,
        "--kv-store",
        choices=KV_STORES,
        help="how the processes of a job add up their results, e.g. dist_sync for a2net launch",
    )

    def resolved(self) -> Evaluation:
        """Fill in the defaults that depend on the data and on the views.

        Raises
        ------
        UsageError
            If no parameters are named, or views of samples that are no videos.
        """
        if not (self.params or self.pretrained):
            raise UsageError("no parameters to evaluate: name a file with --params, or --use-pretrained")
        defaults = defaults_of(self.data)
        if not self.data.kind.videos:
            self._check_no_views()
        return with_defaults(self, {**defaults, **self.views.defaults})

    def _check_no_views(self) -> None:
        given = [*self.views.given, *(["--scores"] if self.scores else [])]
        if given:
            raise UsageError(f"{given[0]} is for videos, the data are {self.data.kind.noun}: omit it")


@documented
@dataclasses.dataclass(frozen=True)
class Export(Trained):
    """The export of a network for deployment; see `a2net_gluon.export`."""

    output: Path = option(
        None, "--output", metavar="PREFIX", required=True, help="folder and start of the files' names"
    )
    onnx: bool = option(False, "--onnx", help="write PREFIX.onnx too")
    optimize: bool = option(False, "--optimize", help="write a graph with oneDNN's fused operators too")
    int8: typing.Sequence[Path] = option(
        (),
        "--int8",
        many=True,
        metavar="FILE",
        help="write an 8-bit PREFIX-int8.onnx too, calibrated on these images or videos",
    )
    torch: bool = option(
        False, "--torch", help="write PREFIX_torch.py and PREFIX.safetensors too, the network for training in PyTorch"
    )
    pixels: bool = option(
        False,
        "--pixels",
        help="put normalization into the graph, which then takes uint8 (N, h, w, 3), or (N, t, h, w, 3) for clips",
    )
    fixed_size: bool = option(
        False,
        "--fixed-size",
        help="ONNX files take inputs of one size and one batch, for readers that know no open sizes",
    )
    batch: int | None = option(
        None, "--batch", metavar="N", rule=BATCH_SIZE, help="the batch that --fixed-size fixes", default_words="1"
    )
    tolerance: float | None = option(
        None,
        "--tolerance",
        rule=RATE,
        help="largest difference from the network, relative to the largest logit, that a form may have",
        default_words="1e-4, or twice the network's own rounding if that is more",
    )
    archive: bool = option(False, "--archive", help="write PREFIX.mar too, for multi-model-server")
    files: typing.Sequence[Path] = option(
        (),
        "--images",
        "--files",
        many=True,
        metavar="FILE",
        help="compare on these images or videos: files, folders, or patterns such as 'photos/**/*.jpg'",
        default_words="embedded digits, which move for networks for clips",
    )
    classes: int | None = option(
        None, "--classes", rule=CLASSES, help="number of classes", default_words="that of the parameters"
    )

    @property
    def forms(self) -> list[str]:
        """The wished forms of `a2net_gluon.deploy.forms`, besides symbol and parameters."""
        wishes = {
            "onnx": self.onnx,
            "optimized": self.optimize,
            "int8": bool(self.int8),
            "torch": self.torch,
            "archive": self.archive,
        }
        return [form for form, wished in wishes.items() if wished]

    def resolved(self) -> Export:
        """Fill in the batch of files of one size.

        Raises
        ------
        UsageError
            If a batch is given for files of open sizes, or one size without ONNX files.
        """
        if self.batch and not self.fixed_size:
            raise UsageError("--batch is the batch of files of one size: add --fixed-size, or omit it")
        if self.fixed_size and not (self.onnx or self.int8):
            raise UsageError("--fixed-size fixes the sizes in ONNX files: add --onnx or --int8")
        return dataclasses.replace(self, batch=self.batch or 1) if self.fixed_size else self


@documented
@dataclasses.dataclass(frozen=True)
class Import(Settings):
    """Parameters that were trained in PyTorch, for use here; see `a2net_gluon.import_parameters`."""

    file: Path = option(None, name="file", required=True, help="file of safetensors")
    output: Path = option(None, "--output", metavar="FILE", required=True, help="parameter file to write, NAME.params")
    network: Network = Network()
    input: Input = Input()


def _position(text: str) -> tuple[float, ...]:
    """Convert a relative position ``x,y``, both from 0 to 1; ValueError for other text."""
    parts = text.split(",")
    if len(parts) != 2:
        raise ValueError(f"{text!r} is not a position x,y such as 0.5,0.5")
    return tuple(RELATIVE.parse(part) for part in parts)


@documented
@dataclasses.dataclass(frozen=True)
class Attention(Trained):
    """Pictures and arrays of the attention maps of double attention blocks; see `a2net_gluon.attention`."""

    network: Network = Network("a2net_resnet20_small")
    files: typing.Sequence[Path] = option(
        None, name="files", many=True, required=True, help="images or videos: files, folders or patterns"
    )
    output: Path = option(
        None, "--output", metavar="DIR", required=True, help="folder for the pictures and the arrays of each file"
    )
    blocks: typing.Sequence[str] = option(
        (),
        "--blocks",
        sequence=True,
        metavar="BLOCK,…",
        help="e.g. conv4:2, after unit 2 of conv4",
        default_words="all",
    )
    maps: int = option(4, "--maps", rule=COUNT, metavar="K", help="gathering maps to draw of each block")
    locations: typing.Sequence[tuple[float, float]] = option(
        ((0.5, 0.5), (0.2, 0.2), (0.8, 0.8)),
        "--locations",
        many=True,
        parse=_position,
        metavar="X,Y",
        help="draw what these locations receive; relative to the crop, from the top left",
        default_words="0.5,0.5 0.2,0.2 0.8,0.8",
    )
    html: bool = option(
        False, "--html", help="write attention.html too, a page that shows what the location under the pointer receives"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for place in self.locations:
            if not isinstance(place, tuple) or len(place) != 2 or not all(RELATIVE.holds(one) for one in place):
                raise UsageError(f"location {place!r} is not a position x,y such as 0.5,0.5")
