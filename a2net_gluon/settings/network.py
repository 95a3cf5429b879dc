"""Settings of the network, its input and the devices that compute it."""

from __future__ import annotations

import dataclasses
import typing

from a2net_gluon.errors import UsageError
from a2net_gluon.fields import (
    CONTEXTS,
    COUNT,
    CROP_RATIO,
    DEVICES,
    FRAMES,
    INPUT_SIZE,
    Settings,
    documented,
    option,
)

__all__ = ["BLOCKS", "FRAME_ORDERS", "KV_STORES", "Devices", "Input", "Network", "parse_placement"]

KV_STORES = ("local", "device", "nccl", "dist_sync", "dist_device_sync", "horovod")
FRAME_ORDERS = ("forward", "shuffled")

BLOCKS = ("context", "placement", "reduction", "gathering", "distribution")  # the fields of `Network` that build blocks


def parse_placement(text: str) -> dict[str, list[int]]:
    """Convert ``conv3:1,2+conv4:1,2`` to ``{"conv3": [1, 2], "conv4": [1, 2]}``; ValueError for other text."""
    stages: dict[str, list[int]] = {}
    for part in text.split("+"):
        stage, _, units = part.partition(":")
        if not stage or not units or stage in stages:
            raise ValueError(f"{text!r} is not a placement such as conv4:2 or conv3:1,2+conv4:1,2")
        stages[stage] = [COUNT.parse(unit) for unit in units.split(",")]
    return stages


_OWN: dict[str, typing.Any] = {"default_words": "the network's own"}


@documented
@dataclasses.dataclass(frozen=True)
class Network(Settings):
    """A network by name, and the context blocks in it; see `a2net_gluon.get_model`."""

    name: str | None = option(
        None,
        "--model",
        help="name of the network; an unknown one lists all",
        default_words="a2net_resnet50; for digits a2net_resnet20_small; for videos the same with _3d",
    )
    context: str | None = option(
        None,
        "--context",
        metavar="KIND",
        help="kind of context block; a2: double attention, nl: non-local, se: squeeze-and-excitation",
        **_OWN,
    )
    placement: typing.Mapping[str, typing.Sequence[int]] | None = option(
        None,
        "--placement",
        metavar="STAGE:UNIT,…",
        help="units that are followed by context blocks, e.g. conv3:1,2+conv4:1,2",
        parse=parse_placement,
        **_OWN,
    )
    reduction: int | None = option(
        None, "--reduction", rule=COUNT, help="a block's width is that of its stage divided by this", **_OWN
    )

    gathering: str | None = option(
        None,
        "--gathering",
        choices=("attention", "bilinear"),
        help="of double attention blocks; bilinear: pooling without the softmax over the locations",
        **_OWN,
    )
    distribution: str | None = option(
        None,
        "--distribution",
        choices=("attention", "uniform"),
        help="of double attention blocks; uniform: all locations receive the average of the descriptors",
        **_OWN,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.placement is not None and not isinstance(self.placement, typing.Mapping):
            raise UsageError(f"placement is {self.placement!r}; it must be a dict, e.g. {{'conv4': (2,)}}")

    @property
    def takes_clips(self) -> bool:
        """Whether it is a network for clips, whose names end in _3d; a test compares this with the networks."""
        return str(self.name).endswith("_3d")

    @property
    def blocks(self) -> dict[str, typing.Any]:
        """The options of `get_model` that differ from the network's own."""
        given = {name: getattr(self, name) for name in BLOCKS}
        return {name: value for name, value in given.items() if value is not None}


@documented
@dataclasses.dataclass(frozen=True)
class Input(Settings):
    """Size, crop, normalization and frames of the input; the description beside parameters replaces the defaults."""

    size: int | None = option(None, "--input-size", rule=INPUT_SIZE, help="height and width of the input", **_OWN)
    crop_ratio: float | None = option(
        None,
        "--crop-ratio",
        rule=CROP_RATIO,
        help="ratio of the validation crop to the resized shorter edge",
        default_words="0.875; digits 1",
    )
    normalization: str | None = option(
        None,
        "--normalization",
        choices=("dpn", "torchvision", "gluoncv"),
        help="mean and scale",
        default_words="dpn",
    )
    frames: int | None = option(
        None, "--new-length", "--clip-length", rule=FRAMES, help="frames of a clip; for networks for clips", **_OWN
    )
    stride: int | None = option(
        None,
        "--new-step",
        "--frame-interval",
        rule=COUNT,
        help="distance in the video from one frame of a clip to the next",
        default_words="8; moving digits 1",
    )
    order: str | None = option(
        None,
        "--frame-order",
        choices=FRAME_ORDERS,
        help="order of the frames of a clip, in training and evaluation; shuffled: at random, which measures what "
        "their order is worth",
        default_words="forward",
    )


@documented
@dataclasses.dataclass(frozen=True)
class Devices(Settings):
    """The devices that compute; by default the CPU."""

    num_gpus: int = option(0, "--num-gpus", rule=DEVICES, help="number of GPUs", exclusive="devices")
    gpus: typing.Sequence[int] | None = option(
        None, "--gpus", rule=DEVICES, sequence=True, help="these GPUs, e.g. 0,2", exclusive="devices"
    )
    cpu_contexts: int = option(
        1,
        "--cpu-contexts",
        rule=CONTEXTS,
        help="data parallelism over this many CPU contexts, to test runs for several GPUs",
        exclusive="devices",
    )
