"""Command-line options. Names are GluonCV's where its train_imagenet.py has them.

Nothing here imports mxnet, so that ``--help`` answers at once.
"""

import argparse

from a2net_gluon.errors import UsageError

__all__ = [
    "complete",
    "cost_parser",
    "digits_parser",
    "evaluation_parser",
    "export_parser",
    "pack_parser",
    "predict_parser",
    "training_parser",
    "uses_records",
]

_MODEL_HELP = "name of the network, e.g. a2net_resnet50; an unknown one lists all"

# Values for what the user leaves open: one set for the embedded digits, one for every other kind of data.
DEFAULTS = {
    "digits": {
        "model": "a2net_resnet20_small",
        "num_epochs": 12,
        "lr": 0.05,
        "wd": 5e-4,
        "lr_mode": "cosine",
        "warmup_epochs": 1,
        "augmentation": "shift",
        "crop_ratio": 1.0,
        "log_interval": 10,
        "num_workers": 1,
    },
    "images": {
        "model": "a2net_resnet50",
        "num_epochs": 100,
        "lr": 0.1,
        "wd": 1e-4,
        "lr_mode": "step",
        "warmup_epochs": 0,
        "augmentation": "dpn",
        "crop_ratio": 0.875,
        "log_interval": 50,
        "num_workers": 4,
    },
}


class _Parser(argparse.ArgumentParser):
    """An argument parser that takes no abbreviations and reports an error in one line."""

    def __init__(self, **kwargs):
        super().__init__(allow_abbrev=False, **kwargs)

    def error(self, message):
        """Exit with code 2 after one line."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def _number(kind, accept, rule):
    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not {rule}") from None
        if not accept(value):
            raise argparse.ArgumentTypeError(f"{text} is not {rule}")
        return value

    return parse


_count = _number(int, lambda value: value >= 1, "a whole number of at least 1")
_whole = _number(int, lambda value: value >= 0, "a whole number of at least 0")
_rate = _number(float, lambda value: 0 <= value < float("inf"), "a number of at least 0")


_share = _number(float, lambda value: 0 < value <= 1, "a number above 0 and at most 1")


def _numbers(text):
    return [_whole(part) for part in text.split(",") if part]


def _add_data_options(parser):
    """Where images come from and how they are batched."""
    group = parser.add_argument_group("data (with none of these: the handwritten digits of scikit-learn)")
    group.add_argument("--data-dir", help="image folder with train/<class>/ and val/<class>/")
    group.add_argument("--use-rec", action="store_true", help="read RecordIO files")
    group.add_argument("--rec-train", help="training records (.rec)")
    group.add_argument("--rec-train-idx", help="their index; --rec-train with the ending .idx unless given")
    group.add_argument("--rec-val", help="validation records (.rec)")
    group.add_argument("--rec-val-idx", help="their index; --rec-val with the ending .idx unless given")
    group.add_argument("--benchmark", action="store_true", help="one synthetic batch over and over")
    group.add_argument("--classes", type=_count, help="number of classes; the data tells unless given")
    group.add_argument("--batch-size", type=_count, default=32, help="images per device and step (32)")
    group.add_argument(
        "-j", "--num-data-workers", dest="num_workers", type=_count, help="processes or threads that read images (4)"
    )
    _add_preprocessing_options(parser)


def _add_preprocessing_options(parser):
    """What an image goes through; the choices kept beside a parameter file go before the defaults."""
    group = parser.add_argument_group("preprocessing")
    group.add_argument("--input-size", type=_count, help="height and width of the input; the network's unless given")
    group.add_argument("--crop-ratio", type=_rate, help="validation crop / resized shorter edge (0.875)")
    group.add_argument("--normalization", choices=("dpn", "torchvision", "gluoncv"), help="mean and scale (dpn)")


def _add_device_options(parser):
    """Which devices compute."""
    group = parser.add_argument_group("devices (with none of these: the CPU)")
    exclusive = group.add_mutually_exclusive_group()
    exclusive.add_argument("--num-gpus", type=_whole, default=0, help="use this many GPUs")
    exclusive.add_argument("--gpus", type=_numbers, help="use these GPUs, e.g. 0,2")
    exclusive.add_argument(
        "--cpu-contexts", type=_count, default=1, help="data parallelism over this many CPU contexts, to rehearse GPUs"
    )


def training_parser(prog=None):
    """The parser of ``train_imagenet.py`` and ``a2net train``."""
    parser = _Parser(prog=prog, description="Train an image network, A²-Net ResNet-50 by default.")
    _add_data_options(parser)
    _add_device_options(parser)
    group = parser.add_argument_group("network")
    group.add_argument("--model", help="a2net_resnet50; for digits a2net_resnet20_small")
    group.add_argument("--last-gamma", action="store_true", help="start each residual unit as its shortcut")
    group.add_argument("--augmentation", choices=("dpn", "shift", "none"), help="of training images (dpn)")
    group = parser.add_argument_group("optimization (SGD with Nesterov momentum)")
    group.add_argument("--num-epochs", type=_count, help="100; digits 12")
    group.add_argument("--lr", type=_rate, help="learning rate for the batch over all devices (0.1; digits 0.05)")
    group.add_argument("--momentum", type=_rate, default=0.9, help="0.9")
    group.add_argument("--wd", type=_rate, help="weight decay (0.0001; digits 0.0005)")
    group.add_argument("--lr-mode", choices=("step", "poly", "cosine"), help="schedule (step; digits cosine)")
    group.add_argument("--lr-decay", type=_share, default=0.1, help="factor of a step (0.1)")
    group.add_argument("--lr-decay-epoch", type=_numbers, default=[30, 60, 90], help="epochs of steps (30,60,90)")
    group.add_argument("--lr-decay-period", type=_whole, default=0, help="a step every so many epochs instead")
    group.add_argument("--warmup-lr", type=_rate, default=0.0, help="learning rate at the start of the warm-up (0)")
    group.add_argument("--warmup-epochs", type=_whole, help="epochs of linear warm-up (0; digits 1)")
    group.add_argument("--seed", type=_whole, default=0, help="0")
    group = parser.add_argument_group("run folder")
    group.add_argument("--save-dir", help="runs/<model>-<time> unless given")
    group.add_argument("--save-frequency", type=_count, default=1, help="epochs between checkpoints (1)")
    group.add_argument("--keep", type=_count, default=2, help="newest checkpoints to keep (2); the best always is")
    group.add_argument("--resume", action="store_true", help="go on from the newest whole checkpoint in --save-dir")
    group.add_argument("--log-interval", type=_count, help="batches between log lines (50; digits 10)")
    return parser


def evaluation_parser(prog=None):
    """The parser of ``a2net evaluate``."""
    parser = _Parser(prog=prog, description="Measure a network on validation data, every image exactly once.")
    parser.add_argument("model", help=_MODEL_HELP)
    parser.add_argument("--params", required=True, help="parameter file of a run, or of an export")
    _add_data_options(parser)
    _add_device_options(parser)
    return parser


def export_parser(prog=None):
    """The parser of ``a2net export``."""
    parser = _Parser(prog=prog, description="Write a network as symbol and params, proven equal to the live one.")
    parser.add_argument("model", help=_MODEL_HELP)
    parser.add_argument("--params", help="parameter file of a run; random parameters without one")
    parser.add_argument("--output", required=True, metavar="PREFIX", help="folder and start of the files' names")
    parser.add_argument("--classes", type=_count, help="number of classes; the parameters tell unless given")
    _add_preprocessing_options(parser)
    return parser


def predict_parser(prog=None):
    """The parser of ``a2net predict``."""
    parser = _Parser(prog=prog, description="Classify image files with an exported network.")
    parser.add_argument("prefix", help="the --output of a2net export")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files")
    parser.add_argument("--top", type=_count, default=5, help="classes to print for each image (5)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def cost_parser(prog=None):
    """The parser of ``a2net cost``."""
    parser = _Parser(prog=prog, description="Count parameters and multiply-adds, also in the paper's convention.")
    parser.add_argument("model", help=_MODEL_HELP)
    parser.add_argument("--classes", type=_count, help="width of the output; the network's own unless given")
    parser.add_argument("--input-size", type=_count, help="height and width; the network's own unless given")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def pack_parser(prog=None):
    """The parser of ``a2net pack``."""
    parser = _Parser(prog=prog, description="Pack an image folder as RecordIO with MXNet's im2rec.")
    parser.add_argument("folder", help="holds <class>/ folders with images, e.g. DIR/train")
    parser.add_argument("prefix", help="writes PREFIX.rec, PREFIX.idx and PREFIX.lst")
    return parser


def digits_parser(prog=None):
    """The parser of ``a2net digits``."""
    parser = _Parser(prog=prog, description="Write scikit-learn's handwritten digits as an image folder.")
    parser.add_argument("folder", help="gets train/<digit>/ and val/<digit>/ with PNG files")
    return parser


def complete(args, description=None):
    """Check how options go together and fill in what is left open; returns `args`.

    The crop ratio of a `description`, of parameters that are given, goes before the default.

    Raises
    ------
    UsageError
        If options contradict each other.
    """
    given = [flag for flag, value in _sources(args).items() if value]
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} both name the data: give one of them")
    defaults = DEFAULTS["images" if given else "digits"]
    if args.benchmark:
        defaults = {**defaults, "num_epochs": 1}
    if description:
        defaults = {**defaults, "crop_ratio": description.preprocessing.crop_ratio}
    for name, value in defaults.items():
        if name in vars(args) and getattr(args, name) is None:
            setattr(args, name, min(value, args.num_epochs - 1) if name == "warmup_epochs" else value)
    return args


def _sources(args):
    return {
        "--data-dir": args.data_dir,
        "--use-rec": uses_records(args),
        "--benchmark": args.benchmark,
    }


def uses_records(args):
    """Whether the data are RecordIO files; naming one is enough."""
    return bool(args.use_rec or args.rec_train or args.rec_val)
