"""Ablations: variants of a training run, trained side by side with several seeds, and compared."""

from a2net_gluon.ablation.results import as_markdown
from a2net_gluon.ablation.run import FILES, ablate

__all__ = ["FILES", "ablate", "as_markdown"]
