"""What the rows of a scenario are compared by: ratios of times of one interleaved run, some with a target."""

import typing

__all__ = ["RATIOS", "Ratio", "evaluate"]


class Ratio(typing.NamedTuple):
    """The fastest of some rows relative to the fastest of others.

    Attributes
    ----------
    text : str
    over, under : dict
        What the rows have to have; a tuple means one of its values. "network" is "attended" or "plain".
    target : float, optional
    at_least : bool
        The target is a lower limit.
    """

    text: str
    over: dict
    under: dict
    target: typing.Optional[float] = None
    at_least: bool = False


_A, _PLAIN = {"network": "attended"}, {"network": "plain"}
_SINGLE = ("hybrid", "optimized", "onnx", "eager", "frozen", "compiled")  # forms that compute in float32
_MXNET, _ORT, _TORCH = ({"family": family, "form": _SINGLE} for family in ("mxnet", "onnxruntime", "torch"))
_OURS = {"family": ("mxnet", "onnxruntime"), "form": _SINGLE}
_FLOOR = {"family": "floor"}

RATIOS = {
    "inference": (
        Ratio("sgemm / best MXNet: share of the machine's peak", {**_FLOOR, **_A}, {**_MXNET, **_A}, 0.90, True),
        Ratio("sgemm / best of our forms", {**_FLOOR, **_A}, {**_OURS, **_A}, 0.90, True),
        Ratio("best MXNet / best PyTorch", {**_MXNET, **_A}, {**_TORCH, **_A}, 0.95),
        Ratio("best of our forms / best PyTorch", {**_OURS, **_A}, {**_TORCH, **_A}, 0.95),
        Ratio("best MXNet / ONNX Runtime", {**_MXNET, **_A}, {**_ORT, **_A}, 1.0),
        Ratio(
            "MXNet hybridized, as it comes / PyTorch eager, tuned",
            {"form": "hybrid", "tuned": False, **_A},
            {"form": "eager", "tuned": True, **_A},
            0.95,
        ),
        Ratio("8 bits / best float32 of all", {"form": "int8", **_A}, {"form": _SINGLE, **_A}, 0.52),
        Ratio("A²-Net / ResNet, best MXNet", {**_MXNET, **_A}, {**_MXNET, **_PLAIN}, 1.65),
        Ratio("A²-Net / ResNet, best of our forms", {**_OURS, **_A}, {**_OURS, **_PLAIN}, 1.65),
        Ratio("A²-Net / ResNet, best PyTorch", {**_TORCH, **_A}, {**_TORCH, **_PLAIN}),
        Ratio("A²-Net / ResNet in multiply-adds", {**_FLOOR, **_A}, {**_FLOOR, **_PLAIN}),
    ),
    "training": (
        Ratio("sgemm / best MXNet: share of the machine's peak", {**_FLOOR, **_A}, {**_MXNET, **_A}, 0.86, True),
        Ratio("best MXNet / best PyTorch", {**_MXNET, **_A}, {**_TORCH, **_A}, 0.85),
        Ratio("MXNet as it comes / best PyTorch", {"family": "mxnet", "tuned": False, **_A}, {**_TORCH, **_A}),
        Ratio("A²-Net / ResNet, best MXNet", {**_MXNET, **_A}, {**_MXNET, **_PLAIN}, 1.65),
        Ratio("A²-Net / ResNet, best PyTorch", {**_TORCH, **_A}, {**_TORCH, **_PLAIN}),
        Ratio("A²-Net / ResNet in multiply-adds", {**_FLOOR, **_A}, {**_FLOOR, **_PLAIN}),
    ),
}


def evaluate(ratios, rows, networks):
    """Ratios as dicts with "min", "median" (of the fastest by each) and "met"; those of rows that are not there lack.

    Parameters
    ----------
    ratios : sequence of Ratio
    rows : list of dict
    networks : dict
        Names of the networks "attended" and "plain".
    """
    found = []
    for ratio in ratios:
        sides = [_select(rows, wanted, networks) for wanted in (ratio.over, ratio.under)]
        if not all(sides):
            continue
        line = {"text": ratio.text, "target": ratio.target, "at_least": ratio.at_least}
        for what in ("min", "median"):
            over, under = (min(each[f"{what}_ms"] for each in side) for side in sides)
            line[what] = over / under
        if ratio.target:
            line["met"] = line["min"] >= ratio.target if ratio.at_least else line["min"] <= ratio.target
        found.append(line)
    return found


def _select(rows, wanted, networks):
    wanted = {**wanted, "network": networks[wanted["network"]]}
    return [line for line in rows if "min_ms" in line and "error" not in line and _fits(line, wanted)]


def _fits(line, wanted):
    return all(line.get(key) in (value if isinstance(value, tuple) else (value,)) for key, value in wanted.items())
