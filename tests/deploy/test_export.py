import collections
import dataclasses
import json
import sys
from importlib.util import find_spec

import cv2
import mxnet as mx
import numpy as np
import pytest

from a2net_gluon import cli, get_model, list_models
from a2net_gluon.data import find_images
from a2net_gluon.deploy import Predictor, export_network, load_form, load_module
from a2net_gluon.deploy.forms import exported_files, written_forms
from a2net_gluon.deploy.inputs import crops_of, graph_input
from a2net_gluon.deploy.proof import in_batches
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.networks import load_weights
from tests.helpers import clips
from tests.helpers.exports import describe, make, make_wrong
from tests.helpers.kills import killed_at, left_at_each_step, leftovers
from tests.helpers.onnx_files import check_strictly

EQUAL = ("onnx", "optimized", "symbol") if find_spec("onnxruntime") else ("optimized", "symbol")  # it is an extra


@pytest.fixture(scope="session")
def small_photos(real_data, tmp_path_factory):
    """Return a function that gives 125 real photographs, made small once for all networks."""
    folder = tmp_path_factory.mktemp("photos")

    def make_small():
        photos = find_images([real_data("imagenet_photos.tar")])
        for path in [] if list(folder.iterdir()) else photos:
            photo = cv2.imread(str(path))
            factor = 40 / min(photo.shape[:2])
            small = cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(folder / f"{path.stem}.png"), small)
        return find_images([folder])

    return make_small


@pytest.mark.slow
@pytest.mark.parametrize("name", list_models())
def test_every_form_equals_the_live_network_on_real_photos_or_clips(name, tmp_path, real_data, small_photos):
    net, description = make(name), describe(name, size=32)
    frames = description.preprocessing.frames
    photos = frames_of_clips(tmp_path, real_data("video_clips.tar"), frames) if frames else small_photos()
    photos = photos if frames else photos[:112]  # whole batches: another size takes each form a second
    crops = graph_input(crops_of(photos[: 32 * (frames or 1)], description.preprocessing), description)
    net.hybridize()
    logits = in_batches(lambda x: net(mx.nd.array(x)).asnumpy(), crops)
    # Random weights give all photos one class; without their common part the logits tell photos apart.
    net.output.bias.set_data(-logits.mean(axis=0))
    assert len(set((logits - logits.mean(axis=0)).argmax(1))) > 1
    proofs = export_network(net, tmp_path / "model", description, EQUAL, photos)
    assert set(proofs) == {"Module", *EQUAL}
    for proof in proofs.values():
        assert proof.images >= (10 if frames else 100)
        assert proof.difference <= 1e-4
        assert proof.agreement == 1
    assert sorted(exported_files(tmp_path / "model", EQUAL)) == sorted(tmp_path.glob("model*"))
    # Another number of frames than that of the export.
    if "onnx" in EQUAL:
        check_other_sizes_strictly(tmp_path / "model.onnx", frames)
    shorter = dataclasses.replace(description.preprocessing, frames=frames and 4)
    shorter = dataclasses.replace(description, preprocessing=shorter)
    # The proof is made of batches of 16 of the usual size.
    check_batches_and_sizes(net, tmp_path / "model", shorter, ((1, 32, 32), (3, 48, 80)))


def check_other_sizes_strictly(path, frames):
    import onnx

    model = onnx.load(str(path))
    for shape in (None, (2, 3, *([4] if frames else []), 48, 80), (1, 3, *([16] if frames else []), 224, 224)):
        check_strictly(model, shape)


def frames_of_clips(folder, videos, count):
    """Two clips of each video as image files, frame by frame."""
    paths = [folder / f"{number}.png" for number in range(10 * count)]
    frames = clips.clips(videos, 2, count, 32)[0].reshape(-1, 32, 32, 3)
    for path, frame in zip(paths, frames):
        cv2.imwrite(str(path), frame[..., ::-1])
    return paths


def check_batches_and_sizes(net, prefix, description, batches, pixels=False):
    """The live network and every form answer the same to noise in `batches` of (count, height, width)."""
    runs = [load_form(prefix, form) for form in EQUAL] + [load_module(prefix)]
    rng = np.random.default_rng(0)
    for count, height, width in batches:
        frames = description.preprocessing.frames
        crops = rng.integers(0, 256, (count, *([frames] if frames else []), height, width, 3), np.uint8)
        normalized = graph_input(crops, description)
        expected = net(mx.nd.array(normalized)).asnumpy()
        for run in runs:
            answer = run(crops if pixels else normalized)
            # Noise, unlike photographs, drives the non-local block's softmax, whose scores have no scale, to one-hot.
            tolerance = 5e-4 if description.model.startswith("nl") else 1e-4
            np.testing.assert_allclose(answer, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("pixels", [False, True])
def test_any_batch_and_size_through_one_file(tmp_path, pixels):
    net, description = make("a2net_resnet20_small"), describe("a2net_resnet20_small")
    export_network(net, tmp_path / "model", description, EQUAL, pixels=pixels)
    batches = ((1, 32, 32), (3, 32, 32), (16, 32, 32), (2, 48, 80))
    check_batches_and_sizes(net, tmp_path / "model", description, batches, pixels)


def test_the_optimized_graph_is_fused(tmp_path):
    export_network(make("a2net_resnet20_small"), tmp_path / "model", describe("a2net_resnet20_small"), ["optimized"])

    def operators(ending):
        nodes = json.loads((tmp_path / f"model{ending}").read_text())["nodes"]
        return collections.Counter(node["op"] for node in nodes)

    plain, fused = operators("-symbol.json"), operators("-optimized-symbol.json")
    assert plain["Convolution"] == fused["_sg_mkldnn_conv"] == 30
    in_convolutions = 13  # one after the stem, two in each of six units
    assert fused["_contrib_BatchNormWithReLU"] == plain["BatchNorm"] - in_convolutions
    assert not {"BatchNorm", "Activation"} & set(fused)


def test_onnx_file_says_what_it_is(tmp_path):
    onnx = pytest.importorskip("onnx", reason="ONNX is an extra")
    description = describe("a2net_resnet20_small")
    export_network(make("a2net_resnet20_small"), tmp_path / "model", description, ["onnx"], pixels=True)
    model = onnx.load(str(tmp_path / "model.onnx"))
    onnx.checker.check_model(model)
    assert [entry.version for entry in model.opset_import] == [13]
    (given,), (logits,) = model.graph.input, model.graph.output
    lengths = [dim.dim_param or dim.dim_value for dim in given.type.tensor_type.shape.dim]
    assert (given.name, lengths) == ("data", ["N", "height", "width", 3])
    assert [dim.dim_param or dim.dim_value for dim in logits.type.tensor_type.shape.dim] == ["N", 7]
    fields = json.loads(model.metadata_props[0].value)
    assert fields == json.loads((tmp_path / "model.json").read_text())
    assert fields["classes"][0] == "class 0"
    assert fields["input"] == "pixels"


def test_an_export_can_be_loaded_back_for_training(tmp_path):
    net = make("a2net_resnet20_small")
    export_network(net, tmp_path / "model", describe("a2net_resnet20_small"), pixels=True)
    other = get_model("a2net_resnet20_small", classes=7)
    load_weights(other, tmp_path / "model-0000.params")
    x = mx.nd.random.normal(shape=(2, 3, 32, 32))
    np.testing.assert_allclose(other(x).asnumpy(), net(x).asnumpy(), rtol=1e-5, atol=1e-5)


def test_the_exported_graph_ends_in_logits(tmp_path):
    export_network(make("resnet20_small"), tmp_path / "model", describe("resnet20_small"))
    assert mx.sym.load(str(tmp_path / "model-symbol.json")).list_outputs() == ["fc_fwd_output"]


@pytest.mark.parametrize("form", [*EQUAL, "Module"])
def test_a_wrong_copy_fails_and_leaves_nothing(tmp_path, monkeypatch, form):
    make_wrong(monkeypatch, form)
    with pytest.raises(FailureError, match=f"loaded as {form}, the export differs by 0.001"):
        export_network(make("resnet20_small"), tmp_path / "model", describe("resnet20_small"), EQUAL)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_keeps_the_old_one(tmp_path, monkeypatch):
    net, description = make("resnet20_small"), describe("resnet20_small")
    export_network(net, tmp_path / "model", description)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    make_wrong(monkeypatch)
    with pytest.raises(FailureError):
        export_network(net, tmp_path / "model", description)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_new_export_leaves_no_form_of_an_old_one(tmp_path):
    description = describe("resnet20_small")
    export_network(make("resnet20_small"), tmp_path / "model", description, EQUAL)
    assert written_forms(tmp_path / "model") == EQUAL
    export_network(make("resnet20_small"), tmp_path / "model", description)
    assert written_forms(tmp_path / "model") == ("symbol",)


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.glob("model*")}


def test_at_no_moment_half_an_export_can_be_loaded(tmp_path):
    """The classes differ, their number does not: an older description would give the answers other names."""
    prefix, new = tmp_path / "out" / "model", describe("resnet20_small")
    old = dataclasses.replace(new, classes=tuple(f"old {name}" for name in new.classes))
    export_network(make("resnet20_small"), prefix, old, EQUAL)
    before, net = files_of(prefix.parent), make("resnet20_small")
    net.output.bias.set_data(mx.nd.arange(7))
    states = left_at_each_step(
        lambda: export_network(net, prefix, new, ["optimized"]), prefix.parent, tmp_path / "states"
    )
    after = files_of(prefix.parent)
    assert (files_of(states[0]), files_of(states[-1])) == (before, after)
    parts = [state for state in states if files_of(state) not in (before, after)]
    assert len(parts) >= 6
    for state in parts:
        assert files_of(state).items() <= before.items() or files_of(state).items() <= after.items()
        for form in EQUAL:
            with pytest.raises(UsageError, match="model.*: no such file"):
                Predictor(state / "model", form)


def test_a_killed_export_leaves_the_old_one_and_its_leftovers_go(tmp_path):
    prefix, description = tmp_path / "model", describe("resnet20_small")
    export_network(make("resnet20_small"), prefix, description)
    before = files_of(tmp_path)
    words = ["export", "a2net_resnet20_small", "--output", str(prefix)]
    killed_at(0, lambda: cli.main(words))
    assert files_of(tmp_path) == before
    (left,) = leftovers(tmp_path)
    assert files_of(left)
    export_network(make("resnet20_small"), prefix, description)
    assert files_of(tmp_path).keys() == before.keys() == {path.name for path in tmp_path.iterdir()}


def test_bad_outputs(tmp_path):
    net, description = make("resnet20_small"), describe("resnet20_small")
    with pytest.raises(UsageError, match="is a folder; --output is the start of file names"):
        export_network(net, tmp_path, description)
    (tmp_path / "file").write_text("")
    with pytest.raises(FailureError, match="file: cannot write here"):
        export_network(net, tmp_path / "file" / "model", description)
    with pytest.raises(UsageError, match="the network has 7 classes, its description 3"):
        export_network(net, tmp_path / "model", describe("resnet20_small", 3))
    with pytest.raises(UsageError, match="unknown form 'onxx'; there are: onnx"):
        export_network(net, tmp_path / "model", description, ["onxx"])
    with pytest.raises(FailureError, match="file: empty file; none of 1 files can be read: name others"):
        export_network(net, tmp_path / "model", description, files=[tmp_path / "file"])
    with pytest.raises(UsageError, match="1 images for calibration; give at least 20"):
        export_network(net, tmp_path / "model", description, ["int8"], calibration=[tmp_path / "file"])
    for name in ("model-int8", "model-optimized"):
        with pytest.raises(UsageError, match=f"{name} ends in -{name[6:]}, as files of exports do"):
            export_network(net, tmp_path / name, description)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    (tmp_path / "model.json").mkdir()
    with pytest.raises(UsageError, match="model.json is a folder, where a file has to go"):
        export_network(net, tmp_path / "model", description)


def test_a_failed_export_leaves_no_folder(tmp_path, monkeypatch):
    make_wrong(monkeypatch)
    with pytest.raises(FailureError):
        export_network(make("resnet20_small"), tmp_path / "new" / "newer" / "model", describe("resnet20_small"))
    assert list(tmp_path.iterdir()) == []


def test_without_onnx(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    arguments = ["export", "resnet20_small", "--onnx", "--output", str(tmp_path / "out" / "model")]
    assert cli.main(arguments) == 1
    assert capsys.readouterr().err.endswith("is not installed: pip install 'a2net-gluon[onnx]'\n")
    assert list(tmp_path.iterdir()) == []


def test_description_beside_the_export_says_what_a_user_needs(tmp_path):
    export_network(make("resnet20_small"), tmp_path / "model", describe("resnet20_small"))
    fields = json.loads((tmp_path / "model.json").read_text())
    assert fields["classes"][:2] == ["class 0", "class 1"]
    assert fields["input"] == "normalized"
    assert fields["preprocessing"] == {
        "size": 32,
        "crop_ratio": 0.875,
        "mean": [124.0, 117.0, 104.0],
        "scale": [0.0167] * 3,
    }
