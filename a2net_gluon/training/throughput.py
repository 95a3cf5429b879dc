"""How fast training data can be read, without a network."""

import time

from a2net_gluon import from_options
from a2net_gluon.errors import UsageError
from a2net_gluon.options import complete
from a2net_gluon.training.report import problems_in_words

__all__ = ["read_epoch"]


def read_epoch(args, tell):
    """Read the training data of one epoch, augmentation included, and `tell` the speed in lines.

    Parameters
    ----------
    args : argparse.Namespace
        Options of training.
    tell : callable

    Returns
    -------
    float
        Images per second, without the first batch, during which readers start.

    Raises
    ------
    UsageError
        If options and data do not fit, or there is only one batch.
    """
    complete(args)
    contexts = from_options.contexts(args)
    preprocessing = from_options.preprocessing(args, args.model)
    source = from_options.source(
        args, preprocessing, len(contexts), on_skip=lambda name, reason: tell(f"skipped {name}: {reason}")
    )
    speed = None
    for number, batch in enumerate(source.train(epoch=1)):
        batch.pixels.wait_to_read()
        if number == 0:
            start = time.monotonic()
            continue
        speed = number * source.batch_size / (time.monotonic() - start)
        if (number + 1) % args.log_interval == 0:
            tell(f"batch {number + 1}/{source.train_batches}: {speed:.0f} images/s")
    for text in problems_in_words(source.problems):
        tell(text)
    if speed is None:
        raise UsageError(f"{source.train_batches} batch is too little to time: lower --batch-size")
    images = f"{source.batch_size} images {preprocessing.size}×{preprocessing.size}"
    tell(f"{source.train_batches} batches of {images}: {speed:.0f} images/s from the data alone")
    return speed
