"""Settings: defaults, rules, checks of one against another, and what is stored of them."""

import dataclasses
import inspect
import json
import pathlib
import subprocess
import sys
import typing

import numpy as np
import pytest

from a2net_gluon import fields, options, settings
from a2net_gluon.errors import UsageError
from a2net_gluon.settings.training import changed_options
from tests.helpers.processes import ROOT

# Every class of settings with what it needs to be made.
NEEDED = {
    settings.Digits: {},
    settings.DigitPairs: {},
    settings.ImageFolder: {"path": "images"},
    settings.Records: {},
    settings.Synthetic: {},
    settings.SyntheticClips: {},
    settings.MovingDigits: {},
    settings.Videos: {"path": "videos"},
    settings.PackedClips: {},
    settings.Packing: {"data": settings.Videos("videos"), "output": "folder"},
    settings.Network: {},
    settings.Input: {},
    settings.Devices: {},
    settings.Start: {},
    settings.Optimization: {},
    settings.Schedule: {},
    settings.Loss: {},
    settings.Run: {},
    settings.Training: {},
    settings.Trained: {"network": settings.Network("resnet50")},
    settings.Evaluation: {"network": settings.Network("resnet50")},
    settings.Views: {},
    settings.Export: {"network": settings.Network("resnet50"), "output": "prefix"},
    settings.Import: {"file": "x.safetensors", "output": "x.params"},
    settings.Report: {"runs": ("run",)},
    settings.Attention: {"files": ("cat.jpg",), "output": "folder"},
    settings.Ablation: {"cases": {"all": {"plain": settings.Training()}}, "baseline": "plain", "save_dir": "folder"},
}
OPTIONS = [(kind, name, one) for kind in NEEDED for name, one in fields.options_of(kind).items()]
RULES = [(kind, name, one) for kind, name, one in OPTIONS if one.rule]
CHOICES = [(kind, name, one) for kind, name, one in OPTIONS if one.choices]


def named(value):
    """A test's name of a class, a field or an option."""
    return value.__name__ if isinstance(value, type) else value if isinstance(value, str) else ""


def make(kind, **changes):
    return kind(**{**NEEDED[kind], **changes})


def flags_of(one, text):
    """The words of a command line that give an option."""
    return [*one.flags[-1:], text]


def parse(kind, words):
    """Parse words with the command that takes the options of `kind`."""
    commands = {
        settings.Attention: lambda: options.parse_attention(["cat.jpg", "--output", "folder", *words]),
        settings.Ablation: lambda: options.parse_ablation(["long-range", "--save-dir", "folder", *words]),
        settings.Export: lambda: options.parse_export(["resnet50", "--output", "prefix", *words]),
        settings.Import: lambda: options.parse_import(["x.safetensors", "--output", "x.params", *words]),
        settings.Report: lambda: options.parse_report(["run", *words]),
        settings.Packing: lambda: options.parse_pack_clips(["folder", "--data-dir", "videos", *words]),
    }
    images = {settings.DigitPairs: ["--digit-pairs"]}
    clips = {
        settings.Input: [],
        settings.MovingDigits: [],
        settings.SyntheticClips: ["--benchmark"],
        settings.PackedClips: ["--use-rec"],
        settings.Videos: ["--data-dir", "videos"],
    }
    if kind in commands:
        return commands[kind]()
    if kind in (settings.Evaluation, settings.Trained, settings.Views):
        return options.parse_evaluation(["resnet50", "--params", "x.params", *words])
    if kind in clips:
        return options.parse_training([*clips[kind], *words], None, options.FOR_CLIPS).training
    return options.parse_training([*images.get(kind, []), *words]).training


def test_every_class_of_settings_is_here():
    classes = {value for value in vars(settings).values() if isinstance(value, type)}
    assert classes == {*NEEDED, settings.Kind}
    assert {*settings.__all__} == {kind.__name__ for kind in NEEDED} | {"Data", "Kind"}
    assert set(typing.get_args(settings.Data)) == set(list(NEEDED)[:9])


@pytest.mark.parametrize("kind", NEEDED, ids=named)
def test_defaults_round_trip(kind):
    """What JSON holds of settings makes them again: every option by its name, with its default."""
    made, stored = make(kind), fields.flat(make(kind))
    assert json.loads(json.dumps(stored)) == stored
    own = {name: stored[one.name] for name, one in fields.options_of(kind).items()}
    parts = {name: getattr(made, name) for name in vars(made) if name not in own}
    again = kind(**parts, **own)
    assert again == made
    assert fields.flat(again) == stored
    for field in dataclasses.fields(kind):
        if isinstance(getattr(made, field.name), fields.Settings):
            assert {*fields.flat(getattr(made, field.name))} <= {*stored}
        elif "option" in field.metadata and field.name not in NEEDED[kind]:
            default = json.loads(json.dumps(field.default))
            assert stored[field.metadata["option"].name] == default


def test_an_option_has_one_name_and_one_meaning():
    """In the flat form of a run no name stands for two fields."""
    groups = [settings.Training, settings.Network, settings.Input, settings.Devices, settings.Start]
    groups += [settings.Optimization, settings.Schedule, settings.Loss, settings.Run]
    names = [one.name for kind in groups for one in fields.options_of(kind).values()]
    assert len({*names}) == len(names)
    assert {*fields.flat(settings.Training())} == {*names, "classes"}


def test_the_command_line_without_flags_is_the_defaults():
    assert options.parse_training([]).training == settings.Training()
    evaluation = options.parse_evaluation(["resnet50", "--params", "x"])
    assert evaluation == settings.Evaluation(network=settings.Network("resnet50"), params="x")
    export = options.parse_export(["resnet50", "--output", "x"])
    assert export == settings.Export(network=settings.Network("resnet50"), output="x")
    assert options.parse_attention(["a.jpg", "--output", "x"]) == settings.Attention(files=("a.jpg",), output="x")


# Rules


# What no option takes: no number of the kind, beyond float32, or a whole number that nothing can be made of.
NO_NUMBERS = (float("nan"), float("inf"), -float("inf"), True, "3", 1e39, -1, -1e-300)
PIXELS = fields.PIXEL  # of descriptions only


def rules():
    """Every rule of the package by its name."""
    return {name: rule for name, rule in vars(fields).items() if isinstance(rule, fields.Rule)}


def good(rule):
    """The bounds of a rule, and what lies between."""
    middle = (rule.least + rule.most) / 2
    return [rule.least, rule.most, rule.kind(middle), *([0] if rule.zero else [])]


def bad(rule):
    """What is just out of bounds, and what no option takes."""
    step = 1 if rule.kind is int else 1e-6
    beside = [rule.least - step, rule.most * (1 + step) + (rule.kind is int), 1.5 if rule.kind is int else "0.1"]
    return [
        *beside,
        *NO_NUMBERS,
        *([10**20] if rule.most < 1e20 else []),
        *([] if rule.least <= 0 or rule.zero else [0]),
    ]


@pytest.mark.parametrize(
    ("name", "rule"), [*rules().items()], ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_rule_has_bounds(name, rule):
    assert 0 <= rule.least < rule.most < 2**31 or rule.kind is float
    with np.errstate(over="raise", under="raise"):
        assert all(np.isfinite(np.float32([rule.least, rule.most])))
        assert all(abs(number) == 0 or abs(number) > np.finfo(np.float32).tiny for number in (rule.least, rule.most))
    assert all(map(rule.holds, good(rule)))
    if rule is not PIXELS:
        assert not any(map(rule.holds, bad(rule)))
    for text in ("nan", "inf", "1e39", "-1e39", "word", "", "9" * 5000):
        with pytest.raises(ValueError, match="is not a (whole )?number from ") as error:
            rule.parse(text)
        assert len(str(error.value)) < 150
    assert rule.parse(str(rule.most)) == rule.most


def test_rules_cover_all_that_are_in_use():
    assert {one.rule for _, _, one in RULES} <= {*rules().values()}
    # A number without a rule would take anything.
    for kind, name, one in OPTIONS:
        default = next(field.default for field in dataclasses.fields(kind) if field.name == name)
        assert one.rule or isinstance(default, bool) or not isinstance(default, (int, float)), (kind, name)


def first_line(error):
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(("kind", "name", "one"), RULES, ids=named)
def test_rules_refuse_bad_values(kind, name, one):
    for value in bad(one.rule):
        with pytest.raises(UsageError) as error:
            make(kind, **{name: (value,) if one.sequence else value})
        text = first_line(error)
        assert text.startswith(f"{kind.__name__}.{name} ({one.flags[-1]}) is {value!r}; it must be ")
        assert one.rule.words in text
    for value in good(one.rule):
        if (one.name, value) == ("ema", 1):
            continue  # it has a rule of its own
        given = (value,) if one.sequence else value
        assert getattr(make(kind, **{name: given}), name) == given


@pytest.mark.parametrize(("kind", "name", "one"), RULES, ids=named)
def test_rules_refuse_bad_values_of_the_command_line(kind, name, one, capsys):
    for text in ("none", "nan", "inf", "1e39", "-1", "1e-300", *([str(10**20)] if one.rule.most < 1e20 else [])):
        # Two flags with "=": a value such as -1 is not taken for a flag.
        extra = ["--benchmark"] if issubclass(kind, settings.Synthetic) else []
        with pytest.raises(SystemExit) as stop:
            parse(kind, [*extra, f"{one.flags[-1]}={text}"])
        said = capsys.readouterr().err
        assert stop.value.code == 2
        assert said.count("\n") == 1
        assert one.flags[-1] in said
        assert one.rule.words in said
        assert text in said


@pytest.mark.parametrize(("kind", "name", "one"), CHOICES, ids=named)
def test_wrong_choices(kind, name, one, capsys):
    with pytest.raises(UsageError) as error:
        make(kind, **{name: "other"})
    text = first_line(error)
    assert text == f"{kind.__name__}.{name} ({one.flags[-1]}) is 'other'; it must be one of {', '.join(one.choices)}"
    for choice in one.choices:
        assert getattr(make(kind, **{name: choice}), name) == choice
    with pytest.raises(SystemExit) as stop:
        parse(kind, [one.flags[-1], "other"])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "invalid choice: 'other'" in said


def test_what_is_required_is_named():
    for make_it, message in (
        (lambda: settings.ImageFolder(), "ImageFolder.path (--data-dir) is missing: image folder"),
        (lambda: make(settings.Export, output=None), "Export.output (--output) is missing: folder"),
        (lambda: make(settings.Attention, files=None), "Attention.files is missing: images or videos"),
        (lambda: make(settings.Trained, network=settings.Network()), "the network has no name"),
    ):
        with pytest.raises(UsageError) as error:
            make_it()
        assert first_line(error).startswith(message)


def test_errors_are_value_errors():
    with pytest.raises(ValueError, match="from 1 to 100000"):
        settings.Training(epochs=0)


# Values


def test_paths_and_lists_are_converted():
    assert settings.ImageFolder(pathlib.Path("images")).path == "images"
    assert settings.Training(save_dir=pathlib.Path("runs") / "a").save_dir == str(pathlib.Path("runs") / "a")
    assert settings.Schedule(decay_epochs=[1, 2]).decay_epochs == (1, 2)
    assert settings.Devices(gpus=[0, 2]).gpus == (0, 2)
    export = settings.Export(network=settings.Network("a"), output=pathlib.Path("x"), files=[pathlib.Path("a"), "b"])
    assert (export.output, export.files) == ("x", ("a", "b"))
    located = make(settings.Attention, locations=[[0, 1]])
    assert located.locations == ((0, 1),)
    json.dumps(fields.flat(export))
    with pytest.raises(UsageError, match=r"decay_epochs \(--lr-decay-epoch\) is 30; it must be a list or a tuple"):
        settings.Schedule(decay_epochs=30)
    with pytest.raises(UsageError, match="must be a list or a tuple"):
        make(settings.Attention, files="cat.jpg")


@pytest.mark.parametrize("kind", NEEDED, ids=named)
def test_settings_are_frozen_and_comparable(kind):
    made = make(kind)
    for field in dataclasses.fields(kind):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(made, field.name, None)
    assert made == make(kind)
    assert repr(made).startswith(f"{kind.__name__}(")


# Defaults that depend on the data, and checks of one setting against another


DEFAULTS = [
    # data, network, epochs, lr, wd, schedule, warm-up, augmentation, log interval, workers
    (settings.Digits(), ("a2net_resnet20_small", 12, 0.05, 5e-4, "cosine", 1, "shift", 10, 1)),
    (settings.ImageFolder("x"), ("a2net_resnet50", 100, 0.1, 1e-4, "step", 0, "dpn", 50, 4)),
    (settings.Records(), ("a2net_resnet50", 100, 0.1, 1e-4, "step", 0, "dpn", 50, 4)),
    (settings.Synthetic(), ("a2net_resnet50", 1, 0.1, 1e-4, "step", 0, "dpn", 50, 4)),
    (settings.SyntheticClips(), ("a2net_resnet50_3d", 1, 0.1, 1e-4, "step", 0, "author", 50, 4)),
    (settings.MovingDigits(), ("a2net_resnet20_small_3d", 2, 0.05, 5e-4, "cosine", 1, "none", 10, 1)),
    (settings.PackedClips(), ("a2net_resnet50_3d", 100, 0.1, 1e-4, "step", 0, "author", 50, 4)),
    (settings.Videos("x"), ("a2net_resnet50_3d", 100, 0.1, 1e-4, "step", 0, "author", 50, 4)),
]


def test_a_benchmark_of_clips_is_of_a_network_for_clips():
    for kind, name in ((options.FOR_IMAGES, "a2net_resnet50"), (options.FOR_CLIPS, "a2net_resnet50_3d")):
        assert options.parse_training(["--benchmark"], None, kind).training.resolved().network.name == name


@pytest.mark.parametrize(("data", "expected"), DEFAULTS, ids=lambda value: type(value).__name__)
def test_resolved_defaults(data, expected):
    training = settings.Training(data=data).resolved()
    assert (
        training.network.name,
        training.epochs,
        training.optimization.lr,
        training.optimization.wd,
        training.schedule.mode,
        training.schedule.warmup_epochs,
        training.augmentation,
        training.run.log_interval,
        training.workers,
    ) == expected
    assert training.resolved() == training
    assert settings.Training(data=data).epochs is None  # the original is as it was
    evaluation = settings.Evaluation(data=data, network=settings.Network("resnet50"), params="x").resolved()
    assert (evaluation.workers, evaluation.network.name) == (expected[-1], "resnet50")
    assert data.kind.crop_ratio == (1.0 if isinstance(data, (settings.Digits, settings.MovingDigits)) else 0.875)


def test_given_values_are_not_replaced():
    given = settings.Training(
        network=settings.Network("resnet50"),
        epochs=2,
        workers=3,
        optimization=settings.Optimization(lr=0.0, wd=0.0),
        schedule=settings.Schedule("poly", warmup_epochs=0),
        augmentation="none",
        run=settings.Run(log_interval=7),
    )
    assert given.resolved() == given


@pytest.mark.parametrize(("epochs", "warmup"), [(1, 0), (2, 1), (12, 1)])
def test_the_default_warm_up_is_shorter_than_the_run(epochs, warmup):
    assert settings.Training(epochs=epochs).resolved().schedule.warmup_epochs == warmup


def test_a_warm_up_that_was_asked_for_is_kept():
    training = settings.Training(epochs=1, schedule=settings.Schedule(warmup_epochs=3))
    assert training.resolved().schedule.warmup_epochs == 3


@pytest.mark.parametrize(
    ("warmup", "expected"),
    [({}, (0, None)), ({"warmup_epochs": 2}, (2, None)), ({"warmup_iterations": 5}, (None, 5))],
)
def test_iterations_replace_the_default_number_of_epochs(warmup, expected):
    training = settings.Training(iterations=9, schedule=settings.Schedule(**warmup)).resolved()
    assert (training.epochs, training.iterations) == (None, 9)
    assert (training.schedule.warmup_epochs, training.schedule.warmup_iterations) == expected
    assert training.resolved() == training


EXCLUSIVE = [(kind, name, one) for kind, name, one in OPTIONS if one.exclusive]


def other_value(kind, name):
    """A value that is not the default."""
    one = fields.options_of(kind)[name]
    default = next(field.default for field in dataclasses.fields(kind) if field.name == name)
    return True if default is False else "file" if one.rule is None else (3,) if one.sequence else 3


def words_of(kind, name):
    """The words of a command line that give it."""
    flag, value = fields.options_of(kind)[name].flags[-1], other_value(kind, name)
    return [flag] if value is True else [flag, value if value == "file" else "3"]


@pytest.mark.parametrize(("kind", "name", "one"), EXCLUSIVE, ids=named)
def test_options_that_exclude_each_other(kind, name, one, capsys):
    others = [other for _, other, its in EXCLUSIVE if its.exclusive == one.exclusive and other != name]
    assert others
    for other in others:
        flags = {words_of(kind, field)[0] for field in (name, other)}
        with pytest.raises(UsageError, match="exclude each other: give one of them") as error:
            make(kind, **{field: other_value(kind, field) for field in (name, other)})
        assert flags <= {*first_line(error).split()}
        with pytest.raises(SystemExit):
            parse(kind, [word for field in (name, other) for word in words_of(kind, field)])
        assert "not allowed with argument" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make_it", "message"),
    [
        (lambda: settings.Optimization(ema=1), "--ema is 1.*must be below 1"),
        (lambda: settings.Optimization(precise_bn=2, norm="frozen"), "--precise-bn needs --norm batch, not frozen"),
        (
            lambda: settings.Loss(hard_weight=1.5),
            r"\(--hard-weight\) is 1.5; it must be a number from 1e-09 to 1, or 0",
        ),
        (lambda: settings.Loss(mixup=True, mixup_alpha=0), r"\(--mixup-alpha\) is 0; it must be a number from 1e-09"),
        (
            lambda: settings.Training(save_dir=""),
            r"Training.save_dir \(--save-dir\) is empty: give a value, or omit it",
        ),
        (lambda: settings.Devices(gpus=[]), r"Devices.gpus \(--gpus\) is empty: give a value, or omit it"),
        (lambda: make(settings.Export, files=("a", "")), r"Export.files \(--files\) is empty"),
        (
            lambda: make(settings.Trained, params="a", pretrained=True),
            "--params and --use-pretrained exclude each other",
        ),
        (lambda: make(settings.Evaluation).resolved(), "no parameters to evaluate"),
        (lambda: make(settings.Attention, locations=((0.5, 1.5),)), "location .* is not a position"),
        (lambda: make(settings.Attention, locations=((0.5,),)), "location .* is not a position"),
        (lambda: settings.Training(start=settings.Start(states="s")).resolved(), "--resume-states needs"),
        (lambda: settings.Training(start=settings.Start(epochs_done=1)).resolved(), "--resume-epoch needs"),
        (
            lambda: settings.Training(epochs=3, start=settings.Start(params="p", epochs_done=3)).resolved(),
            "--resume-epoch is 3, --num-epochs 3: nothing is left",
        ),
        (
            lambda: settings.Training(start=settings.Start(params="p", base="b")).resolved(),
            "--pretrained-base and --resume-params both name the first weights",
        ),
        (
            lambda: settings.Training(start=settings.Start(pretrained=True, base="b")).resolved(),
            "--use-pretrained and --pretrained-base both name the first weights",
        ),
    ],
)
def test_settings_that_contradict_each_other(make_it, message):
    with pytest.raises(UsageError, match=message) as error:
        make_it()
    first_line(error)


# What may differ when a run is resumed


INCIDENTAL = {
    "num_workers": 3,
    "save_dir": "elsewhere",
    "save_frequency": 4,
    "keep": 5,
    "resume": True,
    "auto_resume": True,
    "log_interval": 7,
    "logging_file": "other.txt",
    "tensorboard": True,
}


def test_incidental_options_are_those_that_change_nothing_in_training():
    training = fields.flat(settings.Training())
    assert {*training} - {*fields.flat(settings.Training(), incidental=False)} == set(INCIDENTAL)
    assert changed_options(training, {**training, **INCIDENTAL}) == {}


def test_every_other_option_is_named():
    kinds = [settings.Training(), settings.ImageFolder("x"), settings.Records(), settings.Synthetic()]
    before = {name: value for one in kinds for name, value in fields.flat(one).items()}
    for name in {*before} - {*INCIDENTAL}:
        assert changed_options(before, {**before, name: "other"}) == {name: (before[name], "other")}


def test_a_missing_option_has_its_default():
    """Runs of earlier releases know fewer options; the data have others."""
    digits, folder = (
        fields.flat(settings.Training(data=data)) for data in (settings.Digits(), settings.ImageFolder("x"))
    )
    assert changed_options({}, digits) == {}
    assert changed_options(digits, folder) == {"data_dir": (None, "x")}
    assert changed_options(folder, digits) == {"data_dir": ("x", None)}


def test_other_data_are_named():
    digits, synthetic = (
        fields.flat(settings.Training(data=data)) for data in (settings.Digits(), settings.Synthetic())
    )
    records = fields.flat(settings.Training(data=settings.Records(train="t", val="v")))
    assert changed_options(digits, records) == {"rec_train": (None, "t"), "rec_val": (None, "v")}
    assert [*changed_options(digits, synthetic)] == ["benchmark_batches"]
    assert [*changed_options(synthetic, digits)] == ["benchmark_batches"]


# Documentation


@pytest.mark.parametrize("kind", NEEDED, ids=named)
def test_every_field_is_documented(kind):
    text = inspect.getdoc(kind)
    summary, _, attributes = text.partition("\nAttributes\n----------\n")
    assert len(summary.strip()) > 20
    lines = attributes.splitlines()
    for field in dataclasses.fields(kind):
        (number,) = (n for n, line in enumerate(lines) if line.startswith(f"{field.name} : "))
        one = field.metadata.get("option")
        if one is None:
            continue
        assert one.help
        assert not one.help.endswith(".")
        assert lines[number + 1].strip().lower().startswith(one.help.lower()[:40])
        if one.flags:
            assert lines[number + 1].endswith(f". ({one.flags[-1]})")
        if one.default_words:
            assert one.default_words in lines[number + 1]


def test_open_options_say_what_stands_for_them():
    """An option that is None by default and not simply left out names its default in words."""
    resolved = {name for names in settings.data.DEFAULTS.values() for name in names}
    for _, name, one in OPTIONS:
        if one.name in resolved:
            assert one.default_words, name


# No mxnet


@pytest.mark.parametrize("module", ["a2net_gluon", "a2net_gluon.settings", "a2net_gluon.options", "a2net_gluon.fields"])
def test_imports_without_mxnet(module):
    script = (
        f"import {module}, sys, a2net_gluon; a2net_gluon.settings.Training().resolved(); "
        "print('mxnet' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "False"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: settings.Training(batch_size=32.0), "Training.batch_size .* is 32.0; it must be a whole number"),
        (lambda: settings.Training(epochs=float("inf")), "Training.epochs .* is inf; it must be a whole number"),
        (lambda: settings.Optimization(lr=float("nan")), "Optimization.lr .* is nan; it must be a number"),
        (lambda: settings.Training(data="images").resolved(), "data is 'images'; it must be one of the settings"),
        (lambda: settings.Network(placement="conv4:2"), "placement is 'conv4:2'; it must be a dict"),
        (lambda: settings.Attention(files=["a"], output="b", locations=[0.5, 0.5]), "0.5 is not a position"),
    ],
)
def test_values_of_another_kind(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_numbers_of_numpy_and_tuples_of_paths_are_converted():
    training = settings.Training(batch_size=np.int64(3), optimization=settings.Optimization(lr=np.float32(0.5)))
    assert (type(training.batch_size), type(training.optimization.lr)) == (int, float)
    assert settings.Export(network=settings.Network("resnet50"), output="a", files=(pathlib.Path("b"),)).files == ("b",)


def test_synthetic_data_of_version_01_are_named_when_they_change():
    before = {"benchmark": True}
    assert changed_options(before, {"benchmark_batches": 50}) == {}
    assert changed_options(before, {}) == {"benchmark_batches": (50, None)}
