"""A²-Net and ResNet-50 as a PyTorch user would write the paper; modules are called as in our networks."""

from collections import OrderedDict

import numpy as np
import torch
from torch import nn

EPSILON = 1e-3  # the paper's, see a2net_gluon.blocks.preactivation
REDUCTION = 2
FIVE_BLOCKS = {"conv3": (2, 4), "conv4": (2, 4, 6)}
# Stem: channels, kernel, stride, and whether a max pool follows. Stages: units and widths, from conv2 on.
IMAGENET = ((32, 5, 2, True), (3, 4, 6, 3), (256, 512, 1024, 2048))
SMALL = ((16, 3, 1, False), (2, 2, 2), (64, 128, 256))
NETWORKS = {
    "resnet50": (IMAGENET, {}, 1000),
    "a2net_resnet50": (IMAGENET, FIVE_BLOCKS, 1000),
    "resnet20_small": (SMALL, {}, 10),
    "a2net_resnet20_small": (SMALL, {"conv3": (2,), "conv4": (2,)}, 10),
}
# Our names of a normalisation's parameters, and torch's.
NORM_NAMES = {"gamma": "weight", "beta": "bias", "running_mean": "running_mean", "running_var": "running_var"}


def build(name):
    """Return the network called `name`."""
    backbone, placement, classes = NETWORKS[name]
    return ResNet(*backbone, placement, classes)


def load(net, path):
    """Load the parameters of `path`, an .npz file with our names (``features.conv2.unit1.a.bn.gamma``)."""
    with np.load(path) as file:
        state = {name: torch.from_numpy(file[ours]) for name, ours in our_names(path).items()}
    net.load_state_dict({**net.state_dict(), **state})  # BN also counts batches, which nothing uses


def our_names(path):
    """Return ``{torch's name: our name}`` of the parameters in `path`."""
    with np.load(path) as file:
        split = {name: name.rpartition(".") for name in file.files}
    return {f"{stem}.{NORM_NAMES.get(last, last)}": name for name, (stem, _, last) in split.items()}


def pre_activation(in_channels, channels, kernel=1, stride=1):
    """BN → ReLU → convolution."""
    convolution = nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2, bias=False)
    layers = OrderedDict(bn=nn.BatchNorm2d(in_channels, EPSILON), relu=nn.ReLU(inplace=True), conv=convolution)
    return nn.Sequential(layers)


class DoubleAttention(nn.Module):
    """The paper's block; Eq. 6, or Eq. 7 where the map is so small that it needs less.

    The second softmax runs over the last axis and the second product leaves channels last: no copies, and 4 to 8 % less
    time than with everything as (N, channels, L).
    """

    def __init__(self, channels):
        super().__init__()
        width = channels // REDUCTION
        self.phi = pre_activation(channels, width)
        self.theta = pre_activation(channels, width)
        self.rho = pre_activation(channels, width)
        self.expand = pre_activation(width, channels)

    def forward(self, x):  # noqa: D102
        values = self.phi(x).flatten(2)  # (N, m, L)
        gathering = self.theta(x).flatten(2).softmax(dim=2)  # (N, n, L), over the locations
        distribution = self.rho(x).flatten(2).transpose(1, 2).softmax(dim=2)  # (N, L, n), over the descriptors
        values = values.transpose(1, 2)  # (N, L, m)
        if values.shape[1] >= values.shape[2]:
            z = torch.bmm(distribution, torch.bmm(gathering, values))  # the inner one is (N, n, m)
        else:
            z = torch.bmm(torch.bmm(distribution, gathering), values)  # the inner one is (N, L, L)
        return x + self.expand(z.transpose(1, 2).unflatten(2, x.shape[2:]))


class Unit(nn.Module):
    """Pre-activation bottleneck: 1×1 → 3×3 (carrying the stride) → 1×1, plus the input or its projection."""

    def __init__(self, in_channels, channels, stride, project):
        super().__init__()
        inner = channels // 4
        self.a = pre_activation(in_channels, inner)
        self.b = pre_activation(inner, inner, 3, stride)
        self.c = pre_activation(inner, channels)
        self.w = pre_activation(in_channels, channels, 1, stride) if project else None

    def forward(self, x):  # noqa: D102
        shortcut = x if self.w is None else self.w(x)
        return shortcut + self.c(self.b(self.a(x)))


class ResNet(nn.Module):
    """Pre-activation ResNet with double attention blocks after the units in `placement`."""

    def __init__(self, stem, units, widths, placement, classes):
        super().__init__()
        channels, kernel, stride, pool = stem
        layers = OrderedDict(conv1=nn.Conv2d(3, channels, kernel, stride, kernel // 2, bias=False))
        layers.update(conv1_bn=nn.BatchNorm2d(channels, EPSILON), conv1_relu=nn.ReLU(inplace=True))
        if pool:
            layers["pool1"] = nn.MaxPool2d(3, 2, 1)
        for number, (count, width) in enumerate(zip(units, widths), start=2):
            stage = OrderedDict()
            for unit in range(1, count + 1):
                stride = 2 if unit == 1 and number > 2 else 1
                stage[f"unit{unit}"] = Unit(channels, width, stride, project=unit == 1)
                channels = width
                if unit in placement.get(f"conv{number}", ()):
                    stage[f"context{unit}"] = DoubleAttention(width)
            layers[f"conv{number}"] = nn.Sequential(stage)
        layers.update(tail_bn=nn.BatchNorm2d(channels, EPSILON), tail_relu=nn.ReLU(inplace=True))
        layers.update(pool5=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten())
        self.features = nn.Sequential(layers)
        self.output = nn.Linear(channels, classes)

    def forward(self, x):  # noqa: D102
        return self.output(self.features(x))
