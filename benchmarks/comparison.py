"""Rows of a table from what implementations answer, and ratios of rows, some with a target."""

import pathlib
import statistics
import typing

import numpy as np

from benchmarks.setup import ENCODINGS, Settings

__all__ = ["RATIOS", "Ratio", "check", "difference", "evaluate", "load_answers", "row"]

TOLERANCE = 1e-4  # of the largest value; an implementation that differs by more computes something else


def row(implementation, result):
    """Return a row: the implementation, and milliseconds of each of its images (or products)."""
    task = implementation.task
    sizes = ("network", "attended", "form", "batch", "size", "frames", "workers", "mode", "map", "video")
    line = {"name": implementation.name, "family": implementation.family, "tuned": implementation.tuned}
    line.update({key: task[key] for key in sizes if key in task})
    told = ("version", "error", "peak_mb", "first_peak_mb", "before_mb", "data_wait")
    line.update({key: result[key] for key in told if key in result})
    if result.get("seconds"):
        times = [1000 * seconds / implementation.images for seconds in result["seconds"]]
        line.update(ms=times, min_ms=min(times), median_ms=statistics.median(times))
    return line


def check(line, found):
    """Note the difference from MXNet's answers in a row; an implementation that computes something else is excluded."""
    if "error" not in line:
        line["difference"] = found
        if line["form"] != "int8" and not (found is not None and found <= TOLERANCE):
            line["error"] = f"differs from MXNet by {found}, more than {TOLERANCE}"


def difference(implementation, reference):
    """Return the largest difference of two implementations' answers, relative to each array's largest value.

    None if one of them has no answers.
    """
    answers, expected = load_answers(implementation), load_answers(reference)
    if answers is None or expected is None:
        return None
    largest = {name: max(np.abs(array).max(), np.finfo(array.dtype).tiny) for name, array in expected.items()}
    return max(float(np.abs(answers[name] - expected[name]).max() / largest[name]) for name in expected)


def load_answers(implementation):
    """Return the arrays that an implementation has computed, a dict, or None."""
    path = pathlib.Path(implementation.task["answers"])
    if not path.is_file():
        return None
    with np.load(path) as file:
        return dict(file)


class Ratio(typing.NamedTuple):
    """The fastest of some rows relative to the fastest of others.

    `over` and `under` are fields of the rows; a tuple stands for any of its values. `of` names the compared figures.
    The target is for the first of them.
    """

    text: str
    over: dict
    under: dict
    target: typing.Optional[float] = None
    at_least: bool = False
    of: typing.Tuple[str, ...] = ("min_ms", "median_ms")


_SINGLE = ("hybrid", "loop", "optimized", "onnx", "eager", "frozen", "compiled")  # in float32
_A, _PLAIN = {"attended": True}, {"attended": False}
_FLOOR, _MXNET, _TORCH = ({"family": family, **_A} for family in ("floor", "mxnet", "torch"))
_ONNX, _INT8 = ({"family": "onnxruntime", "form": form, **_A} for form in ("onnx", "int8"))
_OURS = {"family": ("mxnet", "onnxruntime"), "form": _SINGLE, **_A}
_DEFAULT = {**_MXNET, "tuned": False}  # MXNet with default settings
_EAGER = {**_TORCH, "form": "eager", "tuned": True}
_READER = {"family": "mxnet"}
_WHOLE = {**_READER, "form": ("native", "records", "folder")}
_LOADER = {"family": "torch", "form": "dataloader"}
_EPOCHS = {"family": "epochs"}
_BENCHMARK = {**_EPOCHS, "form": "benchmark"}


def _blocks(text, wanted, target=None, **more):
    """Return the ratio of both networks in the same implementations, which shows the cost of the blocks."""
    return Ratio(f"A²-Net / ResNet{text}", {**wanted, **more, **_A}, {**wanted, **more, **_PLAIN}, target)


def _clips(network):
    """Return the ratios of a network for clips."""
    trained, answered = ({"network": network, "mode": mode} for mode in ("training", "inference"))
    of = f" {network}"
    return (
        Ratio("training: best MXNet / best PyTorch," + of, {**_MXNET, **trained}, {**_TORCH, **trained}, 0.95),
        Ratio(
            "training: memory of MXNet, default settings / least of PyTorch," + of,
            {**_DEFAULT, **trained},
            {**_TORCH, **trained},
            1.0,
            of=("peak_mb",),
        ),
        Ratio("inference: best of our forms / best PyTorch," + of, {**_OURS, **answered}, {**_TORCH, **answered}, 0.95),
        Ratio("inference: best of our forms / ONNX Runtime," + of, {**_OURS, **answered}, {**_ONNX, **answered}, 1.0),
        Ratio("inference: best MXNet / ONNX Runtime," + of, {**_MXNET, **answered}, {**_ONNX, **answered}),
        Ratio("8 bits / best float32 of all," + of, {**_INT8, **answered}, {"form": _SINGLE, **answered}, 0.55),
    )


RATIOS = {
    "inference": (
        Ratio("sgemm / best of our forms: share of the machine's peak", _FLOOR, _OURS, 0.90, True),
        Ratio("best of our forms / best PyTorch", _OURS, _TORCH, 0.95),
        Ratio(
            "MXNet hybridized, default settings / PyTorch eager, tuned", {**_DEFAULT, "form": "hybrid"}, _EAGER, 0.95
        ),
        Ratio(
            "both as they come: MXNet hybridized / PyTorch eager",
            {**_DEFAULT, "form": "hybrid"},
            {**_TORCH, "form": "eager", "tuned": False},
            0.75,
        ),
        Ratio("8 bits / best float32 of all", _INT8, {"form": _SINGLE, **_A}, 0.52),
        _blocks(", best of our forms", _OURS, 1.65, tuned=False, form=("hybrid", "optimized", "onnx")),
        _blocks(", best MXNet", _DEFAULT),
        _blocks(", best PyTorch", _TORCH, form=("frozen", "compiled")),
        _blocks(" in multiply-adds", _FLOOR),
        Ratio("sgemm / best MXNet", _FLOOR, _MXNET),
        Ratio("best MXNet / best PyTorch", _MXNET, _TORCH),
    ),
    "training": (
        Ratio("sgemm / best MXNet: share of the machine's peak", _FLOOR, _MXNET, 0.86, True),
        Ratio("best MXNet / best PyTorch", _MXNET, _TORCH, 0.85),
        Ratio("MXNet, default settings / best PyTorch", _DEFAULT, _TORCH),
        Ratio("a user's loop, default settings / PyTorch eager, tuned", {**_DEFAULT, "form": "loop"}, _EAGER, 0.95),
        _blocks(", best MXNet, default settings", _DEFAULT, 1.65, form="hybrid"),
        _blocks(", best PyTorch", _TORCH),
        _blocks(" in multiply-adds", _FLOOR),
        Ratio("memory: MXNet, default settings / least of PyTorch", _DEFAULT, _TORCH, 1.0, of=("peak_mb",)),
        Ratio("memory: MXNet, default settings / PyTorch eager, tuned", _DEFAULT, _EAGER, of=("peak_mb",)),
    ),
    "clips": tuple(ratio for network, *_ in Settings.clip_networks for ratio in _clips(network)),
    "video-readers": tuple(
        Ratio(
            f"ours / fastest exact peer, {video}",
            {"form": "ours", "video": video},
            {"family": "video peer", "video": video},
            1.0,
        )
        for video in ENCODINGS
    ),
    "input": (
        Ratio("PyTorch's DataLoader / our smaller records", _LOADER, {**_READER, "form": "smaller"}, 1.5, True),
        Ratio("PyTorch's DataLoader / best of our readers of whole images", _LOADER, _WHOLE, 1.5, True),
        Ratio("PyTorch's DataLoader / our native reader", _LOADER, {**_READER, "form": "native"}),
        Ratio(
            "training: --benchmark / records, Python readers", _BENCHMARK, {**_EPOCHS, "form": "records"}, 0.95, True
        ),
        Ratio("training: --benchmark / records, native reader", _BENCHMARK, {**_EPOCHS, "form": "native"}),
    ),
}


def evaluate(ratios, rows):
    """Return ratios as dicts with "values" and "met"; those without rows are left out."""

    def select(wanted, of):
        accepted = {key: each if isinstance(each, tuple) else (each,) for key, each in wanted.items()}
        sound = [line for line in rows if set(of) <= set(line) and "error" not in line]
        return [line for line in sound if all(line.get(key) in values for key, values in accepted.items())]

    found = []
    for ratio in ratios:
        over, under = select(ratio.over, ratio.of), select(ratio.under, ratio.of)
        if over and under:
            values = {what: min(each[what] for each in over) / min(each[what] for each in under) for what in ratio.of}
            line = {"text": ratio.text, "values": values, "target": ratio.target, "at_least": ratio.at_least}
            if ratio.target:
                first = values[ratio.of[0]]
                line["met"] = first >= ratio.target if ratio.at_least else first <= ratio.target
            found.append(line)
    return found
