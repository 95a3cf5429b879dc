"""The networks of this package for PyTorch; ``a2net export --torch`` writes the parts that one network has.

Sections, separated by two empty lines, are chosen by the names that they define, see `a2net_gluon.deploy.torch_files`.
"""

from __future__ import annotations

import typing
from collections import OrderedDict

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

EPSILON, MOMENTUM = 1e-3, 0.1  # of BN; running statistics keep 1 - MOMENTUM of their values

Lengths = typing.Tuple[int, ...]  # one number per dimension: (h, w) for images, (t, h, w) for clips
Blocks = typing.Mapping[typing.Tuple[str, int], nn.Module]  # by stage and unit, from 1
Layers = typing.Dict[str, nn.Module]


def convolution(in_channels: int, channels: int, kernel: Lengths, stride: Lengths | int = 1, **more: int) -> nn.Module:
    """Build a convolution without bias that preserves the size, but for its stride."""
    layer = {2: nn.Conv2d, 3: nn.Conv3d}[len(kernel)]
    return layer(in_channels, channels, kernel, stride, tuple(k // 2 for k in kernel), **{"bias": False, **more})


def batch_norm(channels: int, ndim: int) -> nn.Module:
    """Build BN for images (`ndim` 2) or clips (3)."""
    return {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[ndim](channels, EPSILON, MOMENTUM)


def pool(ndim: int) -> nn.Module:
    """Build the average over all locations."""
    return {2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}[ndim](1)


def pre_activation(in_channels: int, channels: int, kernel: Lengths, stride: Lengths | int = 1) -> nn.Sequential:
    """BN → ReLU → convolution."""
    layers: Layers = OrderedDict(bn=batch_norm(in_channels, len(kernel)), relu=nn.ReLU(inplace=True))
    layers["conv"] = convolution(in_channels, channels, kernel, stride)
    return nn.Sequential(layers)


class DoubleAttention(nn.Module):
    """Gather global descriptors from all L locations, distribute a mixture of them to each location.

    Chen, Kalantidis, Li, Yan, Feng: "A²-Nets: Double Attention Networks", NeurIPS 2018: its Eq. 6, or Eq. 7 where the
    map is so small that it needs less. The second softmax runs over the last axis and the second product leaves
    channels last: no copies, and 4 to 8 % less time than with everything as (N, channels, L).
    """

    def __init__(self, channels: int, value_channels: int, attention_channels: int, ndim: int) -> None:
        super().__init__()
        point = (1,) * ndim
        self.phi = pre_activation(channels, value_channels, point)
        self.theta = pre_activation(channels, attention_channels, point)
        self.rho = pre_activation(channels, attention_channels, point)
        self.expand = pre_activation(value_channels, channels, point)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = self.phi(x).flatten(2)  # (N, m, L)
        gathering = self.theta(x).flatten(2).softmax(dim=2)  # (N, n, L), over the locations
        distribution = self.rho(x).flatten(2).transpose(1, 2).softmax(dim=2)  # (N, L, n), over the descriptors
        values = values.transpose(1, 2)  # (N, L, m)
        if values.shape[1] >= values.shape[2]:
            z = torch.bmm(distribution, torch.bmm(gathering, values))  # the inner one is (N, n, m)
        else:
            z = torch.bmm(torch.bmm(distribution, gathering), values)  # the inner one is (N, L, L)
        return x + self.expand(z.transpose(1, 2).unflatten(2, x.shape[2:]))


class NonLocal(nn.Module):
    """Every location receives a weighted average of all L locations.

    Wang, Girshick, Gupta, He: "Non-local Neural Networks", CVPR 2018; the embedded Gaussian version.
    """

    def __init__(self, channels: int, value_channels: int, attention_channels: int, ndim: int) -> None:
        super().__init__()
        point = (1,) * ndim
        self.theta = pre_activation(channels, attention_channels, point)
        self.phi = pre_activation(channels, attention_channels, point)
        self.g = pre_activation(channels, value_channels, point)
        self.expand = pre_activation(value_channels, channels, point)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        queries = self.theta(x).flatten(2).transpose(1, 2)  # (N, L, n)
        attention = torch.bmm(queries, self.phi(x).flatten(2)).softmax(dim=2)  # (N, L, L), over the second L
        z = torch.bmm(attention, self.g(x).flatten(2).transpose(1, 2))  # (N, L, m)
        return x + self.expand(z.transpose(1, 2).unflatten(2, x.shape[2:]))


class SqueezeExcitation(nn.Module):
    """Scale each channel by a factor computed from the averages of all channels; stands on residual branches.

    Hu, Shen, Sun: "Squeeze-and-Excitation Networks", CVPR 2018.
    """

    def __init__(self, channels: int, squeezed_channels: int, ndim: int) -> None:
        super().__init__()
        point = (1,) * ndim
        self.pool = pool(ndim)
        self.squeeze = convolution(channels, squeezed_channels, point, bias=True)
        self.excite = convolution(squeezed_channels, channels, point, bias=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.excite(self.squeeze(self.pool(x)).relu()).sigmoid()


class Network(nn.Module):
    """Layers up to the pooled features, and a fully connected layer on them.

    Attributes
    ----------
    description : str
        JSON: names of the classes, preprocessing and whatever else the parameters do not tell. `load` reads it, `save`
        writes it, and ``a2net import`` needs it.
    """

    description = ""

    def __init__(self, features: Layers, channels: int, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(OrderedDict(features))
        self.output = nn.Linear(channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(self.features(x))


class Stage(typing.NamedTuple):
    """A row of residual units: output channels, kernel of the middle convolution of each, stride of the first."""

    width: int
    kernels: typing.Sequence[Lengths]
    stride: Lengths


class Unit(nn.Module):
    """Pre-activation bottleneck: 1×1 → 3×3 (with the stride) → 1×1, plus the input or its projection."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: Lengths,
        stride: Lengths | int,
        project: bool,
        context: nn.Module | None,
    ) -> None:
        super().__init__()
        inner, point = channels // 4, (1,) * len(kernel)
        self.a = pre_activation(in_channels, inner, point)
        self.b = pre_activation(inner, inner, kernel, stride)
        self.c = pre_activation(inner, channels, point)
        self.w = pre_activation(in_channels, channels, point, stride) if project else None
        self.context = context

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x if self.w is None else self.w(x)
        branch = self.c(self.b(self.a(x)))
        return shortcut + (branch if self.context is None else self.context(branch))


class ResNet(Network):
    """Pre-activation ResNet, with `blocks` after some units, or, if `on_branch`, at the end of their branches."""

    def __init__(
        self,
        channels: int,
        kernel: Lengths,
        stride: Lengths,
        pool_stride: Lengths | None,
        stages: typing.Sequence[Stage],
        classes: int,
        blocks: Blocks,
        on_branch: bool,
    ) -> None:
        ndim = len(kernel)
        layers: Layers = {"conv1": convolution(3, channels, kernel, stride)}
        layers.update(conv1_bn=batch_norm(channels, ndim), conv1_relu=nn.ReLU(inplace=True))
        if pool_stride:
            max_pool = {2: nn.MaxPool2d, 3: nn.MaxPool3d}[ndim]
            layers["pool1"] = max_pool((1, 3, 3)[-ndim:], pool_stride, (0, 1, 1)[-ndim:])
        for number, stage in enumerate(stages, start=2):
            name, units = f"conv{number}", OrderedDict()
            for unit, inner in enumerate(stage.kernels, start=1):
                first, block = unit == 1, blocks.get((name, unit))
                units[f"unit{unit}"] = Unit(
                    channels, stage.width, inner, stage.stride if first else 1, first, block if on_branch else None
                )
                if block is not None and not on_branch:
                    units[f"context{unit}"] = block
                channels = stage.width
            layers[name] = nn.Sequential(units)
        layers.update(tail_bn=batch_norm(channels, ndim), tail_relu=nn.ReLU(inplace=True))
        layers.update(pool5=pool(ndim), flatten=nn.Flatten())
        super().__init__(layers, channels, classes)


class InvertedStage(typing.NamedTuple):
    """A row of inverted residuals: ratio of inner width to input, output channels, units, stride of the first."""

    expansion: int
    width: int
    units: int
    stride: int


def conv_norm(
    in_channels: int, channels: int, kernel: int, stride: int = 1, groups: int = 1, nonlinear: bool = True
) -> nn.Sequential:
    """Convolution → BN → ReLU6, or without the ReLU6 a linear layer."""
    layers: Layers = OrderedDict(conv=convolution(in_channels, channels, (kernel, kernel), stride, groups=groups))
    layers["bn"] = batch_norm(channels, 2)
    if nonlinear:
        layers["relu6"] = nn.ReLU6(inplace=True)
    return nn.Sequential(layers)


class InvertedResidual(nn.Module):
    """1×1 expansion → 3×3 depthwise (with the stride) → linear 1×1; plus the input if the shapes are equal."""

    def __init__(self, in_channels: int, channels: int, expansion: int, stride: int) -> None:
        super().__init__()
        inner = in_channels * expansion
        self.shortcut = stride == 1 and in_channels == channels
        self.a = conv_norm(in_channels, inner, 1) if expansion > 1 else None
        self.b = conv_norm(inner, inner, 3, stride, groups=inner)
        self.c = conv_norm(inner, channels, 1, nonlinear=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branch = self.c(self.b(x if self.a is None else self.a(x)))
        return x + branch if self.shortcut else branch


class MobileNetV2(Network):
    """MobileNetV2, with `blocks` after some units.

    Sandler, Howard, Zhu, Zhmoginov, Chen: "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018.
    """

    def __init__(
        self, channels: int, stages: typing.Sequence[InvertedStage], last: int, classes: int, blocks: Blocks
    ) -> None:
        layers: Layers = {"conv1": conv_norm(3, channels, 3, stride=2)}
        for number, stage in enumerate(stages, start=2):
            name, units = f"conv{number}", OrderedDict()
            for unit in range(1, stage.units + 1):
                stride = stage.stride if unit == 1 else 1
                units[f"unit{unit}"] = InvertedResidual(channels, stage.width, stage.expansion, stride)
                if (name, unit) in blocks:
                    units[f"context{unit}"] = blocks[name, unit]
                channels = stage.width
            layers[name] = nn.Sequential(units)
        layers[f"conv{len(stages) + 2}"] = conv_norm(channels, last, 1)
        layers.update(pool=pool(2), flatten=nn.Flatten())
        super().__init__(layers, last, classes)


def load(path: str) -> Network:
    """Build the network with the parameters in the .safetensors file `path`."""
    net = build()
    with safe_open(path, framework="pt") as file:
        net.description = (file.metadata() or {}).get("description", "")
        net.load_state_dict({name: file.get_tensor(name) for name in list(file.keys())})
    return net


def save(net: Network, path: str) -> None:
    """Write the parameters to a .safetensors file, for `load` and for ``a2net import``."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    save_file(tensors, path, {"description": net.description})


def build() -> Network:
    """Build the network with random parameters."""
    raise NotImplementedError("the export writes this function")
