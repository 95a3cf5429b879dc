"""Ablations: variants of a training run, trained side by side with several seeds, and compared."""

from a2net_gluon.ablation.ablate import FILES, ablate
from a2net_gluon.ablation.results import as_markdown

__all__ = ["FILES", "ablate", "as_markdown"]
