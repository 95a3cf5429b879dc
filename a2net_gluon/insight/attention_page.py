"""A page that shows what each location receives from a network's double attention blocks, under the pointer."""

from __future__ import annotations

import base64
import gzip
import io
import pathlib
from typing import Any, Mapping

import numpy as np
import PIL.Image

from a2net_gluon.insight.attention import BlockAttention
from a2net_gluon.insight.attention_canvas import Scale, times_uniform
from a2net_gluon.insight.pages import render, script_data
from a2net_gluon.terminal import printable

__all__ = ["MOST", "PAGE", "AttentionPage"]

PAGE = "attention.html"
MOST = 12_000_000  # values in a page, a byte each before they are compressed


class AttentionPage:
    """A page with several images or clips, which are added one after the other.

    Parameters
    ----------
    model : str
        The network in words.

    Attributes
    ----------
    pictures : list of dict
        What was added.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._colours: list[list[int]] = []
        self.pictures: list[dict[str, Any]] = []

    def add(
        self, path: str, sample: np.ndarray, blocks: Mapping[str, BlockAttention], name: str, probability: float
    ) -> None:
        """Add an image (h, w, 3) or a clip (t, h, w, 3) of uint8, its blocks, and its most probable class."""
        scale = Scale([times_uniform(one) for block in blocks.values() for one in block.gathering_maps])
        self._colours = np.rint(255 * np.asarray(scale.colours.colors)).astype(int).tolist()
        frames = sample if sample.ndim == 4 else sample[np.newaxis]
        self.pictures.append(
            {
                "name": printable(pathlib.Path(path).name),
                "class": printable(name),
                "probability": probability,
                "aspect": frames.shape[2] / frames.shape[1],
                "steps": scale.steps,
                "frames": [_jpeg(frame) for frame in frames],
                "blocks": [_block(name, block) for name, block in blocks.items()],
            }
        )

    def render(self) -> str:
        """Return the text of the page, for at least one picture."""
        data = {"model": self._model, "colours": self._colours, "pictures": self.pictures}
        return render("attention.html", f"Attention of {self._model}", data=script_data(data))


def _block(name: str, block: BlockAttention) -> dict[str, Any]:
    count = len(block.gathering_maps)
    return {
        "name": name,
        "size": list(block.size),
        "descriptors": count,
        "gathering": _packed(block.gathering_maps.reshape(count, -1)),
        "distribution": _packed(block.distribution_maps.reshape(-1, count)),
    }


def _packed(rows: np.ndarray) -> dict[str, str]:
    """Rows of weights in 8 bits: a value is the row's peak · (root / 255)².

    Roots, since colours tell factors: where a map peaks at 100 times the uniform weight, a step at the uniform weight
    is 0.08 of it; without them it would be 0.4.
    """
    peaks = rows.max(axis=1).astype("<f4")
    roots = np.rint(255 * np.sqrt(rows / peaks[:, np.newaxis])).astype(np.uint8)
    return {"peaks": _text(peaks.tobytes()), "roots": _text(gzip.compress(roots.tobytes(), mtime=0))}


def _jpeg(frame: np.ndarray) -> str:
    file = io.BytesIO()
    PIL.Image.fromarray(frame).save(file, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{_text(file.getvalue())}"


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
