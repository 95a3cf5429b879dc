"""Attention maps of a network's double attention blocks, by name."""

from __future__ import annotations

import dataclasses
import math
import re

import mxnet as mx
import numpy as np

from a2net_gluon.blocks.double_attention import DISTRIBUTION_MAPS, GATHERING_MAPS
from a2net_gluon.mxnet_fixes import symbol_block

__all__ = ["AttentionProbe", "BlockAttention", "attention_maps"]


@dataclasses.dataclass(frozen=True)
class BlockAttention:
    """Attention of one double attention block to one image or clip.

    Attributes
    ----------
    gathering_maps : ndarray (n, h, w), or (n, t, h, w) for a clip
        Weights of the locations in each of the n descriptors; each map sums to 1 over the locations (Eq. 4).
    distribution_maps : ndarray (h, w, n), or (t, h, w, n) for a clip
        Weights of the n descriptors at each location; they sum to 1 over the descriptors (Eq. 5).
    """

    gathering_maps: np.ndarray
    distribution_maps: np.ndarray

    @property
    def size(self) -> tuple[int, ...]:
        """Height and width of the maps, for a clip (t, h, w)."""
        return self.gathering_maps.shape[1:]

    @property
    def shares(self) -> np.ndarray:
        """Share of each descriptor in the distribution: (n,), sums to 1.

        A share is the mean of a descriptor's weight over the locations. It ranks maps better than their peaks do: a
        descriptor that no location receives changes nothing, however sharp its gathering map is.
        """
        return self.distribution_maps.reshape(-1, len(self.gathering_maps)).mean(axis=0)

    def cell(self, x: float, y: float) -> tuple[int, ...]:
        """Return row and column of the location at relative position `x`, `y`, each from 0 to 1 from the top left.

        In a clip the location is in the middle of the time, whose number comes first: (t, row, column).
        """
        *times, height, width = self.size
        middle = [time // 2 for time in times]
        return (*middle, min(int(y * height), height - 1), min(int(x * width), width - 1))

    def mixture(self, *cell: int) -> np.ndarray:
        """Return the weights of all locations in the new features of one location: (h, w) or (t, h, w), sums to 1.

        It is the sum of all gathering maps, weighted by the location's distribution: the location's column of the
        relation matrix softmax(B)ᵀ softmax(V) of Eq. 7, which the left association never computes.
        """
        return np.tensordot(self.distribution_maps[cell], self.gathering_maps, axes=1)


class AttentionProbe:
    """A network that returns its attention maps together with its logits.

    The maps are nodes of the traced graph; the network itself, and any export of it, returns only its logits.

    Parameters
    ----------
    net : HybridBlock
        Initialized; one input. Its parameters are shared, not copied.
    """

    def __init__(self, net: mx.gluon.HybridBlock) -> None:
        data = mx.sym.var("data")
        logits = net(data)
        internals = logits.get_internals()
        endings = (f"{GATHERING_MAPS}_output", f"{DISTRIBUTION_MAPS}_output")
        nodes = [name for name in internals.list_outputs() if name.endswith(endings)]
        self._maps = {name[: -len("_output")]: internals[name] for name in nodes}
        self._prefixes = {
            _short(name[: -len(GATHERING_MAPS)]): name[: -len(GATHERING_MAPS)]
            for name in self._maps
            if name.endswith(GATHERING_MAPS)
        }
        outputs = [logits, logits, *self._maps.values()]  # twice: a SymbolBlock with a single output returns no list
        self._net = symbol_block(outputs, [data], net.collect_params())

    @property
    def blocks(self) -> tuple[str, ...]:
        """Short names of the blocks in the network's order, e.g. ``conv4:2``: after unit 2 of stage conv4."""
        return tuple(self._prefixes)

    def value_counts(self, shape: tuple[int, ...]) -> dict[str, int]:
        """Return the number of values in the maps of each block, of both kinds, for an input of this shape."""
        nodes = {block: self._maps[prefix + GATHERING_MAPS] for block, prefix in self._prefixes.items()}
        return {block: 2 * math.prod(node.infer_shape(data=shape)[1][0]) for block, node in nodes.items()}

    def maps(self, x: mx.nd.NDArray) -> tuple[mx.nd.NDArray, dict[str, mx.nd.NDArray]]:
        """Run the network on `x`; return the logits and the maps, as `attention_maps` does."""
        logits, _, *maps = self._net(x)
        return logits, dict(zip(self._maps, maps))

    def look(self, x: mx.nd.NDArray) -> tuple[np.ndarray, dict[str, BlockAttention]]:
        """Run the network on one image or clip.

        Parameters
        ----------
        x : NDArray (1, 3, h, w) or (1, 3, t, h, w)

        Returns
        -------
        logits : ndarray (classes,)
        blocks : dict of str to BlockAttention
            Keyed by the names in `blocks`.
        """
        logits, maps = self.maps(x)
        return logits[0].asnumpy(), {
            block: BlockAttention(
                maps[prefix + GATHERING_MAPS][0].asnumpy().reshape(-1, *self._size(prefix, x.shape)),
                maps[prefix + DISTRIBUTION_MAPS][0].asnumpy().reshape(*self._size(prefix, x.shape), -1),
            )
            for block, prefix in self._prefixes.items()
        }

    def _size(self, prefix: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the size of a block's maps: that of the convolution whose output the softmax flattens."""
        flat = self._maps[prefix + GATHERING_MAPS].get_children()
        return flat.get_children()[0].infer_shape(data=shape)[1][0][2:]


def attention_maps(net: mx.gluon.HybridBlock, x: mx.nd.NDArray) -> dict[str, mx.nd.NDArray]:
    """Run `net` on `x` and return every attention map in it.

    Parameters
    ----------
    net : HybridBlock
        Initialized; one input.
    x : NDArray (N, 3, h, w) or (N, 3, t, h, w)

    Returns
    -------
    dict of str to NDArray
        ``<block>__gathering_maps``: (N, n, L), each of the n maps sums to 1 over the L locations (Eq. 4).
        ``<block>__distribution_maps``: (N, L, n), each location's weights sum to 1 over the n descriptors (Eq. 5).
        In the network's order.
    """
    return AttentionProbe(net).maps(x)[1]


def _short(prefix: str) -> str:
    """Return ``conv4:2`` for prefix ``conv4_x__2_context__``, and any other prefix unchanged."""
    found = re.search(r"(conv\d+)_x__(\d+)_context__$", prefix)
    return f"{found[1]}:{found[2]}" if found else prefix
