"""A²-Net for MXNet's Module API, as MXNet's example/image-classification loads networks."""

from symbols import trace

_NETWORKS = {50: "a2net_resnet50", 20: "a2net_resnet20_small"}


def get_symbol(num_classes, num_layers=50, image_shape="3,224,224", dtype="float32", **kwargs):
    """Return A²-Net of 50 layers, or of 20 for small images, with the output ``softmax``; see `symbols.trace`."""
    return trace.get_symbol(_NETWORKS, num_classes, num_layers, image_shape, dtype, **kwargs)
