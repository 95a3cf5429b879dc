"""Scenarios: functions from `Settings` to a dict with "rows"; `ratios` compares the rows, `report` writes them."""

import numpy as np

from benchmarks.comparison import check, difference, load_answers, row
from benchmarks.setup import Form, open_setup

__all__ = ["LEVELS", "SCENARIOS", "command_rows"]

FORMS = {
    "inference": (
        Form("MXNet, hybridized", "mxnet", "hybrid"),
        Form("MXNet, optimized export", "mxnet", "optimized"),
        Form("ONNX Runtime, our export, as predict runs it", "onnxruntime", "onnx"),
        Form("PyTorch, frozen", "torch", "frozen", tuned=True),
        Form("PyTorch, compiled", "torch", "compiled", tuned=True),
        Form("MXNet, hybridized", "mxnet", "hybrid", tuned=True, plain=False),
        Form("MXNet, optimized export", "mxnet", "optimized", tuned=True, plain=False),
        Form("ONNX Runtime, our export, all images at once", "onnxruntime", "whole", plain=False),
        Form("ONNX Runtime, our export, 8 bits", "onnxruntime", "int8", plain=False),
        Form("PyTorch, eager, default settings", "torch", "eager", plain=False),
        Form("PyTorch, eager", "torch", "eager", tuned=True, plain=False),
    ),
    "training": (
        Form("MXNet, hybridized", "mxnet", "hybrid"),
        # MXNet's processes keep their memory between turns: tuned malloc is tried with one network only.
        Form("MXNet, hybridized", "mxnet", "hybrid", tuned=True, plain=False),
        Form("PyTorch, eager", "torch", "eager", tuned=True),
        Form("PyTorch, compiled", "torch", "compiled", tuned=True),
    ),
}
FORMS["memory"] = (
    *(form._replace(plain=True) for form in FORMS["training"]),
    Form("PyTorch, eager", "torch", "eager"),
)
READERS = (
    Form("our records, native reader", "mxnet", "native"),
    Form("our records, Python readers", "mxnet", "records"),
    Form("our folder, Python readers", "mxnet", "folder"),
    Form("PyTorch's DataLoader, OpenCV", "torch", "dataloader"),
)
COMMANDS = (
    Form("training, records, native reader", "command", "native"),
    Form("training, records, Python readers", "command", "records"),
    Form("training, --benchmark", "command", "benchmark"),
)
LEVELS = 1.0  # grey levels by which crops of the same random numbers may differ on average: decoders round differently
# A step multiplies three times: forward, for the gradients of a layer's input, and for those of its weights.
PASSES = {"inference": 1, "training": 3}


def inference(settings):
    """Logits of a batch, in every form of ours and of the peers."""
    with open_setup(settings) as setup:
        implementations = _add_networks(setup, "inference", export=True)
        rows = _interleaved(setup, "inference", implementations)
        references = {each.task["network"]: each for each in reversed(implementations)}  # the first of each network
        for implementation, line in zip(implementations, rows):
            check(line, difference(implementation, references[line["network"]]))
        return {"rows": rows}


def training(settings):
    """A training step: forward, backward, update."""
    with open_setup(settings) as setup:
        implementations = _add_networks(setup, "training")
        differences = _gradient_differences(setup)
        rows = _interleaved(setup, "training", implementations)
        for line in rows[: len(implementations)]:
            check(line, differences[line["network"], line["family"], line["form"]])
        return {"rows": rows}


def _add_networks(setup, kind, **options):
    """Add the network with blocks and the plain one; returns their implementations of a kind."""
    implementations = []
    for network in (setup.settings.network, setup.settings.plain):
        setup.add_network(network, **options)
        implementations += _implementations(setup, kind, network)
    return implementations


def _implementations(setup, kind, network, **sizes):
    attended = network == setup.settings.network
    forms = [form for form in setup.taking_part(FORMS[kind]) if form.plain or attended]
    if kind == "inference":
        return [setup.network(form, kind, network, channels_last=form.tuned) for form in forms]
    return [setup.network(form, "training", network, **sizes) for form in forms]


def _gradient_differences(setup):
    """Differences of loss and gradients of one small batch from MXNet's, by network, family and form.

    In double precision: in single precision any two implementations differ by percents, since rounding moves a value
    across the bend of a ReLU here and there.
    """
    found = {}
    small = {"dtype": "float64", "batch": 2, "size": min(64, setup.settings.size)}
    for network in setup.macs:
        each_form = {}
        for each in _implementations(setup, "training", network, **small):
            each_form.setdefault((each.family, each.task["form"]), each)
        reference, *_ = each_form.values()
        setup.run(list(each_form.values()))
        found.update({(network, *key): difference(each, reference) for key, each in each_form.items()})
    return found


def _interleaved(setup, kind, implementations):
    """Return rows of implementations that take turns, then those of the sgemm floor, then those of sgemm itself."""
    sgemm = setup.sgemm()
    results = setup.run([*sgemm, *implementations], setup.settings.rounds)
    rows = [row(each, result) for each, result in zip([*sgemm, *implementations], results)]
    peaks = rows[: len(sgemm)]
    return [*rows[len(sgemm) :], *_floors(setup, kind, peaks), *peaks]


def _floors(setup, kind, peaks):
    """Yield for each network the time of its multiply-adds in the fastest matrix product."""
    flops = 2 * setup.settings.square**3
    for peak in peaks:
        if "ms" in peak:
            peak["gflops"] = flops / peak["min_ms"] / 1e6
    best = {what: min(peak[what] for peak in peaks if "ms" in peak) for what in ("min_ms", "median_ms")}
    for network, macs in setup.macs.items():
        times = {what: PASSES[kind] * 2 * macs / flops * milliseconds for what, milliseconds in best.items()}
        yield {"name": "the same multiply-adds in sgemm", "family": "floor", "network": network, **times}


def memory(settings):
    """Resident memory of a training step, over batch sizes; every figure is of a process of its own.

    The peak is that of the steps after the first two: the memory that a compiler needs is not counted.
    """
    rows = []
    with open_setup(settings) as setup:
        for network in (settings.network, settings.plain):
            setup.add_network(network)
            for batch in settings.batches:
                for implementation in _implementations(setup, "memory", network, batch=batch):
                    (result,) = setup.run([implementation], rounds=1)
                    rows.append(row(implementation, result))
    return {"rows": rows, "slopes": _slopes(rows, settings.network, settings.plain)}


def _slopes(rows, attended, plain):
    """Return for each implementation "peak_mb" by batch and "slope_mb" of an image; "blocks": their share in it."""
    keys = ("network", "name", "family", "form", "tuned")
    lines = {}
    for each in rows:
        if "error" not in each:
            identity = {key: each[key] for key in keys}
            line = lines.setdefault(tuple(identity.values()), {**identity, "peak_mb": {}})
            line["peak_mb"][each["batch"]] = each["peak_mb"]
    for line in lines.values():
        line["slope_mb"] = float(np.polyfit(list(line["peak_mb"]), list(line["peak_mb"].values()), 1)[0])
    for (network, *key), line in lines.items():
        if network == attended and (plain, *key) in lines:
            line["blocks"] = 1 - lines[(plain, *key)]["slope_mb"] / line["slope_mb"]
    return list(lines.values())


def reading(settings):
    """Training crops of JPEGs: our readers and a DataLoader; then training with records and with none."""
    with open_setup(settings) as setup:
        images = setup.add_photographs()
        forms = setup.taking_part(READERS)
        readers = [setup.reader(form, workers) for form in forms for workers in settings.readers]
        rows = [row(reader, result) for reader, result in zip(readers, setup.run(readers, settings.rounds))]
        reference = next(load_answers(each) for each in readers if each.task["form"] == "records")
        for reader, line in zip(readers, rows):
            if "error" not in line and line["form"] != "native":
                _check_crops(line, load_answers(reader), reference)
        settings.log("--- training with and without records")
        return {"rows": rows + command_rows(setup), "images": images}


def _check_crops(line, answers, reference):
    """Note the difference from our crops in a row; a reader that makes other crops is excluded."""
    if answers is None or reference is None:
        line["error"] = "no crops to compare"
        return
    line["levels"] = float(np.abs(answers["pixels"].astype(int) - reference["pixels"].astype(int)).mean())
    if line["levels"] > LEVELS:
        line["error"] = f"crops differ from ours by {line['levels']} levels on average, more than {LEVELS}"


def command_rows(setup):
    """Return rows of our command line, interleaved: with records, and with the same batch over and over."""
    settings = setup.settings
    workers = min(settings.threads, max(settings.readers))
    found = {form: {"seconds": [], "data_wait": []} for form in COMMANDS}
    for turn in range(1, settings.turns + 1):
        for form, result in found.items():
            if "error" not in result:
                (facts,) = setup.run([setup.training_command(form, workers, turn)])
                result.update({key: result[key] + facts[key] for key in ("seconds", "data_wait") if key in facts})
                result.update({key: facts[key] for key in ("error",) if key in facts})
    rows = []
    for form, result in found.items():
        result["data_wait"] = float(np.mean(result["data_wait"] or 0))
        rows.append(row(setup.training_command(form, workers, 1), result))
    return rows


SCENARIOS = {"inference": inference, "training": training, "memory": memory, "input": reading}
