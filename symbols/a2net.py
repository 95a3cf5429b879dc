"""A²-Net for MXNet's Module API, as MXNet's example/image-classification loads networks."""

from symbols import trace


def get_symbol(num_classes, num_layers=50, image_shape="3,224,224", dtype="float32", **kwargs):
    """Return A²-Net ResNet with the output ``softmax``; see `symbols.trace.get_symbol`."""
    return trace.get_symbol({50: "a2net_resnet50"}, num_classes, num_layers, image_shape, dtype, **kwargs)
