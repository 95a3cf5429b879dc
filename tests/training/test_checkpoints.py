import copy
import functools
import json

import mxnet as mx
import numpy as np
import pytest

from a2net_gluon.errors import FailureError
from a2net_gluon.training.checkpoints import Checkpoints
from a2net_gluon.training.learner_state import restore_learner, save_learner
from tests.helpers.learners import make_batches, make_learner, parameters, train

PROGRESS = {
    "sums": [0, 0.0, 0, 0],
    "images": 0,
    "skipped_steps": 0,
    "learning_rate": 0.1,
    "waited": 0.0,
    "seconds": 1.0,
}
LEARNER = {"loss_scale": {"scale": 1.0, "good_steps": 0}, "bad_steps": 0}


def state(epoch, batch=0, history=()):
    return {
        "epoch": epoch,
        "batch": batch,
        "batches": [0, 8, 1, 1, 3],
        "progress": {**PROGRESS, "batches": batch},
        "history": list(history),
        "seed": 0,
        "arguments": {"lr": 0.1},
        "data": {"training": "a", "validation": "b"},
    }


def write_files(folder):
    """What a learner would write."""
    for name in ("net.params", "optimizer.params", "model.json"):
        (folder / name).write_text(f"content of {name}")
    return LEARNER


@pytest.fixture
def trained():
    learner = make_learner()
    train(learner, make_batches())
    return learner


def test_restored_learner_goes_on_the_same(trained, tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(functools.partial(save_learner, trained), state(1, history=[{"epoch": 1}]))
    folder, saved, rejected = checkpoints.newest()
    assert (saved["epoch"], saved["history"], rejected) == (1, [{"epoch": 1}], [])
    restored = make_learner()
    restore_learner(restored, folder, saved["learner"])
    for learner in (trained, restored):
        train(learner, make_batches(), 4)
    for name, value in parameters(trained.net).items():
        np.testing.assert_array_equal(parameters(restored.net)[name], value)


def test_newest_whole_one_is_found_and_old_ones_go(trained, tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=3)
    for epoch in (1, 2, 3, 4):
        checkpoints.save(functools.partial(save_learner, trained), state(epoch))
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["epoch-0002", "epoch-0003", "epoch-0004"]
    damaged = tmp_path / "epoch-0004" / "net.params"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    (tmp_path / "epoch-0003" / "state.json").unlink()
    folder, saved, rejected = checkpoints.newest()
    assert (folder.name, saved["epoch"]) == ("epoch-0002", 2)
    assert "epoch-0004: net.params is damaged" in rejected[0]
    assert "epoch-0003" in rejected[1]
    checkpoints.save(functools.partial(save_learner, trained), state(3))  # the damaged ones do not push out whole ones
    assert {path.name for path in tmp_path.glob("epoch-*")} == {"epoch-0002", "epoch-0003"}
    assert {path.name for path in tmp_path.glob("damaged-*")} == {"damaged-epoch-0003", "damaged-epoch-0004"}


def test_nothing_half_written_stays(trained, tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(functools.partial(save_learner, trained), state(1))

    def full_disk(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mx.nd, "save", full_disk)
    with pytest.raises(FailureError, match="epoch-0002: checkpoint cannot be written .*No space left"):
        checkpoints.save(functools.partial(save_learner, trained), state(2))
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-0001"]
    (tmp_path / ".staging-left-by-a-killed-process").mkdir()
    checkpoints.clean()
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-0001"]


def test_no_checkpoint_yet(tmp_path):
    assert Checkpoints(tmp_path / "absent", keep=2).newest() == (None, None, [])


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint after two epochs and three batches."""
    return Checkpoints(tmp_path, keep=3).save(write_files, state(2, 3, [{"epoch": 1}, {"epoch": 2, "val_top1": 0.5}]))


def reason(checkpoint):
    """Why a checkpoint is not whole; None if it is."""
    folder, _, rejected = Checkpoints(checkpoint.parent, keep=3).newest(repair=False)
    assert (folder is None) == bool(rejected)
    assert "\n" not in "".join(rejected)
    return rejected[0][len(f"{checkpoint}: ") :] if rejected else None


def edit(checkpoint, change):
    path = checkpoint / "state.json"
    content = json.loads(path.read_text())
    changed = change(copy.deepcopy(content))
    path.write_text(json.dumps(content if changed is None else changed))


def as_first_written(content):
    """The state as it was written before it had a checksum."""
    return {key: value for key, value in content.items() if key not in ("format", "checksum", "data")}


def setting(*keys, to):
    """A function that sets the value at a path of keys."""

    def change(content):
        inner = content
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = to
        return content

    return change


def without(*names):
    return lambda content: {key: value for key, value in content.items() if key not in names}


STRUCTURE = [
    (setting("epoch", to=3), "state.json"),
    (setting("batch", to=2), "state.json"),
    (setting("progress", "batches", to=4), "state.json"),
    (setting("epoch", to="2"), "epoch is '2'"),
    (setting("epoch", to=True), "epoch is 'True'"),
    (setting("progress", to=[]), "progress is '[]'"),
    (setting("history", to={}), "history is '{}'"),
    (setting("history", to=[{"val_top1": 1}]), "epoch is missing"),
    (setting("history", 1, "val_top1", to="good"), "val_top1 is 'good'"),
    (setting("learner", to={}), "learner: "),
    (setting("learner", "loss_scale", to=1.0), "loss_scale is '1.0'"),
    (setting("sha256", to={}), "net.params is missing"),
    (setting("surprise", to=1), "'surprise' is unknown"),
    (without("learner"), "learner is missing"),
    (without("batches"), "batches is missing"),
    (lambda content: [1], "state.json is '[1]'"),
]


@pytest.mark.parametrize("first", [False, True], ids=["of today", "as first written"])
@pytest.mark.parametrize(("change", "expected"), STRUCTURE)
def test_a_changed_state_is_damaged(checkpoint, first, change, expected):
    if first:
        edit(checkpoint, as_first_written)
    assert reason(checkpoint) is None
    edit(checkpoint, change)
    assert expected in reason(checkpoint)


@pytest.mark.parametrize(
    "change",
    [
        setting("history", 1, "val_top1", to=0.6),
        setting("progress", "images", to=1),
        setting("learner", "bad_steps", to=1),
        setting("arguments", "lr", to=0.2),
        setting("data", "training", to="c"),
        setting("batches", to=[1, 8, 1, 1, 3]),
        setting("checksum", to=None),
        setting("format", to=1),
        setting("format", to=3),
        without("checksum"),
        without("format"),
        without("checksum", "format"),
        without("data"),
    ],
)
def test_every_value_of_a_state_is_covered(checkpoint, change):
    edit(checkpoint, change)
    assert "state.json" in reason(checkpoint)


@pytest.mark.parametrize(
    "content", ["", "{", "null", pytest.param("[" * 100_000, id="deep"), "\xff", '{"epoch": 1, "epoch": 1}']
)
def test_what_is_no_state_is_damaged(checkpoint, content):
    (checkpoint / "state.json").write_bytes(content.encode("latin1"))
    assert reason(checkpoint)


@pytest.mark.parametrize("first", [False, True], ids=["of today", "as first written"])
def test_every_file_of_a_checkpoint_is_covered(checkpoint, first):
    if first:
        edit(checkpoint, as_first_written)
    (checkpoint / ".DS_Store").touch()
    assert reason(checkpoint) is None
    planted = checkpoint / "ema.params"
    planted.write_text("more")
    assert reason(checkpoint) == "ema.params has no checksum"
    planted.unlink()
    (checkpoint / "optimizer.params").unlink()
    assert reason(checkpoint) == "optimizer.params is missing"
    (checkpoint / "optimizer.params").mkdir()
    assert reason(checkpoint) == "optimizer.params is damaged"


@pytest.mark.parametrize("name", ["epoch-0003-batch-000003", "epoch-0002-batch-000004", "epoch-0002"])
def test_a_checkpoint_under_another_name_is_damaged(checkpoint, name):
    renamed = checkpoint.rename(checkpoint.with_name(name))
    assert "state.json is that of epoch-0002-batch-000003" in reason(renamed)


def test_names_that_no_checkpoint_has_are_left_alone(checkpoint):
    copied = checkpoint.with_name("epoch-0009-mine")
    checkpoint.rename(copied)
    checkpoints = Checkpoints(checkpoint.parent, keep=1)
    assert checkpoints.newest() == (None, None, [])
    for epoch in (9999, 10000):
        checkpoints.save(write_files, state(epoch))
    assert {path.name for path in checkpoint.parent.iterdir()} == {"epoch-0009-mine", "epoch-10000"}


def test_a_checkpoint_that_is_a_link(tmp_path):
    """It is read; when it is old, or written again, only the link goes."""
    checkpoints, elsewhere = Checkpoints(tmp_path / "checkpoints", keep=1), tmp_path / "elsewhere"
    checkpoints.save(write_files, state(1)).rename(elsewhere)
    link = checkpoints.folder(1)
    link.symlink_to(elsewhere)
    assert checkpoints.newest()[0] == link
    checkpoints.save(write_files, state(1))
    assert not link.is_symlink()
    link.rename(tmp_path / "moved")
    link.symlink_to(tmp_path / "moved")
    checkpoints.save(write_files, state(2))
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["epoch-0002"]
    assert (elsewhere / "state.json").is_file()
    assert (tmp_path / "moved" / "state.json").is_file()
