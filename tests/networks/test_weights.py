import mxnet as mx
import numpy as np
import pytest

from a2net_gluon import get_model
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.networks import load_weights
from a2net_gluon.networks.weights import count_classes

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
    assert count_classes(folder / file) == 5


def test_name_in_root(trained):
    net, folder = trained
    loaded = get_model(NAME, classes=5, pretrained="saved.params", root=str(folder))
    np.testing.assert_array_equal(values(loaded)[0], values(net)[0])


@pytest.mark.parametrize("file", ["saved.params", "exported-0000.params"])
def test_wrong_class_count(trained, file):
    with pytest.raises(UsageError, match="trained for 5 classes, the network has 10"):
        get_model(NAME, pretrained=str(trained[1] / file))


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
