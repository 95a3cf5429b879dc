"""The options of training."""

from __future__ import annotations

import typing

from a2net_gluon import settings
from a2net_gluon.errors import UsageError
from a2net_gluon.fields import POSITIVE, options_of
from a2net_gluon.options.arguments import add_settings, build, given
from a2net_gluon.options.data import CLIPS, IMAGES, DataOptions, add_data_options, data_of
from a2net_gluon.options.recipes import read_recipe, shipped_recipes
from a2net_gluon.options.types import Parser, number, truth

__all__ = [
    "FOR_CLIPS",
    "FOR_IMAGES",
    "CheckCommand",
    "TrainingCommand",
    "TrainingOptions",
    "add_training_options",
    "parse_check",
    "parse_training",
    "replaced",
    "training_of",
    "training_parser",
]

_Groups = typing.Tuple[typing.Tuple[type, str, typing.Tuple[str, ...]], ...]

# The groups of settings, in the order of the help text: what is trained, and the settings of one run of it.
_TRAINED: _Groups = (
    (settings.Training, "epochs and batches", ("epochs", "iterations", "batch_size", "workers")),
    (settings.Network, "network", ()),
    (settings.Start, "first weights", ()),
    (settings.Input, "preprocessing", ()),
    (settings.Training, "augmentation", ("augmentation",)),
    (settings.Devices, "devices (default: the CPU)", ()),
    (settings.Training, "several devices and processes", ("kv_store",)),
    (settings.Optimization, "optimization (SGD with Nesterov momentum)", ()),
    (settings.Schedule, "learning rate", ()),
    (settings.Loss, "loss", ()),
)
_ONE_RUN: _Groups = (
    (settings.Training, "seed and run folder", ("seed", "save_dir")),
    (settings.Run, "checkpoints, resumption and logs", ()),
)


_IMAGE_INPUT = ("size", "crop_ratio", "normalization")


class TrainingOptions(typing.NamedTuple):
    """The differences between the training of images and that of clips on the command line.

    Attributes
    ----------
    description : str
        The first line of the help text.
    data : DataOptions
    input : tuple of str
        The fields of `settings.Input`; empty: all.
    recipes : str
        Folder of the recipes that come with the package, see `shipped_recipes`.
    """

    description: str
    data: DataOptions
    input: tuple[str, ...]
    recipes: str


FOR_IMAGES = TrainingOptions("Train an image network, by default A²-Net ResNet-50.", IMAGES, _IMAGE_INPUT, "")
FOR_CLIPS = TrainingOptions(
    "Train a network on video clips, by default A²-Net ResNet-50 for clips.", CLIPS, (), "clips"
)


class TrainingCommand(typing.NamedTuple):
    """A parsed command line of training: the settings, and what to do instead of training."""

    training: settings.Training
    evaluate: bool
    test_io: bool
    device_rate: float | None = None

    def evaluation(self) -> settings.Evaluation:
        """Make the settings of the evaluation that ``--evaluate`` asks for.

        Raises
        ------
        UsageError
            If no parameters are named, or settings contradict each other.
        """
        start = self.training.start
        if not (start.params or start.pretrained):
            raise UsageError("--evaluate needs --resume-params FILE or --use-pretrained: the parameters to measure")
        training = self.training.resolved()
        return settings.Evaluation(
            network=training.network,
            params=start.params,
            pretrained=start.pretrained,
            input=training.input,
            data=training.data,
            batch_size=training.batch_size,
            workers=training.workers,
            devices=training.devices,
        )


def training_parser(prog: str | None = None, options: TrainingOptions = FOR_IMAGES) -> Parser:
    """Make the parser of the training of images or of clips, and of ``a2net check``; see also `parse_training`."""
    parser = Parser(prog=prog, description=options.description)
    shipped = ", ".join(shipped_recipes(options.recipes))
    parser.add_argument(
        "--recipe", help=f"YAML file with flags and values, or {shipped}; flags take precedence over it"
    )
    add_training_options(parser, options)
    _add_groups(parser, options, _ONE_RUN)
    group = parser.add_argument_group("instead of training")
    for flag, text in (
        ("--evaluate", "evaluate --resume-params on the validation data"),
        ("--test-io", "read training data and report the speed of 1, 2, 4 … readers, or of those of -j"),
    ):
        group.add_argument(flag, nargs="?", const=True, default=None, type=truth, metavar="false", help=text)
    group.add_argument(
        "--device-rate",
        type=number(POSITIVE),
        metavar="RATE",
        help="with --test-io: samples/s that one device trains (see --benchmark); tells how many readers it needs",
    )
    return parser


def add_training_options(parser: Parser, options: TrainingOptions) -> None:
    """Add the flags that say what is trained, without those of a single run."""
    add_data_options(parser, options.data)
    _add_groups(parser, options, _TRAINED)


def _add_groups(parser: Parser, options: TrainingOptions, groups: _Groups) -> None:
    for kind, title, only in groups:
        only = options.input if kind is settings.Input else only
        add_settings(parser, kind, title, only, switches=True)


def parse_training(
    arguments: typing.Sequence[str], prog: str | None = None, options: TrainingOptions = FOR_IMAGES
) -> TrainingCommand:
    """Parse `arguments`; the values of a ``--recipe`` replace the defaults.

    Raises
    ------
    UsageError
        If the recipe cannot be read, or the values contradict each other.
    """
    return _parsed(training_parser(prog, options), arguments, options)[0]


class CheckCommand(typing.NamedTuple):
    """A parsed command line of ``a2net check``.

    Attributes
    ----------
    training : settings.Training
    bad_list : str or None
        File for the samples that cannot be read.
    """

    training: settings.Training
    bad_list: str | None


def parse_check(
    arguments: typing.Sequence[str], prog: str | None = None, options: TrainingOptions = FOR_IMAGES
) -> CheckCommand:
    """Parse the options of ``a2net check``: those of training, and what is checked.

    Raises
    ------
    UsageError
        As `parse_training` does.
    """
    parser = training_parser(prog, options)
    group = parser.add_argument_group("check")
    group.add_argument(
        "--bad-list", metavar="FILE", help="read every sample, and write those that cannot be read to FILE"
    )
    command, values = _parsed(parser, arguments, options)
    return CheckCommand(command.training, values.get("bad_list"))


def _parsed(
    parser: Parser, arguments: typing.Sequence[str], options: TrainingOptions
) -> tuple[TrainingCommand, dict[str, typing.Any]]:
    """The command, and all values that were given."""
    values = given(parser.parse_args(arguments))
    if "recipe" in values:
        values = replaced(read_recipe(values["recipe"], parser, options.recipes), values)
    test_io, device_rate = values.get("test_io", False), values.get("device_rate")
    if device_rate is not None and not test_io:
        raise UsageError("--device-rate is for --test-io, which measures the readers: add it, or omit --device-rate")
    training = training_of(values, options)
    return TrainingCommand(training, values.get("evaluate", False), test_io, device_rate), values


def training_of(values: typing.Mapping[str, typing.Any], options: TrainingOptions) -> settings.Training:
    """Make the settings of training from values by the options' names."""
    return build(settings.Training, values, data=data_of(values, options.data))


def replaced(values: typing.Mapping[str, typing.Any], new: typing.Mapping[str, typing.Any]) -> dict[str, typing.Any]:
    """The values of a file with `new` ones in place of the same options, and of those that these exclude."""
    exclusive = {
        one.name: one.exclusive for kind, _, _ in _TRAINED for one in options_of(kind).values() if one.exclusive
    }
    excluded = {exclusive[name] for name, value in new.items() if name in exclusive and value is not False}
    return {**{name: value for name, value in values.items() if exclusive.get(name) not in excluded}, **new}
