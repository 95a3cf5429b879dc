"""Training and evaluation of image networks."""

from a2net_gluon.training.evaluation import evaluate
from a2net_gluon.training.run import train
from a2net_gluon.training.throughput import read_epoch

__all__ = ["evaluate", "read_epoch", "train"]
