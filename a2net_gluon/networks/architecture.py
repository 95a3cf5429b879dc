"""Common properties of architectures: stages of units, their names, widths and strides."""

from __future__ import annotations

import typing

__all__ = ["Backbone", "UnitStage"]


class UnitStage(typing.Protocol):
    """A row of units of one width."""

    @property
    def width(self) -> int:
        """Output channels."""

    @property
    def units(self) -> int:
        """Number of units."""


class Backbone:
    """Base of architectures, which are frozen dataclasses.

    Attributes
    ----------
    stem_channels : int
        Width of the stem's output.
    stages : tuple of UnitStage
        From conv2 on.
    """

    stem_channels: int
    stages: tuple[typing.Any, ...]

    @property
    def ndim(self) -> int:
        """2 for images, 3 for clips."""
        raise NotImplementedError

    @property
    def feature_channels(self) -> int:
        """Width of the pooled features."""
        return self.stages[-1].width

    def named_stages(self) -> dict[str, typing.Any]:
        """The stages under the names of the paper: ``{"conv2": …, "conv3": …}``."""
        return {f"conv{number}": stage for number, stage in enumerate(self.stages, start=2)}

    def strides(self) -> list[tuple[int, ...]]:
        """Strides of the stem, of its pooling if there is one, and of each stage, one number per dimension."""
        raise NotImplementedError
