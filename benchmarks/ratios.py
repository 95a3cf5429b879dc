"""What the rows of a scenario are compared by: ratios of times of one interleaved run, some with a target."""

import typing

__all__ = ["RATIOS", "Ratio", "evaluate"]


class Ratio(typing.NamedTuple):
    """The fastest of some rows relative to the fastest of others.

    Attributes
    ----------
    text : str
    over, under : dict
        What the rows have to have; a tuple means one of its values, a word of `evaluate` what it stands for.
    target : float, optional
    at_least : bool
        The target is a lower limit.
    of : tuple of str
        What is compared; the target is for the first.
    """

    text: str
    over: dict
    under: dict
    target: typing.Optional[float] = None
    at_least: bool = False
    of: typing.Tuple[str, ...] = ("min_ms", "median_ms")


_A, _PLAIN = {"network": "attended"}, {"network": "plain"}
# Forms that compute in float32.
_SINGLE = ("hybrid", "optimized", "onnx", "whole", "eager", "frozen", "frozen-pairs", "compiled")
_MXNET, _ORT, _TORCH = ({"family": family, "form": _SINGLE} for family in ("mxnet", "onnxruntime", "torch"))
_OURS = {"family": ("mxnet", "onnxruntime"), "form": _SINGLE}
_BOTH = ("hybrid", "optimized", "onnx")  # forms of ours that run both networks
_FLOOR = {"family": "floor"}
_PEAK = ("peak_mb",)
_DATALOADER = {"family": "torch", "form": "dataloader"}
_PYTHON, _NATIVE = ({"family": "mxnet", "form": form} for form in (("records", "folder"), "native"))
_COMMAND = {"family": "command"}
_BENCHMARK = {**_COMMAND, "form": "benchmark"}
_RECORDS = {**_COMMAND, "form": "records"}


def _of_both(wanted, **more):
    """The same of both networks: only what runs both."""
    return {**wanted, **more, **_A}, {**wanted, **more, **_PLAIN}


RATIOS = {
    "inference": (
        Ratio("sgemm / best of our forms: share of the machine's peak", {**_FLOOR, **_A}, {**_OURS, **_A}, 0.90, True),
        Ratio("best of our forms / best PyTorch", {**_OURS, **_A}, {**_TORCH, **_A}, 0.95),
        Ratio("best of our forms / ONNX Runtime, all images at once", {**_OURS, **_A}, {"form": "whole", **_A}, 1.0),
        Ratio(
            "MXNet hybridized, as it comes / PyTorch eager, tuned",
            {"form": "hybrid", "tuned": False, **_A},
            {"form": "eager", "tuned": True, **_A},
            0.95,
        ),
        Ratio("8 bits / best float32 of all", {"form": "int8", **_A}, {"form": _SINGLE, **_A}, 0.52),
        Ratio("A²-Net / ResNet, best of our forms", *_of_both(_OURS, tuned=False, form=_BOTH), 1.65),
        Ratio("A²-Net / ResNet, best MXNet", *_of_both(_MXNET, tuned=False)),
        Ratio("A²-Net / ResNet, best PyTorch", *_of_both(_TORCH, form=("frozen", "compiled"))),
        Ratio("A²-Net / ResNet in multiply-adds", *_of_both(_FLOOR)),
        Ratio("sgemm / best MXNet", {**_FLOOR, **_A}, {**_MXNET, **_A}),
        Ratio("best MXNet / best PyTorch", {**_MXNET, **_A}, {**_TORCH, **_A}),
    ),
    "training": (
        Ratio("sgemm / best MXNet: share of the machine's peak", {**_FLOOR, **_A}, {**_MXNET, **_A}, 0.86, True),
        Ratio("best MXNet / best PyTorch", {**_MXNET, **_A}, {**_TORCH, **_A}, 0.85),
        Ratio("MXNet as it comes / best PyTorch", {"family": "mxnet", "tuned": False, **_A}, {**_TORCH, **_A}),
        Ratio("A²-Net / ResNet, best MXNet as it comes", *_of_both(_MXNET, tuned=False), 1.65),
        Ratio("A²-Net / ResNet, best PyTorch", *_of_both(_TORCH)),
        Ratio("A²-Net / ResNet in multiply-adds", *_of_both(_FLOOR)),
    ),
    "memory": (
        Ratio(
            "MXNet as it comes / least of PyTorch, largest batch",
            {"family": "mxnet", "tuned": False, "batch": "largest", **_A},
            {**_TORCH, "batch": "largest", **_A},
            1.0,
            of=_PEAK,
        ),
        Ratio(
            "MXNet as it comes / PyTorch eager, tuned, largest batch",
            {"family": "mxnet", "tuned": False, "batch": "largest", **_A},
            {"form": "eager", "tuned": True, "batch": "largest", **_A},
            of=_PEAK,
        ),
    ),
    "input": (
        Ratio("PyTorch's DataLoader / best of our readers", _DATALOADER, {"family": "mxnet"}, 1.5, True),
        Ratio("PyTorch's DataLoader / our Python readers", _DATALOADER, _PYTHON, 1.5, True),
        Ratio("PyTorch's DataLoader / our native reader", _DATALOADER, _NATIVE),
        Ratio("training: --benchmark / records, Python readers", _BENCHMARK, _RECORDS, 0.95, True),
        Ratio("training: --benchmark / records, native reader", _BENCHMARK, {**_COMMAND, "form": "native"}),
    ),
}


def evaluate(ratios, rows, words):
    """Ratios as dicts with "values" and "met"; those of rows that are not there lack.

    Parameters
    ----------
    ratios : sequence of Ratio
    rows : list of dict
    words : dict
        What "attended", "plain" (names of networks) and "largest" (a batch) stand for.
    """
    found = []
    for ratio in ratios:
        sides = [_select(rows, wanted, words, ratio.of) for wanted in (ratio.over, ratio.under)]
        if not all(sides):
            continue
        line = {"text": ratio.text, "values": {}, "target": ratio.target, "at_least": ratio.at_least}
        for what in ratio.of:
            over, under = (min(each[what] for each in side) for side in sides)
            line["values"][what] = over / under
        if ratio.target:
            first = line["values"][ratio.of[0]]
            line["met"] = first >= ratio.target if ratio.at_least else first <= ratio.target
        found.append(line)
    return found


def _select(rows, wanted, words, of):
    wanted = {key: value if isinstance(value, tuple) else words.get(value, value) for key, value in wanted.items()}
    return [line for line in rows if set(of) <= set(line) and "error" not in line and _fits(line, wanted)]


def _fits(line, wanted):
    return all(line.get(key) in (value if isinstance(value, tuple) else (value,)) for key, value in wanted.items())
