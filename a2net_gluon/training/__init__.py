"""Training, evaluation, and the checks before a run."""

from a2net_gluon.training.evaluation import EvaluationResult, evaluate
from a2net_gluon.training.run import Result, train
from a2net_gluon.training.splits import evaluate_splits, mean_in_words, train_splits
from a2net_gluon.training.throughput import reader_speeds

__all__ = [
    "EvaluationResult",
    "Result",
    "evaluate",
    "evaluate_splits",
    "mean_in_words",
    "reader_speeds",
    "train",
    "train_splits",
]
