"""What a run says: plain lines on standard output and in the log file, a progress bar on a terminal."""

import contextlib
import logging
import sys

from tqdm import tqdm

from a2net_gluon.insight.cost import cost

__all__ = ["Report", "problems_in_words"]


class _Console(logging.Handler):
    """Standard output, without breaking a progress bar."""

    def emit(self, record):
        tqdm.write(self.format(record), file=sys.stdout)
        sys.stdout.flush()


class Report:
    """The voice of one run. On a terminal, batches move a progress bar; elsewhere they are lines.

    Parameters
    ----------
    epochs : int
        Of the run.
    interval : int
        Batches between lines.
    """

    def __init__(self, epochs, interval):
        self._epochs, self._interval = epochs, interval
        self._terminal = sys.stderr.isatty()
        self._log = logging.getLogger("a2net_gluon.training")
        self._log.setLevel(logging.DEBUG)
        self._log.propagate = False

    def __enter__(self):
        console = _Console(logging.DEBUG if not self._terminal else logging.INFO)
        self._log.addHandler(console)
        return self

    def __exit__(self, *exception):
        for handler in list(self._log.handlers):
            self._log.removeHandler(handler)
            handler.close()

    def to_file(self, path):
        """Write every line from now on to `path` too, with the time before it."""
        handler = logging.FileHandler(path, encoding="utf-8")
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
        devices = len(learner.contexts)
        self.line(
            f"{description.model}, {parameters:,} parameters, {len(source.classes)} classes, input 3×{size}×{size}, "
            f"on {', '.join(str(context) for context in learner.contexts)}"
        )
        self.line(f"{source.train_count:,} training images, {source.val_count:,} validation images, seed {args.seed}")
        self.line(
            f"learning rate {args.lr:g} ({args.lr_mode}) for a total batch of {source.batch_size} "
            f"({devices} × {args.batch_size}), {source.train_batches} batches an epoch"
        )

    @contextlib.contextmanager
    def epoch(self, number, batches):
        """Yield a function to call with the progress after each batch of epoch `number`."""
        head = f"epoch {number}/{self._epochs}"
        with tqdm(
            total=batches, desc=head, unit=" batches", dynamic_ncols=True, leave=False, disable=not self._terminal
        ) as bar:

            def on_batch(progress):
                bar.update(progress.batches - bar.n)
                if progress.batches % self._interval == 0:
                    text = _progress_in_words(progress)
                    bar.set_postfix_str(text)
                    self._log.debug(f"{head} batch {progress.batches}/{batches}: {text}")

            yield on_batch

    def epoch_end(self, line, val_count):
        """Results of an epoch, a line of the history."""
        self.line(
            f"epoch {line['epoch']}/{self._epochs}: training loss {line['train_loss']:.3f}, "
            f"top-1 {percent(line['train_top1'])}, top-5 {percent(line['train_top5'])}; "
            f"validation top-1 {percent(line['val_top1'])}, top-5 {percent(line['val_top5'])} "
            f"({line['val_count']:,} of {val_count:,} images); {line['images_per_second']:.0f} images/s, "
            f"{percent(line['data_wait'])} waiting for data"
        )

    def end(self, source, history, folder):
        """The best epoch, what was wrong with images, and where everything is."""
        for text in problems_in_words(source.problems):
            self.line(text)
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
