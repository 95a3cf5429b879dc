"""What a network attends to in image files: a contact sheet and the arrays for each."""

from __future__ import annotations

import pathlib
import typing
import warnings

import mxnet as mx
import numpy as np
from scipy.special import softmax

from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.data.folder import find_images, read_image
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.files import folder_for_output, replacing
from a2net_gluon.insight.attention import AttentionProbe
from a2net_gluon.insight.attention_sheet import DPI, draw_sheet
from a2net_gluon.networks import list_models
from a2net_gluon.networks.trained import load_trained
from a2net_gluon.settings import Attention

__all__ = ["Report", "attention", "write_reports"]


class Report(typing.NamedTuple):
    """The files written for an image and its most probable class, or the reason why there are none."""

    image: str
    files: tuple[str, ...] = ()
    name: str = ""
    probability: float = 0.0
    problem: str | None = None


def attention(options: Attention) -> typing.Iterator[Report]:
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
        If the settings, the parameters and the images do not fit together.
    FailureError
        If a file is damaged or cannot be written.
    """
    images = find_images(options.images)
    net, description, _ = load_trained(options)
    output = str(options.output)
    return write_reports(net, description, images, output, options.blocks, options.maps, options.locations)


def write_reports(net, description, images, folder, blocks, maps, locations):
    """Write ``<stem>.png`` and ``<stem>.npz`` for each image file, and yield a `Report` of it.

    A stem that came before gets a number: two files ``photo.jpg`` of different folders become ``photo`` and
    ``photo-2``, in their order. An unreadable image is reported and does not stop the others.

    Parameters
    ----------
    net : HybridBlock
        Initialised; with double attention blocks.
    description : Description
        The network's name, its classes and its preprocessing.
    images : sequence of str or Path
    folder : str or Path
        Created if it is not there.
    blocks : sequence of str
        Names such as ``conv4:2``; all blocks if empty.
    maps : int
        Gathering maps to draw of each block.
    locations : sequence of (float, float)
        Relative positions (x, y) from the top left of the network's crop, whose distributions are drawn.

    Raises
    ------
    UsageError
        If the network has no double attention, or not this block, or a sheet would replace one of the images.
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


def _choose(model, existing, wanted):
    """The blocks of `existing` that are `wanted`, in the network's order."""
    if not existing:
        having = ", ".join(list_models(ndim=2, context="a2"))
        raise UsageError(f"{model} has no double attention block to look into: name a model that has, such as {having}")
    unknown = [name for name in wanted if name not in existing]
    if unknown:
        raise UsageError(f"{model} has no double attention block {unknown[0]!r}; there are: {', '.join(existing)}")
    return [name for name in existing if name in (wanted or existing)]


def _targets(images, folder):
    """A path without ending for each image; no two are the same, and none is an image that is looked at."""
    names = []
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


def _look(probe, description, crop):
    """The most probable class, its probability, and the attention of every block."""
    pixels = mx.nd.array(crop.transpose(2, 0, 1)[np.newaxis], dtype=np.uint8)
    logits, attention = probe.look(description.preprocessing.normalize(pixels))
    if not np.isfinite(logits).all():
        raise FailureError(f"{description.model} gives values that are not finite: its parameters are damaged")
    best = int(logits.argmax())
    return description.classes[best], float(softmax(logits)[best]), attention


def _write(target, figure, arrays):
    """Write the picture and the arrays; returns their paths as strings."""
    picture, archive = (target.with_name(f"{target.name}{ending}") for ending in (".png", ".npz"))
    with replacing(picture) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the file's name may be written in letters the font does not have
        figure.savefig(temporary, format="png", dpi=DPI)
    with replacing(archive) as temporary, open(temporary, "wb") as file:  # numpy appends .npz to a mere name
        np.savez_compressed(file, **arrays)
    return str(picture), str(archive)


def _arrays(crop, attention):
    arrays = {"crop": crop}
    for name, block in attention.items():
        arrays[f"{name}/gathering_maps"] = block.gathering_maps
        arrays[f"{name}/distribution_maps"] = block.distribution_maps
    return arrays
