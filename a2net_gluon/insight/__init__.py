"""Looking into networks: what they cost, what they attend to, how training went."""

from a2net_gluon.insight.attention import attention_maps
from a2net_gluon.insight.cost import Cost, cost

__all__ = ["Cost", "attention_maps", "cost"]
