"""Checkpoints: one folder each, written whole or not at all, checked before use, nothing pickled.

``checkpoints/epoch-0007/`` holds the state after seven epochs, ``checkpoints/epoch-0007-batch-000120/`` that after 120
batches more: ``net.params``, ``optimizer.params`` (momentum and master weights by parameter name), ``ema.params`` if
weights are averaged, ``model.json`` and ``state.json`` (epoch and batch, results so far, arguments and seed, loss
scale, fingerprints of the data, the SHA-256 of the other files, and one of its own content). No random state is stored:
all random numbers follow from the seed, the epoch and the number of the batch or step.
"""

from __future__ import annotations

import os
import pathlib
import re
import typing

import mxnet as mx

from a2net_gluon.errors import FailureError, reason_of
from a2net_gluon.files import flush, folder_for_output, remove, remove_leftovers, staging_folder
from a2net_gluon.training.checkpoint_state import checkpoint_name, read_state, write_state

__all__ = ["Checkpoints"]

_ASIDE = ".replaced-"
_NAME = re.compile(r"epoch-(\d{4,})(?:-batch-(\d{6,}))?")


class Checkpoints:
    """The checkpoints of one run.

    Parameters
    ----------
    folder : str or Path
    keep : int
        Number of newest checkpoints to keep.
    """

    def __init__(self, folder: str | os.PathLike[str], keep: int) -> None:
        self._folder, self._keep = pathlib.Path(folder), keep

    def folder(self, epoch: int, batch: int = 0) -> pathlib.Path:
        """The folder of the state after `epoch` epochs and `batch` batches."""
        return self._folder / checkpoint_name(epoch, batch)

    def save(
        self,
        write: typing.Callable[[pathlib.Path], typing.Mapping[str, typing.Any]],
        state: typing.Mapping[str, typing.Any],
        best: int | None = None,
    ) -> pathlib.Path:
        """Write the state of a run and remove old checkpoints.

        Parameters
        ----------
        write : callable
            ``write(folder)`` writes the files of the learner to a folder and returns the rest of its state, for JSON.
        state : dict
            For JSON; "epoch" and "batch" name the checkpoint.
        best : int, optional
            The epoch whose checkpoint is kept whatever its age.

        Raises
        ------
        FailureError
            If it cannot be written, or the parameters are not finite; earlier checkpoints are untouched.
        """
        folder_for_output(self._folder)
        target = self.folder(state["epoch"], state["batch"])
        try:
            with staging_folder(self._folder) as staging:
                learner = write(staging)
                write_state(staging, {**state, "learner": learner})
                for path in staging.iterdir():
                    flush(path)
                aside = target.with_name(f"{_ASIDE}{target.name}")
                if os.path.lexists(target):
                    os.rename(target, aside)
                os.rename(staging, target)
                flush(self._folder)
                remove(aside)
        except FailureError as error:
            raise FailureError(f"{target}: {error}") from None
        except (OSError, mx.MXNetError) as error:
            raise FailureError(f"{target}: checkpoint cannot be written ({reason_of(error)})") from None
        for old in self._all()[: -self._keep]:
            if best is None or old != self.folder(best):
                remove(old)
        return target

    def newest(self, repair: bool = True) -> tuple[pathlib.Path | None, dict[str, typing.Any] | None, list[str]]:
        """Return the newest whole checkpoint, or None, and the reasons for which newer ones were passed over.

        With `repair` those are renamed to ``damaged-…``, so that they do not count among the newest to keep.
        """
        rejected: list[str] = []
        for folder in reversed(self._all()):
            try:
                return folder, read_state(folder), rejected
            except (OSError, ValueError) as error:
                rejected.append(f"{folder}: {error}")
                if repair:
                    damaged = folder.with_name(f"damaged-{folder.name}")
                    remove(damaged)
                    folder.rename(damaged)
        return None, None, rejected

    def newest_folder(self) -> pathlib.Path | None:
        """The newest checkpoint by name, unchecked, or None."""
        return next(reversed(self._all()), None)

    def clean(self) -> None:
        """Remove half-written checkpoints of a killed process, and put back the one that it was replacing."""
        folder_for_output(self._folder)
        for aside in self._folder.glob(f"{_ASIDE}*"):
            target = aside.with_name(aside.name[len(_ASIDE) :])
            remove(aside) if os.path.lexists(target) else aside.rename(target)
        remove_leftovers(self._folder)

    def _all(self) -> list[pathlib.Path]:
        """The checkpoints from the oldest to the newest; other names are not ours."""
        found = ((_NAME.fullmatch(path.name), path) for path in self._folder.glob("epoch-*"))
        places = [([int(number or 0) for number in match.groups()], path) for match, path in found if match]
        return [path for _, path in sorted(places)]
