"""The options of every command but training."""

from __future__ import annotations

import argparse
import typing

from a2net_gluon import settings
from a2net_gluon.fields import BATCH_SIZE, CLASSES, FRAMES, INPUT_SIZE, PROCESSES, QUALITY, RESTARTS, options_of
from a2net_gluon.options.arguments import add_option, add_settings, build, given
from a2net_gluon.options.data import CLIPS, IMAGES, add_data_options, data_of
from a2net_gluon.options.types import Parser, count, number
from a2net_gluon.settings.network import BLOCKS

__all__ = [
    "network_of",
    "parse_attention",
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
]

Arguments = typing.Sequence[str]

_MODEL_HELP = "name of the network, e.g. a2net_resnet50; an unknown one lists all"
_FILES_HELP = "images or videos: files, folders, or patterns such as 'photos/**/*.jpg'"
# As in a2net_gluon.deploy.FORMS, which cannot be imported here without mxnet.
FORMS = ("onnx", "optimized", "symbol", "int8")
# As in a2net_gluon.insight.cost_breakdown.
PARTS = ("stage", "block")


def _add_network(parser: Parser, positional: bool = True) -> None:
    if positional:
        parser.add_argument("model", help=_MODEL_HELP)
    add_settings(parser, settings.Network, "context blocks (default: the network's own)", BLOCKS)


def _add_parameters(parser: Parser) -> None:
    add_settings(parser, settings.Trained, "parameters", ("params", "pretrained"))


def parse_evaluation(arguments: Arguments, prog: str | None = None) -> settings.Evaluation:
    """Parse the options of ``a2net evaluate``."""
    parser = Parser(
        prog=prog, description="Evaluate a network on validation data, every image or view of a video exactly once."
    )
    _add_network(parser)
    _add_parameters(parser)
    add_data_options(parser, IMAGES, CLIPS)
    add_settings(parser, settings.Evaluation, "batches", ("batch_size", "workers"))
    add_settings(parser, settings.Input, "preprocessing")
    add_settings(parser, settings.Views, "views of videos")
    add_settings(parser, settings.Evaluation, "scores of videos", ("scores",))
    add_settings(parser, settings.Devices, "devices (default: the CPU)")
    add_settings(parser, settings.Evaluation, "several processes", ("kv_store",))
    values = given(parser.parse_args(arguments))
    if not (values.get("params") or values.get("use_pretrained")):
        parser.error("one of the arguments --params --use-pretrained is required")
    network = network_of(values)
    videos = network.takes_clips or any(values.get(name) for name in ("val_list", "ucf_split"))
    return build(settings.Evaluation, values, data=data_of(values, CLIPS if videos else IMAGES), network=network)


def network_of(values: typing.Mapping[str, typing.Any]) -> settings.Network:
    """Make the settings of the network that parsed values name."""
    return build(settings.Network, values)


def parse_export(arguments: Arguments, prog: str | None = None) -> settings.Export:
    """Parse the options of ``a2net export``."""
    parser = Parser(
        prog=prog,
        description="Export a network for deployment, and verify that it computes the same as the Gluon network.",
    )
    _add_network(parser)
    _add_parameters(parser)
    forms = ("output", "onnx", "optimize", "int8", "torch", "archive", "pixels", "fixed_size", "batch", "tolerance")
    add_settings(parser, settings.Export, "export", (*forms, "files", "classes"))
    add_settings(parser, settings.Input, "preprocessing")
    values = given(parser.parse_args(arguments))
    if not values.get("output"):
        parser.error("the following arguments are required: --output")
    return build(settings.Export, values, network=network_of(values))


def parse_import(arguments: Arguments, prog: str | None = None) -> settings.Import:
    """Parse the options of ``a2net import``."""
    parser = Parser(
        prog=prog,
        description="Bring the parameters of a network that was trained in PyTorch back, with its description.",
    )
    add_settings(parser, settings.Import, "files", ("file", "output"))
    parser.add_argument("--model", help="name of the network; default: that of the description in the file")
    _add_network(parser, positional=False)
    add_settings(parser, settings.Input, "preprocessing")
    values = given(parser.parse_args(arguments))
    if not values.get("output"):
        parser.error("the following arguments are required: --output")
    return build(settings.Import, values, network=network_of(values))


def parse_predict(arguments: Arguments, prog: str | None = None) -> argparse.Namespace:
    """Parse the options of ``a2net predict``."""
    parser = Parser(prog=prog, description="Classify image files or videos with an exported network.")
    parser.add_argument("prefix", help="the --output of a2net export")
    parser.add_argument("files", nargs="+", metavar="FILE", help=_FILES_HELP)
    parser.add_argument("--form", choices=FORMS, help="form of the export; default: the fastest that is equal")
    parser.add_argument("--top", type=count, default=5, help="classes to print for each file; default: 5")
    parser.add_argument(
        "--batch-size", type=number(BATCH_SIZE), default=32, help="images or views of videos at a time; default: 32"
    )
    exclusive = parser.add_mutually_exclusive_group()
    exclusive.add_argument("--json", action="store_true", help="print JSON")
    exclusive.add_argument("--csv", action="store_true", help="print CSV: path, rank, class, probability, problem")
    add_settings(parser, settings.Views, "views of videos")
    args = parser.parse_args(arguments)
    args.views = build(settings.Views, given(args))
    return args


def parse_attention(arguments: Arguments, prog: str | None = None) -> settings.Attention:
    """Parse the options of ``a2net attention``."""
    parser = Parser(
        prog=prog,
        description="Draw the attention maps of a network's double attention blocks for images or videos.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help=_FILES_HELP)
    parser.add_argument("--model", help="name of the network; default: a2net_resnet20_small")
    _add_network(parser, positional=False)
    _add_parameters(parser)
    add_settings(parser, settings.Attention, "pictures", ("output", "blocks", "maps", "locations", "html"))
    add_settings(parser, settings.Input, "preprocessing")
    values = {"model": "a2net_resnet20_small", **given(parser.parse_args(arguments))}
    if not values.get("output"):
        parser.error("the following arguments are required: --output")
    return build(settings.Attention, values, network=network_of(values))


def parse_cost(arguments: Arguments, prog: str | None = None) -> argparse.Namespace:
    """Parse the options of ``a2net cost``."""
    parser = Parser(prog=prog, description="Count parameters and multiply-adds, also in the paper's convention.")
    _add_network(parser)
    parser.add_argument("--classes", type=number(CLASSES), help="width of the output; default: the network's own")
    parser.add_argument("--input-size", type=number(INPUT_SIZE), help="height and width; default: the network's own")
    parser.add_argument("--frames", type=number(FRAMES), help="frames of a clip; default: the network's own")
    parser.add_argument(
        "--by", choices=PARTS, help="break the cost down by stages or blocks, and list what attention blocks store"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args(arguments)


def parse_tables(arguments: Arguments, prog: str | None = None) -> argparse.Namespace:
    """Parse the options of ``a2net tables``."""
    parser = Parser(
        prog=prog, description="Count the costs in the paper's Tables 1 to 6, and compare them with the printed ones."
    )
    parser.add_argument("--markdown", metavar="FILE", help="also write them as a Markdown page")
    parser.add_argument("--csv", metavar="FILE", help="also write every figure as a row of CSV")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args(arguments)


def parse_report(arguments: Arguments, prog: str | None = None) -> settings.Report:
    """Parse the options of ``a2net report``."""
    parser = Parser(prog=prog, description="Write a page about a training run, or a comparison of several.")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders of runs")
    add_settings(parser, settings.Report, "page", ("output",))
    return build(settings.Report, given(parser.parse_args(arguments)))


def parse_pack(arguments: Arguments, prog: str | None = None) -> argparse.Namespace:
    """Parse the options of ``a2net pack``."""
    parser = Parser(
        prog=prog,
        description="Pack an image folder as RecordIO: files as they are, to the bytes of MXNet's im2rec, or smaller.",
    )
    parser.add_argument("folder", help="holds <class>/ folders with images, e.g. DIR/train")
    parser.add_argument("prefix", help="writes PREFIX.rec, PREFIX.idx and PREFIX.lst")
    parser.add_argument(
        "--resize",
        type=number(INPUT_SIZE),
        help="shorter edge of larger images, which are encoded as JPEGs; default: files stay as they are",
    )
    parser.add_argument("--quality", type=number(QUALITY), help="of these JPEGs; default: 95")
    workers = options_of(settings.Packing)["workers"]
    parser.add_argument(*workers.flags, type=number(PROCESSES), default=4, help="processes; default: 4")
    args = parser.parse_args(arguments)
    if args.quality is not None and args.resize is None:
        parser.error("--quality is of the images that --resize makes smaller: add --resize, or omit --quality")
    args.quality = args.quality or 95
    return args


def parse_pack_clips(arguments: Arguments, prog: str | None = None) -> settings.Packing:
    """Parse the options of ``a2net pack-clips``."""
    parser = Parser(prog=prog, description="Pack videos in a form that is read faster: JPEG frames, or H.264.")
    add_settings(parser, settings.Videos, "data", ("path", "train_list", "val_list", "ucf_split"))
    add_settings(parser, settings.Packing, "what is written", ("output", "resize", "quality", "keyframes", "workers"))
    form = parser.add_argument_group("form").add_mutually_exclusive_group()
    form.add_argument("--frames", action="store_true", help="records of JPEG frames; the default")
    add_option(form, options_of(settings.Packing)["reencode"], False)
    values = given(parser.parse_args(arguments))
    return build(settings.Packing, values, data=build(settings.Videos, values))


def parse_digits(arguments: Arguments, prog: str | None = None) -> argparse.Namespace:
    """Parse the options of ``a2net digits``."""
    parser = Parser(prog=prog, description="Write scikit-learn's handwritten digits as an image folder.")
    parser.add_argument("folder", help="gets train/<digit>/ and val/<digit>/ with PNG files")
    return parser.parse_args(arguments)


def parse_launch(arguments: Arguments, prog: str | None = None) -> argparse.Namespace:
    """Parse the options of ``a2net launch``; the command to run comes after ``--``."""
    parser = Parser(
        prog=prog,
        usage="%(prog)s -n N [-s N] [-H FILE] [--max-restarts K] [--log-dir DIR] -- COMMAND …",
        description="Run a training command in several processes, on this machine or on several.",
    )
    parser.add_argument("-n", "--num-workers", type=number(PROCESSES), required=True, help="processes that train")
    parser.add_argument(
        "-s", "--num-servers", type=number(PROCESSES), help="processes that sum gradients; default: as many as train"
    )
    parser.add_argument("-H", "--hostfile", help="file with one host a line, reached by ssh; default: this machine")
    parser.add_argument("--max-restarts", type=number(RESTARTS), default=0, help="restarts after a failure; default: 0")
    parser.add_argument(
        "--log-dir", default="launch-logs", help="folder for a log of each process; default: launch-logs"
    )
    parser.add_argument("command", nargs="*", metavar="COMMAND", help="command of each training process, after --")
    return parser.parse_args(arguments)
