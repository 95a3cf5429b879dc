"""Pictures and arrays of a network's attention maps, written for image files and videos."""

from __future__ import annotations

import io
import pathlib
import warnings
from typing import TYPE_CHECKING, Collection, Iterable, Iterator, Mapping, NamedTuple, Sequence

import mxnet as mx
import numpy as np
import PIL.Image
from scipy.special import softmax

from a2net_gluon.data import find_images, find_videos
from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.data.file_views import check_kind, views_of
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.files import AnyPath, folder_for_output, replacing, write_text
from a2net_gluon.insight.attention import AttentionProbe, BlockAttention
from a2net_gluon.insight.attention_canvas import DPI
from a2net_gluon.insight.attention_film import draw_film, draw_moments
from a2net_gluon.insight.attention_page import MOST, PAGE, AttentionPage
from a2net_gluon.insight.attention_sheet import draw_sheet
from a2net_gluon.insight.memory import check_inference
from a2net_gluon.networks import Description, list_models
from a2net_gluon.networks.trained import load_trained
from a2net_gluon.settings import Attention, ImageFolder, Videos

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Report", "attention", "write_reports"]


SECONDS = 0.4  # that the animation shows a frame


class Report(NamedTuple):
    """The files written for an image or a video with its most probable class, or why it cannot be read."""

    path: str
    files: tuple[str, ...] = ()
    name: str = ""
    probability: float = 0.0
    problem: str | None = None


def attention(options: Attention) -> Iterator[Report]:
    """Draw what a network's double attention blocks attend to in image files or videos; see `write_reports`.

    Parameters
    ----------
    options : settings.Attention

    Returns
    -------
    iterator of Report
        One for each file.

    Raises
    ------
    UsageError
        If the settings, the parameters and the files do not fit together, or a sample needs more memory than is free.
    FailureError
        If a file is damaged or cannot be written.
    """
    clips = options.network.takes_clips
    files = (find_videos if clips else find_images)(options.files)
    net, description, _ = load_trained(options, kind=(Videos if clips else ImageFolder).kind)
    check_inference(net, description.model, description.preprocessing, 1, [mx.cpu()])
    output = str(options.output)
    return write_reports(net, description, files, output, options.blocks, options.maps, options.locations, options.html)


def write_reports(
    net: mx.gluon.HybridBlock,
    description: Description,
    files: Sequence[AnyPath],
    folder: AnyPath,
    blocks: Collection[str],
    maps: int,
    locations: Sequence[tuple[float, float]],
    html: bool = False,
) -> Iterator[Report]:
    """Write ``<stem>.png`` and ``<stem>.npz`` for each file, for a video ``<stem>.gif`` too, and yield its `Report`.

    Of a video, the centre crop of the central clip is shown. A repeated stem gets a number: two files ``photo.jpg``
    from different folders become ``photo`` and ``photo-2``, in their order. An unreadable file is reported, and the
    files after it are processed all the same.

    Parameters
    ----------
    net : HybridBlock
        Initialized; with double attention blocks.
    description : Description
        The network's name, its classes and its preprocessing.
    files : sequence of str or Path
        Images, or for a network for clips videos.
    folder : str or Path
        Created if missing.
    blocks : collection of str
        Names such as ``conv4:2``; all blocks if empty.
    maps : int
        Number of gathering maps to draw for each block.
    locations : sequence of (float, float)
        Relative positions (x, y) from the top left of the network's crop, whose distributions are drawn; in a clip,
        those in the middle of its time.
    html : bool
        Write ``attention.html`` about all files at the end, see `a2net_gluon.insight.attention_page`.

    Raises
    ------
    UsageError
        If the network has no double attention, or no block of this name, a file is of the wrong kind, a sheet would
        replace one of the images, or the page would be too large.
    FailureError
        If the folder cannot be written, or the network's values are not finite.
    """
    check_kind(files, description.preprocessing, description.model)
    probe = AttentionProbe(net)
    chosen = _choose(description, probe.blocks, blocks)
    targets = _targets(files, pathlib.Path(folder))
    page = AttentionPage(description.network) if html else None
    if page:
        counts = probe.value_counts((1, *description.preprocessing.input_shape))
        _check_page(len(files) * sum(counts[block] for block in chosen))
    folder_for_output(folder)
    views = views_of(files, description.preprocessing)
    for number, (path, target) in enumerate(zip(files, targets)):
        try:
            sample = next(views.views(number))
        except DecodeError as error:
            yield Report(str(path), problem=str(error))
            continue
        name, probability, attention = _look(probe, description, sample)
        attention = {block: attention[block] for block in chosen}
        title = f"{pathlib.Path(path).name}: class {name}, {100 * probability:.1f} % ({description.model})"
        written = _write(target, sample, attention, title, maps, locations)
        if page:
            page.add(str(path), sample, attention, name, probability)
        yield Report(str(path), written, name, probability)
    if page and page.pictures:
        write_text(pathlib.Path(folder) / PAGE, page.render())


def _check_page(values: int) -> None:
    if values > MOST:
        raise UsageError(
            f"the page would hold {values / 1e6:.0f} million values of attention maps, {MOST / 1e6:.0f} are possible: "
            "name fewer files, or --blocks"
        )


def _choose(description: Description, existing: Sequence[str], wanted: Collection[str]) -> list[str]:
    """Return the blocks of `existing` that are `wanted`, in the network's order."""
    model = description.network
    if not existing:
        having = ", ".join(list_models(ndim=len(description.preprocessing.input_shape) - 1, context="a2"))
        raise UsageError(f"{model} has no double attention block to look into: name a model that has, such as {having}")
    unknown = [name for name in wanted if name not in existing]
    if unknown:
        raise UsageError(f"{model} has no double attention block {unknown[0]!r}; there are: {', '.join(existing)}")
    return [name for name in existing if name in (wanted or existing)]


def _targets(files: Sequence[AnyPath], folder: pathlib.Path) -> list[pathlib.Path]:
    """Return a distinct output path without suffix for each file; raise a UsageError if one would replace an image."""
    names: list[str] = []
    for path in files:
        stem = name = pathlib.Path(path).stem
        number = 1
        while name in names:
            number += 1
            name = f"{stem}-{number}"
        names.append(name)
    sources = {pathlib.Path(path).resolve() for path in files}
    for name in names:
        if (folder / f"{name}.png").resolve() in sources:
            raise UsageError(
                f"{folder / name}.png is one of the images, and would be replaced: choose another --output"
            )
    return [folder / name for name in names]


def _look(
    probe: AttentionProbe, description: Description, sample: np.ndarray
) -> tuple[str, float, dict[str, BlockAttention]]:
    """Return the most probable class, its probability, and the attention of every block."""
    pixels = mx.nd.array(np.moveaxis(sample, -1, 0)[np.newaxis], dtype=np.uint8)
    logits, attention = probe.look(description.preprocessing.normalize(pixels))
    if not np.isfinite(logits).all():
        raise FailureError(f"{description.model} gives values that are not finite: its parameters are damaged")
    best = int(logits.argmax())
    return description.classes[best], float(softmax(logits)[best]), attention


def _write(
    target: pathlib.Path,
    sample: np.ndarray,
    attention: Mapping[str, BlockAttention],
    title: str,
    maps: int,
    locations: Sequence[tuple[float, float]],
) -> tuple[str, ...]:
    """Write the pictures and the arrays of an image (h, w, 3) or a clip (t, h, w, 3); return their paths."""
    picture, animation, archive = (target.with_name(f"{target.name}{ending}") for ending in (".png", ".gif", ".npz"))
    is_clip = sample.ndim == 4
    draw = draw_film if is_clip else draw_sheet
    figure = draw(sample, attention, title, maps, locations)
    with replacing(picture) as temporary:
        pathlib.Path(temporary).write_bytes(_png(figure))
    if is_clip:
        _write_animation(animation, draw_moments(sample, attention, title, maps, locations))
    with replacing(archive) as temporary, open(temporary, "wb") as file:  # numpy would append .npz to a file name
        np.savez_compressed(file, **_arrays(sample, attention))
    return tuple(str(path) for path in (picture, *([animation] if is_clip else []), archive))


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the font may lack letters of the file's name
        figure.savefig(file, format="png", dpi=DPI)
    return file.getvalue()


def _write_animation(path: pathlib.Path, figures: Iterable[Figure]) -> None:
    """Write figures of one size as a GIF that runs for ever."""
    pictures = [PIL.Image.open(io.BytesIO(_png(figure))).convert("RGB").quantize(256) for figure in figures]
    with replacing(path) as temporary:
        first, *others = pictures
        first.save(temporary, "GIF", save_all=True, append_images=others, duration=round(1000 * SECONDS), loop=0)


def _arrays(sample: np.ndarray, attention: Mapping[str, BlockAttention]) -> dict[str, np.ndarray]:
    arrays = {"clip" if sample.ndim == 4 else "crop": sample}
    for name, block in attention.items():
        arrays[f"{name}/gathering_maps"] = block.gathering_maps
        arrays[f"{name}/distribution_maps"] = block.distribution_maps
    return arrays
