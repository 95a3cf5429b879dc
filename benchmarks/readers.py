"""Our readers of training images, as contenders."""

import itertools

import cv2
import mxnet as mx
import numpy as np

from a2net_gluon import from_options
from a2net_gluon.data.augmentation import AUGMENTATIONS
from a2net_gluon.data.folder import read_image
from a2net_gluon.options import complete, parse_training
from benchmarks import worker

__all__ = ["reading"]


def reading(task):
    """Take batches as training takes them: NDArrays (N, 3, h, w) of uint8 in the process that trains, and labels.

    Form "native" is MXNet's ImageRecordIter, "records" and "folder" are processes that read in Python. All have the
    settings that the command line gives them. Epochs follow each other, so that readers never wait for a turn's end.
    """
    sizes = ["--batch-size", str(task["batch"]), "--input-size", str(task["size"])]
    args = complete(parse_training([*task["flags"], *sizes, "--model", task["network"]]))
    source = from_options.source(args, from_options.preprocessing(args, args.model), devices=1)
    epochs = itertools.chain.from_iterable(source.train(epoch) for epoch in itertools.count(1))
    run = worker.taking((batch.pixels.wait_to_read() for batch in epochs), task["reads"])
    run()
    # The iterator draws for itself; its pixels are tested to be those of the others where nothing is drawn.
    if task["form"] != "native":
        worker.save_answers(task, {"pixels": _first_crops(task)})
    return run, {"version": f"mxnet {mx.__version__}, OpenCV {cv2.__version__}"}


def _first_crops(task):
    """What the readers make of a few images, each with random numbers of its own."""
    draw = AUGMENTATIONS["dpn"].apply
    paths = enumerate(worker.first_photographs(task))
    crops = [draw(read_image(path), task["size"], np.random.default_rng(number)) for number, path in paths]
    return np.stack(crops)
