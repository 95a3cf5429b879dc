"""What a run says: plain lines on standard output and in the log file, a progress bar on a terminal."""

import contextlib
import logging
import sys

from tqdm import tqdm

from a2net_gluon.insight.counting import cost

__all__ = ["INPUT_BOUND", "Report", "percent", "problems_in_words"]

INPUT_BOUND = 0.2  # share of the time waiting for data from which on a run is said to be input-bound
HINT_AFTER = 5  # log intervals of an epoch; it is said again at its end


class _Console(logging.Handler):
    """Standard output, without breaking a progress bar."""

    def emit(self, record):
        tqdm.write(self.format(record), file=sys.stdout)
        sys.stdout.flush()


class _LogFile(logging.FileHandler):
    """A log that a full disk does not stop; the checkpoint that cannot be written will."""

    def handleError(self, record):  # noqa: N802  (logging's name)
        """Leave the line out."""

    def close(self):
        with contextlib.suppress(OSError):
            super().close()


class Report:
    """The voice of one run. On a terminal, batches move a progress bar; elsewhere they are lines.

    Parameters
    ----------
    epochs : int
        Of the run.
    interval : int
        Batches between lines.
    workers : int
        Readers of images, to be named when they are too slow.
    quiet : bool
        Write to the log file only, as the second and further processes of a job do.
    """

    def __init__(self, epochs, interval, workers, quiet=False):
        self._epochs, self._interval, self._workers, self._quiet = epochs, interval, workers, quiet
        self._terminal = sys.stderr.isatty() and not quiet
        self._log = logging.getLogger("a2net_gluon.training")
        self._log.setLevel(logging.DEBUG)
        self._log.propagate = False

    def __enter__(self):
        if not self._quiet:
            self._log.addHandler(_Console(logging.DEBUG if not self._terminal else logging.INFO))
        return self

    def __exit__(self, *exception):
        for handler in list(self._log.handlers):
            self._log.removeHandler(handler)
            handler.close()

    def to_file(self, path):
        """Write every line from now on to `path` too, with the time before it."""
        handler = _LogFile(path, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        self._log.addHandler(handler)

    def line(self, text):
        """One line for everybody."""
        self._log.info(text)

    def skipped(self, name, reason):
        """An image that could not be read."""
        self.line(f"skipped {name}: {reason}")

    def start(self, args, learner, source, description):
        """What is going to be trained, on what, and how."""
        size = description.preprocessing.size
        parameters = cost(learner.net, (3, size, size)).params
        devices, processes = len(learner.contexts), learner.exchange.size
        total = source.batch_size * processes * args.accumulate
        factors = [f"{processes} processes"] * (processes > 1) + [f"{args.accumulate} batches"] * (args.accumulate > 1)
        self.line(
            f"{description.network}, {parameters:,} parameters, {len(source.classes)} classes, input 3×{size}×{size}, "
            f"on {', '.join(str(context) for context in learner.contexts)}"
        )
        self.line(f"{source.train_count:,} training images, {source.val_count:,} validation images, seed {args.seed}")
        self.line(
            f"learning rate {args.lr:g} ({args.lr_mode}) for a total batch of {total:,} "
            f"({' × '.join([*factors, str(devices), str(args.batch_size)])}), "
            f"{source.train_batches} batches an epoch"
        )

    @contextlib.contextmanager
    def epoch(self, number, batches, done=0):
        """Yield a function to call with the progress after each step of epoch `number`."""
        head, told = f"epoch {number}/{self._epochs}", done // self._interval
        with tqdm(
            total=batches,
            initial=done,
            desc=head,
            unit=" batches",
            dynamic_ncols=True,
            leave=False,
            disable=not self._terminal,
        ) as bar:

            def on_batch(progress):
                nonlocal told
                bar.update(progress.batches - bar.n)
                if progress.batches // self._interval > told:
                    told = progress.batches // self._interval
                    text = _progress_in_words(progress)
                    bar.set_postfix_str(text)
                    self._log.debug(f"{head} batch {progress.batches}/{batches}: {text}")
                    if told == HINT_AFTER:
                        self._hint(progress.data_wait)

            yield on_batch

    def epoch_end(self, line, val_count):
        """Results of an epoch, a line of the history."""
        average = f", averaged weights top-1 {percent(line['val_ema_top1'])}" if "val_ema_top1" in line else ""
        skipped = f"; {line['skipped_steps']} steps left out" if line["skipped_steps"] else ""
        self.line(
            f"epoch {line['epoch']}/{self._epochs}: training loss {line['train_loss']:.3f}, "
            f"top-1 {percent(line['train_top1'])}, top-5 {percent(line['train_top5'])}; "
            f"validation top-1 {percent(line['val_top1'])}, top-5 {percent(line['val_top5'])} "
            f"({line['val_count']:,} of {val_count:,} images){average}; {line['images_per_second']:.0f} images/s, "
            f"{percent(line['data_wait'])} waiting for data{skipped}"
        )
        self._hint(line["data_wait"])

    def _hint(self, data_wait):
        """Say what to do if a run is input-bound."""
        if data_wait > INPUT_BOUND:
            self.line(
                f"  training waits for images {percent(data_wait)} of the time: more readers (-j, now "
                f"{self._workers}), records (a2net pack) with --native-reader, or a faster disk would help"
            )

    def end(self, source, history, folder):
        """The best epoch, what was wrong with images, and where everything is."""
        for text in problems_in_words(source.problems):
            self.line(text)
        if history:
            best = max(history, key=lambda line: line["val_top1"])
            self.line(f"best validation top-1 {percent(best['val_top1'])} after epoch {best['epoch']}")
        self.line(f"run folder {folder}: best.params, checkpoints/, log.txt, metrics.csv, curves.png, run.json")


def problems_in_words(problems):
    """Lines about images that were skipped or enlarged, if there were any."""
    if problems.skipped:
        yield f"{len(problems.skipped):,} unreadable images were skipped: {', '.join(sorted(problems.skipped)[:10])}"
    if problems.enlarged:
        example = min(problems.enlarged)
        yield f"{len(problems.enlarged):,} images are smaller than the input and were enlarged, e.g. {example}"


def percent(share):
    """0.123 as "12.3 %"."""
    return f"{100 * share:.1f} %"


def _progress_in_words(progress):
    metrics = progress.meter.metrics
    return (
        f"loss {metrics['loss']:.3f}, top-1 {percent(metrics['top1'])}, {progress.images_per_second:.0f} images/s, "
        f"{percent(progress.data_wait)} waiting for data, learning rate {progress.learning_rate:.4g}"
    )
