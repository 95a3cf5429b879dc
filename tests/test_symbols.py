import importlib

import mxnet as mx
import numpy as np
import pytest

from a2net_gluon import get_model


@pytest.mark.parametrize(("module", "name"), [("a2net", "a2net_resnet50"), ("resnet", "resnet50")])
def test_symbol_is_the_gluon_network(module, name):
    # as MXNet's example/image-classification does
    symbol = importlib.import_module(f"symbols.{module}").get_symbol(5, 50, "3,64,64", dtype="float32", batch_size=2)
    assert symbol.list_outputs() == ["softmax_output"]
    net = get_model(name, classes=5)
    net.initialize(mx.init.MSRAPrelu())
    x = mx.nd.random.normal(shape=(2, 3, 64, 64))
    executor = symbol.simple_bind(mx.cpu(), grad_req="null", data=x.shape)
    values = {name: parameter.data() for name, parameter in net.collect_params().items()}
    executor.copy_params_from(values, values, allow_extra_params=True)
    output = executor.forward(is_train=False, data=x)[0]
    np.testing.assert_allclose(output.asnumpy(), mx.nd.softmax(net(x)).asnumpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("arguments", "message"), [((5, 34), "num_layers is 34"), ((5, 50, "1,28,28"), "image_shape")])
def test_bad_arguments(arguments, message):
    from symbols import a2net

    with pytest.raises(ValueError, match=message):
        a2net.get_symbol(*arguments)
