"""Contact sheet of attention maps drawn over their image, with a key to the colours."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Mapping, Sequence

import numpy as np

from a2net_gluon.insight.attention import BlockAttention
from a2net_gluon.insight.attention_canvas import (
    CAPTION,
    GAP,
    HEADER,
    HEADING,
    MARGIN,
    TITLE,
    WIDTH,
    Canvas,
    Scale,
    label,
    peak,
    percent,
    strongest,
    times_uniform,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_sheet"]

COLUMNS = 5  # tiles in a row; the first is the crop
TILE = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) // COLUMNS
ROW = TITLE + TILE + GAP
PLACES = 3  # locations in a row, each a tile and its bars
BARS = 5  # weights shown for a location
LABELS = 60  # width of the labels beside the bars


def draw_sheet(
    crop: np.ndarray,
    blocks: Mapping[str, BlockAttention],
    title: str,
    maps: int,
    locations: Sequence[tuple[float, float]],
) -> Figure:
    """Draw the strongest gathering maps of each block, and the mixtures that some locations receive.

    Parameters
    ----------
    crop : ndarray (height, width, 3)
        The network's crop of the image, uint8.
    blocks : dict of str to BlockAttention
    title : str
    maps : int
        Number of gathering maps to draw for each block, those with the largest shares.
    locations : sequence of (float, float)
        Relative positions (x, y) from the top left of `crop`.

    Returns
    -------
    matplotlib.figure.Figure
        `WIDTH` pixels wide at `DPI`.

    Raises
    ------
    UsageError
        If the sheet would be higher than matplotlib's limit.
    """
    counts = [min(maps, len(block.shares)) for block in blocks.values()]
    drawn = [times_uniform(one) for block in blocks.values() for one in _drawn(block, maps, locations)]
    canvas = Canvas(Scale(drawn), _height(counts, len(locations)), crop.shape[0] / crop.shape[1], TILE)
    canvas.header(title)
    for name, block in blocks.items():
        height, width = block.size
        canvas.heading(f"Block {name}: {len(block.shares)} gathering maps of {height}×{width} (h×w)")
        _gathering(canvas, crop, block, strongest(block.shares, maps), locations)
        _distribution(canvas, crop, block, locations)
    return canvas.figure


def _drawn(block: BlockAttention, maps: int, locations: Sequence[tuple[float, float]]) -> list[np.ndarray]:
    gathering = [block.gathering_maps[index] for index in strongest(block.shares, maps)]
    return [*gathering, *(block.mixture(*block.cell(*place)) for place in locations)]


def _height(counts: Sequence[int], locations: int) -> int:
    """Return the height in pixels of a sheet with `counts` gathering maps in its blocks."""
    gathering = [HEADING + 2 * CAPTION + ROW * math.ceil(count / (COLUMNS - 1)) for count in counts]
    return HEADER + sum(gathering) + len(counts) * ROW * math.ceil(locations / PLACES) + MARGIN


def _gathering(
    canvas: Canvas,
    crop: np.ndarray,
    block: BlockAttention,
    indices: np.ndarray,
    locations: Sequence[tuple[float, float]],
) -> None:
    """Draw the crop and the gathering maps `indices`."""
    canvas.caption(
        "Gathering: where a descriptor is collected. Shown: the maps that hand out most "
        f"(all alike: {percent(1 / len(block.shares))} each)."
    )
    original = canvas.picture(MARGIN, f"what the network saw\n{crop.shape[0]}×{crop.shape[1]} pixels (h×w)", crop)
    for number, place in enumerate(locations):
        canvas.cross(original, number, place)
    for place_in_row, index in enumerate(indices):
        column = place_in_row % (COLUMNS - 1)
        if place_in_row and not column:
            canvas.go_down(ROW)
        values = times_uniform(block.gathering_maps[index])
        title = f"map {index}: hands out {percent(block.shares[index])}\n{peak(values)}"
        canvas.map(MARGIN + (column + 1) * (TILE + GAP), title, crop, values)
    canvas.go_down(ROW)


def _distribution(
    canvas: Canvas, crop: np.ndarray, block: BlockAttention, locations: Sequence[tuple[float, float]]
) -> None:
    """Draw the mixtures that the locations receive, and the largest weights of each."""
    canvas.caption(
        f"Distribution: what the location under the cross receives: all {len(block.shares)} gathering maps, mixed "
        "by its weights. Bars: its largest weights; dashed: all alike."
    )
    cells = [block.cell(*place) for place in locations]
    longest = max(block.distribution_maps[cell].max() for cell in cells)
    pitch = (WIDTH - 2 * MARGIN + GAP) // PLACES
    for number, (cell, (x, y)) in enumerate(zip(cells, locations)):
        column = number % PLACES
        if number and not column:
            canvas.go_down(ROW)
        left = MARGIN + column * pitch
        values = times_uniform(block.mixture(*cell))
        axes = canvas.map(left, f"{label(number)} at x {x:.2f}, y {y:.2f}\n{peak(values)}", crop, values)
        canvas.cross(axes, number, (x, y))
        room = left + TILE + LABELS, pitch - GAP - TILE - LABELS
        _bars(canvas, room, block.distribution_maps[cell], longest)
    canvas.go_down(ROW)


def _bars(canvas: Canvas, room: tuple[int, int], weights: np.ndarray, longest: float) -> None:
    left, width = room
    axes = canvas.axes(left, TITLE, width, TILE)
    largest = strongest(weights, BARS)
    axes.barh(range(len(largest)), weights[largest], color="#777777", height=0.7)
    axes.axvline(1 / len(weights), color="black", linestyle="--", linewidth=1)
    for row, index in enumerate(largest):
        end = max(weights[index], 1 / len(weights))  # right of the dashed line
        axes.text(end, row, f" {percent(weights[index])}", va="center", fontsize=8)
    axes.set(xlim=(0, 1.6 * longest), ylim=(BARS - 0.5, -0.5), xticks=[])
    axes.set_yticks(range(len(largest)))
    axes.set_yticklabels([f"map {index}" for index in largest], fontsize=8)
    axes.tick_params(length=0)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
