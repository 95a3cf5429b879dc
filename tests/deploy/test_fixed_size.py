"""ONNX files of one size, for readers that know no open sizes."""

import cv2
import numpy as np
import pytest

from a2net_gluon import cli
from a2net_gluon.deploy import load_form, verification
from a2net_gluon.deploy.inputs import graph_input
from a2net_gluon.networks.description import Description
from tests.helpers.commands import SMALL, call, error
from tests.helpers.images import make_image_folder
from tests.helpers.onnx_files import check_strictly, lengths
from tests.helpers.processes import ROOT

onnx = pytest.importorskip("onnx", reason="ONNX is an extra")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is an extra")
BATCH = 2


def export(prefix, *arguments):
    words = ["export", *arguments, "--fixed-size", "--output", prefix]
    assert cli.main([str(word) for word in words]) == 0
    return prefix


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """An export of the pretrained network, also in 8 bits, for two images of 32×32 pixels at a time."""
    folder = tmp_path_factory.mktemp("images")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verification, "AGREEMENT", 0)  # the images are noise
        calibration = ["--int8", make_image_folder(folder / "noise")]
        return export(folder / "net", SMALL, "--use-pretrained", "--onnx", *calibration, "--batch", BATCH)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """An export of the pretrained network for clips, which takes pixels, one clip at a time."""
    prefix = tmp_path_factory.mktemp("clips") / "net"
    return export(prefix, f"{SMALL}_3d", "--use-pretrained", "--onnx", "--pixels")


def inputs(prefix, count):
    description = Description.load(f"{prefix}.json")
    _, *locations = description.preprocessing.input_shape
    crops = np.random.default_rng(0).integers(0, 256, (count, *locations, 3), np.uint8)
    return graph_input(crops, description)


@pytest.mark.parametrize(
    ("which", "ending", "shape", "classes"),
    [
        ("images", ".onnx", [BATCH, 3, 32, 32], 10),
        ("images", "-int8.onnx", [BATCH, 3, 32, 32], 10),
        ("clips", ".onnx", [1, 8, 32, 32, 3], 8),
    ],
)
def test_every_length_is_a_number(request, which, ending, shape, classes):
    model = onnx.load(f"{request.getfixturevalue(which)}{ending}")
    check_strictly(model)
    assert (lengths(*model.graph.input), lengths(*model.graph.output)) == (shape, [shape[0], classes])
    noted = {value.name: lengths(value) for value in model.graph.value_info}
    made = [name for node in model.graph.node for name in node.output if name != "logits"]
    assert all(isinstance(length, int) and length > 0 for name in made for length in noted[name])
    assert not {node.op_type for node in model.graph.node} & {"Shape", "Slice", "Concat"}


@pytest.mark.parametrize("which", ["images", "clips"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_any_number_of_inputs_is_answered(request, which, count):
    prefix = request.getfixturevalue(which)
    given = inputs(prefix, count)
    expected = load_form(prefix, "symbol")(given)
    answer = load_form(prefix, "onnx")(given)
    np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_opencv_reads_it(images):
    given = inputs(images, BATCH)
    net = cv2.dnn.readNetFromONNX(f"{images}.onnx")
    net.setInput(given)
    expected = load_form(images, "symbol")(given)
    np.testing.assert_allclose(net.forward(), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_it_predicts(images, capsys):
    answers = [
        call(capsys, "predict", images, ROOT / "docs" / "cat.jpg", "--form", form) for form in ("onnx", "symbol")
    ]
    assert answers[0][0] == 0
    assert answers[0][1] == answers[1][1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--onnx", "--batch", 2), "--batch is the batch of files of one size: add --fixed-size, or omit it"),
        (("--fixed-size",), "--fixed-size fixes the sizes in ONNX files: add --onnx or --int8"),
        (("--onnx", "--fixed-size", "--batch", 0), "0 is not a whole number from 1 to 65536"),
    ],
)
def test_settings_that_do_not_fit(capsys, tmp_path, words, message):
    assert message in error(capsys, 2, "export", SMALL, "--output", tmp_path / "x", *words)
