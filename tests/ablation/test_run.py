"""Ablations from their settings to their results: pairing, resumption, what is compared and written."""

import dataclasses
import json
import pathlib
import signal
import subprocess

import numpy as np
import pytest

import a2net_gluon
from a2net_gluon import ablation, options, settings
from a2net_gluon.ablation.plan import plan
from a2net_gluon.ablation.worker import run_one
from a2net_gluon.data import digits
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.networks.transfer import is_context
from a2net_gluon.training.assembly import describe, make_networks, training_preprocessing
from a2net_gluon.training.sources import open_source
from tests.helpers.commands import call
from tests.helpers.images import make_image_folder
from tests.helpers.processes import fork, fork_command, wait_until

GRID = """
baseline: plain
seeds: 2
base: {{data-dir: {data}, model: resnet20_small, input-size: 16, batch-size: 4, num-epochs: 3, num-data-workers: 1}}
variants:
  plain:
  a2: {{context: a2, placement: "conv3:1"}}
"""


def pair(folder, data=None, **more):
    """The settings of an ablation of two variants."""
    plain = settings.Training(
        data=data or settings.Digits(),
        network=settings.Network("resnet20_small"),
        input=settings.Input(size=16),
        batch_size=4,
        epochs=2,
        workers=1,
    )
    a2 = dataclasses.replace(plain, network=settings.Network("resnet20_small", "a2", {"conv3": (1,)}))
    variants = {"plain": plain, "a2": a2}
    return settings.Ablation({"small": variants}, baseline="plain", save_dir=folder, **{"seeds": 2, **more})


def weights_and_batches(training):
    """The first weights of a run by name, and the pixels and labels of its first two epochs."""
    training = training.resolved()
    preprocessing = training_preprocessing(training)
    source = open_source(training, preprocessing)
    net, _, _ = make_networks(
        training, [a2net_gluon.devices.mx.cpu()], describe(training, source.classes, preprocessing)
    )
    weights = {name: one.data().asnumpy() for name, one in net._collect_params_with_prefix().items()}
    batches = [
        (batch.pixels.asnumpy(), batch.labels.asnumpy(), batch.numbers)
        for epoch in (1, 2)
        for batch in source.train(epoch)
    ]
    source.close()
    return weights, batches


def test_variants_with_one_seed_share_batches_and_first_weights(tmp_path, image_folder):
    grid = pair(tmp_path / "x", settings.ImageFolder(image_folder))
    plain = grid.cases["small"]["plain"]
    networks = {
        "a2": settings.Network("resnet20_small", "a2", {"conv3": (1,), "conv2": (2,)}),
        "deeper": settings.Network("resnet26_small"),
        "se": settings.Network("resnet20_small", "se", {"conv3": (1,)}),
    }
    variants = {name: dataclasses.replace(plain, network=network) for name, network in networks.items()}
    grid = dataclasses.replace(grid, cases={"small": {"plain": plain, **variants}})
    runs = {(run.variant, run.seed): run.training for run in plan(grid)}
    weights, batches = weights_and_batches(runs["plain", 0])
    assert len(batches) == 6
    for variant in networks:
        others, their_batches = weights_and_batches(runs[variant, 0])
        for mine, theirs in zip_equal(batches, their_batches):
            for one, two in zip_equal(mine, theirs):
                np.testing.assert_array_equal(one, two)
        new = {*others} - {*weights}
        assert new
        assert all(is_context(name) or "conv3.unit" in name for name in new)
        assert {*weights} <= {*others}
        for name, value in weights.items():
            np.testing.assert_array_equal(value, others[name], err_msg=name)
    again, other_batches = weights_and_batches(runs["plain", 1])
    assert [numbers for *_, numbers in other_batches] != [numbers for *_, numbers in batches]
    drawn = [name for name in weights if name.endswith(("conv.weight", "output.weight"))]
    assert len(drawn) > 20
    assert all((weights[name] != again[name]).any() for name in drawn)
    for name in drawn:  # MXNet's MSRAPrelu: 2 / (1 + slope²) by the mean of the numbers of inputs and outputs
        outputs, inputs, *kernel = weights[name].shape
        spread = (2 / (1 + 0.25**2) / ((inputs + outputs) / 2 * np.prod(kernel))) ** 0.5
        assert weights[name].std() == pytest.approx(spread, rel=0.25), name


def zip_equal(one, other):
    assert len(one) == len(other)
    return zip(one, other)


def train_all(grid, folder):
    """All runs of an ablation, one after the other in this process, none of them stopped."""
    for one in plan(options.parse_ablation([str(grid), "--save-dir", str(folder)])):
        run_one(one.training, "accuracy", one.result_file)


def ablate_until(pattern, grid, folder):
    """Start an ablation, one run at a time, and wait for such a checkpoint; returns the process."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = fork_command("ablate", grid, "--jobs", 1, "--save-dir", folder, **pipes)
    there = wait_until(lambda: any(folder.glob(f"runs/*/*/*/checkpoints/{pattern}/state.json")), process)
    assert there, process.stdout.read()
    return process


@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted(tmp_path, capsys):
    """SIGTERM in the middle of the first run, SIGKILL later, and the rest: to the bit what no signal has stopped."""
    data, grid, folder = make_image_folder(tmp_path / "images"), tmp_path / "small.yaml", tmp_path / "x"
    grid.write_text(GRID.format(data=data))
    process = ablate_until("epoch-0001*", grid, folder)
    process.terminate()
    assert "stopped by SIGTERM" in process.communicate(timeout=180)[0]
    assert process.returncode == 128 + signal.SIGTERM
    process = ablate_until("epoch-0002*", grid, folder)
    process.kill()
    process.communicate(timeout=180)
    code, out, _ = call(capsys, "ablate", grid, "--jobs", 2, "--save-dir", folder)
    assert code == 0
    assert "too few seeds" in out
    assert "4 of 4 runs: small, a2, seed 1: " in out
    logs = [path.read_text() for path in folder.glob("runs/*/*/*/log.txt")]
    assert len(logs) == 4
    assert any("resumed from" in log for log in logs)

    plain = tmp_path / "plain"
    assert fork(train_all, grid, plain, stdout=subprocess.DEVNULL).wait(600) == 0
    files = {path.relative_to(plain) for path in plain.rglob("*.params")}
    assert len(files) >= 8
    assert files == {path.relative_to(folder) for path in folder.rglob("*.params")}
    for file in files:
        assert (folder / file).read_bytes() == (plain / file).read_bytes(), file
    for file in plain.rglob("result.json"):
        expected = json.loads(file.read_text())["metrics"]
        assert json.loads((folder / file.relative_to(plain)).read_text())["metrics"] == expected


VALUES = {"plain": [0.70, 0.72, 0.71, 0.69, 0.73], "a2": [0.72, 0.73, 0.74, 0.70, 0.76]}
COSTS = {"params": 1234, "macs": 5_600_000, "milliseconds": 0.25}


def finish(grid):
    """Write what the runs of an ablation leave, without training."""
    for run in plan(grid):
        run.folder.mkdir(parents=True)
        result = {"metrics": {"accuracy": VALUES[run.variant][run.seed]}, "cpu_seconds": 90.0}
        run.result_file.write_text(json.dumps(result))
    costs = {case: dict.fromkeys(variants, COSTS) for case, variants in grid.cases.items()}
    (pathlib.Path(grid.save_dir) / "costs.json").write_text(json.dumps(costs))


def test_results_of_runs_that_are_done(tmp_path):
    grid, said = pair(tmp_path / "x", seeds=5), []
    finish(grid)
    results = a2net_gluon.ablate(grid, tell=said.append)
    assert said == ["10 of 10 runs are done already"]
    assert results == json.loads((tmp_path / "x" / "results.json").read_text())
    assert (results["baseline"], results["metric"], results["cpu_hours"]) == ("plain", "accuracy", 0.25)
    plain, a2 = (results["cases"]["small"][name] for name in ("plain", "a2"))
    assert a2["values"] == dict(zip("01234", VALUES["a2"]))
    assert plain["difference"] is None
    assert a2["difference"]["mean"] == pytest.approx(0.02)
    assert a2["difference"]["verdict"] == "higher"
    assert {**COSTS, **a2} == a2
    table = (tmp_path / "x" / "results.md").read_text()
    assert table == ablation.as_markdown(results)
    assert "| plain, the baseline | 5 | 71.00 | 69.04 to 72.96 |" in table
    assert (
        "| a2 | 5 | 73.00 | 70.22 to 75.78 | +2.00 | +0.76 to +3.24 | 0.011 | higher | 1,234 | 5.60 | 0.25 |" in table
    )
    assert (tmp_path / "x" / "results.png").read_bytes()[:4] == b"\x89PNG"
    assert not (tmp_path / "x" / ".lock").exists()


def test_cases_over_an_axis_are_one_picture(tmp_path):
    grid = pair(tmp_path / "x", seeds=3)
    variants = grid.cases["small"]
    grid = dataclasses.replace(grid, cases={"8": variants, "16": variants}, axis="pixels")
    finish(grid)
    table = ablation.as_markdown(a2net_gluon.ablate(grid))
    assert "**pixels: 8**" in table
    assert "**pixels: 16**" in table
    assert (tmp_path / "x" / "results.png").read_bytes()[:4] == b"\x89PNG"


def test_more_seeds_can_be_added_but_nothing_be_changed(tmp_path):
    few = pair(tmp_path / "x", seeds=2)
    finish(few)
    assert a2net_gluon.ablate(few)["cases"]["small"]["a2"]["difference"]["verdict"] == "too few seeds"
    plain = few.cases["small"]["plain"]
    other = {**few.cases["small"], "plain": dataclasses.replace(plain, batch_size=8)}
    with pytest.raises(UsageError, match="holds other runs of small, plain: --batch-size is 8, was 4; name another"):
        a2net_gluon.ablate(dataclasses.replace(few, cases={"small": other}))
    other["plain"] = dataclasses.replace(plain, data=settings.Synthetic())
    with pytest.raises(UsageError, match="small, plain: its data are Synthetic, were Digits; name another"):
        a2net_gluon.ablate(dataclasses.replace(few, cases={"small": other}))
    more = dataclasses.replace(few, seeds=5)
    for run in plan(more):
        if run.seed > 1:
            run.folder.mkdir(parents=True)
            run.result_file.write_text(
                json.dumps({"metrics": {"accuracy": VALUES[run.variant][run.seed]}, "cpu_seconds": 1})
            )
    assert a2net_gluon.ablate(more)["cases"]["small"]["a2"]["difference"]["verdict"] == "higher"


@pytest.mark.parametrize("file", ["grid.json", "costs.json", "runs/small/a2/seed-1/result.json"])
@pytest.mark.parametrize("content", ["", "[1]", '{"small": 3}', '{"metrics": {"accuracy": "a"}}'])
def test_damaged_files_are_named(tmp_path, file, content):
    grid = pair(tmp_path / "x")
    finish(grid)
    (tmp_path / "x" / file).write_text(content)
    with pytest.raises(FailureError, match=f"{file} is damaged: "):
        a2net_gluon.ablate(grid)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (settings.Network("resnet20_smal"), "small, a2: unknown model 'resnet20_smal'; did you mean 'resnet20_small'"),
        (settings.Network("resnet20_small", "nl"), "small, a2: resnet20_small needs a placement"),
        (settings.Network("resnet20_small", "a2", {"conv9": (1,)}), "small, a2: placement names stage 'conv9'"),
        (settings.Network("resnet26_3d"), "small, a2: resnet26_3d takes clips, the data are images"),
    ],
)
def test_a_variant_that_cannot_be_built_is_refused_before_training(tmp_path, network, message):
    grid = pair(tmp_path / "x")
    variants = grid.cases["small"]
    wrong = {**variants, "a2": dataclasses.replace(variants["a2"], network=network)}
    with pytest.raises(UsageError, match=message):
        a2net_gluon.ablate(dataclasses.replace(grid, cases={"small": wrong}))
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_is_named(tmp_path):
    grid = pair(tmp_path / "x", settings.ImageFolder(tmp_path / "missing"), seeds=1, jobs=1)
    with pytest.raises(FailureError, match="small, plain, seed 0: .*missing.*exit code 2; run folder .*seed-0"):
        a2net_gluon.ablate(grid)


def test_the_mean_of_classes_is_measured_after_training(tmp_path, monkeypatch):
    images, labels = digits.load_digits()
    monkeypatch.setattr(digits, "load_digits", lambda: (images[:96], labels[:96]))
    training = settings.Training(
        data=settings.MovingDigits(),
        network=settings.Network("resnet20_small_3d"),
        input=settings.Input(size=16, frames=2),
        epochs=1,
        save_dir=tmp_path / "run",
    )
    monkeypatch.setattr(a2net_gluon.data.moving_digits, "load_digits", lambda: (images[:96], labels[:96]))
    monkeypatch.setattr(a2net_gluon.data.moving_digits, "TRAIN_COUNT", 64)
    run_one(training, "class_mean", tmp_path / "result.json")
    metrics = json.loads((tmp_path / "result.json").read_text())["metrics"]
    assert {"accuracy", "class_mean", "video_top1"} <= {*metrics}
    assert metrics["accuracy"] == metrics["video_top1"]
