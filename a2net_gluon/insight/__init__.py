"""Inspection of networks and runs: costs, attention maps, curves."""

from a2net_gluon.insight.attention import AttentionProbe, attention_maps
from a2net_gluon.insight.cost_breakdown import Intermediate, breakdown, intermediates, stored_bytes
from a2net_gluon.insight.counting import Cost, cost

__all__ = [
    "AttentionProbe",
    "Cost",
    "Intermediate",
    "attention_maps",
    "breakdown",
    "cost",
    "intermediates",
    "stored_bytes",
]
