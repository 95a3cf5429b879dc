"""Our own command line as a contender: whole runs of training, one after the other."""

import csv
import pathlib
import subprocess
import sys
import tempfile

from benchmarks.contenders import ROOT, ContenderError, end_group, environment, last_words

__all__ = ["alternate", "train"]


def alternate(contenders, settings, folder):
    """Let commands take turns: A B A B.

    Parameters
    ----------
    contenders : list of Contender
        Their task's "flags" are those of train_imagenet.py.
    settings : Settings
    folder : Path
        For run folders; what is in it is left to the caller.

    Returns
    -------
    list of dict
        For each contender, in order: "seconds" that an image took in each epoch but the first, "data_wait" of the
        same epochs; or "error".
    """
    results = [{"seconds": [], "data_wait": []} for _ in contenders]
    for turn in range(1, settings.turns + 1):
        for number, (contender, result) in enumerate(zip(contenders, results)):
            if "error" in result:
                continue
            try:
                epochs = train(contender, settings, folder / f"{turn}-{number}")
            except ContenderError as error:
                result["error"] = str(error)
                settings.tell(f"{contender.name} is out: {error}")
                continue
            result["seconds"] += [1 / float(epoch["images_per_second"]) for epoch in epochs]
            result["data_wait"] += [float(epoch["data_wait"]) for epoch in epochs]
            settings.tell(f"{contender.name}: turn {turn}/{settings.turns}")
    return results


def train(contender, settings, folder):
    """Run a command; returns the lines of its metrics without the first epoch, in which everything is set up."""
    sizes = {
        "--model": settings.network,
        "--classes": settings.classes,
        "--input-size": settings.size,
        "--batch-size": settings.batch,
        "--num-epochs": settings.epochs,
        "--lr": 1e-3,
        "--warmup-epochs": 0,
        "--save-dir": folder,
    }
    flags = [str(word) for pair in sizes.items() for word in pair]
    command = [sys.executable, "-m", "benchmarks.shortened", str(settings.steps), *flags, *contender.task["flags"]]
    _run(command, environment(contender, settings.threads), settings.timeout)
    with open(pathlib.Path(folder) / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))[1:]


def _run(command, variables, timeout):
    """Run a command in a group of processes that is ended as a whole, whatever comes."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT, env=variables, start_new_session=True
        )
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ContenderError(f"not done after {timeout:.0f} s") from None
        finally:
            end_group(process)
        log.seek(0)
        written = log.read().decode(errors="replace")
    if code:
        raise ContenderError(last_words(code, written))
