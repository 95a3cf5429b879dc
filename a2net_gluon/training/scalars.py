"""Results for TensorBoard."""

from __future__ import annotations

import importlib.util
import pathlib
import typing

from a2net_gluon.errors import UsageError

__all__ = ["TENSORBOARD", "Scalars", "check_tensorboard"]

TENSORBOARD = "tensorboard"  # in a run folder


def check_tensorboard() -> None:
    """Raise UsageError if tensorboardX is not installed."""
    if importlib.util.find_spec("tensorboardX") is None:
        raise UsageError("--tensorboard needs tensorboardX: pip install tensorboardX")


class Scalars:
    """Event files in ``tensorboard/`` of a run folder, with one point an epoch.

    Parameters
    ----------
    folder : Path or None
        None: nothing is written.
    epochs_done : int
        Points of later epochs are removed: the run is resumed from here.
    """

    def __init__(self, folder: pathlib.Path | None, epochs_done: int) -> None:
        self._writer: typing.Any = None
        if folder:
            from tensorboardX import SummaryWriter

            self._writer = SummaryWriter(str(folder / TENSORBOARD), purge_step=epochs_done + 1, flush_secs=10)

    def add(self, row: typing.Mapping[str, typing.Any]) -> None:
        """Write a row of the history."""
        if self._writer:
            for name, value in row.items():
                self._writer.add_scalar(name, value, row["epoch"])

    def close(self) -> None:
        """Write the points that are left; a thread writes the others, every ten seconds."""
        if self._writer:
            self._writer.close()
