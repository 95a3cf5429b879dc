"""The canvas of attention maps: a figure that is filled from the top, one colour scale, and its key."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Sequence

import numpy as np

from a2net_gluon.errors import UsageError
from a2net_gluon.terminal import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "CAPTION",
    "DPI",
    "GAP",
    "HEADER",
    "HEADING",
    "MARGIN",
    "TITLE",
    "WIDTH",
    "Canvas",
    "Scale",
    "label",
    "peak",
    "percent",
    "strongest",
    "times_uniform",
]

# All measures are pixels, so that the layout does not depend on the content, and no texts overlap.
DPI = 100
WIDTH = 1200
HIGHEST = 2**16 - 1  # limit of matplotlib's pictures
MARGIN = 20
GAP = 15
HEADER = 98
HEADING = 30  # height of a block's heading
CAPTION = 24  # height of the caption of a group of tiles
TITLE = 34  # height of the two lines of text above a tile
LETTERS = 80  # length of the longest title that fits
# Colours for more and for less than uniform, as red, green, blue: light orange and dark blue.
MORE, LESS = (1.0, 0.4, 0.0), (0.0, 0.12, 0.5)
CROSSES = ("#ffff00", "#00e5ff", "#ff5cf4", "#7dff3a", "#ffffff")  # visible on grey, orange and blue


def times_uniform(weights: np.ndarray) -> np.ndarray:
    """Weights of all locations, which sum to 1, as multiples of the weight that each has if all count alike."""
    return weights * weights.size


class Scale:
    """Colour scale of a whole picture, for multiples of the uniform weight.

    The scale is logarithmic with 1 in the middle: twice and half the uniform weight are equally far from it. It ends at
    a power of two that 99 % of all drawn values do not exceed, so that one outlier does not make everything else pale.
    The end is at least 2, so that no picture amplifies noise.

    Parameters
    ----------
    drawn : sequence of ndarray
        All that is to be drawn, as of `times_uniform`.
    """

    def __init__(self, drawn: Sequence[np.ndarray]) -> None:
        from matplotlib.colors import ListedColormap, LogNorm

        values = np.concatenate([values.ravel() for values in drawn])
        self.steps = math.ceil(math.log2(max(2, np.percentile(values, 99))))
        self.norm = LogNorm(2.0**-self.steps, 2.0**self.steps)
        # Transparent in the middle: the photo shows where attention makes no difference.
        signed = np.linspace(-1, 1, 255)[:, None]
        self.colours = ListedColormap(np.hstack([np.where(signed < 0, LESS, MORE), 0.85 * np.abs(signed) ** 0.7]))

    def clipped(self, values: np.ndarray) -> np.ndarray:
        """Values beyond the ends of the scale become the ends."""
        return np.clip(values, self.norm.vmin, self.norm.vmax)

    def ticks(self) -> tuple[list[float], list[str]]:
        """Return positions and labels for the colour bar."""
        step = math.ceil(self.steps / 4)
        exponents = range(-(self.steps // step) * step, self.steps + 1, step)
        return [2.0**e for e in exponents], [f"{2**e}×" if e >= 0 else f"1/{2**-e}×" for e in exponents]


class Canvas:
    """A figure that is filled from the top to the bottom.

    Parameters
    ----------
    scale : Scale
    height : int
        In pixels; the width is `WIDTH`.
    aspect : float
        Height of a tile's picture, divided by its width.
    tile : int
        Width of a tile.

    Attributes
    ----------
    figure : matplotlib.figure.Figure

    Raises
    ------
    UsageError
        If it would be higher than matplotlib's limit.
    """

    def __init__(self, scale: Scale, height: int, aspect: float, tile: int) -> None:
        from matplotlib.figure import Figure  # without pyplot: no global state, no display

        if height > HIGHEST:
            raise UsageError(
                f"the picture would be {height:,} pixels high, {HIGHEST:,} is possible: ask for fewer maps, "
                "locations or blocks"
            )
        self.figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, facecolor="white")
        self._scale, self._height, self._aspect, self._tile = scale, height, aspect, tile
        self._top = 0

    def go_down(self, pixels: int) -> None:
        """Go on further down."""
        self._top += pixels

    def header(self, title: str) -> None:
        """Draw the title, the key to the colours, and the colour bar."""
        from matplotlib.cm import ScalarMappable

        self._text(MARGIN, 14, _plain(title), size=14, weight="bold")
        self._text(MARGIN, 50, "Colour: how much a location counts, compared with all counting alike (1×).")
        self._text(MARGIN, 66, "Orange: more. Blue: less. No colour: the same. One scale for the whole picture.")
        bar = self.axes(WIDTH - MARGIN - 520, 62, 500, 12)
        bar.set_facecolor("#808080")  # the colours are transparent; in the maps they lie on grey too
        positions, labels = self._scale.ticks()
        colours = ScalarMappable(self._scale.norm, self._scale.colours)
        drawn = self.figure.colorbar(colours, cax=bar, orientation="horizontal", ticks=positions)
        drawn.set_ticklabels(labels, fontsize=8)
        drawn.minorticks_off()
        bar.set_title("× uniform (weight × number of locations); the ends stand for all beyond", fontsize=8.5, pad=4)
        self._top = HEADER

    def heading(self, text: str) -> None:
        """Draw a line across, and the heading of a block below it."""
        from matplotlib.lines import Line2D

        y = 1 - self._top / self._height
        self.figure.add_artist(Line2D((MARGIN / WIDTH, 1 - MARGIN / WIDTH), (y, y), color="#999999", linewidth=0.8))
        self._text(MARGIN, self._top + 8, text, size=12, weight="bold")
        self._top += HEADING

    def caption(self, text: str) -> None:
        """Draw the caption of a group of tiles."""
        self._text(MARGIN, self._top + 5, text, weight="bold")
        self._top += CAPTION

    def picture(self, left: int, title: str, picture: np.ndarray) -> Axes:
        """Draw a tile with an RGB picture, uint8, under its title of two lines."""
        axes = self._tile_at(left, title)
        self._show(axes, picture)
        return axes

    def map(self, left: int, title: str, picture: np.ndarray, values: np.ndarray) -> Axes:
        """Draw a tile with multiples of the uniform weight as colours over a picture in grey."""
        axes = self._tile_at(left, title)
        grey = picture @ np.array([0.299, 0.587, 0.114]) / 255
        self._show(axes, np.repeat((0.15 + 0.75 * grey)[..., None], 3, axis=2))  # colours are seen on white and black
        scale = self._scale
        # Not smoothed: each cell is one location.
        self._show(axes, scale.clipped(values), norm=scale.norm, cmap=scale.colours, interpolation="nearest")
        return axes

    def cross(self, axes: Axes, number: int, place: tuple[float, float]) -> None:
        """Draw the cross and the label of location `number` at its relative position (x, y)."""
        from matplotlib.patheffects import withStroke

        x, y = place
        colour = CROSSES[number % len(CROSSES)]
        outline = [withStroke(linewidth=4, foreground="black")]
        axes.plot(x, y, "+", color=colour, markersize=14, markeredgewidth=2, path_effects=outline)
        right, top = x > 0.8, y < 0.2  # the label there is drawn towards the middle
        axes.annotate(
            label(number),
            (x, y),
            (-6 if right else 6, -6 if top else 6),
            textcoords="offset points",
            ha="right" if right else "left",
            va="top" if top else "bottom",
            color=colour,
            fontsize=10,
            weight="bold",
            path_effects=[withStroke(linewidth=3, foreground="black")],
        )

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Add axes; `top` counts from where the canvas is filled to."""
        bottom = self._height - self._top - top - height  # matplotlib counts from below
        return self.figure.add_axes((left / WIDTH, bottom / self._height, width / WIDTH, height / self._height))

    def _tile_at(self, left: float, title: str) -> Axes:
        self._text(left, self._top + 2, title, size=8.5)
        axes = self.axes(left, TITLE, self._tile, self._tile)
        axes.set_axis_off()
        axes.set_anchor("NW")
        return axes

    def _show(self, axes: Axes, picture: np.ndarray, interpolation: str = "bilinear", **options: Any) -> None:
        # All pictures are drawn on the unit square.
        axes.imshow(picture, extent=(0, 1, 1, 0), aspect=self._aspect, interpolation=interpolation, **options)

    def _text(self, left: float, top: float, text: str, size: float = 9.0, **options: Any) -> None:
        self.figure.text(left / WIDTH, 1 - top / self._height, text, fontsize=size, va="top", **options)


def strongest(values: np.ndarray, count: int) -> np.ndarray:
    """Numbers of the `count` largest values, the largest first."""
    return np.argsort(-values, kind="stable")[:count]


def label(number: int) -> str:
    """Name of a location in the picture."""
    return f"P{number + 1}"


def peak(values: np.ndarray) -> str:
    """The largest of some multiples of the uniform weight, in words."""
    return f"peak {_short(values.max())} × uniform"


def percent(share: float) -> str:
    """A share in words."""
    return f"{_short(100 * share)} %"


def _short(value: float) -> str:
    return "<0.1" if value < 0.1 else f"{value:.1f}" if value < 10 else f"{value:.0f}"


def _plain(text: str) -> str:
    """Shorten `text` to one line that fits, and escape it so that matplotlib does not read it as mathematics."""
    text = printable(" ".join(text.split()))
    if len(text) > LETTERS:
        half = LETTERS // 2
        text = f"{text[:half]}…{text[-half:]}"
    return text.replace("$", r"\$")
