"""One run of an ablation, in a process of its own: ``python -m a2net_gluon.ablation.worker PARENT METRIC WORDS…``.

It trains what ``a2net WORDS…`` trains, measures what the training has not, and leaves ``result.json`` in the run
folder. The results are those after the last epoch: the best epoch would be chosen on the very images that measure it.
"""

from __future__ import annotations

import json
import pathlib
import resource
import sys

from a2net_gluon import environment, options
from a2net_gluon.files import write_text
from a2net_gluon.program import Arguments, run
from a2net_gluon.settings import Evaluation, Training

__all__ = ["run_one"]

# Commands of training, and what parses their flags.
_COMMANDS = {"train": options.FOR_IMAGES, "train-video": options.FOR_CLIPS}


def run_one(training: Training, metric: str, result: pathlib.Path) -> None:
    """Train, or resume, one run, and write what it has measured to the file `result`.

    Parameters
    ----------
    training : settings.Training
    metric : str
        One that must be among the results.
    result : Path
        ``{"metrics": {"accuracy": …}, "cpu_seconds": …}``; the seconds are those of this process and its readers.
    """
    from a2net_gluon.training import evaluate, train
    from a2net_gluon.training.metrics import ClassificationMeter

    done = train(training)
    last = done.history[-1]
    metrics = {name[len("val_") :]: float(value) for name, value in last.items() if name.startswith("val_")}
    metrics["accuracy"] = metrics[ClassificationMeter.headline]
    if metric not in metrics:
        newest = done.folder / "checkpoints" / f"epoch-{last['epoch']:04d}" / "net.params"
        metrics.update(evaluate(_evaluation(training.resolved(), newest)).metrics)
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(one.ru_utime + one.ru_stime for one in usage)
    write_text(result, json.dumps({"metrics": metrics, "cpu_seconds": round(seconds, 1)}, indent=1) + "\n")


def _evaluation(training: Training, params: pathlib.Path) -> Evaluation:
    return Evaluation(
        network=training.network,
        params=params,
        input=training.input,
        data=training.data,
        batch_size=training.batch_size,
        workers=training.workers,
        devices=training.devices,
    )


def _main(arguments: Arguments, prog: str) -> None:
    parent, metric, command, *words = arguments
    environment.end_with_parent(int(parent))
    training = options.parse_training(words, prog, _COMMANDS[command]).training
    run_one(training, metric, pathlib.Path(str(training.save_dir)) / "result.json")


if __name__ == "__main__":
    sys.exit(run(_main, sys.argv[1:], prog="a2net ablate"))
