"""Attention maps of a clip over time: a contact sheet, and the pictures of an animation.

The strips of a block are its strongest gathering maps and the mixtures that some locations receive, each at every
moment of the block's time. A network whose stages have a stride in time has fewer moments than frames.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Iterator, Mapping, NamedTuple, Sequence

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

__all__ = ["draw_film", "draw_moments"]

MOMENTS = 8  # columns of the contact sheet
SMALL = (WIDTH - 2 * MARGIN - (MOMENTS - 1) * GAP) // MOMENTS
COLUMNS = 5  # tiles in a row of the animation
TILE = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) // COLUMNS

Places = Sequence["tuple[float, float]"]


class _Strip(NamedTuple):
    """One map over time.

    Attributes
    ----------
    title : str
    values : ndarray (t, h, w)
        Multiples of the uniform weight.
    location : int or None
        Number of the location whose mixture it is; it is in the middle of the time.
    """

    title: str
    values: np.ndarray
    location: int | None = None


def draw_film(
    clip: np.ndarray, blocks: Mapping[str, BlockAttention], title: str, maps: int, locations: Places
) -> Figure:
    """Draw the frames of a clip, and under them the strips of each block; time goes to the right.

    Parameters
    ----------
    clip : ndarray (t, height, width, 3) of uint8
        What the network saw.
    blocks : dict of str to BlockAttention
    title : str
    maps : int
        Number of gathering maps to draw for each block, those with the largest shares.
    locations : sequence of (float, float)
        Relative positions (x, y) from the top left of a frame.

    Returns
    -------
    matplotlib.figure.Figure
        With at most 8 moments, from the first to the last.

    Raises
    ------
    UsageError
        If the picture would be higher than matplotlib's limit.
    """
    strips, row = _strips(blocks, maps, locations), TITLE + SMALL + GAP
    rows = sum(math.ceil((len(strips[name]) + 1) / _strips_in_a_row(block)) for name, block in blocks.items())
    canvas = _canvas(clip, strips, HEADER + len(strips) * (HEADING + CAPTION) + rows * row + MARGIN, SMALL)
    canvas.header(title)
    for name, block in blocks.items():
        canvas.heading(_heading(name, block))
        canvas.caption(
            "Time goes to the right. Gathering: where a descriptor is collected. Distribution (P): what the location "
            "under the cross receives."
        )
        in_a_row = _strips_in_a_row(block)
        for place, strip in enumerate([None, *strips[name]]):
            if place and place % in_a_row == 0:
                canvas.go_down(row)
            left = MARGIN + place % in_a_row * (MOMENTS // in_a_row) * (SMALL + GAP)
            _draw_strip(canvas, left, clip, block, strip, locations)
        canvas.go_down(row)
    return canvas.figure


def _draw_strip(
    canvas: Canvas, left: int, clip: np.ndarray, block: BlockAttention, strip: _Strip | None, locations: Places
) -> None:
    """Draw the moments of a strip beside each other; None: the frames of the clip."""
    times, moments = block.size[0], _shown(block)
    middle = min(moments, key=lambda moment: abs(moment - times // 2))
    frames = [min((2 * moment + 1) * len(clip) // (2 * times), len(clip) - 1) for moment in moments]
    shown = f"frames {', '.join(str(frame + 1) for frame in frames)} of {len(clip)}"
    title = f"{strip.title}\n{peak(strip.values)}" if strip else f"what the network saw\n{shown}"
    for column, (moment, frame) in enumerate(zip(moments, frames)):
        place = left + column * (SMALL + GAP)
        if strip is None:
            canvas.picture(place, title, clip[frame])
        else:
            axes = canvas.map(place, title, clip[frame], strip.values[moment])
            if strip.location is not None and moment == middle:
                canvas.cross(axes, strip.location, locations[strip.location])
        title = ""  # stands above the first moment


def draw_moments(
    clip: np.ndarray, blocks: Mapping[str, BlockAttention], title: str, maps: int, locations: Places
) -> Iterator[Figure]:
    """Yield a picture for each frame of a clip: the frame, and the moment of every strip that belongs to it.

    The parameters are those of `draw_film`.
    """
    strips = _strips(blocks, maps, locations)
    row = TITLE + TILE + GAP
    rows = sum(math.ceil((len(of_block) + 1) / COLUMNS) for of_block in strips.values())
    for number, picture in enumerate(clip):
        canvas = _canvas(clip, strips, HEADER + len(strips) * HEADING + rows * row + MARGIN, TILE)
        canvas.header(title)
        for name, block in blocks.items():
            times = block.size[0]
            moment = number * times // len(clip)
            canvas.heading(f"{_heading(name, block)}, moment {moment + 1} of {times}")
            canvas.picture(MARGIN, f"what the network saw\nframe {number + 1} of {len(clip)}", picture)
            for place, strip in enumerate(strips[name], start=1):
                if place % COLUMNS == 0:
                    canvas.go_down(row)
                values = strip.values[moment]
                left = MARGIN + place % COLUMNS * (TILE + GAP)
                axes = canvas.map(left, f"{strip.title}\nnow {peak(values)}", picture, values)
                if strip.location is not None and moment == times // 2:
                    canvas.cross(axes, strip.location, locations[strip.location])
            canvas.go_down(row)
        yield canvas.figure


def _strips(blocks: Mapping[str, BlockAttention], maps: int, locations: Places) -> dict[str, list[_Strip]]:
    strips = {}
    for name, block in blocks.items():
        gathering = [
            _Strip(f"map {index}: hands out {percent(block.shares[index])}", times_uniform(block.gathering_maps[index]))
            for index in strongest(block.shares, maps)
        ]
        mixtures = [
            _Strip(
                f"{label(number)} at x {x:.2f}, y {y:.2f}, moment {block.size[0] // 2 + 1}",
                times_uniform(block.mixture(*block.cell(x, y))),
                number,
            )
            for number, (x, y) in enumerate(locations)
        ]
        strips[name] = gathering + mixtures
    return strips


def _canvas(clip: np.ndarray, strips: Mapping[str, Sequence[_Strip]], height: int, tile: int) -> Canvas:
    scale = Scale([strip.values for of_block in strips.values() for strip in of_block])
    return Canvas(scale, height, clip.shape[1] / clip.shape[2], tile)


def _heading(name: str, block: BlockAttention) -> str:
    times, height, width = block.size
    return f"Block {name}: {len(block.shares)} gathering maps of {times}×{height}×{width} (t×h×w)"


def _shown(block: BlockAttention) -> list[int]:
    """Numbers of the moments that the contact sheet shows, from the first to the last."""
    times = block.size[0]
    return [int(number) for number in np.linspace(0, times - 1, min(times, MOMENTS)).round()]


def _strips_in_a_row(block: BlockAttention) -> int:
    """Strips of few moments stand beside each other; each has the width of two tiles at least, for its title."""
    return min(MOMENTS // len(_shown(block)), MOMENTS // 2)
