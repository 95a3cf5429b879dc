"""A network for PyTorch: its parameters as safetensors, and one Python file that builds the equal network."""

from __future__ import annotations

import pathlib
import re
import typing

import mxnet as mx
import numpy as np
from mxnet.gluon import nn

from a2net_gluon.blocks.double_attention import DoubleAttention
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.files import AnyPath, write_text
from a2net_gluon.mxnet_fixes import mean_over_devices, named_parameters
from a2net_gluon.networks.base import Network
from a2net_gluon.networks.description import Description
from a2net_gluon.networks.mobilenet import MobileNetV2
from a2net_gluon.networks.resnet import ResNet
from a2net_gluon.networks.torch_weights import read_torch_weights, write_torch_weights

__all__ = ["check_torch", "write_torch"]

_TEMPLATE = pathlib.Path(__file__).parent / "templates" / "torch_network.py"
_BETWEEN = "\n\n\n"  # sections of the template
_NORM = "EPSILON, MOMENTUM = 1e-3, 0.1"  # its constants of BN
# Classes of blocks: a parameter that no other block has, and those whose first lengths are the arguments.
_BLOCKS = {
    "DoubleAttention": ("rho.conv.weight", ("expand.conv.weight", "phi.conv.weight", "theta.conv.weight")),
    "NonLocal": ("g.conv.weight", ("expand.conv.weight", "g.conv.weight", "theta.conv.weight")),
    "SqueezeExcitation": ("squeeze.weight", ("excite.weight", "squeeze.weight")),
}
_OF_BLOCK = re.compile(r"features\.(conv\d+)\.(?:unit(\d+)\.context|context(\d+))\.(.+)")

_Shapes = typing.Dict[str, typing.Tuple[int, ...]]  # of parameters by their name


def check_torch(net: mx.gluon.HybridBlock) -> None:
    """Raise a UsageError unless `write_torch` knows the kind of `net`: its family, its blocks and its BN."""
    known = isinstance(net, (ResNet, MobileNetV2)) and _is_batch_norm(net.norm.func)
    if not known or not all(map(_class_of, _blocks(net).values())) or not _has_both_attentions(net):
        raise UsageError(
            f"{type(net).__name__} has parts that --torch does not know; it writes the networks of list_models(), with "
            "their blocks and BN: export this one as ONNX"
        )


def _has_both_attentions(net: Network) -> bool:
    """Whether no double attention block of `net` leaves out one of its steps, which the template does not do."""
    found: list[DoubleAttention] = []
    net.apply(lambda block: found.append(block) if isinstance(block, DoubleAttention) else None)
    return all((block.gathering, block.distribution) == ("attention", "attention") for block in found)


def _is_batch_norm(layer: typing.Any) -> bool:
    return isinstance(layer, type) and issubclass(layer, nn.BatchNorm)


def write_torch(net: Network, description: Description, code: AnyPath, parameters: AnyPath) -> None:
    """Write `net` for PyTorch: the Python file `code`, which builds it, and the safetensors file `parameters`.

    The Python file needs PyTorch and safetensors, nothing of this package. The parameters are read again and compared.

    Raises
    ------
    FailureError
        If a file cannot be written, or other values are read than were written.
    """
    text = _code(net, description, pathlib.Path(parameters).name)
    compile(text, str(code), "exec")
    write_text(code, text)
    write_torch_weights(net, description, parameters)
    found = read_torch_weights(parameters)
    for name, parameter in named_parameters(net).items():
        if not np.array_equal(found[name].asnumpy(), mean_over_devices(parameter).asnumpy().astype(np.float32)):
            raise FailureError(f"{parameters}: {name} is not what was written; is the disk damaged?")


def _code(net: Network, description: Description, parameters: str) -> str:
    """The text of the Python file: head, sections of the template, and the function that builds `net`."""
    template = _TEMPLATE.read_text(encoding="utf-8")
    head, *sections, _ = template[template.index("from __future__") :].split(_BETWEEN)
    norm = net.norm.keywords
    constants = f"EPSILON, MOMENTUM = {norm['epsilon']!r}, {round(1 - norm['momentum'], 12)!r}"
    docstring, build = _docstring(description, parameters), _build(net, description)
    parts = [f"{docstring}\n\n{head.replace(_NORM, constants)}", *_needed(sections, build), build]
    return _BETWEEN.join(parts) + "\n"


def _needed(sections: list[str], code: str) -> list[str]:
    """The sections that define what `code`, load or save use, directly or through other sections."""
    defined = [re.findall(r"^(?:class|def) (\w+)", section, re.M) for section in sections]
    used, count = {"load", "save", *re.findall(r"\w+", code)}, 0
    while len(used) > count:
        count = len(used)
        needed = [section for section, names in zip(sections, defined) if used.intersection(names)]
        used.update(word for section in needed for word in re.findall(r"\w+", section))
    return needed


def _docstring(description: Description, parameters: str) -> str:
    preprocessing = description.preprocessing
    shape = ", ".join(map(str, preprocessing.input_shape))
    mean, scale = map(_numbers, (preprocessing.mean, preprocessing.scale))
    return f'''"""{description.network}, for PyTorch: load() reads its parameters from {parameters}, save() writes them.

Input: float32 (N, {shape}), RGB, (pixel - mean) * scale of pixels from 0 to 255, mean {mean},
scale {scale}; other sizes work too. Output: logits (N, {len(description.classes)}), before the softmax.
"""'''


def _numbers(values: typing.Sequence[float]) -> str:
    return f"({', '.join(f'{value:.9g}' for value in values)})"


def _build(net: Network, description: Description) -> str:
    """The function that calls the classes of the template with the sizes of `net`."""
    architecture, blocks = net.architecture, _blocks(net)
    classes, (channels, stages) = net.output.weight.shape[0], (architecture.stem_channels, architecture.stages)
    if isinstance(net, ResNet):
        rows = [f"Stage({one.width}, {_repeated(one.kernels)}, {one.stride})" for one in stages]
        sizes = f"{architecture.stem_kernel}, {architecture.stem_stride}, {architecture.pool_stride}"
        on_branch = any("squeeze.weight" in shapes for shapes in blocks.values())
        call = f"ResNet({channels}, {sizes}, stages, {classes}, blocks, {on_branch})"
    else:
        rows = [f"InvertedStage({one.expansion}, {one.width}, {one.units}, {one.stride})" for one in stages]
        call = f"MobileNetV2({channels}, stages, {architecture.last_channels}, {classes}, blocks)"
    lines = [
        "def build() -> Network:",
        f'    """Build {description.network}, with random parameters."""',
        "    stages = [  # from conv2 on",
        *(f"        {row}," for row in rows),
        "    ]",
    ]
    made = [f'        ("{stage}", {unit}): {_call(shapes)},' for (stage, unit), shapes in blocks.items()]
    lines += ["    blocks: Blocks = {", *made, "    }"] if made else ["    blocks: Blocks = {}"]
    return "\n".join([*lines, f"    return {call}"])


def _repeated(kernels: typing.Sequence[tuple[int, ...]]) -> str:
    """Kernels as Python, in short if they are equal."""
    return f"({kernels[0]},) * {len(kernels)}" if len(set(kernels)) == 1 else str(tuple(kernels))


def _blocks(net: Network) -> dict[tuple[str, int], _Shapes]:
    """The shapes of the parameters of each context block, by its stage and its unit."""
    blocks: dict[tuple[str, int], _Shapes] = {}
    for name, parameter in named_parameters(net).items():
        found = _OF_BLOCK.fullmatch(name)
        if found:
            stage, *units, name = found.groups()
            blocks.setdefault((stage, int(units[0] or units[1])), {})[name] = parameter.shape
    return blocks


def _class_of(shapes: _Shapes) -> str | None:
    return next((name for name, (own, _) in _BLOCKS.items() if own in shapes), None)


def _call(shapes: _Shapes) -> str:
    """The call that makes a block."""
    name = str(_class_of(shapes))
    sizes = [shapes[parameter] for parameter in _BLOCKS[name][1]]
    return f"{name}({', '.join(str(size[0]) for size in sizes)}, ndim={len(sizes[0]) - 2})"
