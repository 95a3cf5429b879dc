"""What is measured: the contenders of each scenario.

A scenario is a function from `Settings` to a dict: "rows", and what else there is to say. `ratios.py` compares the
rows, `report.py` writes them.
"""

import numpy as np

from benchmarks.feeding import feeding
from benchmarks.stage import TOLERANCE, difference, open_stage, row

__all__ = ["SCENARIOS"]

# A step multiplies three times: forward, for the gradients of what goes into a layer, and for those of its weights.
PASSES = {"inference": 1, "training": 3}


def inference(settings):
    """Logits of a batch, in every form that ours and the peers have."""
    with open_stage(settings) as stage:
        contenders = []
        for network in (settings.network, settings.plain):
            stage.add(network, export=True)
            contenders += _inference_contenders(stage, network)
        rows = _side_by_side(stage, "inference", contenders)
        references = {each.task["network"]: each for each in reversed(contenders)}  # the first of each network
        for contender, line in zip(contenders, rows):
            if "error" not in line:
                _judge(line, difference(contender, references[line["network"]]))
        return {"rows": rows}


def _inference_contenders(stage, network):
    """Every form; of the plain network those that tell what the blocks cost."""
    forms = [
        ("MXNet, hybridized", "mxnet", "hybrid", False),
        ("MXNet, optimized export", "mxnet", "optimized", False),
        ("ONNX Runtime, our export, as predict runs it", "onnxruntime", "onnx", False),
        ("PyTorch, frozen", "torch", "frozen", True),
        ("PyTorch, compiled", "torch", "compiled", True),
    ]
    if network == stage.settings.network:
        forms += [
            ("MXNet, hybridized", "mxnet", "hybrid", True),
            ("MXNet, optimized export", "mxnet", "optimized", True),
            ("ONNX Runtime, our export, all images at once", "onnxruntime", "whole", False),
            ("ONNX Runtime, our export, 8 bits", "onnxruntime", "int8", False),
            ("PyTorch, eager, as it comes", "torch", "eager", False),
            ("PyTorch, eager", "torch", "eager", True),
            ("PyTorch, frozen, a pair of images for each core", "torch", "frozen-pairs", True),
        ]
    return [
        stage.contender(name, family, "inference", form, network, tuned=tuned, channels_last=tuned)
        for name, family, form, tuned in _present(stage, forms)
    ]


def training(settings):
    """A training step: forward, backward, update."""
    with open_stage(settings) as stage:
        contenders = []
        for network in (settings.network, settings.plain):
            stage.add(network)
            contenders += _training_contenders(stage, network)
        # Those of MXNet keep their memory between turns: tuned malloc is tried with one network.
        contenders = [each for each in contenders if not _tuned_mxnet(each, settings.plain)]
        gradients = _gradients_in_double(stage)
        rows = _side_by_side(stage, "training", contenders)
        for line in rows[: len(contenders)]:
            if "error" not in line:
                _judge(line, gradients[line["network"], line["family"], line["form"]])
        return {"rows": rows}


def _tuned_mxnet(contender, network):
    return contender.tuned and contender.family == "mxnet" and contender.task["network"] == network


def _training_contenders(stage, network, **sizes):
    forms = [
        ("MXNet, hybridized", "mxnet", "hybrid", False),
        ("MXNet, hybridized", "mxnet", "hybrid", True),
        ("PyTorch, eager", "torch", "eager", True),
        ("PyTorch, compiled", "torch", "compiled", True),
    ]
    return [
        stage.contender(name, family, "training", form, network, tuned=tuned, **sizes)
        for name, family, form, tuned in _present(stage, forms)
    ]


def _present(stage, forms):
    return [form for form in forms if stage.settings.torch or form[1] != "torch"]


def _gradients_in_double(stage):
    """How far loss and gradients of one small batch are from MXNet's, by network, family and form.

    In single precision they differ by percents, between any two of them: rounding turns a ReLU here and there.
    """
    found = {}
    for network in stage.macs:
        small = {"dtype": "float64", "batch": 2, "size": min(64, stage.settings.size)}
        contenders = [each for each in _training_contenders(stage, network, **small) if each.task["channels_last"]]
        contenders = list({(each.family, each.task["form"]): each for each in contenders}.values())
        stage.run(contenders)
        for each in contenders:
            found[network, each.family, each.task["form"]] = difference(each, contenders[0])
    return found


def _side_by_side(stage, kind, contenders):
    """Rows of contenders that take turns; then those of the machine's peak, and of the time it allows at best."""
    sgemm = stage.sgemm()
    results = stage.run([*sgemm, *contenders], stage.settings.rounds)
    rows = [row(each, result, each.task["batch"]) for each, result in zip(contenders, results[len(sgemm) :])]
    peaks = [row(each, result, 1) for each, result in zip(sgemm, results)]
    return [*rows, *_floors(stage, kind, peaks), *peaks]


def _floors(stage, kind, peaks):
    """How long the multiply-adds of each network take the fastest product of matrices."""
    flops = 2 * stage.settings.square**3
    for peak in peaks:
        if "ms" in peak:
            peak["gflops"] = flops / peak["min_ms"] / 1e6
    best = {what: min(peak[what] for peak in peaks if "ms" in peak) for what in ("min_ms", "median_ms")}
    for network, macs in stage.macs.items():
        share = 2 * macs * PASSES[kind] / flops
        yield {
            "name": "the same multiply-adds in sgemm",
            "family": "floor",
            "network": network,
            **{what: share * milliseconds for what, milliseconds in best.items()},
        }


def _judge(line, found):
    """Note how far a contender's answers are from MXNet's; who computes something else is out."""
    line["difference"] = found
    if line["form"] != "int8" and not (found is not None and found <= TOLERANCE):
        line["error"] = f"differs from MXNet by {found}, more than {TOLERANCE}"


def memory(settings):
    """Resident memory of a training step, over batch sizes; every figure from a process of its own.

    The peak is that of the steps after the first two: what a compiler needs is not counted.
    """
    rows = []
    with open_stage(settings) as stage:
        for network in (settings.network, settings.plain):
            stage.add(network)
            for batch in settings.batches:
                contenders = _training_contenders(stage, network, batch=batch)
                for contender in [*contenders, *_as_it_comes(stage, network, batch)]:
                    (result,) = stage.run([contender], rounds=1)
                    rows.append(row(contender, result, batch))
    return {"rows": rows, "slopes": _slopes(rows, settings.network, settings.plain)}


def _as_it_comes(stage, network, batch):
    if stage.settings.torch:
        yield stage.contender("PyTorch, eager", "torch", "training", "eager", network, batch=batch)


def _slopes(rows, attended, plain):
    """For each contender "peak_mb" by batch, and "slope_mb", what an image adds; "blocks": their share in that."""
    lines = {}
    for each in rows:
        if "error" not in each:
            key = tuple(each[what] for what in ("network", "name", "family", "form", "tuned"))
            lines.setdefault(key, {})[each["batch"]] = each["peak_mb"]
    slopes = {key: float(np.polyfit(list(peaks), list(peaks.values()), 1)[0]) for key, peaks in lines.items()}
    found = []
    for key, peaks in lines.items():
        line = dict(zip(("network", "name", "family", "form", "tuned"), key), peak_mb=peaks, slope_mb=slopes[key])
        without = (plain, *key[1:])
        if key[0] == attended and without in slopes:
            line["blocks"] = 1 - slopes[without] / slopes[key]
        found.append(line)
    return found


def growth(settings):
    """Time an image over the image size, the batch size, the number of blocks and the number of contexts."""
    rows = []
    with open_stage(settings) as stage:
        for network in (settings.network, settings.plain):
            stage.add(network)
        for axis, points in _axes(stage).items():
            settings.tell(f"--- growth with {axis}")
            results = stage.run([contender for _, contender in points], settings.rounds)
            for (value, contender), result in zip(points, results):
                rows.append({"axis": axis, "value": value, **row(contender, result, contender.task["batch"])})
    return {"rows": rows}


def _axes(stage):
    """What grows, each with its points: the value and a contender."""
    settings = stage.settings
    few = _few(settings)
    return {
        "image size": [(size, each) for size in settings.sizes for each in _growing(stage, size=size, batch=few)],
        "batch size": [(batch, each) for batch in (1, *settings.batches) for each in _growing(stage, batch=batch)],
        "blocks": list(_blocks(stage)),
        "contexts": [(contexts, _on_contexts(stage, contexts)) for contexts in (1, 2)],
    }


def _few(settings):
    """A batch of which many contenders fit into the memory at once."""
    return max(1, settings.batch // 4)


def _growing(stage, **sizes):
    """Inference as it is written first: hybridized, and eager."""
    settings = stage.settings
    for network, name in ((settings.network, "A²-Net"), (settings.plain, "ResNet")):
        yield stage.contender(f"{name}, MXNet hybridized", "mxnet", "inference", "hybrid", network, **sizes)
    if settings.torch:
        yield stage.contender(
            "A²-Net, PyTorch eager", "torch", "inference", "eager", settings.network, tuned=True, **sizes
        )


def _blocks(stage):
    """The network with none, one, two … of its blocks: inference and training."""
    settings, batch = stage.settings, _few(stage.settings)
    for count in range(len(settings.blocks) + 1):
        placement = {}
        for name, unit in settings.blocks[:count]:
            placement[name] = (*placement.get(name, ()), unit)
        network = settings.network if count else settings.plain
        if count:
            stage.add(network, placement)
        options = {"network": network, "placement": placement or None, "batch": batch}
        yield count, stage.contender("inference, MXNet hybridized", "mxnet", "inference", "hybrid", **options)
        yield count, stage.contender("training, MXNet hybridized", "mxnet", "training", "hybrid", **options)
        if settings.torch:
            yield (
                count,
                stage.contender("inference, PyTorch eager", "torch", "inference", "eager", tuned=True, **options),
            )


def _on_contexts(stage, contexts):
    """A training step on one or several CPU contexts, which share the cores."""
    settings = stage.settings
    threads = max(1, settings.threads // contexts)
    options = {"network": settings.network, "contexts": contexts, "threads": threads}
    return stage.contender("training, MXNet hybridized", "mxnet", "training", "hybrid", **options)


SCENARIOS = {"inference": inference, "training": training, "memory": memory, "growth": growth, "input": feeding}
