"""Grids of ablations, and command lines made of settings."""

import dataclasses

import pytest

from a2net_gluon import options, settings
from a2net_gluon.errors import UsageError
from a2net_gluon.networks import get_model
from tests.helpers.commands import call

GRID = """
baseline: plain
seeds: 4
base: {model: resnet20_small, num-epochs: 3, lr: 0.1, no-wd: true}
variants:
  plain:
  a2: {context: a2, placement: "conv3:1,2+conv4:2", seeds: 3}
  slow: {lr: 0.01}
"""


def parse(tmp_path, text=GRID, *words):
    path = tmp_path / "small.yaml"
    path.write_text(text)
    return options.parse_ablation([str(path), "--save-dir", "x", *words])


def test_a_grid_becomes_settings(tmp_path):
    found = parse(tmp_path)
    assert (found.baseline, found.seeds, found.fewer, found.save_dir) == ("plain", 4, {"a2": 3}, "x")
    assert [found.seeds_of(name) for name in ("plain", "a2", "slow")] == [4, 3, 4]
    assert list(found.cases) == ["small"]
    plain = settings.Training(
        network=settings.Network("resnet20_small"),
        epochs=3,
        optimization=settings.Optimization(lr=0.1, no_wd=True),
    )
    a2 = settings.Network("resnet20_small", context="a2", placement={"conv3": [1, 2], "conv4": [2]})
    assert found.cases["small"] == {
        "plain": plain,
        "a2": dataclasses.replace(plain, network=a2),
        "slow": dataclasses.replace(plain, optimization=settings.Optimization(lr=0.01, no_wd=True)),
    }


def test_flags_replace_those_of_base_and_cases_but_not_of_variants(tmp_path):
    cases = GRID + "cases: {near: {lr: 0.2}, far: {batch-size: 8}}\n"
    found = parse(tmp_path, cases)
    assert [found.cases[case]["plain"].optimization.lr for case in ("near", "far")] == [0.2, 0.1]
    found = parse(
        tmp_path, cases, "--lr", "0.5", "--num-iterations", "7", "--seeds", "2", "--jobs", "3", "--no-wd=false"
    )
    for case, batch_size in (("near", 32), ("far", 8)):
        plain, slow = (found.cases[case][name] for name in ("plain", "slow"))
        assert (plain.optimization, plain.iterations, plain.epochs) == (settings.Optimization(lr=0.5), 7, None)
        assert (slow.optimization.lr, slow.batch_size) == (0.01, batch_size)
    assert (found.seeds, found.jobs, found.seeds_of("a2")) == (2, 3, 2)


BASE = "baseline: a\n"
BAD = {
    "no grid": ("[1, 2]", "no list of 'name: value' lines"),
    "no yaml": ("a: [", "not a grid in YAML"),
    "alias": ("base: &x {lr: 1}\nvariants: *x", "it has an alias"),
    "too deep": (BASE + "variants: {a: {lr: {b: {c: 1}}}}", "a value must be a word"),
    "deeper": (BASE + "base: {lr: {b: 1}}\nvariants: {a: }", "base: lr has lines below it"),
    "twice": (BASE + "variants:\n  a:\n  a:\n", "a is there twice"),
    "unknown key": (BASE + "variant: {a: }", "variant is unknown; a grid has kind, "),
    "kind": ("kind: sounds", "kind is sounds; it must be one of images, clips"),
    "key": ("baseline: [a]\nvariants: {a: }", "baseline is ['a']; it must be a word"),
    "table": (BASE + "variants: a", "variants has no lines"),
    "row": (BASE + "variants: {a: plain}", "a is 'plain'; it must be lines 'flag: value'"),
    "no variants": (BASE, "baseline is 'a'; it must be one of the variants"),
    "no baseline": ("variants: {a: }", "baseline (--baseline) is missing"),
    "baseline": ("baseline: b\nvariants: {a: }", "baseline is 'b'; it must be one of the variants a"),
    "unknown flag": (BASE + "variants: {a: {speed: 1}}", "small.yaml: a: unrecognized arguments: --speed=1"),
    "value": (BASE + "variants: {a: {lr: fast}}", "argument --lr: 'fast' is not a number"),
    "no value": (BASE + "variants: {a: {lr: }}", "a: lr has no value"),
    "seed": (BASE + "base: {seed: 3}\nvariants: {a: }", "base: unrecognized arguments: --seed=3"),
    "seeds": (BASE + "seeds: many\nvariants: {a: }", "'many' is not a whole number from 1 to 100"),
    "baseline seeds": (BASE + "seeds: 4\nvariants: {a: {seeds: 3}}", "the baseline a has fewer seeds than others"),
    "contradiction": (BASE + "base: {ema: 1}\nvariants: {a: }", "small, a: --ema is 1"),
    "name": (BASE + "variants: {a: , ../b: }", "variant '../b' cannot name a folder"),
    "axis": (BASE + "axis: pixels\nvariants: {a: }", "case 'small' is no number, and axis is 'pixels'"),
    "metric": (BASE + "metric: f1\nvariants: {a: }", "'f1'; it must be one of accuracy, class_mean"),
    "large": (BASE + "# " + 70_000 * "x", "more than 64 KB"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_grids(tmp_path, capsys, case):
    text, message = BAD[case]
    path = tmp_path / "small.yaml"
    path.write_text(text)
    code, _, said = call(capsys, "ablate", path, "--save-dir", tmp_path / "x")
    assert code == 2
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_bad_commands(capsys, tmp_path):
    assert (
        "no such file; grids that come with the package: clips, images, long-range" in call(capsys, "ablate", "no")[2]
    )
    assert "the following arguments are required: grid" in call(capsys, "ablate", "--seeds", 2)[2]
    assert "the grid stands first: a2net ablate long-range" in call(capsys, "ablate", "--seeds", 2, "long-range")[2]
    assert "save_dir (--save-dir) is missing" in call(capsys, "ablate", "long-range")[2]
    assert "0 is not a whole number from 1 to 100" in call(capsys, "ablate", "long-range", "--seeds", 0)[2]


def shipped(name):
    return options.parse_ablation([name, "--save-dir", "x", *(["--data-dir", "y"] if name == "images" else [])])


@pytest.mark.parametrize("name", options.shipped_grids())
def test_shipped_grids(name):
    """Every network of a grid can be built, and every block that is compared has the same place and width."""
    text = options.shipped_grids()[name].read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert f"a2net ablate {name} " in text
    for variants in shipped(name).cases.values():
        assert "nothing" in variants
        for training in variants.values():
            network = training.resolved().network
            get_model(network.name, **network.blocks)
        blocks = [variants[kind].network for kind in ("a2", "nl", "se") if kind in variants]
        assert len(blocks) > 1
        assert len({(str(one.placement), one.reduction) for one in blocks}) == 1


def all_settings():
    for name in options.shipped_grids():
        for variants in shipped(name).cases.values():
            yield from variants.values()
    for folder, kind in (("", options.FOR_IMAGES), ("clips", options.FOR_CLIPS)):
        for name in options.shipped_recipes(folder):
            yield options.parse_training(["--recipe", name, "--data-dir", "data"], None, kind).training
    yield settings.Training(
        data=settings.Videos("videos", train_list="a.txt", val_list="b.txt"),
        network=settings.Network("resnet26_3d", "a2", {"conv3": (1, 2), "conv4": (2,)}, 8, "bilinear", "uniform"),
        optimization=settings.Optimization(lr=1e-05, clip_gradient=0.1),
        schedule=settings.Schedule(decay_epochs=(1, 2)),
        devices=settings.Devices(gpus=(0, 2)),
        save_dir="my runs/-1",
        run=settings.Run(resume=True, logging_file="other.txt"),
        seed=3,
    )
    for data in (settings.Synthetic(batches=3), settings.SyntheticClips(batches=3)):
        yield settings.Training(data=data, network=settings.Network("resnet20_small_3d"))


def as_parsed(training):
    """Placements are parsed as lists."""
    placement = training.network.placement
    placement = placement and {name: list(units) for name, units in placement.items()}
    return dataclasses.replace(training, network=dataclasses.replace(training.network, placement=placement))


def test_the_words_of_settings_make_them_again():
    seen = 0
    for training in all_settings():
        command, *words = options.words_of(training)
        kind = {"train": options.FOR_IMAGES, "train-video": options.FOR_CLIPS}[command]
        assert options.parse_training(words, None, kind).training == as_parsed(training)
        seen += 1
    assert seen > 30


def test_settings_that_do_not_fit_together():
    plain = settings.Training()
    make = {"baseline": "a", "save_dir": "x"}
    for cases, message in (
        ({}, "at least one case"),
        ({"1": {"a": plain}, "2": {"b": plain}}, "variant 'a' is not in all cases"),
        ({"1": {"a": "plain"}}, "1, a is 'plain'; it must be settings.Training"),
        ({"1": {"a": settings.Training(save_dir="y")}}, "1, a: an ablation chooses save_dir, seed and resume"),
    ):
        with pytest.raises(UsageError, match=message.replace("(", "[(]")):
            settings.Ablation(cases, **make)
    with pytest.raises(UsageError, match="seeds are given for 'b'; the variants are a"):
        settings.Ablation({"1": {"a": plain}}, fewer={"b": 3}, **make)
    with pytest.raises(UsageError, match="seeds of a are 0; they must be a whole number from 1 to 100"):
        settings.Ablation({"1": {"a": plain}}, fewer={"a": 0}, **make)
