"""From command-line options to the parts of a training run."""

import pathlib

import mxnet as mx

from a2net_gluon.data import NORMALIZATIONS, Preprocessing
from a2net_gluon.errors import UsageError
from a2net_gluon.from_options import context_options, fast_options
from a2net_gluon.networks import get_model, load_backbone, load_weights
from a2net_gluon.networks.description import Description
from a2net_gluon.training.learner import Optimization
from a2net_gluon.training.loss import Objective
from a2net_gluon.training.schedules import Plateau, make_schedule

__all__ = ["description", "net_maker", "objective", "optimization", "schedule", "steps_per_epoch"]


def steps_per_epoch(args, source):
    """Steps of an epoch; a last one with too few batches is left out."""
    steps = source.train_batches // args.accumulate
    if not steps:
        raise UsageError(f"--accumulate is {args.accumulate}, an epoch has {source.train_batches} batches: lower it")
    return steps


def schedule(args, steps):
    """The learning rate of each step, for `steps` steps an epoch."""
    period = args.lr_decay_period
    return make_schedule(
        args.lr_mode,
        args.lr,
        args.num_epochs,
        steps,
        args.lr_decay,
        list(range(period, args.num_epochs + period, period)) if period else args.lr_decay_epoch,
        args.warmup_epochs,
        args.warmup_lr,
        Plateau(args.plateau_patience, args.plateau_threshold),
    )


def description(args, classes, preprocessing):
    """What the network is and takes, to be kept beside its parameters."""
    return Description(args.model, tuple(classes), preprocessing, options=context_options(args))


def net_maker(args, contexts, description):
    """A function that builds the network with its first weights on `contexts`."""
    options = {"classes": len(description.classes), "last_gamma": args.last_gamma, **_norm(args, contexts)}
    options.update(description.options, **fast_options(description.preprocessing))

    def make():
        net = get_model(args.model, pretrained=args.use_pretrained, ctx=contexts, **options)
        if not args.use_pretrained:
            net.initialize(mx.init.MSRAPrelu(), ctx=contexts)
        if args.pretrained_base:
            load_backbone(net, args.pretrained_base)
        if args.resume_params:
            load_weights(net, args.resume_params, contexts)
        net.cast(args.dtype)
        if args.mode == "hybrid":
            net.hybridize(static_alloc=True, static_shape=True)
        return net

    return make


def _norm(args, contexts):
    """The BN layer of ``--norm``."""
    if args.norm == "batch":
        return {}
    if args.norm == "frozen":
        return {"norm_kwargs": {"use_global_stats": True}}
    if len(contexts) > 1 and contexts[0].device_type == "cpu":
        raise UsageError("--norm sync: MXNet 1.9.1's SyncBatchNorm crashes on several CPU contexts; it is for GPUs")
    if args.dtype == "float16":
        raise UsageError("--norm sync: MXNet's SyncBatchNorm has no float16; leave --dtype float16 out")
    return {"norm_layer": mx.gluon.contrib.nn.SyncBatchNorm, "norm_kwargs": {"num_devices": len(contexts)}}


def objective(args, contexts, description, steps):
    """The loss, for `steps` steps an epoch."""
    return Objective(
        classes=len(description.classes),
        label_smoothing=args.label_smoothing,
        mixup_alpha=args.mixup_alpha if args.mixup else 0.0,
        mixup_steps=(args.num_epochs - args.mixup_off_epoch) * steps + 1,
        teacher=_teacher(args.teacher, contexts, description) if args.teacher else None,
        temperature=args.temperature,
        hard_weight=args.hard_weight,
        seed=args.seed,
    )


def _teacher(name, contexts, description):
    """Logits of the network ``--teacher`` names: a parameter file of a run, or a name of GluonCV's zoo."""
    if pathlib.Path(name).is_file():
        taught = Description.beside(name)
        if taught is None:
            raise UsageError(f"--teacher {name}: there is no model.json beside it; give best.params of a run folder")
        if taught.classes != description.classes:
            raise UsageError(
                f"--teacher {name} knows {len(taught.classes)} classes ({taught.classes[0]} first), the data have "
                f"{len(description.classes)} ({description.classes[0]} first): they must be the same"
            )
        net = get_model(taught.model, classes=len(taught.classes), **taught.options)
        load_weights(net, name, contexts)
        normalize = taught.preprocessing.normalize
    else:
        net = _gluoncv_teacher(name, contexts)
        mean, scale = NORMALIZATIONS["gluoncv"]
        normalize = Preprocessing(description.preprocessing.size, mean=mean, scale=scale).normalize
    net.hybridize(static_alloc=True, static_shape=True)
    return lambda pixels, mix: net(mix(normalize(pixels)))


def _gluoncv_teacher(name, contexts):
    from gluoncv.model_zoo import get_model as get_gluoncv_model

    try:
        return get_gluoncv_model(name, pretrained=True, ctx=contexts)
    except ValueError:
        raise UsageError(f"--teacher {name}: neither a file nor a name of GluonCV's model zoo") from None
    except RuntimeError as error:  # it has no weights of that name, or cannot fetch them
        raise UsageError(f"--teacher {name}: {' '.join(str(error).split())[:150]}") from None


def optimization(args):
    """How weights move."""
    return Optimization(
        momentum=args.momentum,
        wd=args.wd,
        no_wd=args.no_wd,
        clip_gradient=args.clip_gradient,
        accumulate=args.accumulate,
        dtype=args.dtype,
        skip_bad_steps=args.skip_bad_steps,
        ema=args.ema,
    )
