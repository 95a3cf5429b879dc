"""The options of every command but training."""

from a2net_gluon.options.common import (
    MODEL_HELP,
    add_context_options,
    add_data_options,
    add_device_options,
    add_parameter_options,
    add_preprocessing_options,
)
from a2net_gluon.options.types import Parser, count, names, position, whole

__all__ = [
    "attention_parser",
    "cost_parser",
    "digits_parser",
    "evaluation_parser",
    "export_parser",
    "launch_parser",
    "pack_parser",
    "predict_parser",
    "tables_parser",
]

IMAGES_HELP = "files, folders, or patterns such as 'photos/**/*.jpg'"
# As in a2net_gluon.deploy.FORMS, which cannot be imported here without mxnet.
FORMS = ("onnx", "optimized", "symbol", "int8")
# As in a2net_gluon.insight.cost_breakdown.
PARTS = ("stage", "block")


def evaluation_parser(prog=None):
    """The parser of ``a2net evaluate``."""
    parser = Parser(prog=prog, description="Measure a network on validation data, every image exactly once.")
    parser.add_argument("model", help=MODEL_HELP)
    add_context_options(parser)
    add_parameter_options(parser, required=True)
    add_data_options(parser)
    add_device_options(parser)
    return parser


def export_parser(prog=None):
    """The parser of ``a2net export``."""
    parser = Parser(prog=prog, description="Write a network for deployment, proven equal to the live one.")
    parser.add_argument("model", help=MODEL_HELP)
    add_context_options(parser)
    add_parameter_options(parser)
    parser.add_argument("--output", required=True, metavar="PREFIX", help="folder and start of the files' names")
    parser.add_argument("--onnx", action="store_true", help="write PREFIX.onnx too")
    parser.add_argument("--optimize", action="store_true", help="write a graph with oneDNN's fused operators too")
    parser.add_argument(
        "--int8",
        nargs="+",
        metavar="IMAGE",
        help="write an 8-bit PREFIX-int8.onnx too, calibrated on these images",
    )
    parser.add_argument("--pixels", action="store_true", help="normalisation in the graph: it takes uint8 (N, h, w, 3)")
    parser.add_argument(
        "--images", nargs="+", metavar="IMAGE", default=[], help=f"compare on these {IMAGES_HELP} (embedded digits)"
    )
    parser.add_argument("--classes", type=count, help="number of classes; the parameters tell unless given")
    add_preprocessing_options(parser)
    return parser


def predict_parser(prog=None):
    """The parser of ``a2net predict``."""
    parser = Parser(prog=prog, description="Classify image files with an exported network.")
    parser.add_argument("prefix", help="the --output of a2net export")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help=IMAGES_HELP)
    parser.add_argument("--form", choices=FORMS, help="which form of the export; the fastest equal one unless given")
    parser.add_argument("--top", type=count, default=5, help="classes to print for each image (5)")
    parser.add_argument("--batch-size", type=count, default=32, help="images at a time (32)")
    exclusive = parser.add_mutually_exclusive_group()
    exclusive.add_argument("--json", action="store_true", help="print JSON")
    exclusive.add_argument("--csv", action="store_true", help="print CSV: path, rank, class, probability, problem")
    return parser


def attention_parser(prog=None):
    """The parser of ``a2net attention``."""
    parser = Parser(prog=prog, description="Draw what a network's double attention blocks attend to in image files.")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help=IMAGES_HELP)
    parser.add_argument("--model", default="a2net_resnet20_small", help="name of the network (a2net_resnet20_small)")
    add_context_options(parser)
    add_parameter_options(parser)
    parser.add_argument("--output", required=True, metavar="DIR", help="gets a .png and a .npz for each image")
    parser.add_argument(
        "--blocks", type=names, default=[], metavar="BLOCK,…", help="e.g. conv4:2, after unit 2 of conv4 (all)"
    )
    parser.add_argument("--maps", type=count, default=4, metavar="K", help="gathering maps to draw of each block (4)")
    parser.add_argument(
        "--locations",
        type=position,
        nargs="+",
        default=[(0.5, 0.5), (0.2, 0.2), (0.8, 0.8)],
        metavar="X,Y",
        help="draw what these receive; relative to the crop, from the top left (0.5,0.5 0.2,0.2 0.8,0.8)",
    )
    add_preprocessing_options(parser)
    parser.set_defaults(classes=None)  # the parameters tell
    return parser


def cost_parser(prog=None):
    """The parser of ``a2net cost``."""
    parser = Parser(prog=prog, description="Count parameters and multiply-adds, also in the paper's convention.")
    parser.add_argument("model", help=MODEL_HELP)
    add_context_options(parser)
    parser.add_argument("--classes", type=count, help="width of the output; the network's own unless given")
    parser.add_argument("--input-size", type=count, help="height and width; the network's own unless given")
    parser.add_argument("--frames", type=count, help="of a clip; the network's own unless given")
    parser.add_argument(
        "--by", choices=PARTS, help="share the cost out to stages or blocks, and say what attention blocks store"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def tables_parser(prog=None):
    """The parser of ``a2net tables``."""
    parser = Parser(prog=prog, description="Count the costs of the paper's Tables 1 to 6 beside what it prints.")
    parser.add_argument("--markdown", metavar="FILE", help="write them as a Markdown page too")
    parser.add_argument("--csv", metavar="FILE", help="write every figure as a line of CSV too")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def pack_parser(prog=None):
    """The parser of ``a2net pack``."""
    parser = Parser(prog=prog, description="Pack an image folder as RecordIO with MXNet's im2rec.")
    parser.add_argument("folder", help="holds <class>/ folders with images, e.g. DIR/train")
    parser.add_argument("prefix", help="writes PREFIX.rec, PREFIX.idx and PREFIX.lst")
    return parser


def digits_parser(prog=None):
    """The parser of ``a2net digits``."""
    parser = Parser(prog=prog, description="Write scikit-learn's handwritten digits as an image folder.")
    parser.add_argument("folder", help="gets train/<digit>/ and val/<digit>/ with PNG files")
    return parser


def launch_parser(prog=None):
    """The parser of ``a2net launch``; the command to run comes after ``--``."""
    parser = Parser(
        prog=prog,
        usage="%(prog)s -n N [-s N] [-H FILE] [--max-restarts K] [--log-dir DIR] -- COMMAND …",
        description="Run a training command in several processes, on this machine or on several.",
    )
    parser.add_argument("-n", "--num-workers", type=count, required=True, help="processes that train")
    parser.add_argument("-s", "--num-servers", type=count, help="processes that add up gradients; as many unless given")
    parser.add_argument("-H", "--hostfile", help="file with one host a line, reached by ssh; this machine unless given")
    parser.add_argument("--max-restarts", type=whole, default=0, help="start again so often after a failure (0)")
    parser.add_argument("--log-dir", default="launch-logs", help="folder for a log of each process (launch-logs)")
    parser.add_argument("command", nargs="*", metavar="COMMAND", help="what each training process runs, after --")
    return parser
