"""The building blocks, one idea a file."""

from a2net_gluon.blocks.double_attention import DoubleAttention
from a2net_gluon.blocks.preactivation import PreActivationConv, batch_norm, global_average_pool, max_pool

__all__ = ["DoubleAttention", "PreActivationConv", "batch_norm", "global_average_pool", "max_pool"]
