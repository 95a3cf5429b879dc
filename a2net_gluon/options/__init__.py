"""Command-line options. Nothing here imports mxnet, so that ``--help`` answers at once."""

from a2net_gluon.options.commands import (
    attention_parser,
    cost_parser,
    digits_parser,
    evaluation_parser,
    export_parser,
    launch_parser,
    pack_parser,
    predict_parser,
    tables_parser,
)
from a2net_gluon.options.common import uses_records
from a2net_gluon.options.recipes import shipped_recipes
from a2net_gluon.options.training import CROP_RATIOS, complete, parse_training, training_parser

__all__ = [
    "CROP_RATIOS",
    "attention_parser",
    "complete",
    "cost_parser",
    "digits_parser",
    "evaluation_parser",
    "export_parser",
    "launch_parser",
    "pack_parser",
    "parse_training",
    "predict_parser",
    "shipped_recipes",
    "tables_parser",
    "training_parser",
    "uses_records",
]
