"""Loss scaling for float16, whose smallest gradients would otherwise be zero."""

from __future__ import annotations

import typing

__all__ = ["LossScaler"]


class LossScaler:
    """A factor for the loss: halved after an overflow, doubled after `window` steps without one.

    Parameters
    ----------
    scale : float
        Initial scale; 1 with a `window` of None leaves the loss unchanged.
    window : int or None
        None: the scale is constant.

    Source: Micikevicius et al., "Mixed Precision Training" (ICLR 2018), section 3.2.
    """

    def __init__(self, scale: float = 2.0**16, window: int | None = 2000) -> None:
        self.scale, self._window, self._good_steps = scale, window, 0

    def update(self, finite: bool) -> None:
        """Adapt the scale after a step whose gradients were `finite` or not."""
        if self._window is None:
            return
        self._good_steps = self._good_steps + 1 if finite else 0
        if not finite:
            self.scale /= 2
        elif self._good_steps == self._window:
            self.scale, self._good_steps = self.scale * 2, 0

    @property
    def exhausted(self) -> bool:
        """Whether no smaller scale can help: gradients overflow without any scaling."""
        return self._window is not None and self.scale < 1

    def state(self) -> dict[str, typing.Any]:
        """Scale and good steps, for JSON."""
        return {"scale": self.scale, "good_steps": self._good_steps}

    def restore(self, state: typing.Mapping[str, typing.Any]) -> None:
        """Resume from a `state`, if this scaler changes its scale."""
        if self._window is not None:
            self.scale, self._good_steps = state["scale"], state["good_steps"]
