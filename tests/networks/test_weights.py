import mxnet as mx
import numpy as np
import pytest

from a2net_gluon import get_model
from a2net_gluon.data import Preprocessing
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.networks import inflate, load_backbone, load_weights
from a2net_gluon.networks.description import Description
from a2net_gluon.networks.weights import ParameterFile
from tests.helpers.twins import clips, images, still, with_blocks

NAME = "a2net_resnet20_small"


@pytest.fixture
def trained(tmp_path):
    """A network with random parameters, and files of both kinds with them."""
    net = get_model(NAME, classes=5)
    net.initialize(mx.init.MSRAPrelu())
    net.hybridize()
    net(mx.nd.zeros((1, 3, 32, 32)))
    net.save_parameters(str(tmp_path / "saved.params"))
    net.export(str(tmp_path / "exported"))
    return net, tmp_path


def values(net):
    return [parameter.data().asnumpy() for parameter in net.collect_params().values()]


@pytest.mark.parametrize("file", ["saved.params", "exported-0000.params"])
def test_both_kinds_of_files(trained, file):
    net, folder = trained
    loaded = get_model(NAME, classes=5, pretrained=str(folder / file), ctx=[mx.cpu(0), mx.cpu(1)])
    for one, other in zip(values(net), [p.data(mx.cpu(1)).asnumpy() for p in loaded.collect_params().values()]):
        np.testing.assert_array_equal(one, other)
    assert ParameterFile(folder / file).classes == 5


def test_gluons_own_loader_reads_both_kinds(trained):
    net, folder = trained
    for file in ("saved.params", "exported-0000.params"):
        other = get_model(NAME, classes=5)
        other.load_parameters(str(folder / file), ctx=mx.cpu())
        for one, another in zip(values(net), values(other)):
            np.testing.assert_array_equal(one, another)


def test_name_in_root(trained):
    net, folder = trained
    loaded = get_model(NAME, classes=5, pretrained="saved.params", root=str(folder))
    np.testing.assert_array_equal(values(loaded)[0], values(net)[0])


@pytest.mark.parametrize("file", ["saved.params", "exported-0000.params"])
def test_another_number_of_classes(trained, file):
    net, folder = trained
    with pytest.warns(UserWarning, match="trained for 5 classes, the network has 3: loaded all but the output layer"):
        other = get_model(NAME, classes=3, pretrained=str(folder / file))
    assert other.output.weight.shape == (3, 256)
    assert np.abs(other.output.weight.data().asnumpy()).max() > 0
    x = mx.nd.random.normal(shape=(2, 3, 32, 32))
    np.testing.assert_allclose(other.features(x).asnumpy(), net.features(x).asnumpy(), rtol=1e-4, atol=1e-6)
    with pytest.raises(UsageError, match="trained for 5 classes, the network has 3: build it with classes=5"):
        load_weights(other, folder / file)


@pytest.mark.parametrize("file", ["saved.params", "exported-0000.params"])
def test_classes_are_the_files_unless_given(trained, file):
    assert get_model(NAME, pretrained=trained[1] / file).output.weight.shape == (5, 256)


@pytest.mark.parametrize("exported", [False, True])
def test_backbone(tmp_path, exported):
    backbone = get_model("resnet20_small", classes=4)
    backbone.initialize(mx.init.MSRAPrelu())
    path = tmp_path / ("base-0000.params" if exported else "base.params")
    x = mx.nd.random.normal(shape=(2, 3, 32, 32))
    backbone.hybridize()
    features = backbone.features(x).asnumpy()
    if exported:
        backbone(x)
        backbone.export(str(tmp_path / "base"))
    else:
        backbone.save_parameters(str(path))
    net = get_model(NAME, classes=7)
    net.initialize(mx.init.MSRAPrelu())
    report = load_backbone(net, path)
    np.testing.assert_allclose(net.features(x).asnumpy(), features, rtol=1e-4, atol=1e-5)
    assert len(report.left) == 2
    assert len(report.new) == 2 * 20 + 2  # two blocks, and the head for other classes
    assert len(report.taken) == len(backbone.collect_params().keys()) - 2
    prefix = "conv3_x__2_" if exported else "features.conv3."
    assert f"{prefix}context" in str(report)
    assert str(report).startswith(f"{len(report.taken)} taken; 2 left (")


def test_no_backbone(trained, tmp_path):
    net, folder = trained
    plain = get_model("resnet20_small")
    plain.initialize()
    with pytest.raises(UsageError, match=r"no backbone of this network \(it has features.conv3.context2"):
        load_backbone(plain, folder / "saved.params")
    part = {name: array for name, array in mx.nd.load(str(folder / "saved.params")).items() if "conv4" not in name}
    mx.nd.save(str(tmp_path / "part.params"), part)
    with pytest.raises(UsageError, match=r"no backbone of this network \(it lacks features.conv4.unit1"):
        load_backbone(get_model(NAME), tmp_path / "part.params")


def test_a_description_is_not_any_json_file(trained):
    net, folder = trained
    (folder / "saved.json").write_text('{"accuracy": 0.9}')
    assert get_model(NAME, pretrained=folder / "saved.params").classes is None
    (folder / "exported-0000.params").rename(folder / "exported-0005.params")  # as of a Module checkpoint
    Description(NAME, tuple("abcde"), Preprocessing(32)).save(folder / "exported.json")
    assert get_model(NAME, pretrained=folder / "exported-0005.params").classes == tuple("abcde")


@pytest.mark.parametrize("file", ["saved.params", "exported-0000.params"])
def test_other_network(trained, file):
    with pytest.raises(UsageError, match="does not hold this network: it has .* it does not know"):
        get_model("resnet20_small", classes=5, pretrained=str(trained[1] / file))


def test_truncated_and_foreign_files(trained):
    net, folder = trained
    content = (folder / "saved.params").read_bytes()
    before = values(net)
    for cut in (content[: len(content) // 2], content[:-1], content[:10], b"", b"some text, no parameters\n" * 9):
        (folder / "cut.params").write_bytes(cut)
        with pytest.raises(FailureError, match=r"cut.params: truncated, or not an MXNet parameter file"):
            load_weights(net, folder / "cut.params")
    for one, other in zip(before, values(net)):
        np.testing.assert_array_equal(one, other)


def saved(net, path, exported):
    """The parameters of a network for images in a file of one of the two kinds."""
    net.hybridize()
    net(mx.nd.zeros((1, 3, 32, 32)))
    if exported:
        net.export(str(path))
        return path.with_name(f"{path.name}-0000.params")
    net.save_parameters(str(path))
    return path


BLOCKS = {"conv2": (1,), "conv3": (2,)}


@pytest.mark.parametrize("exported", [False, True])
@pytest.mark.parametrize("blocks_of_the_file", [{}, {"conv3": (2,)}, BLOCKS])
def test_a_file_of_a_network_for_images_is_inflated(exported, blocks_of_the_file, tmp_path):
    """Without kernels along time there is no border: the features of a still clip are those of the image."""
    flat = images(**(with_blocks(**blocks_of_the_file) if blocks_of_the_file else {}))
    deep = clips(temporal=(1, 1, 1), classes=3, **with_blocks(**BLOCKS))
    path = saved(flat, tmp_path / "flat", exported)
    report = load_backbone(deep, path)
    x, clip = still(3)
    expected = flat.features(x).asnumpy()
    np.testing.assert_allclose(deep.features(clip).asnumpy(), expected, rtol=1e-4, atol=1e-5)
    assert np.abs(expected[0] - expected[1]).max() > 0.1
    new_blocks = len(BLOCKS) - len(blocks_of_the_file)
    assert len(report.new) == 2 + 20 * new_blocks
    assert len(report.left) == 2  # an output layer of another number of classes
    assert str(report).startswith(f"{len(report.inflated)} inflated, {len(report.copied)} copied; 2 left (")


@pytest.mark.parametrize("exported", [False, True])
def test_kernels_from_a_file_are_spread_over_time(exported, tmp_path):
    flat, deep = images(), clips()
    arrays = {name: parameter.data().asnumpy() for name, parameter in flat.collect_params().items()}
    report = load_backbone(deep, saved(flat, tmp_path / "flat", exported))
    assert not report.left
    assert not report.new
    lengths = set()
    for name, parameter in deep.collect_params().items():
        value, expected = parameter.data().asnumpy(), arrays[name]
        if value.ndim < 5:
            np.testing.assert_array_equal(value, expected)
            continue
        lengths.add(value.shape[2])
        for moment in range(value.shape[2]):
            np.testing.assert_allclose(value[:, :, moment], expected / value.shape[2], rtol=1e-6)
    assert lengths == {1, 3}
    again = clips()
    inflate(flat, again)
    for one, other in zip(values(deep), values(again)):
        np.testing.assert_array_equal(one, other)


def test_files_that_cannot_be_inflated(tmp_path):
    clips().save_parameters(str(tmp_path / "deep.params"))
    words = r"it has features.conv1.weight of \(8, 3, 3, 5, 5\), the network of \(8, 3, 5, 5\)"
    with pytest.raises(UsageError, match=f"no backbone of this network .{words}.: give the parameters"):
        load_backbone(images(), tmp_path / "deep.params")
    path = saved(images(), tmp_path / "flat", exported=False)
    with pytest.raises(UsageError, match=r"features.conv3.unit1.a.conv.weight of \(8, 16, 1, 1\), the network of"):
        load_backbone(clips(widths=(16, 64)), path)
    with pytest.raises(UsageError, match="it lacks features.conv2.unit3"):
        load_backbone(clips(temporal=(3, 3, 1, 1)), path)
