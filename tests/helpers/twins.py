"""A small network for images and its twin for clips, with the same stages, units and widths."""

import mxnet as mx
from mxnet import autograd

from a2net_gluon import DoubleAttention
from a2net_gluon.networks import ResNet
from a2net_gluon.networks.resnet import Architecture, Stage, image_stages

WIDTHS = (16, 32)
FRAMES = 9


def make(architecture, classes=5, **kwargs):
    net = ResNet(architecture, classes, **kwargs)
    mx.random.seed(0)
    net.initialize(mx.init.MSRAPrelu())
    return net


def images(widths=WIDTHS, **kwargs):
    """A small network for images, with no trivial parameter: the running statistics are those of random images."""
    net = make(
        Architecture(8, (5, 5), (2, 2), (2, 2), image_stages((2, 2), widths)), norm_kwargs={"momentum": 0}, **kwargs
    )
    for name, parameter in net.collect_params().items():
        if name.endswith(("gamma", "beta", "bias")):
            low = 0.5 if name.endswith("gamma") else -0.5
            parameter.set_data(mx.nd.random.uniform(low, low + 1, parameter.shape))
    with autograd.record():
        net(mx.nd.random.normal(shape=(8, 3, 32, 32))).sum().backward()
    return net


def clips(temporal=(3, 3, 1), widths=WIDTHS, **kwargs):
    """Its twin for clips; `temporal` are the kernels along time of the stem and of the two units of each stage."""
    stem, *units = temporal
    kernels = tuple((k, 3, 3) for k in units)
    stages = tuple(Stage(width, kernels, (1, s, s)) for width, s in zip(widths, (1, 2)))
    return make(Architecture(8, (stem, 5, 5), (1, 2, 2), (1, 2, 2), stages), **kwargs)


def with_blocks(identity_start=False, **placement):
    def context(stage, channels, ndim, prefix):
        return DoubleAttention(channels, ndim=ndim, identity_start=identity_start, prefix=prefix)

    return {"context": context, "placement": placement}


def still(frames=FRAMES):
    """Images, and clips that show nothing else."""
    x = mx.nd.random.normal(shape=(2, 3, 32, 32))
    return x, x.expand_dims(2).broadcast_to((2, 3, frames, 32, 32))
