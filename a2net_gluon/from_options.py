"""From command-line options to objects: contexts, preprocessing, data, networks."""

import dataclasses
import os

import mxnet as mx

from a2net_gluon.data import (
    AUGMENTATIONS,
    NORMALIZATIONS,
    Preprocessing,
    RecordFile,
    Shard,
    SyntheticSource,
    digits_source,
    folder_source,
    record_source,
)
from a2net_gluon.environment import THREADS
from a2net_gluon.errors import UsageError
from a2net_gluon.networks import find_weights, get_model, input_shape, list_models
from a2net_gluon.networks.description import OPTIONS, Description
from a2net_gluon.networks.weights import check_contexts
from a2net_gluon.options import CROP_RATIOS, uses_records

__all__ = ["context_options", "contexts", "fast_options", "network", "preprocessing", "source"]

SYNTHETIC_BATCHES = 50  # in an epoch of --benchmark


def contexts(args):
    """The contexts `args` ask for, as a list; raises UsageError where one is not there or cannot do it."""
    gpus = args.gpus if args.gpus is not None else range(args.num_gpus)
    if gpus:
        return check_contexts([mx.gpu(index) for index in gpus])
    if getattr(args, "dtype", "float32") == "float16":
        raise UsageError(
            "--dtype float16 needs GPUs: MXNet has no float16 convolution on the CPU; name some with --gpus"
        )
    if args.cpu_contexts > 1 and os.environ[THREADS] != "1":  # see set_thread_count
        raise UsageError(f"{args.cpu_contexts} CPU contexts can hang with {THREADS}={os.environ[THREADS]}: set it to 1")
    return [mx.cpu(index) for index in range(args.cpu_contexts)]


def context_options(args, description=None):
    """Options of `get_model` that `args` give; where they are silent, those the `description` of parameters keeps."""
    given = {name: value for name, value in vars(args).items() if name in OPTIONS and value is not None}
    return {**(description.options if description else {}), **given}


def fast_options(preprocessing):
    """Options of `get_model` that leave parameters and answers alone, and make it fast on inputs of this size."""
    return {"association": "auto", "input_size": preprocessing.size}


def preprocessing(args, model, description=None, clips=False):
    """What `args` ask for; where they are silent, the `description` of the parameters or the network's own.

    Raises
    ------
    UsageError
        If there is no such network, or it takes clips and `clips` is False.
    """
    *_, size = shape = input_shape(model)
    if len(shape) > 3 and not clips:
        raise UsageError(f"{model} takes clips; this command reads images: give {', '.join(list_models(ndim=2))}")
    if description:
        base = description.preprocessing
    else:
        kind = getattr(args, "data_kind", "images")  # export knows of no data
        base = Preprocessing(size=size, crop_ratio=CROP_RATIOS[kind])
    given = {"size": args.input_size, "crop_ratio": args.crop_ratio}
    if args.normalization:
        given["mean"], given["scale"] = NORMALIZATIONS[args.normalization]
    return dataclasses.replace(base, **{name: value for name, value in given.items() if value is not None})


def source(args, preprocessing, devices, training=True, classes=None, on_skip=None, shard=Shard()):  # noqa: B008
    """Open the data `args` name.

    Parameters
    ----------
    args : argparse.Namespace
        Completed options of training or evaluation.
    preprocessing : Preprocessing
    devices : int
        A batch holds ``args.batch_size`` images for each.
    training : bool
        False: validation data only.
    classes : sequence of str, optional
        The classes a network was trained on; the data tell unless given.
    on_skip : callable, optional
        Called with name and reason of each image that cannot be read.
    shard : Shard
        The part of the data this process reads.

    Raises
    ------
    UsageError
        If data are missing, or --classes is not their number.
    FailureError
        If data are damaged.
    """
    options = {"preprocessing": preprocessing, "batch_size": args.batch_size * devices}
    options["seed"] = getattr(args, "seed", 0)
    if args.benchmark:
        return SyntheticSource(args.classes or len(classes or ()) or 1000, batches=SYNTHETIC_BATCHES, **options)
    options.update(workers=args.num_workers, augmentation=AUGMENTATIONS[args.augmentation] if training else None)
    options.update(on_skip=on_skip, shard=shard)
    if uses_records(args):
        return _open_records(args, training, classes or args.classes, options)
    options.update(training=training)
    opened = folder_source(args.data_dir, classes=classes, **options) if args.data_dir else digits_source(**options)
    if args.classes not in (None, len(opened.classes)):
        raise UsageError(f"--classes is {args.classes}, the data have {len(opened.classes)}: leave --classes out")
    return opened


def _open_records(args, training, classes, options):
    needed = {"--rec-val": args.rec_val, **({"--rec-train": args.rec_train} if training else {})}
    for flag, value in needed.items():
        if not value:
            raise UsageError(f"--use-rec needs {flag} FILE")
    train = RecordFile(args.rec_train, args.rec_train_idx) if training else None
    val = RecordFile(args.rec_val, args.rec_val_idx)
    return record_source(train, val, classes=classes, native=args.native_reader, **options)


def network(args, clips=False):
    """The network ``args.model`` with its parameters, on the CPU, and its description.

    The parameters are those of ``args.params``, or published ones with ``args.use_pretrained``; with neither they are
    random.
    """
    path = find_weights(args.model, args.params or True) if args.params or args.use_pretrained else None
    description = Description.beside(path) if path else None
    prepared = preprocessing(args, args.model, description, clips)
    options = context_options(args, description)
    net = get_model(
        args.model,
        classes=None if path else args.classes,
        pretrained=path or False,
        **options,
        **fast_options(prepared),
    )
    if not path:
        net.initialize(mx.init.MSRAPrelu())
    count = net.output.weight.shape[0]
    if args.classes not in (None, count):
        raise UsageError(f"--classes is {args.classes}, {path} was trained for {count}: leave it out")
    if description and len(description.classes) != count:
        raise UsageError(f"{path} was trained for {count} classes, its description names {len(description.classes)}")
    classes = description.classes if description else tuple(str(number) for number in range(count))
    _, *frames, _, _ = input_shape(args.model)
    prepared = dataclasses.replace(prepared, frames=frames[0] if frames else None)
    return net, Description(args.model, classes, prepared, options=options)
