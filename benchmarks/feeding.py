"""The scenario "input": who reads training images how fast, and what training loses by it."""

import numpy as np

from benchmarks.commands import alternate
from benchmarks.contenders import Contender
from benchmarks.stage import load_answers, open_stage, row

__all__ = ["feeding"]

LEVELS = 1.0  # grey levels that crops of the same random numbers may differ by on average: decoders round differently
OURS = {
    "native": "our records, native reader",
    "records": "our records, Python readers",
    "folder": "our folder, Python readers",
}


def feeding(settings):
    """Crops for training from JPEGs: our readers and a DataLoader; then training with records and with none."""
    with open_stage(settings) as stage:
        images = stage.add_photographs()
        rows = _readers(stage)
        settings.tell("--- training with and without records")
        return {"rows": rows + _training(stage), "images": images}


def _readers(stage):
    settings = stage.settings
    forms = [(form, name, "mxnet") for form, name in OURS.items()]
    forms += [("dataloader", "PyTorch's DataLoader, OpenCV", "torch")] * settings.torch
    contenders = [
        stage.reader(f"{name}, {workers}", family, form, workers)
        for form, name, family in forms
        for workers in settings.readers
    ]
    results = stage.run(contenders, settings.rounds)
    reference = next(load_answers(each) for each in contenders if each.task["form"] == "records")
    rows = []
    for contender, result in zip(contenders, results):
        line = row(contender, result, settings.batch * settings.reads)
        if "error" not in line and line["form"] != "native":
            _judge(line, load_answers(contender), reference)
        rows.append(line)
    return rows


def _judge(line, answers, reference):
    """Note how far crops are from ours; who makes something else of the images is out."""
    if answers is None or reference is None:
        line["error"] = "no crops to compare"
        return
    line["levels"] = found = _levels(answers["pixels"], reference["pixels"])
    if found > LEVELS:
        line["error"] = f"crops differ from ours by {found} levels on average, more than {LEVELS}"


def _levels(pixels, expected):
    return float(np.abs(pixels.astype(int) - expected.astype(int)).mean())


def _training(stage):
    """Rows of our command line, with records and with the same batch over and over."""
    workers = min(stage.settings.threads, max(stage.settings.readers))
    kinds = [
        ("native", "training, records, native reader", stage.reader_flags("native", workers, "short")),
        ("records", "training, records, Python readers", stage.reader_flags("records", workers, "short")),
        ("benchmark", "training, --benchmark", ["--benchmark"]),
    ]
    task = {"network": stage.settings.network, "batch": stage.settings.batch, "size": stage.settings.size}
    contenders = [Contender(name, "command", {**task, "form": form, "flags": flags}) for form, name, flags in kinds]
    results = alternate(contenders, stage.settings, stage.folder_for_runs())
    rows = [row(contender, result, 1) for contender, result in zip(contenders, results)]
    for line, result in zip(rows, results):
        if "error" not in line:
            line["data_wait"] = float(np.mean(result["data_wait"]))
    return rows
