"""The table of named networks."""

from __future__ import annotations

import dataclasses

from a2net_gluon.blocks.preactivation import check_ndim
from a2net_gluon.networks.architecture import Backbone
from a2net_gluon.networks.base import Network, Placement
from a2net_gluon.networks.mobilenet import MOBILENET_V2, MobileNetV2
from a2net_gluon.networks.resnet import Architecture, ResNet, clip_stages, image_stages
from a2net_gluon.networks.spelling import look_up

__all__ = ["NETWORKS", "NamedNetwork", "find_network", "input_shape", "list_models"]


@dataclasses.dataclass(frozen=True)
class NamedNetwork:
    """A row of the table: an architecture, its input, and the places of its context blocks.

    Attributes
    ----------
    architecture : Backbone
    classes : int
        Default width of the output.
    input_shape : tuple of int
        Of one image or clip, without the batch.
    context : str or None
        Kind of its context blocks, see `a2net_gluon.networks.contexts`.
    placement : dict
        Stage name to units.
    reduction : int
        Attention blocks have m = n = c / reduction; also those that are added to a plain network.
    family : type
        Class of the network.
    """

    architecture: Backbone
    classes: int
    input_shape: tuple[int, ...]
    context: str | None = None
    placement: Placement = dataclasses.field(default_factory=dict)
    reduction: int = 2
    family: type[Network] = ResNet

    def input_sizes(self, input_size: int | None = None, frames: int | None = None) -> tuple[int, ...]:
        """Lengths of an input, (h, w) or (t, h, w); `input_size` replaces height and width, `frames` t."""
        _, *own_frames, height, width = self.input_shape
        if input_size is not None:
            height = width = input_size
        return *(own_frames if frames is None else [frames] * len(own_frames)), height, width


_WIDE, _NARROW = (256, 512, 1024, 2048), (128, 256, 512, 1024)  # conv2 to conv5
_IMAGE, _CLIP, _SMALL_CLIP = (3, 224, 224), (3, 8, 224, 224), (3, 16, 112, 112)


def _image_resnet(*units: int) -> Architecture:
    """The paper's image ResNet (section 3.1): Table 1's stem of 32 channels, without the temporal dimension."""
    return Architecture(32, (5, 5), (2, 2), (2, 2), image_stages(units, _WIDE))


def _small_image_resnet(*units: int) -> Architecture:
    """Table 1's ResNet-26 and 29 without time, for its ablations (Tables 2 and 3) on images; not in the paper."""
    return Architecture(16, (5, 5), (2, 2), None, image_stages(units, _NARROW))


def _small_clip_resnet(*units: int) -> Architecture:
    """Table 1's ResNet-26 and 29. Its sizes and FLOPs imply that conv2_1 halves the time."""
    strides = ((2, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 2))
    stages = clip_stages([(3,) * count for count in units], _NARROW, strides)
    return Architecture(16, (3, 5, 5), (1, 2, 2), None, stages)


_RESNET50 = _image_resnet(3, 4, 6, 3)
# Table 4 takes ResNet-152 from He et al.; this is the image ResNet-50 above with their number of units.
_RESNET152 = _image_resnet(3, 8, 36, 3)
# For small images, 32 to 64 pixels: no reduction before the first stage. Not in the paper.
_RESNET20_SMALL = Architecture(16, (3, 3), (1, 1), None, image_stages((2, 2, 2), (64, 128, 256)))
# With two units more in conv3, which cost more than a block there: what depth is worth, as the paper's ResNet-29 is
# compared with ResNet-26 and blocks. Not in the paper.
_RESNET26_SMALL = Architecture(16, (3, 3), (1, 1), None, image_stages((2, 4, 2), (64, 128, 256)))
# Whose features see 23×23 pixels, to measure what blocks are worth that see all of them. Not in the paper.
_RESNET14_SMALL = Architecture(16, (3, 3), (2, 2), None, image_stages((2, 1, 1), (64, 128, 256)))
# The twin of ResNet-20 for small clips. The stem halves the size, since a clip has many times the pixels of an image.
_RESNET20_SMALL_3D = Architecture(
    16,
    (3, 3, 3),
    (1, 2, 2),
    None,
    clip_stages(((3, 1),) * 3, (64, 128, 256), ((1, 1, 1), (2, 2, 2), (2, 2, 2))),
)
_RESNET26_3D = _small_clip_resnet(2, 2, 2, 2)
_RESNET29_3D = _small_clip_resnet(2, 2, 3, 2)
# Table 1: k is 3 in every unit of conv2, then in every second unit. conv3_1 halves the time.
_RESNET50_3D = Architecture(
    32,
    (3, 5, 5),
    (1, 2, 2),
    (1, 2, 2),
    clip_stages(
        ((3, 3, 3), (3, 1, 3, 1), (3, 1, 3, 1, 3, 1), (1, 3, 1)),
        _WIDE,
        ((1, 1, 1), (2, 2, 2), (1, 2, 2), (1, 2, 2)),
    ),
)

# Five blocks, two after conv3 units and three after conv4 units, with m = n = c/2: Table 4's A²-Net (33.0 M, 6.5 G).
# The paper does not name the units; every second unit follows the non-local networks that it compares with.
_FIVE_BLOCKS = {"conv3": (2, 4), "conv4": (2, 4, 6)}
# Compact networks, the future work of the paper; sizes chosen by this project. As in the paper's A²-Net, two blocks see
# maps of 28×28 and three see maps of 14×14, after every second of the ten units of those sizes. m = n = c, not c/2:
# here a unit is narrowest at its output, while a ResNet's unit is narrowest inside, c/4, and c/2 is wider than that.
# The blocks add 10 % to the multiply-adds.
_EVERY_SECOND_UNIT = {"conv4": (1, 3), "conv5": (2, 4), "conv6": (2,)}
# One block at the best place in Table 2: "after the second residual unit" of conv4, with m = n = c/4 (section 3.2).
_ONE_BLOCK = {"conv4": (2,)}
_EVERY_UNIT = {"conv2": (1, 2, 3), "conv3": (1, 2, 3, 4), "conv4": (1, 2, 3, 4, 5, 6), "conv5": (1, 2, 3)}

NETWORKS = {
    "resnet50": NamedNetwork(_RESNET50, 1000, _IMAGE),
    "a2net_resnet50": NamedNetwork(_RESNET50, 1000, _IMAGE, "a2", _FIVE_BLOCKS),
    "nl_resnet50": NamedNetwork(_RESNET50, 1000, _IMAGE, "nl", _FIVE_BLOCKS),
    "se_resnet50": NamedNetwork(_RESNET50, 1000, _IMAGE, "se", _EVERY_UNIT),
    "resnet152": NamedNetwork(_RESNET152, 1000, _IMAGE),
    "resnet26": NamedNetwork(_small_image_resnet(2, 2, 2, 2), 1000, (3, 112, 112), reduction=4),
    "resnet29": NamedNetwork(_small_image_resnet(2, 2, 3, 2), 1000, (3, 112, 112), reduction=4),
    "resnet20_small": NamedNetwork(_RESNET20_SMALL, 10, (3, 32, 32)),
    "a2net_resnet20_small": NamedNetwork(_RESNET20_SMALL, 10, (3, 32, 32), "a2", {"conv3": (2,), "conv4": (2,)}),
    "resnet26_small": NamedNetwork(_RESNET26_SMALL, 10, (3, 32, 32)),
    "resnet14_small": NamedNetwork(_RESNET14_SMALL, 2, (3, 48, 48), reduction=4),
    "mobilenet_v2": NamedNetwork(MOBILENET_V2, 1000, _IMAGE, reduction=1, family=MobileNetV2),
    "a2net_mobilenet_v2": NamedNetwork(
        MOBILENET_V2, 1000, _IMAGE, "a2", _EVERY_SECOND_UNIT, reduction=1, family=MobileNetV2
    ),
    "resnet20_small_3d": NamedNetwork(_RESNET20_SMALL_3D, 8, (3, 8, 32, 32)),
    "a2net_resnet20_small_3d": NamedNetwork(
        _RESNET20_SMALL_3D, 8, (3, 8, 32, 32), "a2", {"conv3": (2,), "conv4": (2,)}
    ),
    "resnet26_3d": NamedNetwork(_RESNET26_3D, 400, _SMALL_CLIP, reduction=4),
    "a2net_resnet26_3d": NamedNetwork(_RESNET26_3D, 400, _SMALL_CLIP, "a2", _ONE_BLOCK, reduction=4),
    "nl_resnet26_3d": NamedNetwork(_RESNET26_3D, 400, _SMALL_CLIP, "nl", _ONE_BLOCK, reduction=4),
    "resnet29_3d": NamedNetwork(_RESNET29_3D, 400, _SMALL_CLIP, reduction=4),
    "resnet50_3d": NamedNetwork(_RESNET50_3D, 400, _CLIP),
    "a2net_resnet50_3d": NamedNetwork(_RESNET50_3D, 400, _CLIP, "a2", _FIVE_BLOCKS),
}


def find_network(name: str) -> NamedNetwork:
    """Return the row of the table for `name`; an unknown name is a UsageError with a suggestion."""
    return look_up(NETWORKS, name, "model")


def list_models(ndim: int | None = None, context: str | None = None) -> list[str]:
    """List the names of networks.

    Parameters
    ----------
    ndim : {2, 3}, optional
        Only networks for images (2) or for clips (3).
    context : str, optional
        Only networks with this kind of context blocks.
    """
    check_ndim(2 if ndim is None else ndim)
    return sorted(
        name
        for name, row in NETWORKS.items()
        if ndim in (None, row.architecture.ndim) and context in (None, row.context)
    )


def input_shape(name: str) -> tuple[int, ...]:
    """Return the input shape that the network `name` is made for; it takes other sizes too.

    ``(3, 224, 224)`` for images: channels, height and width. ``(3, 8, 224, 224)`` for clips, with frames.
    """
    return find_network(name).input_shape
