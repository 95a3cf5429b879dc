"""The options of training, their defaults, and how they go together."""

from a2net_gluon.errors import UsageError
from a2net_gluon.options.common import (
    add_context_options,
    add_data_options,
    add_device_options,
    uses_records,
)
from a2net_gluon.options.recipes import read_recipe
from a2net_gluon.options.types import Parser, count, numbers, rate, seed, share, switch, whole

__all__ = ["CROP_RATIOS", "complete", "parse_training", "training_parser"]

# Values for what the user leaves open: one set for the embedded digits, one for every other kind of data.
_IMAGES = {
    "model": "a2net_resnet50",
    "num_epochs": 100,
    "lr": 0.1,
    "wd": 1e-4,
    "lr_mode": "step",
    "warmup_epochs": 0,
    "augmentation": "dpn",
    "log_interval": 50,
    "num_workers": 4,
}
DEFAULTS = {
    "digits": {
        "model": "a2net_resnet20_small",
        "num_epochs": 12,
        "lr": 0.05,
        "wd": 5e-4,
        "lr_mode": "cosine",
        "warmup_epochs": 1,
        "augmentation": "shift",
        "log_interval": 10,
        "num_workers": 1,
    },
    "images": _IMAGES,
    "synthetic": {**_IMAGES, "num_epochs": 1},
}
# For validation, where no trained parameters bring their own.
CROP_RATIOS = {"digits": 1.0, "images": 0.875, "synthetic": 0.875}


def training_parser(prog=None):
    """The parser of ``train_imagenet.py``, ``a2net train`` and ``a2net check``; see also `parse_training`."""
    parser = Parser(prog=prog, description="Train an image network, A²-Net ResNet-50 by default.")
    parser.add_argument(
        "--recipe", help="YAML file with flags and values, or paper, modern, one-gpu, cifar10; flags go before it"
    )
    add_data_options(parser)
    add_device_options(parser)
    kinds = ("local", "device", "nccl", "dist_sync", "dist_device_sync", "horovod")
    parser.add_argument(
        "--kv-store", choices=kinds, help="how gradients are added up (device, where there are several)"
    )
    _add_network_options(parser)
    add_context_options(parser)
    _add_optimization_options(parser)
    _add_schedule_options(parser)
    _add_regularization_options(parser)
    _add_run_options(parser)
    return parser


def _add_network_options(parser):
    group = parser.add_argument_group("network")
    group.add_argument("--model", help="a2net_resnet50; for digits a2net_resnet20_small")
    group.add_argument(
        "--mode", choices=("hybrid", "imperative"), default="hybrid", help="static graph or not (hybrid)"
    )
    group.add_argument(
        "--dtype", choices=("float32", "float16"), default="float32", help="float16: GPUs only (float32)"
    )
    group.add_argument(
        "--norm",
        choices=("batch", "sync", "frozen"),
        default="batch",
        help="BN statistics of a device's part of the batch, of all GPUs of a process, or as loaded (batch)",
    )
    switch(group, "--last-gamma", "start each residual unit as its shortcut")
    switch(group, "--use-pretrained", "start from published weights")
    group.add_argument(
        "--pretrained-base",
        metavar="FILE",
        help="start from a trained backbone; attention blocks start as the identity",
    )


def _add_optimization_options(parser):
    group = parser.add_argument_group("optimization (SGD with Nesterov momentum)")
    group.add_argument("--num-epochs", type=count, help="100; digits 12")
    group.add_argument("--lr", type=rate, help="learning rate for the batch over all devices (0.1; digits 0.05)")
    group.add_argument("--momentum", type=rate, default=0.9, help="0.9")
    group.add_argument("--wd", type=rate, help="weight decay (0.0001; digits 0.0005)")
    switch(group, "--no-wd", "no weight decay for biases and for BN's gamma and beta")
    group.add_argument("--accumulate", type=count, default=1, help="add up gradients over so many batches (1)")
    group.add_argument("--clip-gradient", type=rate, help="limit each value of a gradient to ± this")
    group.add_argument(
        "--skip-bad-steps", type=whole, default=0, help="leave out at most so many steps in a row with NaN or Inf (0)"
    )
    group.add_argument("--ema", type=share, metavar="DECAY", help="average the weights too, e.g. 0.9999")
    group.add_argument("--seed", type=seed, default=0, help="0")


def _add_schedule_options(parser):
    group = parser.add_argument_group("learning rate")
    modes = ("step", "poly", "cosine", "plateau")
    group.add_argument("--lr-mode", choices=modes, help="schedule (step; digits cosine)")
    group.add_argument("--lr-decay", type=share, default=0.1, help="factor of a step, or at a plateau (0.1)")
    group.add_argument("--lr-decay-epoch", type=numbers, default=[30, 60, 90], help="epochs of steps (30,60,90)")
    group.add_argument("--lr-decay-period", type=whole, default=0, help="a step every so many epochs instead")
    group.add_argument(
        "--plateau-patience", type=count, default=5, help="epochs without a better training accuracy (5)"
    )
    group.add_argument("--plateau-threshold", type=rate, default=0.001, help="what is better: by this share (0.001)")
    group.add_argument("--warmup-lr", type=rate, default=0.0, help="learning rate at the start of the warm-up (0)")
    group.add_argument("--warmup-epochs", type=whole, help="epochs of linear warm-up (0; digits 1)")


def _add_regularization_options(parser):
    group = parser.add_argument_group("regularization")
    group.add_argument("--augmentation", choices=("dpn", "small", "shift", "none"), help="of training images (dpn)")
    switch(group, "--label-smoothing", "by 0.1")
    switch(group, "--mixup", "mix images and labels in pairs")
    group.add_argument("--mixup-alpha", type=rate, default=0.2, help="of the Beta distribution of shares (0.2)")
    group.add_argument("--mixup-off-epoch", type=whole, default=0, help="so many last epochs are not mixed (0)")
    group.add_argument("--teacher", help="distil from: best.params of a run, or a name of GluonCV's zoo")
    group.add_argument("--temperature", type=rate, default=20.0, help="of distillation (20)")
    group.add_argument("--hard-weight", type=rate, default=0.5, help="weight of the labels in distillation (0.5)")


def _add_run_options(parser):
    group = parser.add_argument_group("run folder")
    group.add_argument("--save-dir", help="runs/<model>-<time> unless given")
    group.add_argument("--save-frequency", type=count, default=1, help="epochs between checkpoints (1)")
    group.add_argument("--keep", type=count, default=2, help="newest checkpoints to keep (2); the best always is")
    switch(group, "--resume", "go on from the newest whole checkpoint in --save-dir")
    switch(group, "--auto-resume", "like --resume if --save-dir holds a run; otherwise start one")
    group.add_argument("--resume-params", help="start from this parameter file")
    group.add_argument("--resume-states", help="and from this pickled file of gluon.Trainer.save_states")
    group.add_argument("--resume-epoch", type=whole, default=0, help="and count so many epochs as done (0)")
    group.add_argument("--log-interval", type=count, help="batches between log lines (50; digits 10)")
    group.add_argument("--logging-file", default="log.txt", help="in the run folder (log.txt)")
    switch(group, "--tensorboard", "write files for TensorBoard too")
    group = parser.add_argument_group("instead of training")
    switch(group, "--evaluate", "measure --resume-params on the validation data")
    switch(group, "--test-io", "read the training data of one epoch, and tell how fast")


def parse_training(arguments, prog=None):
    """Parse `arguments`; what a ``--recipe`` says takes the place of the defaults.

    Raises
    ------
    UsageError
        If the recipe cannot be read, or says what flags could not.
    """
    parser = training_parser(prog)
    recipe = parser.parse_known_args(arguments)[0].recipe
    if recipe:
        parser.set_defaults(**read_recipe(recipe, parser))
    return parser.parse_args(arguments)


def complete(args):
    """Check how options of training or evaluation go together and fill in what is left open; returns `args`.

    Raises
    ------
    UsageError
        If options contradict each other.
    """
    given = [flag for flag, value in _sources(args).items() if value]
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} both name the data: give one of them")
    args.data_kind = "digits" if not given else "synthetic" if args.benchmark else "images"
    for name, value in DEFAULTS[args.data_kind].items():
        if name in vars(args) and getattr(args, name) is None:
            # A run that is shorter than the default warm-up has none of that length.
            setattr(args, name, min(value, args.num_epochs - 1) if name == "warmup_epochs" else value)
    if "recipe" in vars(args):
        _check_training(args)
    return args


def _check_training(args):
    if (args.resume_epoch or args.resume_states) and not args.resume_params:
        flag = "--resume-states" if args.resume_states else "--resume-epoch"
        raise UsageError(f"{flag} needs --resume-params FILE")
    if args.resume_epoch >= args.num_epochs:
        raise UsageError(f"--resume-epoch is {args.resume_epoch}, --num-epochs {args.num_epochs}: nothing is left")
    first = {"--use-pretrained": args.use_pretrained, "--pretrained-base": args.pretrained_base}
    named = [flag for flag, value in {**first, "--resume-params": args.resume_params}.items() if value]
    if len(named) > 1:
        raise UsageError(f"{named[0]} and {named[1]} both name the first weights: give one of them")
    if args.ema == 1:
        raise UsageError("--ema is 1, which never takes in anything: it must be below 1, e.g. 0.9999")
    if args.hard_weight > 1:
        raise UsageError(f"--hard-weight is {args.hard_weight}; it must be from 0 to 1")
    if args.mixup and not args.mixup_alpha:
        raise UsageError("--mixup needs a --mixup-alpha above 0, e.g. 0.2")


def _sources(args):
    return {
        "--data-dir": args.data_dir,
        "--use-rec": uses_records(args),
        "--benchmark": args.benchmark,
    }
