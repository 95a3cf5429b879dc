"""Contact sheets and arrays of a network's attention maps, written for image files."""

from __future__ import annotations

import pathlib
import warnings
from typing import TYPE_CHECKING, Collection, Iterator, Mapping, NamedTuple, Sequence

import mxnet as mx
import numpy as np
from scipy.special import softmax

from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.data.folder import find_images, read_image
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.files import AnyPath, folder_for_output, replacing
from a2net_gluon.insight.attention import AttentionProbe, BlockAttention
from a2net_gluon.insight.attention_sheet import DPI, draw_sheet
from a2net_gluon.insight.memory import check_inference_memory
from a2net_gluon.networks import Description, list_models
from a2net_gluon.networks.trained import load_trained
from a2net_gluon.settings import Attention, ImageFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Report", "attention", "write_reports"]


class Report(NamedTuple):
    """The files written for an image with its most probable class, or the problem of an unreadable image."""

    image: str
    files: tuple[str, ...] = ()
    name: str = ""
    probability: float = 0.0
    problem: str | None = None


def attention(options: Attention) -> Iterator[Report]:
    """Draw what a network's double attention blocks attend to in image files; see `write_reports`.

    Parameters
    ----------
    options : settings.Attention

    Returns
    -------
    iterator of Report
        One for each image.

    Raises
    ------
    UsageError
        If the settings, the parameters and the images do not fit together, or an image needs more memory than is free.
    FailureError
        If a file is damaged or cannot be written.
    """
    images = find_images(options.files)
    net, description, _ = load_trained(options, kind=ImageFolder.kind)
    check_inference_memory(net, description.model, description.preprocessing, 1, [mx.cpu()])
    output = str(options.output)
    return write_reports(net, description, images, output, options.blocks, options.maps, options.locations)


def write_reports(
    net: mx.gluon.HybridBlock,
    description: Description,
    images: Sequence[AnyPath],
    folder: AnyPath,
    blocks: Collection[str],
    maps: int,
    locations: Sequence[tuple[float, float]],
) -> Iterator[Report]:
    """Write ``<stem>.png`` and ``<stem>.npz`` for each image file, and yield its `Report`.

    A repeated stem gets a number: two files ``photo.jpg`` from different folders become ``photo`` and ``photo-2``, in
    their order. An unreadable image is reported, and the images after it are processed all the same.

    Parameters
    ----------
    net : HybridBlock
        Initialized; with double attention blocks.
    description : Description
        The network's name, its classes and its preprocessing.
    images : sequence of str or Path
    folder : str or Path
        Created if missing.
    blocks : collection of str
        Names such as ``conv4:2``; all blocks if empty.
    maps : int
        Number of gathering maps to draw for each block.
    locations : sequence of (float, float)
        Relative positions (x, y) from the top left of the network's crop, whose distributions are drawn.

    Raises
    ------
    UsageError
        If the network has no double attention, or no block of this name, or a sheet would replace one of the images.
    FailureError
        If the folder cannot be written, or the network's values are not finite.
    """
    probe = AttentionProbe(net)
    chosen = _choose(description.network, probe.blocks, blocks)
    targets = _targets(images, pathlib.Path(folder))
    folder_for_output(folder)
    for image, target in zip(images, targets):
        try:
            crop = description.preprocessing.centre_crop(read_image(image))
        except DecodeError as error:
            yield Report(str(image), problem=str(error))
            continue
        name, probability, attention = _look(probe, description, crop)
        attention = {block: attention[block] for block in chosen}
        title = f"{pathlib.Path(image).name}: class {name}, {100 * probability:.1f} % ({description.model})"
        files = _write(target, draw_sheet(crop, attention, title, maps, locations), _arrays(crop, attention))
        yield Report(str(image), files, name, probability)


def _choose(model: str, existing: Sequence[str], wanted: Collection[str]) -> list[str]:
    """Return the blocks of `existing` that are `wanted`, in the network's order."""
    if not existing:
        having = ", ".join(list_models(ndim=2, context="a2"))
        raise UsageError(f"{model} has no double attention block to look into: name a model that has, such as {having}")
    unknown = [name for name in wanted if name not in existing]
    if unknown:
        raise UsageError(f"{model} has no double attention block {unknown[0]!r}; there are: {', '.join(existing)}")
    return [name for name in existing if name in (wanted or existing)]


def _targets(images: Sequence[AnyPath], folder: pathlib.Path) -> list[pathlib.Path]:
    """Return a distinct output path without suffix for each image; raise a UsageError if one would replace an image."""
    names: list[str] = []
    for image in images:
        stem = name = pathlib.Path(image).stem
        number = 1
        while name in names:
            number += 1
            name = f"{stem}-{number}"
        names.append(name)
    sources = {pathlib.Path(image).resolve() for image in images}
    for name in names:
        if (folder / f"{name}.png").resolve() in sources:
            raise UsageError(
                f"{folder / name}.png is one of the images, and would be replaced: choose another --output"
            )
    return [folder / name for name in names]


def _look(
    probe: AttentionProbe, description: Description, crop: np.ndarray
) -> tuple[str, float, dict[str, BlockAttention]]:
    """Return the most probable class, its probability, and the attention of every block."""
    pixels = mx.nd.array(crop.transpose(2, 0, 1)[np.newaxis], dtype=np.uint8)
    logits, attention = probe.look(description.preprocessing.normalize(pixels))
    if not np.isfinite(logits).all():
        raise FailureError(f"{description.model} gives values that are not finite: its parameters are damaged")
    best = int(logits.argmax())
    return description.classes[best], float(softmax(logits)[best]), attention


def _write(target: pathlib.Path, figure: Figure, arrays: Mapping[str, np.ndarray]) -> tuple[str, str]:
    """Write the picture and the arrays; return their paths."""
    picture, archive = (target.with_name(f"{target.name}{ending}") for ending in (".png", ".npz"))
    with replacing(picture) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the font may lack letters of the file's name
        figure.savefig(temporary, format="png", dpi=DPI)
    with replacing(archive) as temporary, open(temporary, "wb") as file:  # numpy would append .npz to a file name
        np.savez_compressed(file, **arrays)
    return str(picture), str(archive)


def _arrays(crop: np.ndarray, attention: Mapping[str, BlockAttention]) -> dict[str, np.ndarray]:
    arrays = {"crop": crop}
    for name, block in attention.items():
        arrays[f"{name}/gathering_maps"] = block.gathering_maps
        arrays[f"{name}/distribution_maps"] = block.distribution_maps
    return arrays
