"""Readers of the scenario input have the same files and make the same crops."""

import numpy as np
import pytest

from a2net_gluon.data import AUGMENTATIONS
from a2net_gluon.data.augmentation import Augmentation
from a2net_gluon.data.folder import read_image
from benchmarks import peer_images, worker
from benchmarks.comparison import RATIOS, evaluate
from benchmarks.mxnet_worker import augment
from benchmarks.preparation import lay_out, make_jpegs
from benchmarks.runner import Implementation, take_turns
from benchmarks.scenarios import LEVELS
from benchmarks.setup import QUICK, Settings


@pytest.fixture(scope="module")
def jpegs(tmp_path_factory):
    return make_jpegs(tmp_path_factory.mktemp("jpegs") / "made", 4, 120, 160)


def test_made_jpegs_are_different(jpegs):
    images = [read_image(path) for path in jpegs]
    assert {image.shape for image in images} == {(120, 160, 3)}
    assert len({image.tobytes() for image in images}) == 4


def test_photographs_are_found_and_take_turns(jpegs, tmp_path):
    found = worker.find_jpegs(jpegs[0].parent.parent)
    assert found == jpegs
    (tmp_path / "note.txt").write_text("no JPEG")
    lay_out(found, tmp_path / "images", 6)
    linked = worker.find_jpegs(tmp_path)
    assert [path.parent.name for path in linked] == ["class0"] * 3 + ["class1"] * 3
    assert sorted(path.read_bytes() for path in linked) == sorted(path.read_bytes() for path in [*found, *found[:2]])


def test_peer_decodes_the_same(jpegs):
    for path in jpegs:
        assert np.abs(peer_images.decode(path).astype(int) - read_image(path)).max() <= 1


@pytest.mark.parametrize("shape", [(120, 160), (160, 120), (40, 400)])  # of the last, few crops fit
def test_peer_augments_the_same(jpegs, shape):
    images = [read_image(path) for path in jpegs]
    for seed in range(24):
        image = images[seed % len(images)]
        image = np.tile(image, (2, 3, 1))[: shape[0], : shape[1]]
        ours, theirs = np.random.default_rng(seed), np.random.default_rng(seed)
        expected = augment(image, 64, ours)
        crop = peer_images.augment(image, 64, theirs)
        assert ours.random() == theirs.random()  # as many numbers drawn
        assert (crop.shape, crop.dtype) == (expected.shape, expected.dtype)
        # OpenCV's versions round bicubic resizing differently, and the jitter spreads that.
        assert np.abs(crop.astype(int) - expected).mean() < LEVELS / 2


def test_peer_draws_from_the_same_limits():
    theirs = Augmentation(
        min_area=peer_images.AREA[0],
        aspect=peer_images.ASPECT,
        mirror=True,
        hue=peer_images.HUE,
        saturation=peer_images.SATURATION,
        lightness=peer_images.LIGHTNESS,
    )
    assert theirs == AUGMENTATIONS["dpn"]
    assert peer_images.AREA[1] == 1


def test_peer_gives_crops_in_channels_first(jpegs):
    photographs = peer_images.Photographs(jpegs, [0, 1, 2, 3], 32)
    crop, label = photographs[3]
    assert (crop.shape, crop.dtype, label) == ((3, 32, 32), np.uint8, 3)


def test_training_that_fails_is_excluded(tmp_path):
    lines = []
    data = {"kind": "Records", "val": str(tmp_path / "none.rec")}
    sizes = {"network": "a2net_resnet20_small", "size": 32, "batch": 4, "workers": 1, "epochs": 2}
    task = {"kind": "epochs", "folder": str(tmp_path), "data": data, **sizes}
    settings = Settings(**QUICK, log=lines.append)
    (result,) = take_turns([Implementation("records", "epochs", task)], settings, rounds=0)
    assert result["error"] == "UsageError: --use-rec needs --rec-train FILE"
    assert lines == [f"records is excluded: {result['error']}"]


def test_targets_of_speed_are_lower_limits():
    times = {("torch", "dataloader"): 6.0, ("mxnet", "records"): 4.0, ("mxnet", "native"): 5.0}
    times["mxnet", "smaller"] = 3.0
    times.update({("epochs", "benchmark"): 94.0, ("epochs", "records"): 100.0})
    rows = [{"family": family, "form": form, "min_ms": ms, "median_ms": ms} for (family, form), ms in times.items()]
    smaller, best, native, training = evaluate(RATIOS["input"], rows)
    assert (smaller["values"]["min_ms"], smaller["met"]) == (2.0, True)
    assert (best["values"]["min_ms"], best["met"]) == (1.5, True)
    assert native["values"]["min_ms"] == 1.2
    assert (training["values"]["min_ms"], training["met"]) == (0.94, False)
