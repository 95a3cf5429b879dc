"""Training and evaluation of image networks."""

from a2net_gluon.training.evaluation import evaluate
from a2net_gluon.training.input_test import read_epoch
from a2net_gluon.training.run import train

__all__ = ["evaluate", "read_epoch", "train"]
