"""Loss scaling for float16, whose smallest gradients would otherwise be zero."""

__all__ = ["LossScaler"]


class LossScaler:
    """A factor for the loss: halved after an overflow, doubled after `window` steps without one.

    Parameters
    ----------
    scale : float
        To start with; 1 with a `window` of None leaves the loss as it is.
    window : int or None
        None: the scale stays.

    Source: Micikevicius et al., "Mixed Precision Training" (ICLR 2018), section 3.2.
    """

    def __init__(self, scale=2.0**16, window=2000):
        self.scale, self._window, self._good_steps = scale, window, 0

    def update(self, finite):
        """Take note of a step and whether its gradients were finite."""
        if self._window is None:
            return
        self._good_steps = self._good_steps + 1 if finite else 0
        if not finite:
            self.scale /= 2
        elif self._good_steps == self._window:
            self.scale, self._good_steps = self.scale * 2, 0

    @property
    def exhausted(self):
        """Whether no smaller scale can help: gradients overflow without any scaling."""
        return self._window is not None and self.scale < 1

    def state(self):
        """Scale and good steps, for JSON."""
        return {"scale": self.scale, "good_steps": self._good_steps}

    def restore(self, state):
        """Go on from a `state`, if this scaler moves at all."""
        if self._window is not None:
            self.scale, self._good_steps = state["scale"], state["good_steps"]
