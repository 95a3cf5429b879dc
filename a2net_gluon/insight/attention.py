"""The attention maps of a network's double attention blocks, by name."""

import mxnet as mx

from a2net_gluon.blocks.double_attention import DISTRIBUTION_MAPS, GATHERING_MAPS

__all__ = ["attention_maps"]


def attention_maps(net, x):
    """Run `net` on `x` and return every attention map in it.

    The maps are nodes of the traced graph, so the network itself, and any export of it, returns only its logits.

    Parameters
    ----------
    net : HybridBlock
        Initialised; one input.
    x : NDArray (N, 3, h, w) or (N, 3, t, h, w)

    Returns
    -------
    dict of str to NDArray
        ``<block>__gathering_maps``: (N, n, L), each of the n maps sums to 1 over the L locations (Eq. 4).
        ``<block>__distribution_maps``: (N, L, n), each location's weights sum to 1 over the n descriptors (Eq. 5).
        In the network's order.
    """
    data = mx.sym.var("data")
    internals = net(data).get_internals()
    suffixes = (f"{GATHERING_MAPS}_output", f"{DISTRIBUTION_MAPS}_output")
    names = [name for name in internals.list_outputs() if name.endswith(suffixes)]
    if not names:
        return {}
    probe = mx.gluon.SymbolBlock([internals[name] for name in names], [data], params=net.collect_params())
    maps = probe(x)
    maps = maps if isinstance(maps, (list, tuple)) else [maps]
    return {name[: -len("_output")]: array for name, array in zip(names, maps)}
