"""Conversion of command lines and recipes to settings, without mxnet, so that ``--help`` answers at once."""

from a2net_gluon.options.ablation import parse_ablation, shipped_grids
from a2net_gluon.options.commands import (
    network_of,
    parse_attention,
    parse_cost,
    parse_digits,
    parse_evaluation,
    parse_export,
    parse_import,
    parse_launch,
    parse_pack,
    parse_pack_clips,
    parse_predict,
    parse_report,
    parse_tables,
)
from a2net_gluon.options.recipes import shipped_recipes
from a2net_gluon.options.training import (
    FOR_CLIPS,
    FOR_IMAGES,
    CheckCommand,
    TrainingCommand,
    parse_check,
    parse_training,
    training_parser,
)
from a2net_gluon.options.words import words_of

__all__ = [
    "FOR_CLIPS",
    "FOR_IMAGES",
    "CheckCommand",
    "TrainingCommand",
    "network_of",
    "parse_ablation",
    "parse_attention",
    "parse_check",
    "parse_cost",
    "parse_digits",
    "parse_evaluation",
    "parse_export",
    "parse_import",
    "parse_launch",
    "parse_pack",
    "parse_pack_clips",
    "parse_predict",
    "parse_report",
    "parse_tables",
    "parse_training",
    "shipped_grids",
    "shipped_recipes",
    "training_parser",
    "words_of",
]
