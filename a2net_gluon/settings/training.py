"""Settings of a training run."""

from __future__ import annotations

import dataclasses
import typing

from a2net_gluon.errors import UsageError
from a2net_gluon.fields import (
    COUNT,
    EPOCHS,
    SEED,
    Path,
    Settings,
    documented,
    flat,
    option,
    with_defaults,
)
from a2net_gluon.settings.data import (
    BATCH,
    WORKERS,
    Data,
    DigitPairs,
    Digits,
    ImageFolder,
    Records,
    Synthetic,
    Videos,
    defaults_of,
)
from a2net_gluon.settings.network import KV_STORES, Devices, Input, Network
from a2net_gluon.settings.optimization import Loss, Optimization, Schedule, Start

__all__ = ["Run", "Training", "changed_options"]


@documented
@dataclasses.dataclass(frozen=True)
class Run(Settings):
    """The run folder: checkpoints, resumption and logs. None of these changes what is trained."""

    save_frequency: int = option(1, "--save-frequency", rule=COUNT, help="epochs between checkpoints", incidental=True)
    keep: int = option(
        2, "--keep", rule=COUNT, help="newest checkpoints to keep; the best is always kept", incidental=True
    )
    resume: bool = option(
        False, "--resume", help="resume from the newest whole checkpoint in --save-dir", incidental=True
    )
    auto_resume: bool = option(
        False, "--auto-resume", help="like --resume if --save-dir holds a run; otherwise start one", incidental=True
    )
    log_interval: int | None = option(
        None,
        "--log-interval",
        rule=COUNT,
        help="batches between log lines",
        default_words="50; digits 10",
        incidental=True,
    )
    logging_file: str = option("log.txt", "--logging-file", help="log file in the run folder", incidental=True)
    tensorboard: bool = option(False, "--tensorboard", help="write files for TensorBoard too", incidental=True)


AUGMENTATIONS = ("dpn", "small", "shift", "author", "gluoncv", "torchvision", "none")


@documented
@dataclasses.dataclass(frozen=True)
class Training(Settings):
    """All settings of a training run; see `a2net_gluon.train`."""

    data: Data = Digits()
    network: Network = Network()
    input: Input = Input()
    epochs: int | None = option(
        None,
        "--num-epochs",
        rule=EPOCHS,
        help="epochs of the run",
        default_words="100; digits 12; moving digits 2",
        exclusive="length",
    )
    iterations: int | None = option(
        None,
        "--num-iterations",
        rule=COUNT,
        help="iterations (steps) of the run, which may end within an epoch",
        default_words="as many as --num-epochs has",
        exclusive="length",
    )
    batch_size: int = option(32, "--batch-size", **BATCH)
    workers: int | None = option(None, "-j", "--num-data-workers", **WORKERS)
    augmentation: str | None = option(
        None,
        "--augmentation",
        choices=AUGMENTATIONS,
        help="augmentation of training images, or of the frames of training clips, which share one draw",
        default_words="dpn; for digits shift; for videos author; for moving digits none",
    )
    devices: Devices = Devices()
    kv_store: str | None = option(
        None,
        "--kv-store",
        choices=KV_STORES,
        help="how gradients are summed over devices and processes",
        default_words="device if there are several devices",
    )
    start: Start = Start()
    optimization: Optimization = Optimization()
    schedule: Schedule = Schedule()
    loss: Loss = Loss()
    seed: int = option(0, "--seed", rule=SEED, help="seed of the run")
    save_dir: Path | None = option(
        None, "--save-dir", help="run folder", default_words="runs/<model>-<time>", incidental=True
    )
    run: Run = Run()

    def resolved(self) -> Training:
        """Fill in the defaults that depend on the data, and check the settings against each other.

        Raises
        ------
        UsageError
            If settings contradict each other.
        """
        full = with_defaults(self, defaults_of(self.data))
        if self.schedule.warmup_epochs is None and full.schedule.warmup_epochs is not None:
            # The default warm-up is shortened in runs that are not longer than it.
            warmup = min(full.schedule.warmup_epochs, (full.epochs or 1) - 1)
            full = dataclasses.replace(full, schedule=dataclasses.replace(full.schedule, warmup_epochs=warmup))
        full._check_start()
        return full

    def _check_start(self) -> None:
        start = self.start
        if (start.epochs_done or start.states) and not start.params:
            flag = "--resume-states" if start.states else "--resume-epoch"
            raise UsageError(f"{flag} needs --resume-params FILE")
        if self.epochs is not None and start.epochs_done >= self.epochs:
            raise UsageError(f"--resume-epoch is {start.epochs_done}, --num-epochs {self.epochs}: nothing is left")
        first = {
            "--use-pretrained": start.pretrained,
            "--pretrained-base": start.base,
            "--resume-params": start.params,
        }
        given = [flag for flag, value in first.items() if value]
        if len(given) > 1:
            raise UsageError(f"{given[0]} and {given[1]} both name the first weights: give one of them")


@documented
@dataclasses.dataclass(frozen=True)
class Report(Settings):
    """A page about training runs; see `a2net_gluon.report`."""

    runs: typing.Sequence[Path] = option(None, name="runs", many=True, required=True, help="folders of runs")
    output: Path = option("report.html", "--output", metavar="FILE", help="page to write")


def changed_options(
    before: typing.Mapping[str, typing.Any], now: typing.Mapping[str, typing.Any]
) -> dict[str, tuple[typing.Any, typing.Any]]:
    """Find the options that change what is trained and differ between two starts of a run.

    Parameters
    ----------
    before, now : dict
        Options by their names, as from `a2net_gluon.fields.flat`; one that is missing has its default.

    Returns
    -------
    dict of str to tuple
        The value before and the value now, by the option's name.
    """
    if before.get("benchmark"):  # a run of version 0.1.0, which had no other number of batches
        before = {"benchmark_batches": Synthetic().batches, **before}
    groups = [Training(), DigitPairs(), ImageFolder("."), Records(), Synthetic(), Videos(".")]
    defaults = {name: value for group in groups for name, value in flat(group, incidental=False).items()}
    defaults["data_dir"] = defaults["benchmark_batches"] = None  # there are none where the data are of another kind
    pairs = {name: (before.get(name, default), now.get(name, default)) for name, default in defaults.items()}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
