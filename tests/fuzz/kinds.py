"""The kinds of cases. Each is a function that makes a case with random numbers from the material."""

from __future__ import annotations

import hashlib
import json

from tests.fuzz import answers
from tests.fuzz.case import Case
from tests.fuzz.commands import DATA, EVALUATE, FLAGS, PREDICT, RECORDS, STOP, TRAIN, options
from tests.fuzz.material import CLIPS, EPOCHS, MODEL, START
from tests.fuzz.mutations import mutated, pick, regraphed, repaired_png, restructured
from tests.fuzz.video_kinds import video_lists, videos
from tests.helpers.encoded import IMAGES

__all__ = ["KINDS"]

# Recipes and descriptions


_RECIPE = {"model": MODEL, "num-epochs": 1, "lr": 0.05, "lr-decay-epoch": [1, 2], "mixup": True, "batch-size": 4}
_RECIPE = {**_RECIPE, "input-size": 8, "lr-mode": "cosine", "warmup-epochs": 0, "num-data-workers": 1}
# Values that some flag or other takes: the run starts with a few of them.
_SETTINGS = [True, False, 1, 2, 3, 0.1, 0.5, 0.9, 1e-4, "cosine", "poly", "step", "none", "dpn", "small", "1,2", [1, 2]]
_SETTINGS += ["conv4:1", "a2", "nl", "se", "float32", "adam", "sgd", "run", "data", "run/best.params", 0, 8, 16]
_YAML = [b"&a [*a]", b"*a", b"!!python/object:os.system x", b"!", b"{", b"[", b"---\n", b"<<: ", b"? ", b"|\n"]


def recipes(rng, material):
    """Recipes of YAML."""
    recipe = dict(_RECIPE)
    for _ in range(rng.integers(0, 4)):
        recipe[pick(rng, FLAGS["train"])[2:]] = pick(rng, _SETTINGS)
    lines = "".join(f"{name}: {json.dumps(value)}\n" for name, value in recipe.items()).encode()
    change = rng.integers(3)  # one in three stays as it is
    text = mutated(rng, lines, _YAML) if change == 1 else restructured(rng, recipe) if change == 2 else lines
    words = ("a2net", "train", "--recipe", "r.yaml", *DATA, "--save-dir", "run")
    return Case(words, {**material.data, "r.yaml": text}, stop=STOP)


_GRID = {
    "baseline": "a",
    "seeds": 2,
    "axis": "pixels",
    "base": {"model": MODEL, "data-dir": "missing", "num-epochs": 1},
    "cases": {"8": {"input-size": 8}, "16": {"input-size": 16}},
    "variants": {"a": {}, "b": {"lr": 0.1, "seeds": 1}},
}


def grids(rng, material):
    """Grids of YAML; the data are not there, so that nothing is trained."""
    whole = json.dumps(_GRID).encode()
    text = mutated(rng, whole, _YAML) if rng.random() < 0.6 else restructured(rng, _GRID)
    words = ("a2net", "ablate", "g.yaml", "--jobs", "1", "--save-dir", "run")
    return Case(words, {"g.yaml": text}, stop=STOP, writes_into=("run/",))


def descriptions(rng, material):
    """Descriptions of networks in run folders and exports."""
    name, words = pick(rng, (("x.json", PREDICT), ("run/model.json", (*EVALUATE, *DATA))))
    files = {**material.data, **material.run, **material.export}
    return Case(words, {**files, name: _changed_json(rng, files[name])}, twice=True)


def _changed_json(rng, content):
    return restructured(rng, json.loads(content)) if rng.random() < 0.7 else mutated(rng, content)


def weights(rng, material):
    """The file of registered parameters."""
    sha1 = hashlib.sha1(material.run["run/best.params"]).hexdigest()
    entries = {MODEL: {"sha1": sha1, "source": "run/best.params", "what": "digits"}}
    files = {**material.data, **material.run, "w.json": _changed_json(rng, json.dumps(entries).encode())}
    words = ("a2net", "evaluate", MODEL, "--use-pretrained", "--input-size", "8", "-j", "1", *DATA)
    return Case(words, files, {"A2NET_WEIGHTS": "w.json"}, twice=True)


# Run folders


def runs(rng, material):
    """Run folders, and the checkpoints in them, that are resumed: to the same bits, or not at all."""
    run = dict(material.run)
    for _ in range(rng.integers(1, 3)):
        name = pick(rng, run)
        change = rng.integers(8)
        if change == 0:
            del run[name]
        elif change == 1:
            run[name] = run[pick(rng, run)]
        elif name.endswith(".json"):
            run[name] = _changed_json(rng, run[name]) if _is_json(run[name]) else mutated(rng, run[name])
        else:
            run[name] = mutated(rng, run[name])
    words = ("a2net", *START, *DATA, "--num-epochs", str(EPOCHS), "--save-dir", "run", "--resume")
    return Case(words, {**material.data, **run}, writes_into=("run/",), same=material.finished)


def reports(rng, material):
    """Run folders that a page is written about."""
    name = f"run/{pick(rng, ('run.json', 'metrics.csv', 'model.json', 'log.txt'))}"
    content = material.run[name]
    changed = _changed_json(rng, content) if name.endswith(".json") else mutated(rng, content, (b" skipped ", b","))
    return Case(("a2net", "report", "run"), {**material.run, name: changed})


def _is_json(content):
    try:
        return bool(json.loads(content))
    except ValueError:
        return False


# Images and records


_ENDINGS = {"jpeg": ".jpg", "tiff": ".tif"}


def images(rng, material):
    """Image files of every format."""
    files = {}
    for number in range(8):
        kind = pick(rng, IMAGES)
        content = mutated(rng, IMAGES[kind])
        if content.startswith(b"\x89PNG") and rng.random() < 0.5:
            content = repaired_png(content)
        form = kind.split("-")[0]
        files[f"data/val/cat/m{number}{_ENDINGS.get(form, '.' + form)}"] = content
    words, more = pick(
        rng,
        (
            *[(("pixels", *files), {})] * 3,
            (("a2net", "predict", "x", *files, "--json"), material.export),
            ((*EVALUATE, *DATA), material.run),
            (
                ("a2net", "attention", *files, "--params", "run/best.params", "--input-size", "32", "--output", "a"),
                material.run,
            ),
            (("a2net", "pack", "data/val", "packed"), {}),
        ),
    )
    return Case(words, {**material.data, **more, **files}, twice=True, tells_each=True)


def records(rng, material):
    """Record files, with their labels, and their indices."""
    files = dict(material.records)
    name = pick(rng, ("val.rec", "val.rec", "val.idx"))
    native = pick(rng, ((), ("--native-reader",)))
    labels = (b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f", b"\x00\x00\x20\x40", b"\x00\x00\x80\xbf", b"\x0a\x23\xd7\xce")
    files[name] = mutated(rng, files[name], (*labels, b"1\t0\n", b"9" * 30))
    if rng.random() < 0.2:
        del files["val.lst"]
    words, more = pick(
        rng,
        (
            *[((*EVALUATE, *RECORDS, *native), material.run)] * 2,
            ((*TRAIN, "--test-io", "--rec-train", "val.rec", "--rec-val", "val.rec", *native), {}),
        ),
    )
    return Case(words, {**files, **more}, twice=words[1] == "evaluate")


_CLIPS = ("train-video", "--model", f"{MODEL}_3d", *CLIPS)
_CLIPS = (*_CLIPS, "--rec-train", "clips/val.rec", "--rec-val", "clips/val.rec")


def clips(rng, material):
    """Records of videos, and their indices."""
    files = dict(material.clips)
    name = pick(rng, ("clips/val.rec", "clips/val.rec", "clips/val.idx"))
    values = (b"\x00" * 4, b"\xff" * 4, b"\xff\xff\xff\x7f", b"\x0a\x23\xd7\xce", b"A2CLIPS\x01", b"1\t0\n")
    files[name] = mutated(rng, files[name], values)
    words = pick(rng, (("a2net", *_CLIPS, "--test-io"), ("a2net", "check", *_CLIPS, "--bad-list", "bad.tsv")))
    return Case(words, files, tells_each=words[1] == "check")


# Parameters and graphs


def parameters(rng, material):
    """Parameter files of runs and exports, and pickled states of trainers."""
    files = {**material.data, **material.run, **material.export, **material.states}
    resume = ("a2net", *START, *DATA, "--num-epochs", "2", "--save-dir", "new", "--resume-params", "run/best.params")
    name, words, twice = pick(
        rng,
        (
            ("run/best.params", (*EVALUATE, *DATA), True),
            ("x-0000.params", (*PREDICT, "--form", pick(rng, ("symbol", "optimized"))), True),
            ("gluon.states", (*resume, "--resume-epoch", "1", "--resume-states", "gluon.states"), False),
        ),
    )
    return Case(words, {**files, name: mutated(rng, files[name])}, twice=twice)


def tensors(rng, material):
    """Files of safetensors."""
    name = "x.safetensors"
    values = (b"\x00\x00\xc0\x7f", b"F32", b"BF16", b"I64", b"[]", b"[0]", b"999999999999", b"description")
    return Case(("a2net", "import", name, "--output", "y.params"), {name: mutated(rng, material.export[name], values)})


def graphs(rng, material):
    """Symbol files."""
    form = pick(rng, ("symbol", "optimized"))
    name = "x-symbol.json" if form == "symbol" else "x-optimized-symbol.json"
    files = {**material.data, **material.export}
    graph = regraphed(rng, json.loads(files[name])) if rng.random() < 0.6 else _changed_json(rng, files[name])
    return Case((*PREDICT, "--form", form), {**files, name: graph}, twice=True)


def onnx(rng, material):
    """ONNX files."""
    files = {**material.data, **material.export}
    return Case((*PREDICT, "--form", "onnx"), {**files, "x.onnx": mutated(rng, files["x.onnx"])}, twice=True)


# Other machines


_SSH = b"#!/bin/sh\necho 'ssh: connect to host: Connection refused' >&2\nexit 255\n"
_SHELL = [b"$(touch injected)", b";touch injected;", b"`touch injected`", b"-oProxyCommand=x ", b"\n", b"@", b":22"]


def hosts(rng, material):
    """Files of hosts; whatever they hold, ssh is told no more than a host, and no shell sees it."""
    text = mutated(rng, b"alpha\nme@beta-1.example.org:2222\n[fe80::1]:22 slots=8\n10.0.0.1\n", _SHELL)
    words = ("a2net", "launch", "-n", "2", "-s", "1", "-H", "hosts", "--log-dir", "logs", "--", "false")
    path = {"PATH": "{folder}/bin:/usr/bin:/bin"}
    return Case(words, {"hosts": text, "bin/ssh": _SSH}, path, tells_each=True)


def store(rng, material):
    """Answers of a server of parameter files."""
    answer, digits = answers.make(rng, material.run["run/best.params"])
    environment = {"MXNET_GLUON_REPO": answers.serve(answer), "MXNET_HOME": "{folder}"}
    words = ("a2net", "evaluate", MODEL, "--params", digits, "--input-size", "8", "-j", "1", *DATA)
    path = f"models/{MODEL}-{digits[:8]}.params"
    return Case(words, material.data, environment, same={path: material.run["run/best.params"]})


_DATA = (images, records, clips, videos, video_lists)
_MODELS = (descriptions, weights, parameters, tensors, graphs, onnx)
_KINDS = (options, recipes, grids, runs, reports, *_DATA, *_MODELS, hosts, store)
KINDS = {kind.__name__: kind for kind in _KINDS}
