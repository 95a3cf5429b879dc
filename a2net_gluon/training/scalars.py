"""Results for TensorBoard."""

import importlib.util

from a2net_gluon.errors import UsageError

__all__ = ["Scalars", "check_tensorboard"]


def check_tensorboard():
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
        Points of later epochs, of a run that was resumed from here, are taken back.
    """

    def __init__(self, folder, epochs_done):
        self._writer = None
        if folder:
            from tensorboardX import SummaryWriter

            self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=epochs_done + 1, flush_secs=10)

    def add(self, line):
        """Write a line of the history."""
        if self._writer:
            for name, value in line.items():
                self._writer.add_scalar(name, value, line["epoch"])

    def close(self):
        """Write what is still waiting; otherwise that is done by a thread, every ten seconds."""
        if self._writer:
            self._writer.close()
