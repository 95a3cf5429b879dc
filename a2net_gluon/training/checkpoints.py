"""Checkpoints: one folder each, written whole or not at all, checked before use, nothing pickled.

``checkpoints/epoch-0007/`` holds the state after seven epochs, ``checkpoints/epoch-0007-batch-000120/`` that after 120
batches more: ``net.params``, ``optimizer.params`` (momentum and master weights by parameter name), ``ema.params`` if
weights are averaged, ``model.json`` and ``state.json`` (epoch and batch, results so far, arguments and seed, loss
scale, and the SHA-256 of the other files). There is no random state to keep: everything random follows from the seed,
the epoch and the number of the batch or step.
"""

import hashlib
import json
import os
import pathlib
import shutil

import mxnet as mx
import numpy as np

from a2net_gluon.errors import FailureError
from a2net_gluon.files import flush, folder_for_output, staging_folder
from a2net_gluon.networks import load_weights, save_weights
from a2net_gluon.networks.description import FILE_NAME
from a2net_gluon.networks.weights import read_arrays, save_arrays
from a2net_gluon.training.optimizer_state import load_optimizer, save_optimizer

__all__ = ["Checkpoints"]

NET, AVERAGE = "net.params", "ema.params"
_ASIDE = ".replaced-"
_OPTIMIZER, _STATE = "optimizer.params", "state.json"


class Checkpoints:
    """The checkpoints of one run.

    Parameters
    ----------
    folder : str or Path
    keep : int
        How many of the newest are kept.
    """

    def __init__(self, folder, keep):
        self._folder, self._keep = pathlib.Path(folder), keep

    def folder(self, epoch, batch=0):
        """Where the state after `epoch` epochs and `batch` batches lies."""
        return self._folder / (f"epoch-{epoch:04d}" + (f"-batch-{batch:06d}" if batch else ""))

    def save(self, learner, description, state, best=None):
        """Write the state of a run and remove old ones.

        Parameters
        ----------
        learner : Learner
        description : Description
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
                _check_finite(target, save_weights(learner.net, staging / NET))
                save_optimizer(learner.trainer, staging / _OPTIMIZER)
                if learner.average:
                    save_arrays(learner.average.arrays, staging / AVERAGE)
                description.save(staging / FILE_NAME)
                sums = {path.name: _sha256(path) for path in sorted(staging.iterdir())}
                text = json.dumps({**state, "learner": learner.state(), "sha256": sums}, indent=1)
                (staging / _STATE).write_text(text)
                for path in staging.iterdir():
                    flush(path)
                aside = target.with_name(f"{_ASIDE}{target.name}")
                if target.exists():
                    os.rename(target, aside)
                os.rename(staging, target)
                flush(self._folder)
                shutil.rmtree(aside, ignore_errors=True)
        except (OSError, mx.MXNetError) as error:
            raise FailureError(
                f"{target}: checkpoint cannot be written ({' '.join(str(error).split())[:200]})"
            ) from None
        for old in self._all()[: -self._keep]:
            if best is None or old != self.folder(best):
                shutil.rmtree(old)
        return target

    def newest(self, repair=True):
        """Return the newest whole checkpoint, or None, and the reasons for which newer ones were passed over.

        With `repair` those are renamed to ``damaged-…``, so that they do not count among the newest to keep.
        """
        rejected = []
        for folder in reversed(self._all()):
            try:
                return folder, self._read_state(folder), rejected
            except (OSError, ValueError, KeyError, TypeError) as error:
                rejected.append(f"{folder}: {error}")
                if repair:
                    shutil.rmtree(folder.with_name(f"damaged-{folder.name}"), ignore_errors=True)
                    folder.rename(folder.with_name(f"damaged-{folder.name}"))
        return None, None, rejected

    def newest_folder(self):
        """The newest checkpoint by name, unchecked, or None."""
        return next(reversed(self._all()), None)

    def restore(self, folder, state, learner):
        """Load what `save` wrote to `folder` into `learner`."""
        load_weights(learner.net, folder / NET, learner.contexts)
        load_optimizer(learner.trainer, folder / _OPTIMIZER)
        learner.scaler.restore(state["learner"]["loss_scale"])
        learner.bad_steps = state["learner"]["bad_steps"]
        if learner.average and (folder / AVERAGE).exists():
            learner.average.restore(read_arrays(folder / AVERAGE), state["learner"]["ema_steps"])

    def clean(self):
        """Remove what a killed process left half written, and put back what it was replacing."""
        for aside in self._folder.glob(f"{_ASIDE}*"):
            target = aside.with_name(aside.name[len(_ASIDE) :])
            shutil.rmtree(aside) if target.exists() else aside.rename(target)
        for leftover in self._folder.glob(".staging-*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def _all(self):
        return sorted(self._folder.glob("epoch-*"))

    @staticmethod
    def _read_state(folder):
        state = json.loads((folder / _STATE).read_text())
        for name, expected in state["sha256"].items():
            if _sha256(folder / name) != expected:
                raise ValueError(f"{name} is damaged")
        return state


def _check_finite(target, arrays):
    for name, array in arrays.items():
        if not np.isfinite(array.asnumpy()).all():
            raise FailureError(f"{target}: not saved, since {name} is not finite any more")


def _sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
