"""The building blocks, one idea a file."""

from a2net_gluon.blocks.attention_ops import bilinear_pooling
from a2net_gluon.blocks.double_attention import DoubleAttention
from a2net_gluon.blocks.non_local import NonLocal
from a2net_gluon.blocks.preactivation import PreActivationConv, batch_norm, global_average_pool, max_pool
from a2net_gluon.blocks.squeeze_excitation import SqueezeExcitation

__all__ = [
    "DoubleAttention",
    "NonLocal",
    "PreActivationConv",
    "SqueezeExcitation",
    "batch_norm",
    "bilinear_pooling",
    "global_average_pool",
    "max_pool",
]
