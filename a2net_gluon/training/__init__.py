"""Training, evaluation, and the checks before a run."""

from a2net_gluon.training.evaluation import EvaluationResult, evaluate
from a2net_gluon.training.run import Result, train
from a2net_gluon.training.throughput import read_epoch

__all__ = ["EvaluationResult", "Result", "evaluate", "read_epoch", "train"]
