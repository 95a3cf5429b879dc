"""Contact sheet of attention maps drawn over their image, with a key to the colours."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Mapping, Sequence

import numpy as np

from a2net_gluon.errors import UsageError
from a2net_gluon.insight.attention import BlockAttention
from a2net_gluon.terminal import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["DPI", "WIDTH", "draw_sheet"]

# All measures are pixels, so that the layout does not depend on the content, and no texts overlap.
DPI = 100
WIDTH = 1200
HIGHEST = 2**16 - 1  # limit of matplotlib's pictures
MARGIN = 20
GAP = 15
COLUMNS = 5  # tiles in a row; the first is the crop
TILE = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) // COLUMNS
HEADER = 98
HEADING = 30  # height of a block's heading
CAPTION = 24  # height of the caption of a group of tiles
TITLE = 34  # height of the two lines of text above a tile
ROW = TITLE + TILE + GAP
PLACES = 3  # locations in a row, each a tile and its bars
BARS = 5  # weights shown for a location
LABELS = 60  # width of the labels beside the bars
LETTERS = 80  # length of the longest title that fits
# Colours for more and for less than uniform, as red, green, blue: light orange and dark blue.
MORE, LESS = (1.0, 0.4, 0.0), (0.0, 0.12, 0.5)
CROSSES = ("#ffff00", "#00e5ff", "#ff5cf4", "#7dff3a", "#ffffff")  # visible on grey, orange and blue


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
    height = _height([min(maps, len(block.shares)) for block in blocks.values()], len(locations))
    drawn = [block.gathering_maps[_strongest(block.shares, maps)] for block in blocks.values()]
    drawn += [block.mixture(*block.cell(*place))[None] for block in blocks.values() for place in locations]
    sheet = _Sheet(crop, locations, _Scale(drawn), height)
    sheet.header(title)
    for name, block in blocks.items():
        sheet.block(name, block, maps)
    return sheet.figure


def _height(counts: Sequence[int], locations: int) -> int:
    """Return the height in pixels of a sheet with `counts` gathering maps in its blocks."""
    gathering = [HEADING + 2 * CAPTION + ROW * math.ceil(count / (COLUMNS - 1)) for count in counts]
    height = HEADER + sum(gathering) + len(counts) * ROW * math.ceil(locations / PLACES) + MARGIN
    if height > HIGHEST:
        raise UsageError(
            f"the picture would be {height:,} pixels high, {HIGHEST:,} is possible: ask for fewer maps, "
            "locations or blocks"
        )
    return height


class _Scale:
    """Colour scale of a whole sheet: weights as multiples of the uniform weight.

    The scale is logarithmic with 1 in the middle: twice and half the uniform weight are equally far from it. It ends at
    a power of two that 99 % of all drawn values do not exceed, so that one outlier does not make everything else pale.
    The end is at least 2, so that no sheet amplifies noise.
    """

    def __init__(self, drawn: Sequence[np.ndarray]) -> None:
        from matplotlib.colors import ListedColormap, LogNorm

        values = np.concatenate([weights.ravel() * math.prod(weights.shape[1:]) for weights in drawn])
        self.steps = math.ceil(math.log2(max(2, np.percentile(values, 99))))
        self.norm = LogNorm(2.0**-self.steps, 2.0**self.steps)
        # Transparent in the middle: the photo shows where attention makes no difference.
        signed = np.linspace(-1, 1, 255)[:, None]
        self.colours = ListedColormap(np.hstack([np.where(signed < 0, LESS, MORE), 0.85 * np.abs(signed) ** 0.7]))

    def values(self, weights: np.ndarray) -> np.ndarray:
        """Convert `weights`, which sum to 1, to this scale; values beyond its ends become the ends."""
        return np.clip(weights * weights.size, self.norm.vmin, self.norm.vmax)

    def ticks(self) -> tuple[list[float], list[str]]:
        """Return positions and labels for the colour bar."""
        step = math.ceil(self.steps / 4)
        exponents = range(-(self.steps // step) * step, self.steps + 1, step)
        return [2.0**e for e in exponents], [f"{2**e}×" if e >= 0 else f"1/{2**-e}×" for e in exponents]


class _Sheet:
    """A figure that is filled from the top to the bottom."""

    def __init__(self, crop: np.ndarray, locations: Sequence[tuple[float, float]], scale: _Scale, height: int) -> None:
        from matplotlib.figure import Figure  # without pyplot: no global state, no display

        self.figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, facecolor="white")
        self._crop, self._locations, self._scale = crop, locations, scale
        grey = crop @ np.array([0.299, 0.587, 0.114]) / 255
        self._grey = np.repeat((0.15 + 0.75 * grey)[..., None], 3, axis=2)  # keeps colours visible on white and black
        self._height = height
        self._top = 0

    def header(self, title: str) -> None:
        """Draw the title, the key to the colours, and the colour bar."""
        from matplotlib.cm import ScalarMappable

        self._text(MARGIN, 14, _plain(title), size=14, weight="bold")
        self._text(MARGIN, 50, "Colour: how much a location counts, compared with all counting alike (1×).")
        self._text(MARGIN, 66, "Orange: more. Blue: less. No colour: the same. One scale for the whole sheet.")
        bar = self._axes(WIDTH - MARGIN - 520, 62, 500, 12)
        bar.set_facecolor("#808080")  # the colours are transparent; in the maps they lie on grey too
        positions, labels = self._scale.ticks()
        colours = ScalarMappable(self._scale.norm, self._scale.colours)
        drawn = self.figure.colorbar(colours, cax=bar, orientation="horizontal", ticks=positions)
        drawn.set_ticklabels(labels, fontsize=8)
        drawn.minorticks_off()
        bar.set_title("× uniform (weight × number of locations); the ends stand for all beyond", fontsize=8.5, pad=4)
        self._top = HEADER

    def block(self, name: str, block: BlockAttention, maps: int) -> None:
        """Draw the crop and the strongest gathering maps, then the mixtures that the locations receive."""
        from matplotlib.lines import Line2D

        y = 1 - self._top / self._height
        self.figure.add_artist(Line2D((MARGIN / WIDTH, 1 - MARGIN / WIDTH), (y, y), color="#999999", linewidth=0.8))
        count, (height, width) = len(block.shares), block.size
        heading = f"Block {name}: {count} gathering maps of {height}×{width} (h×w)"
        self._text(MARGIN, self._top + 8, heading, size=12, weight="bold")
        self._top += HEADING
        self._gathering(block, _strongest(block.shares, maps))
        self._distribution(block, [block.cell(*place) for place in self._locations])

    def _gathering(self, block: BlockAttention, strongest: np.ndarray) -> None:
        self._caption(
            "Gathering: where a descriptor is collected. Shown: the maps that hand out most "
            f"(all alike: {_percent(1 / len(block.shares))} each)."
        )
        original = self._tile(MARGIN, f"what the network saw\n{self._crop.shape[0]}×{self._crop.shape[1]} pixels (h×w)")
        self._show(original, self._crop)
        for number in range(len(self._locations)):
            self._cross(original, number)
        for place, index in enumerate(strongest):
            column = place % (COLUMNS - 1)
            if place and not column:
                self._top += ROW
            weights = block.gathering_maps[index]
            title = f"map {index}: hands out {_percent(block.shares[index])}\n{_peak(weights)}"
            self._map(MARGIN + (column + 1) * (TILE + GAP), title, weights)
        self._top += ROW

    def _distribution(self, block: BlockAttention, cells: Sequence[tuple[int, int]]) -> None:
        self._caption(
            f"Distribution: what the location under the cross receives: all {len(block.shares)} gathering maps, mixed "
            "by its weights. Bars: its largest weights; dashed: all alike."
        )
        longest = max(block.distribution_maps[cell].max() for cell in cells)
        pitch = (WIDTH - 2 * MARGIN + GAP) // PLACES
        for number, cell in enumerate(cells):
            column = number % PLACES
            if number and not column:
                self._top += ROW
            left = MARGIN + column * pitch
            x, y = self._locations[number]
            mixture = block.mixture(*cell)
            axes = self._map(left, f"{_label(number)} at x {x:.2f}, y {y:.2f}\n{_peak(mixture)}", mixture)
            self._cross(axes, number)
            self._bars(left + TILE + LABELS, pitch - GAP - TILE - LABELS, block.distribution_maps[cell], longest)
        self._top += ROW

    def _map(self, left: float, title: str, weights: np.ndarray) -> Axes:
        axes = self._tile(left, title)
        self._show(axes, self._grey)
        scale = self._scale
        # Not smoothed: each cell is one location.
        self._show(axes, scale.values(weights), norm=scale.norm, cmap=scale.colours, interpolation="nearest")
        return axes

    def _show(self, axes: Axes, picture: np.ndarray, interpolation: str = "bilinear", **options: Any) -> None:
        aspect = self._crop.shape[0] / self._crop.shape[1]  # all pictures are drawn on the unit square
        axes.imshow(picture, extent=(0, 1, 1, 0), aspect=aspect, interpolation=interpolation, **options)

    def _bars(self, left: float, width: float, weights: np.ndarray, longest: float) -> None:
        axes = self._axes(left, self._top + TITLE, width, TILE)
        strongest = _strongest(weights, BARS)
        axes.barh(range(len(strongest)), weights[strongest], color="#777777", height=0.7)
        axes.axvline(1 / len(weights), color="black", linestyle="--", linewidth=1)
        for row, index in enumerate(strongest):
            end = max(weights[index], 1 / len(weights))  # right of the dashed line
            axes.text(end, row, f" {_percent(weights[index])}", va="center", fontsize=8)
        axes.set(xlim=(0, 1.6 * longest), ylim=(BARS - 0.5, -0.5), xticks=[])
        axes.set_yticks(range(len(strongest)))
        axes.set_yticklabels([f"map {index}" for index in strongest], fontsize=8)
        axes.tick_params(length=0)
        axes.spines[["top", "right", "bottom"]].set_visible(False)

    def _cross(self, axes: Axes, number: int) -> None:
        from matplotlib.patheffects import withStroke

        x, y = self._locations[number]
        colour = CROSSES[number % len(CROSSES)]
        outline = [withStroke(linewidth=4, foreground="black")]
        axes.plot(x, y, "+", color=colour, markersize=14, markeredgewidth=2, path_effects=outline)
        right, top = x > 0.8, y < 0.2  # the label there is drawn towards the middle
        axes.annotate(
            _label(number),
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

    def _caption(self, text: str) -> None:
        self._text(MARGIN, self._top + 5, text, weight="bold")
        self._top += CAPTION

    def _tile(self, left: float, title: str) -> Axes:
        self._text(left, self._top + 2, title, size=8.5)
        axes = self._axes(left, self._top + TITLE, TILE, TILE)
        axes.set_axis_off()
        axes.set_anchor("NW")
        return axes

    def _axes(self, left: float, top: float, width: float, height: float) -> Axes:
        bottom = self._height - top - height  # matplotlib counts from below
        return self.figure.add_axes((left / WIDTH, bottom / self._height, width / WIDTH, height / self._height))

    def _text(self, left: float, top: float, text: str, size: float = 9.0, **options: Any) -> None:
        self.figure.text(left / WIDTH, 1 - top / self._height, text, fontsize=size, va="top", **options)


def _strongest(values: np.ndarray, count: int) -> np.ndarray:
    return np.argsort(-values, kind="stable")[:count]


def _label(number: int) -> str:
    return f"P{number + 1}"


def _peak(weights: np.ndarray) -> str:
    return f"peak {_short(weights.max() * weights.size)} × uniform"


def _percent(share: float) -> str:
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
