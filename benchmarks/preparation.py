"""Files that all implementations of a scenario share: parameters, exports of the network that has them, JPEGs."""

import pathlib

import cv2
import mxnet as mx
import numpy as np
from mxnet import autograd

import a2net_gluon
from a2net_gluon.data import pack_folder
from a2net_gluon.data.folder import read_image
from a2net_gluon.data.preprocessing import Preprocessing
from a2net_gluon.deploy.exporting import export_network
from a2net_gluon.deploy.forms import exported_files
from a2net_gluon.deploy.quantization import write_int8
from a2net_gluon.deploy.torch_files import write_torch
from a2net_gluon.networks import Description, load_weights, save_weights
from benchmarks import worker

__all__ = ["lay_out", "load_network", "make_jpegs", "write_parameters", "write_photographs"]

CALIBRATION = 16  # images
STATISTICS = 4  # images or clips for BN's statistics; from two, a deep network is one that multiplies rounding errors
CLASSES = 2
QUALITY = 90  # of generated JPEGs
SPREAD = 32  # grey levels of the noise: JPEGs of it are as large as photographs, and as slow to decode


def write_parameters(task):
    """Write the parameters, also for PyTorch, and if the task asks for it an export; the facts are its multiply-adds.

    The parameters are random, those at which training starts. BN has the statistics of a batch, so that activations
    are as large as in a trained network.
    """
    mx.random.seed(0)
    np.random.seed(0)  # MXNet's initializers draw from both
    net = _build(task, norm_kwargs={"momentum": 0.0})  # keeps nothing of earlier statistics
    net.initialize(mx.init.MSRAPrelu())
    with autograd.record():
        logits = net(mx.nd.array(worker.images({**task, "batch": STATISTICS})))
    logits.backward()
    mx.nd.waitall()
    save_weights(net, task["weights"])
    classes = tuple(f"class {number}" for number in range(task["classes"]))
    description = Description(task["network"], classes, Preprocessing(size=task["size"], frames=task["frames"]))
    write_torch(load_network(task), description, task["torch_code"], task["torch_weights"])
    if task["exported"]:
        export_network(load_network(task, association="auto"), task["export"], description, forms=("optimized", "onnx"))
        model, quantized = (exported_files(task["export"], [form])[0] for form in ("onnx", "int8"))
        # Not by `export_network`, which refuses 8 bits that cost accuracy: that of random parameters has no meaning.
        write_int8(model, quantized, worker.images({**task, "batch": CALIBRATION}))
    counted = a2net_gluon.cost(_build(task, association="auto"), description.preprocessing.input_shape)
    return (lambda: None), {"macs": counted.macs}


def load_network(task, **kwargs):
    """Return our network with the shared parameters; `kwargs` are further arguments of `get_model`."""
    net = _build(task, **kwargs)
    load_weights(net, task["weights"])
    if task.get("dtype"):
        net.cast(task["dtype"])
    return net


def _build(task, **kwargs):
    return a2net_gluon.get_model(
        task["network"], classes=task["classes"], input_size=task["size"], input_frames=task["frames"], **kwargs
    )


def write_photographs(task):
    """Lay out the JPEGs of a task, and pack them as they are and smaller; the facts are their number and mean sizes.

    ``train`` is for readers, ``short`` for an epoch of training; both also need ``val``.
    """
    folder, given = pathlib.Path(task["folder"]), task["images"]
    found = worker.find_jpegs(given) if given else make_jpegs(folder / "made", *task["generated"])
    for part, count in task["parts"].items():
        lay_out(found, folder / "images" / part, count)
        pack_folder(folder / "images" / part, folder / part)
    resize = task["smaller"]
    pack_folder(folder / "images" / "train", folder / "smaller", resize=resize, quality=95)
    used = found[: max(task["parts"].values())]
    height, width = np.mean([read_image(path).shape[:2] for path in used[:50]], axis=0).tolist()
    kilobytes = float(np.mean([path.stat().st_size for path in used])) / 1e3
    smaller = (folder / "smaller.rec").stat().st_size / task["parts"]["train"] / 1e3
    facts = {"different": len(used), "kilobytes": kilobytes, "height": height, "width": width}
    facts.update(resize=resize, smaller_kilobytes=smaller)
    return (lambda: None), {"photographs": facts}


def make_jpegs(folder, count, height, width):
    """Write `count` different JPEGs of noise in octaves; returns their paths."""
    folder.mkdir(parents=True)
    paths = [folder / f"{number:04}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        (image,) = worker.images({"batch": 1, "size": max(height, width), "seed": number})
        pixels = np.clip(128 + SPREAD * image[:, :height, :width], 0, 255).astype(np.uint8)
        cv2.imwrite(str(path), pixels.transpose(1, 2, 0), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return paths


def lay_out(jpegs, folder, count):
    """Make an image folder of `count` links to `jpegs`, which are repeated where they are fewer."""
    for number in range(count):
        link = folder / f"class{number % CLASSES}" / f"{number:05}.jpg"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(jpegs[number % len(jpegs)])
