"""8 bits on trained weights and real photographs."""

import math
from fractions import Fraction

import mxnet as mx
import numpy as np
import pytest

from a2net_gluon import get_model
from a2net_gluon.deploy import export_network, load_form, verification
from a2net_gluon.deploy.inputs import crops_of, graph_input
from a2net_gluon.deploy.proof import in_batches
from a2net_gluon.errors import FailureError
from a2net_gluon.networks import find_weights
from a2net_gluon.networks.description import Description

pytest.importorskip("onnxruntime", reason="ONNX Runtime is an extra")
NAME = "a2net_resnet20_small"


@pytest.fixture(scope="module")
def trained():
    """The network that comes with the package, and its description."""
    return get_model(NAME, pretrained=True), Description.beside(find_weights(NAME, True))


EVERY = {"train": 100, "test": 10}


def some(paths):
    """Every nth photo of each part of CIFAR-10."""
    return [path for part, step in EVERY.items() for path in [path for path in paths if path.parts[1] == part][::step]]


@pytest.fixture
def photos(real_data):
    """Return a function that names those of a part."""
    folder = real_data("cifar10.tar.xz", some)
    return lambda part: sorted((folder / part).rglob("*.jp*g"))


@pytest.mark.slow
@pytest.mark.parametrize("pixels", [False, True])
def test_8_bits_keep_the_class(tmp_path, trained, photos, pixels):
    net, description = trained
    proofs = export_network(net, tmp_path / "model", description, ["int8"], calibration=photos("train"), pixels=pixels)
    assert proofs["int8"].images == 250
    paths = photos("test")
    crops = crops_of(paths, description.preprocessing)
    given = crops if pixels else graph_input(crops, description)
    labels = np.array([description.classes.index(path.parent.name) for path in paths])
    answers = {form: in_batches(load_form(tmp_path / "model", form), given).argmax(1) for form in ("symbol", "int8")}
    assert len(labels) == 1000
    assert (answers["int8"] == answers["symbol"]).mean() >= 0.99
    assert abs((answers["int8"] == labels).mean() - (answers["symbol"] == labels).mean()) < 0.01


def test_it_is_nearly_the_same_at_any_batch_and_size(tmp_path, trained, image_folder, monkeypatch):
    net, description = trained
    monkeypatch.setattr(verification, "AGREEMENT", 0)  # the images are noise
    export_network(net, tmp_path / "model", description, ["int8"], calibration=sorted(image_folder.rglob("*.jpg")))
    for count, size in ((1, 32), (3, 48)):
        x = mx.nd.random.normal(shape=(count, 3, size, size)).asnumpy()
        plain, coarse = (load_form(tmp_path / "model", form)(x) for form in ("symbol", "int8"))
        assert not (tmp_path / "model.onnx").exists()  # nobody asked for it
        assert 1e-5 < np.abs(coarse - plain).max() / np.abs(plain).max() < 0.2


def test_what_chance_may_change():
    """The limit of a sample, from the binomial distribution added up by hand."""
    for images in (11, 250, 5000):
        allowed = round(images * (1 - verification.least_agreement(images)))
        chances = [
            math.comb(images, k) * Fraction(1, 100) ** k * Fraction(99, 100) ** (images - k) for k in range(allowed + 1)
        ]
        assert sum(chances[:-1]) < Fraction(95, 100) <= sum(chances)


def test_too_little_agreement_fails_and_leaves_nothing(tmp_path, trained, image_folder, monkeypatch):
    net, description = trained
    monkeypatch.setattr(verification, "least_agreement", lambda images: 1.01)
    paths = sorted(image_folder.rglob("*.jpg"))
    with pytest.raises(
        FailureError, match=r"as int8 only \d+.\d\d % of 11 images get the same class, too few for 99 % of all"
    ):
        export_network(net, tmp_path / "out" / "model", description, ["int8"], calibration=paths)
    assert not (tmp_path / "out").exists()
