"""Training in several processes."""

from __future__ import annotations

import mxnet as mx

__all__ = ["meet", "scale_gradients", "send_first_values"]


def meet(kvstore: mx.kv.KVStore) -> None:
    """Wait until what was pushed or initialized has arrived, in every process.

    MXNet 1.9.1 does not wait for the first values of a key: a later push can overtake them. Then a process took the sum
    of the first gradients for its weights.
    """
    mx.nd.waitall()
    kvstore._barrier()


def send_first_values(trainer: mx.gluon.Trainer) -> None:
    """Initialize the KVStore of a trainer with its parameters; otherwise that is done in the first step."""
    trainer._init_kvstore()
    trainer._init_params()


def scale_gradients(trainer: mx.gluon.Trainer, factor: float) -> None:
    """Multiply the scale that a trainer applies to gradients; MXNet 1.9.1 keeps it in a private attribute."""
    trainer._scale *= factor
