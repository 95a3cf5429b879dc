"""First weights of networks, drawn at random."""

from __future__ import annotations

import hashlib
import typing

import mxnet as mx
import numpy as np

__all__ = ["initialize"]


def initialize(net: mx.gluon.Block, contexts: typing.Sequence[mx.Context], seed: int | None = None) -> None:
    """Draw the first weights of `net` as He et al. do (MSRA).

    Parameters
    ----------
    net : Block
    contexts : list of mxnet.Context
    seed : int, optional
        Draw each parameter from a stream of its own, which depends on this seed and on the parameter's name: networks
        that share some parameters, and differ in others, start with the same weights in those they share. Without it
        one stream, MXNet's, serves all parameters in turn. With it the state of that stream is lost.
    """
    method = mx.init.MSRAPrelu()
    if seed is None:
        net.initialize(method, ctx=list(contexts))
        return
    for name, parameter in net._collect_params_with_prefix().items():
        digest = hashlib.sha256(name.encode()).digest()
        stream = np.random.SeedSequence((seed, int.from_bytes(digest, "big"))).generate_state(1)[0]
        mx.random.seed(int(stream >> 1))  # which takes 31 bits
        parameter.initialize(default_init=method, ctx=list(contexts))
