"""Values of parameters, and the names that files give them."""

from __future__ import annotations

import typing

import mxnet as mx

__all__ = [
    "has_values",
    "load_parameter",
    "mean_over_devices",
    "named_parameters",
    "replace_values",
    "wait_for_running_statistics",
]


def named_parameters(block: mx.gluon.Block) -> dict[str, mx.gluon.Parameter]:
    """Parameters of `block` under their names in files of ``save_parameters``, e.g. ``features.conv1.weight``.

    MXNet 1.9.1 has these names in a private method only; ``collect_params`` returns those of the graph. MXNet 2 returns
    the names of files there.
    """
    return block._collect_params_with_prefix()


def has_values(parameter: mx.gluon.Parameter) -> bool:
    """Whether `parameter` is initialized and its shape is known.

    MXNet 1.9.1 offers no question, only an exception from ``list_data``, of a type that depends on the reason.
    """
    return parameter._data is not None


def mean_over_devices(parameter: mx.gluon.Parameter) -> mx.nd.NDArray:
    """The mean of a parameter's values on all its devices, a new array on the CPU, as ``save_parameters`` writes it.

    Running statistics differ between devices. ``Parameter.data()`` of MXNet 1.9.1 returns those of one device; the mean
    is private. Call `wait_for_running_statistics` first.
    """
    return parameter._reduce()


def load_parameter(parameter: mx.gluon.Parameter, array: mx.nd.NDArray, contexts: typing.Sequence[mx.Context]) -> None:
    """Set `parameter` to `array`, cast to the parameter's type; if it has no values yet, initialize it on `contexts`.

    ``Parameter.set_data`` of MXNet 1.9.1 refuses a parameter that is not initialized, and ``load_parameters`` of a
    block reads a file whole. Its private step for one parameter does both.
    """
    if array.ndim == 5 and has_values(parameter):  # a weight of a 3-D convolution
        replace_values(parameter, array)
        return
    parameter._load_init(array, list(contexts), cast_dtype=True, dtype_source="current")


def replace_values(parameter: mx.gluon.Parameter, array: mx.nd.NDArray) -> None:
    """Give an initialized parameter new arrays with the values of `array` on its devices.

    ``Parameter.set_data`` of MXNet 1.9.1 writes into the arrays that are there. Inference on the CPU has left the
    weights of 3-D convolutions in oneDNN's layout, and the next use of such a weight then fails ("Check failed:
    to.IsDefaultData()").
    """
    parameter._init_impl(array.astype(parameter.dtype, copy=False), parameter.list_ctx())


def wait_for_running_statistics() -> None:
    """Wait until running means and variances of BN have the values of the last backward pass.

    oneDNN's BN in MXNet 1.9.1 writes them in its backward pass, which MXNet's engine believes to read them only.
    Reading such an array in a static graph therefore does not wait, and returns the values of the step before.
    """
    mx.nd.waitall()
