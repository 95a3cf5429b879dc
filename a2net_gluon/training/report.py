"""The log of a run: plain lines on standard output and in a file, a progress bar on a terminal."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import pathlib
import sys
import typing

from tqdm import tqdm

from a2net_gluon.data import Problems, Source
from a2net_gluon.insight.counting import parameter_count
from a2net_gluon.networks.description import Description
from a2net_gluon.settings import Training
from a2net_gluon.terminal import printable
from a2net_gluon.training.learner import Learner
from a2net_gluon.training.metrics import Meter, in_words, percent
from a2net_gluon.training.progress import Progress
from a2net_gluon.training.schedules import Length

__all__ = ["INPUT_BOUND", "Report", "problems_in_words"]

INPUT_BOUND = 0.2  # fraction of the time waiting for data above which a run counts as input-bound
HINT_AFTER = 5  # log intervals of an epoch until the first hint; another one follows at its end


class _Console(logging.Handler):
    """Standard output, without breaking a progress bar; calls `on_lost` when it cannot be written any more."""

    def __init__(self, level: int, on_lost: typing.Callable[[OSError], object]) -> None:
        super().__init__(level)
        self._lost, self._on_lost = False, on_lost

    def emit(self, record: logging.LogRecord) -> None:
        if self._lost:
            return
        try:
            tqdm.write(self.format(record), file=sys.stdout)
            sys.stdout.flush()
        except OSError as error:  # the disk is full, or the reader of a pipe has ended
            self._lost = True
            self._on_lost(error)


class _LogFile(logging.FileHandler):
    """A log file that does not stop a run on a full disk; the checkpoint that cannot be written does."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        """Drop the line."""

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


class Report:
    """The log of one run. On a terminal, batches move a progress bar; elsewhere they are lines.

    Parameters
    ----------
    training : settings.Training
        Resolved.
    quiet : bool
        Write to the log file only, as the second and further processes of a job do.
    on_lost : callable, optional
        Called when the standard output cannot be written any more; the log file is written on.
    """

    def __init__(
        self, training: Training, quiet: bool = False, on_lost: typing.Callable[[], object] = lambda: None
    ) -> None:
        self._on_lost = on_lost
        self._epochs, self._interval = 1, training.run.log_interval or 1
        self._workers, self._quiet, self._noun = training.workers, quiet, training.data.kind.noun
        self._terminal = sys.stderr.isatty() and not quiet
        self._log = logging.getLogger("a2net_gluon.training")
        self._log.setLevel(logging.DEBUG)
        self._log.propagate = False
        # The run folder is opened after the data, of which there is something to say.
        self._early = logging.handlers.MemoryHandler(sys.maxsize, flushLevel=sys.maxsize)

    def __enter__(self) -> Report:
        self._log.addHandler(self._early)
        if not self._quiet:
            level = logging.DEBUG if not self._terminal else logging.INFO
            self._log.addHandler(_Console(level, self._lose_console))
        return self

    def __exit__(self, *exception: object) -> None:
        for handler in list(self._log.handlers):
            self._log.removeHandler(handler)
            handler.close()

    def to_file(self, path: pathlib.Path) -> None:
        """Write every line to `path` too, with the time before it: those from before, and all from now on."""
        handler = _LogFile(path, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        self._early.setTarget(handler)
        self._early.flush()
        self._log.removeHandler(self._early)
        self._log.addHandler(handler)

    def _lose_console(self, error: OSError) -> None:
        self.line(f"the standard output cannot be written ({error.strerror}): the run stops")
        self._on_lost()

    def line(self, text: str) -> None:
        """Log one line."""
        self._log.info(printable(text))

    def skipped(self, name: str, reason: str) -> None:
        """Log a sample that cannot be read."""
        self.line(f"skipped {name}: {reason}")

    def start(
        self, training: Training, learner: Learner, source: Source, description: Description, length: Length
    ) -> None:
        """Log the network, the data, the learning rate and the length of the run."""
        self._epochs = length.epochs
        shape, accumulate = description.preprocessing.input_shape, training.optimization.accumulate
        parameters = parameter_count(learner.net)
        devices, processes = len(learner.contexts), learner.communicator.size
        total = source.batch_size * processes * accumulate
        left_out = source.train_batches % accumulate
        rest = f"; the last {left_out} are left out, as a step takes {accumulate}" if left_out else ""
        factors = [f"{processes} processes"] * (processes > 1) + [f"{accumulate} batches"] * (accumulate > 1)
        self.line(
            f"{description.network}, {parameters:,} parameters, {len(source.classes)} classes, "
            f"input {'×'.join(map(str, shape))}, on {', '.join(str(context) for context in learner.contexts)}"
        )
        self.line(
            f"{source.train_count:,} training {self._noun}, {source.val_count:,} validation {self._noun}, "
            f"seed {training.seed}"
        )
        self.line(
            f"learning rate {training.optimization.lr:g} ({training.schedule.mode}) for a total batch of {total:,} "
            f"({' × '.join([*factors, str(devices), str(training.batch_size)])}), "
            f"{source.train_batches} batches an epoch{rest}"
        )
        if training.iterations:
            self.line(f"{length.steps:,} iterations: {length.in_words}")

    @contextlib.contextmanager
    def epoch(self, number: int, batches: int, done: int = 0) -> typing.Iterator[typing.Callable[[Progress], None]]:
        """Yield a function to call with the progress after each step of epoch `number`."""
        head, logged = f"epoch {number}/{self._epochs}", done // self._interval
        with tqdm(
            total=batches,
            initial=done,
            desc=head,
            unit=" batches",
            dynamic_ncols=True,
            leave=False,
            disable=not self._terminal,
        ) as bar:

            def on_batch(progress: Progress) -> None:
                nonlocal logged
                bar.update(progress.batches - bar.n)
                if progress.batches // self._interval > logged:
                    logged = progress.batches // self._interval
                    text = _progress_in_words(progress, self._noun)
                    bar.set_postfix_str(text)
                    self._log.debug(f"{head} batch {progress.batches}/{batches}: {text}")
                    if logged == HINT_AFTER:
                        self._hint(progress.data_wait)

            yield on_batch

    def epoch_end(self, row: typing.Mapping[str, typing.Any], meter: type[Meter], val_count: int) -> None:
        """Log the results of an epoch: a row of the history, made of the columns of `meter`."""
        accuracies = [column for column in meter.columns if column.fraction]
        headline = [column for column in meter.columns if column.name == meter.headline]
        average = ""
        if f"val_ema_{meter.headline}" in row:
            average = f", averaged weights {in_words(headline, row, 'val_ema_')}"
        skipped = f"; {row['skipped_steps']} steps skipped" if row["skipped_steps"] else ""
        self.line(
            f"epoch {row['epoch']}/{self._epochs}: training {in_words(meter.columns, row, 'train_')}; "
            f"validation {in_words(accuracies, row, 'val_')} ({row['val_count']:,} of {val_count:,} {self._noun})"
            f"{average}; "
            f"{row['images_per_second']:.0f} {self._noun}/s, {percent(row['data_wait'])} waiting for data{skipped}"
        )
        self._hint(row["data_wait"])

    def _hint(self, data_wait: float) -> None:
        """Log a remedy if a run is input-bound."""
        if data_wait > INPUT_BOUND:
            self.line(
                f"  training waits for {self._noun} {percent(data_wait)} of the time: more readers (-j, now "
                f"{self._workers}), records (a2net pack) with --native-reader, or a faster disk would help"
            )

    def end(
        self, source: Source, best: typing.Mapping[str, typing.Any] | None, meter: type[Meter], folder: pathlib.Path
    ) -> None:
        """Log the problems with samples, the best epoch, and the contents of the run folder."""
        for text in problems_in_words(source.problems, self._noun):
            self.line(text)
        if best:
            headline = [column for column in meter.columns if column.name == meter.headline]
            self.line(f"best validation {in_words(headline, best, 'val_')} after epoch {best['epoch']}")
        self.line(f"run folder {folder}: best.params, checkpoints/, log.txt, metrics.csv, curves.png, run.json")


def problems_in_words(problems: Problems, noun: str = "images") -> typing.Iterator[str]:
    """Yield lines about images or clips, as `noun` says, that were skipped or enlarged, if there were any."""
    if problems.skipped:
        yield f"{len(problems.skipped):,} unreadable {noun} were skipped: {', '.join(sorted(problems.skipped)[:10])}"
    if problems.enlarged:
        example = min(problems.enlarged)
        yield f"{len(problems.enlarged):,} {noun} are smaller than the input and were enlarged, e.g. {example}"


def _progress_in_words(progress: Progress, noun: str) -> str:
    meter = progress.meter
    shown = [column for column in meter.columns if not column.fraction or column.name == meter.headline]
    return (
        f"{in_words(shown, meter.metrics)}, {progress.images_per_second:.0f} {noun}/s, "
        f"{percent(progress.data_wait)} waiting for data, learning rate {progress.learning_rate:.4g}"
    )
