"""Settings of the optimization: first weights, optimizer, learning rate and loss."""

from __future__ import annotations

import dataclasses
import typing

from a2net_gluon.errors import UsageError
from a2net_gluon.fields import (
    COUNT,
    FRACTION,
    POSITIVE,
    RATE,
    RELATIVE,
    WHOLE,
    Path,
    Settings,
    documented,
    option,
)

__all__ = ["Loss", "Optimization", "Schedule", "Start"]


@documented
@dataclasses.dataclass(frozen=True)
class Start(Settings):
    """The weights that training starts from."""

    pretrained: bool = option(False, "--use-pretrained", help="start from published weights")
    base: Path | None = option(
        None,
        "--pretrained-base",
        metavar="FILE",
        help="start from a trained backbone, also that of a network for images in one for clips; new attention "
        "blocks start as the identity",
    )
    params: Path | None = option(None, "--resume-params", help="start from this parameter file")
    states: Path | None = option(
        None,
        "--resume-states",
        help="with --resume-params: optimizer state, a pickled file of gluon.Trainer.save_states",
    )
    epochs_done: int = option(
        0, "--resume-epoch", rule=WHOLE, help="with --resume-params: number of epochs already done"
    )
    by_name: bool = option(
        False,
        "--init-by-name",
        help="draw the first weights of each parameter by its name and the seed: networks that share parameters start "
        "with the same weights there",
    )
    last_gamma: bool = option(
        False, "--last-gamma", help="initialize each residual unit as its shortcut (last gamma of BN is 0)"
    )


@documented
@dataclasses.dataclass(frozen=True)
class Optimization(Settings):
    """SGD with Nesterov momentum, and its arithmetic."""

    lr: float | None = option(
        None, "--lr", rule=RATE, help="learning rate for the batch over all devices", default_words="0.1; digits 0.05"
    )
    momentum: float = option(0.9, "--momentum", rule=RELATIVE, help="Nesterov momentum")
    wd: float | None = option(None, "--wd", rule=RATE, help="weight decay", default_words="0.0001; digits 0.0005")
    no_wd: bool = option(
        False, "--no-wd", help="no weight decay for biases and for BN's gamma and beta", exclusive="decay-free"
    )
    no_bias_decay: bool = option(
        False, "--no-bias-decay", help="no weight decay for biases and for BN's beta", exclusive="decay-free"
    )
    temporal_lr_mult: float = option(
        1.0, "--temporal-lr-mult", rule=POSITIVE, help="learning-rate factor of kernels longer than one frame"
    )
    backbone_lr_mult: float = option(
        1.0, "--backbone-lr-mult", rule=POSITIVE, help="learning-rate factor of all but the output layer"
    )
    accumulate: int = option(1, "--accumulate", rule=COUNT, help="batches whose gradients are summed for one step")
    clip_gradient: float | None = option(
        None, "--clip-gradient", rule=POSITIVE, help="clip each value of a gradient to ± this"
    )
    skip_bad_steps: int = option(
        0, "--skip-bad-steps", rule=WHOLE, help="consecutive steps with NaN or Inf to skip before the run fails"
    )
    ema: float | None = option(
        None,
        "--ema",
        rule=FRACTION,
        metavar="DECAY",
        help="also keep an exponential moving average of the weights, e.g. 0.9999",
    )
    dtype: str = option("float32", "--dtype", choices=("float32", "float16"), help="float16: GPUs only")
    norm: str = option(
        "batch",
        "--norm",
        choices=("batch", "sync", "frozen"),
        help="BN statistics: of each device's part of the batch, of all GPUs of a process, or frozen as loaded",
    )
    precise_bn: int = option(
        0,
        "--precise-bn",
        rule=WHOLE,
        metavar="BATCHES",
        help="measure BN's running statistics on this many training batches before each validation",
    )
    mode: str = option(
        "hybrid", "--mode", choices=("hybrid", "imperative"), help="static graph, or operator by operator"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ema == 1:
            raise UsageError("--ema is 1, so the average would never change; it must be below 1, e.g. 0.9999")
        if self.precise_bn and self.norm != "batch":
            raise UsageError(f"--precise-bn needs --norm batch, not {self.norm}: leave one of them out")


@documented
@dataclasses.dataclass(frozen=True)
class Schedule(Settings):
    """The learning rate of each step."""

    mode: str | None = option(
        None,
        "--lr-mode",
        choices=("step", "poly", "cosine", "plateau"),
        help="schedule",
        default_words="step; digits cosine",
    )
    decay: float = option(0.1, "--lr-decay", rule=FRACTION, help="factor of each decay")
    decay_epochs: typing.Sequence[int] = option(
        (30, 60, 90),
        "--lr-decay-epoch",
        rule=WHOLE,
        sequence=True,
        help="epochs after which the rate decays",
        exclusive="decays",
    )
    decay_period: int = option(
        0, "--lr-decay-period", rule=WHOLE, help="decay every this many epochs instead", exclusive="decays"
    )
    decay_iterations: typing.Sequence[int] = option(
        (),
        "--lr-decay-iterations",
        rule=WHOLE,
        sequence=True,
        help="iterations after which the rate decays instead",
        exclusive="decays",
    )
    plateau_patience: int = option(
        5, "--plateau-patience", rule=COUNT, help="epochs without a better training accuracy"
    )
    plateau_threshold: float = option(
        0.001, "--plateau-threshold", rule=RELATIVE, help="increase of the accuracy (0 to 1) that counts as better"
    )
    warmup_lr: float = option(0.0, "--warmup-lr", rule=RATE, help="learning rate at the start of the warm-up")
    warmup_epochs: int | None = option(
        None,
        "--warmup-epochs",
        rule=WHOLE,
        help="epochs of linear warm-up",
        default_words="0; digits 1, but 0 with --num-iterations",
        exclusive="warm-up",
    )
    warmup_iterations: int | None = option(
        None,
        "--warmup-iterations",
        rule=WHOLE,
        help="iterations of linear warm-up",
        default_words="as many as --warmup-epochs has",
        exclusive="warm-up",
    )


@documented
@dataclasses.dataclass(frozen=True)
class Loss(Settings):
    """Cross-entropy, smoothed, mixed, or distilled from a teacher."""

    label_smoothing: bool = option(False, "--label-smoothing", help="label smoothing by 0.1")
    mixup: bool = option(False, "--mixup", help="mix images and labels in pairs")
    mixup_alpha: float = option(
        0.2, "--mixup-alpha", rule=POSITIVE, help="parameter of the Beta distribution of mixing ratios"
    )
    mixup_off_epochs: int = option(0, "--mixup-off-epoch", rule=WHOLE, help="number of last epochs without mixup")
    teacher: Path | None = option(
        None,
        "--teacher",
        help="distil from: best.params of a run, or a network with published parameters, also of GluonCV's zoo",
    )
    temperature: float = option(20.0, "--temperature", rule=POSITIVE, help="temperature of distillation")
    hard_weight: float = option(
        0.5, "--hard-weight", rule=RELATIVE, help="weight of the labels in distillation, from 0 to 1"
    )
