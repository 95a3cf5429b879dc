"""Recipes set defaults, flags override."""

import re

import pytest

from a2net_gluon import settings
from a2net_gluon.errors import UsageError
from a2net_gluon.networks.catalog import find_network
from a2net_gluon.options import FOR_CLIPS, parse_training, shipped_recipes


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_shipped_recipes(name):
    training = parse_training(["--recipe", name, "--rec-train", "t.rec", "--rec-val", "v.rec"]).training.resolved()
    assert training.network.name == ("a2net_resnet20_small" if name == "cifar10" else "a2net_resnet50")
    text = shipped_recipes()[name].read_text(encoding="utf-8")
    assert text.startswith("#")
    assert f"--recipe {name}" in text  # the command
    assert "Expected" in text


def test_the_papers_recipe():
    training = parse_training(["--recipe", "paper", "--rec-train", "t.rec", "--rec-val", "v.rec"]).training.resolved()
    assert training.optimization.lr == pytest.approx(0.1**0.5)
    assert 64 * training.batch_size == 2048
    assert (training.schedule.mode, training.schedule.decay) == ("plateau", 0.1)
    assert training.kv_store == "dist_device_sync"


CLIP_RECIPES = shipped_recipes("clips")


@pytest.mark.parametrize(
    ("name", "devices", "total", "expected"),
    [
        ("kinetics-ablation", 32, 512, (0.2, 37_000, "step", (20_000, 30_000), 1500, 0.02)),
        ("kinetics", 64, 512, (0.04, 32_000, "plateau", (), 1500, 0.004)),
        ("ucf101", 8, 104, (0.01, 6731, "step", (1923, 3846, 5769), 0, 0.0)),
    ],
)
def test_recipes_for_clips(name, devices, total, expected):
    """What the paper says in sections 3.2 and 3.4."""
    text = CLIP_RECIPES[name].read_text(encoding="utf-8")
    training = parse_training(["--recipe", name, "--data-dir", "x"], None, FOR_CLIPS).training.resolved()
    schedule = training.schedule
    assert (
        training.optimization.lr,
        training.iterations,
        schedule.mode,
        schedule.decay_iterations,
        schedule.warmup_iterations,
        schedule.warmup_lr,
    ) == expected
    assert devices * training.batch_size == total
    network = find_network(training.network.name)
    assert (3, training.input.frames, training.input.size, training.input.size) == network.input_shape
    assert training.augmentation == "author"
    assert f"--recipe {name}" in text
    assert "Expected: " in text
    assert "Not reproduced" in text
    for line in text.splitlines():
        assert line.startswith("#") or re.search(" # (the paper|GloRe|MFNet|ours)", line), line


def test_every_recipe_for_clips_is_here():
    assert {*CLIP_RECIPES} == {"kinetics-ablation", "kinetics", "ucf101"}


@pytest.fixture
def recipe(tmp_path):
    def write(text):
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return str(path)

    return write


def test_flags_go_before_a_recipe(recipe):
    path = recipe("lr: 0.3\nlr-decay-epoch: [2, 5]\nmixup: true\nno-wd: true\nnum-epochs: 7\n")
    training = parse_training(["--recipe", path, "--lr", "0.4", "--mixup", "false"]).training
    optimization = training.optimization
    assert (optimization.lr, training.schedule.decay_epochs, training.loss.mixup) == (0.4, (2, 5), False)
    assert (optimization.no_wd, training.epochs) == (True, 7)
    assert parse_training(["--mixup", "--recipe", path]).training.loss.mixup is True
    assert parse_training(["--lr", "0.4"]).training.loss.mixup is False


def test_data_of_a_recipe(recipe):
    training = parse_training(["--recipe", recipe("benchmark: true\nbenchmark-batches: 7\n")]).training
    assert training.data == settings.Synthetic(batches=7)
    training = parse_training(
        ["--recipe", recipe("use-rec: true\nnative-reader: true\n"), "--rec-val", "v.rec"]
    ).training
    assert training.data == settings.Records(val="v.rec", native=True)


def test_devices_on_the_command_line_replace_those_of_a_recipe(recipe):
    path = recipe("num-gpus: 4\n")
    assert parse_training(["--recipe", path]).training.devices.num_gpus == 4
    devices = parse_training(["--recipe", path, "--gpus", "1,2"]).training.devices
    assert (devices.num_gpus, devices.gpus) == (0, (1, 2))


def test_an_option_on_the_command_line_replaces_those_of_a_recipe_that_it_excludes(recipe):
    path = recipe("num-epochs: 7\nlr-decay-epoch: [2, 5]\nwarmup-epochs: 1\nno-wd: true\n")
    flags = "--num-iterations 90 --lr-decay-iterations 40,60 --warmup-iterations 5 --no-bias-decay"
    training = parse_training(["--recipe", path, *flags.split()]).training
    assert (training.epochs, training.iterations) == (None, 90)
    schedule, optimization = training.schedule, training.optimization
    assert (schedule.decay_iterations, schedule.decay_epochs) == ((40, 60), settings.Schedule().decay_epochs)
    assert (schedule.warmup_epochs, schedule.warmup_iterations) == (None, 5)
    assert (optimization.no_wd, optimization.no_bias_decay) == (False, True)
    optimization = parse_training(["--recipe", path, "--no-bias-decay", "false"]).training.optimization
    assert (optimization.no_wd, optimization.no_bias_decay) == (True, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr: fast", "argument --lr: 'fast' is not a number"),
        ("learning-rate: 0.1", "unrecognized arguments: --learning-rate"),
        ("lr-mode: linear", "invalid choice: 'linear'"),
        ("- lr\n- 0.1", "'flag: value' lines"),
        ("lr: [", "not YAML"),
        ("num-gpus: 1\ngpus: [0]", "not allowed with"),
        ("", "'flag: value' lines"),
        ("lr: -1", "argument --lr: -1 is not a number"),
        ("lr: 0.1\nmixup: true\nlr: 0.2", "lr is there twice: keep one"),
        ("recipe: paper", "a recipe cannot name another recipe: copy its lines"),
        ("save-dir:", "save-dir has no value: give one, or remove the line"),
        ("save-dir: ~", "save-dir has no value"),
        ("lr: {a: 1}", "a value must be a word, a number, or a list of such"),
        ("{lr: 0.1}: 1", "a value must be a word|'flag: value' lines"),
        ("save-dir: 2020-99-99\nlr: x", "argument --lr: 'x' is not a number"),
        ("lr: 0.1\n---\nlr: 0.2", "expected a single document"),
        ("lr: !!float 0.1", "it has an alias"),
        ("lr: &a 0.1\nwd: *a", "it has an alias"),
    ],
)
def test_bad_recipes(text, message, recipe):
    with pytest.raises(UsageError, match=message) as raised:
        parse_training(["--recipe", recipe(text)])
    assert "recipe.yaml: " in str(raised.value)
    assert "\n" not in str(raised.value)


BOMBS = {
    "aliases": "\n".join(
        [
            "a0: &a0 [0, 0]",
            *(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)),
            "lr-decay-epoch: *a9",
        ]
    ),
    "digits": f"num-epochs: {'9' * 5000}",
    "brackets": f"lr: {'[' * 2000}",
    "closed brackets": f"lr: {'[' * 2000}{']' * 2000}",
    "braces": f"lr: {'{a: ' * 2000}",
    "indentation": "\n".join(f"{' ' * n}a:" for n in range(300)),
    "size": "# a\n" * 20000,
    "bytes": "lr: \0",
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_recipes_out_of_bounds(text, recipe):
    with pytest.raises(UsageError, match="recipe.yaml: ") as raised:
        parse_training(["--recipe", recipe(text)])
    assert len(str(raised.value)) < 500
    assert "\n" not in str(raised.value)


def test_unknown_recipe():
    with pytest.raises(
        UsageError, match="no such file; recipes that come with the package: cifar10, modern, one-gpu, paper"
    ):
        parse_training(["--recipe", "papper"])


def test_yaml_cannot_make_objects(recipe):
    with pytest.raises(UsageError, match="not YAML"):
        parse_training(["--recipe", recipe("lr: !!python/object/apply:os.getcwd []")])


def gluoncv_flags():
    """Every flag of GluonCV's train_imagenet.py that this project takes over."""
    return (
        "--data-dir --rec-train --rec-train-idx --rec-val --rec-val-idx --use-rec --batch-size --dtype --num-gpus -j "
        "--num-data-workers --num-epochs --lr --momentum --wd --lr-mode --lr-decay --lr-decay-period --lr-decay-epoch "
        "--warmup-lr --warmup-epochs --last-gamma --mode --model --input-size --crop-ratio --use-pretrained --mixup "
        "--mixup-alpha --mixup-off-epoch --label-smoothing --no-wd --teacher --temperature --hard-weight "
        "--save-frequency --save-dir --resume-epoch --resume-params --resume-states --log-interval --logging-file"
    ).split()


def test_gluoncvs_flags(capsys):
    with pytest.raises(SystemExit):
        parse_training(["--help"])
    text = capsys.readouterr().out
    for flag in gluoncv_flags():
        assert f"{flag} " in text or f"{flag}," in text or f"{flag}\n" in text, flag


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--resume-epoch 3", "needs --resume-params"),
        ("--resume-states s", "needs --resume-params"),
        ("--resume-params p --resume-epoch 12", "nothing is left"),
        ("--resume-params p --use-pretrained", "give one of them"),
        ("--ema 1", "must be below 1"),
    ],
)
def test_flags_that_do_not_go_together(flags, message):
    with pytest.raises(UsageError, match=message):
        parse_training(flags.split()).training.resolved()
