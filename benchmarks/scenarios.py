"""Scenarios: functions from `Settings` to a dict with "rows"; `ratios` compares the rows, `report` writes them."""

import dataclasses
import itertools

import numpy as np

from benchmarks.comparison import check, difference, load_answers, row
from benchmarks.profile import measure
from benchmarks.setup import Form, open_setup

__all__ = ["LEVELS", "SCENARIOS", "VIDEO_READERS", "check_frames"]

FORMS = {
    "inference": (
        Form("MXNet, hybridized", "mxnet", "hybrid"),
        Form("MXNet, optimized export", "mxnet", "optimized"),
        Form("ONNX Runtime, our export", "onnxruntime", "onnx"),
        Form("PyTorch, frozen", "torch", "frozen", tuned=True),
        Form("PyTorch, compiled", "torch", "compiled", tuned=True),
        Form("MXNet, hybridized", "mxnet", "hybrid", tuned=True, plain=False),
        Form("MXNet, optimized export", "mxnet", "optimized", tuned=True, plain=False),
        Form("ONNX Runtime, our export, 8 bits", "onnxruntime", "int8", plain=False),
        Form("PyTorch, eager, default settings", "torch", "eager", plain=False),
        Form("PyTorch, eager", "torch", "eager", tuned=True, plain=False),
    ),
    "training": (
        Form("MXNet, hybridized", "mxnet", "hybrid"),
        # MXNet's processes keep their memory between turns: tuned malloc is tried with one network only.
        Form("MXNet, hybridized", "mxnet", "hybrid", tuned=True, plain=False),
        Form("MXNet, a loop of one's own", "mxnet", "loop", plain=False),
        Form("PyTorch, eager", "torch", "eager", tuned=True),
        Form("PyTorch, compiled", "torch", "compiled", tuned=True),
    ),
}
READERS = (
    Form("our records, native reader", "mxnet", "native"),
    Form("our records, Python readers", "mxnet", "records"),
    Form("our folder, Python readers", "mxnet", "folder"),
    Form("our records of pack --resize 256, Python readers", "mxnet", "smaller"),
    Form("PyTorch's DataLoader, OpenCV", "torch", "dataloader"),
)
EPOCHS = (
    Form("training, records, native reader", "epochs", "native"),
    Form("training, records, Python readers", "epochs", "records"),
    Form("training, --benchmark", "epochs", "benchmark"),
)
VIDEO_READERS = (
    Form("ours, with its index", "mxnet", "ours"),
    Form("decord, get_batch", "video peer", "decord"),
    Form("PyAV, sequential", "video peer", "pyav"),
    Form("torchvision's way", "video peer", "torchvision"),
    Form("OpenCV, sequential", "video peer", "opencv"),
)
BLOCKS = (Form("A², left", "mxnet", "left"), Form("A², right", "mxnet", "right"), Form("NL", "mxnet", "nl"))
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


def clips(settings):
    """Both of the above for networks for clips."""
    rows = []
    for network, frames, size, batch in settings.clip_networks:
        sizes = {"network": network, "plain": network, "frames": frames, "size": size, "batch": batch}
        for mode, scenario in (("inference", inference), ("training", training)):
            settings.log(f"--- {mode}, {network}")
            found = scenario(dataclasses.replace(settings, **sizes))["rows"]
            rows += [{**line, "mode": mode} for line in found]
    return {"rows": rows}


def _add_networks(setup, kind, **options):
    """Add the network with blocks and the plain one; returns their implementations of a kind."""
    implementations = []
    for network in dict.fromkeys((setup.settings.network, setup.settings.plain)):
        setup.add_network(network, **options)
        implementations += _implementations(setup, kind, network)
    return implementations


def _implementations(setup, kind, network, **sizes):
    forms = [form for form in setup.taking_part(FORMS[kind]) if form.plain or network == setup.settings.network]
    return [setup.network(form, kind, network, **sizes) for form in forms]


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
        names = {"name": "the same multiply-adds in sgemm", "family": "floor", "network": network}
        yield {**names, "attended": network == setup.settings.network, **times}


def reading(settings):
    """Training crops of JPEGs: our readers and a DataLoader; then training with records and with none."""
    with open_setup(settings) as setup:
        images = setup.add_photographs()
        forms = setup.taking_part(READERS)
        readers = [setup.reader(form, workers) for form in forms for workers in settings.readers]
        rows = [row(reader, result) for reader, result in zip(readers, setup.run(readers, settings.rounds))]
        reference = next(load_answers(each) for each in readers if each.task["form"] == "records")
        for reader, line in zip(readers, rows):
            if "error" not in line and line["form"] not in ("native", "smaller"):
                _check_crops(line, load_answers(reader), reference)
        settings.log("--- training with and without records")
        workers = min(settings.threads, max(settings.readers))
        rows += _in_new_processes(setup, [setup.epochs(form, workers) for form in EPOCHS])
        return {"rows": rows, "images": images}


def _check_crops(line, answers, reference):
    """Note the difference from our crops in a row; a reader that makes other crops is excluded."""
    if answers is None or reference is None:
        line["error"] = "no crops to compare"
        return
    line["levels"] = float(np.abs(answers["pixels"].astype(int) - reference["pixels"].astype(int)).mean())
    if line["levels"] > LEVELS:
        line["error"] = f"crops differ from ours by {line['levels']} levels on average, more than {LEVELS}"


def video_reading(settings):
    """Clips of videos of different encodings: our reader and others."""
    with open_setup(settings) as setup:
        files = setup.add_videos()
        forms = setup.taking_part(VIDEO_READERS)
        readers = [setup.clips(form, video, file["path"]) for video, file in files.items() for form in forms]
        rows = [row(reader, result) for reader, result in zip(readers, setup.run(readers, settings.rounds))]
        references = {each.task["video"]: load_answers(each) for each in readers if each.task["form"] == "ours"}
        for reader, line in zip(readers, rows):
            if "error" not in line:
                check_frames(line, load_answers(reader), references[line["video"]])
        return {"rows": rows, "videos": {name: file["kilobytes"] for name, file in files.items()}}


def check_frames(line, answers, reference):
    """Note in a row how many clips differ from ours, in any value; a reader with such clips is excluded."""
    if answers is None or reference is None:
        line["error"] = "no frames to compare"
        return
    found, expected = answers["frames"], reference["frames"]
    differ = sum(one.shape != other.shape or np.any(one != other) for one, other in zip(found, expected))
    if differ:
        line["error"] = f"not exact: {differ} of {len(expected)} clips have other frames"


def maps(settings):
    """A step of one block over growing maps: double attention in both associations, and the non-local block."""
    rows = []
    with open_setup(settings) as setup:
        for place, mode in itertools.product(settings.maps, ("inference", "training")):
            settings.log(f"--- {mode}, map {place}")
            rows += _in_new_processes(setup, [setup.block(form, mode, place) for form in BLOCKS], rounds=1)
    for line in rows:
        if "error" not in line:
            line["memory_mb"] = max(line["first_peak_mb"], line["peak_mb"]) - line["before_mb"]
    return {"rows": rows}


def profile(settings):
    """Times by kind of operation, of a training step and of inference."""
    rows = []
    with open_setup(settings) as setup:
        setup.add_network(settings.network)
        for kind in ("training", "inference"):
            implementation = setup.network(Form("", "mxnet", "hybrid"), kind, settings.network)
            rows += [{"mode": kind, **line} for line in measure(implementation, settings)]
    return {"rows": rows}


def _in_new_processes(setup, implementations, rounds=0):
    """Return rows of implementations that take turns, with a new process for each turn.

    Times are of all turns, memory is of the last.
    """
    results = [{} for _ in implementations]
    for _ in range(setup.settings.turns):
        for implementation, result in zip(implementations, results):
            if "error" not in result:
                (new,) = setup.run([implementation], rounds)
                lists = {key: [*result.get(key, ()), *value] for key, value in new.items() if isinstance(value, list)}
                result.update({**new, **lists})
    return [row(implementation, result) for implementation, result in zip(implementations, results)]


SCENARIOS = {
    "inference": inference,
    "training": training,
    "clips": clips,
    "input": reading,
    "video-readers": video_reading,
    "maps": maps,
    "profile": profile,
}
