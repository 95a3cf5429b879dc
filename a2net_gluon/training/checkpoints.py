"""Checkpoints: one folder each, written whole or not at all, checked before use, nothing pickled.

``checkpoints/epoch-0007/`` holds ``net.params``, ``optimizer.params`` (the momentum by parameter name),
``model.json`` and ``state.json`` (epochs done, history, and the SHA-256 of the other files).
"""

import hashlib
import json
import os
import pathlib
import shutil

import mxnet as mx

from a2net_gluon.data.description import FILE_NAME
from a2net_gluon.errors import FailureError
from a2net_gluon.files import flush, folder_for_output, staging_folder
from a2net_gluon.networks import load_weights, save_weights
from a2net_gluon.networks.weights import read_arrays

__all__ = ["Checkpoints"]

_STATE = "state.json"


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

    def save(self, learner, description, epoch, history):
        """Write the state after `epoch` epochs.

        Raises
        ------
        FailureError
            If it cannot be written; earlier checkpoints are untouched.
        """
        folder_for_output(self._folder)
        target = self._folder / f"epoch-{epoch:04d}"
        try:
            with staging_folder(self._folder) as staging:
                save_weights(learner.net, staging / "net.params")
                _save_momentum(learner.trainer, staging / "optimizer.params")
                description.save(staging / FILE_NAME)
                sums = {path.name: _sha256(path) for path in sorted(staging.iterdir())}
                state = {"epoch": epoch, "history": history, "sha256": sums}
                (staging / _STATE).write_text(json.dumps(state, indent=1))
                for path in staging.iterdir():
                    flush(path)
                shutil.rmtree(target, ignore_errors=True)
                os.rename(staging, target)
                flush(self._folder)
        except (OSError, mx.MXNetError) as error:
            raise FailureError(
                f"{target}: checkpoint cannot be written ({' '.join(str(error).split())[:200]})"
            ) from None
        for old in self._all()[: -self._keep]:
            shutil.rmtree(old)
        return target

    def newest(self):
        """Return the newest whole checkpoint, or None, and the reasons for which newer ones were passed over.

        Those are renamed to ``damaged-…``, so that they do not count among the newest to keep.
        """
        rejected = []
        for folder in reversed(self._all()):
            try:
                return folder, self._read_state(folder), rejected
            except (OSError, ValueError, KeyError) as error:
                rejected.append(f"{folder}: {error}")
                shutil.rmtree(folder.with_name(f"damaged-{folder.name}"), ignore_errors=True)
                folder.rename(folder.with_name(f"damaged-{folder.name}"))
        return None, None, rejected

    def restore(self, folder, learner):
        """Load parameters and momentum from `folder` into `learner`."""
        load_weights(learner.net, folder / "net.params", learner.contexts)
        _load_momentum(learner.trainer, folder / "optimizer.params")

    def clean(self):
        """Remove what a killed process left half written."""
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


def _save_momentum(trainer, path):
    states = trainer._updaters[0].states  # number of the parameter to its momentum; the same on every device
    arrays = {trainer._params[number].name: state for number, state in states.items() if state is not None}
    if arrays:
        mx.nd.save(str(path), arrays)
        read_arrays(path)  # what a full disk cut off


def _load_momentum(trainer, path):
    if not path.exists():  # trained without momentum
        return
    arrays = read_arrays(path)
    for updater, context in zip(trainer._updaters, trainer._contexts):
        for number, parameter in enumerate(trainer._params):
            if parameter.name in arrays:
                updater.states[number] = arrays[parameter.name].as_in_context(context)
                updater.states_synced[number] = True


def _sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
