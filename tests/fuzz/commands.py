"""Commands with small inputs, and the kind of cases that gives them other options."""

from __future__ import annotations

from tests.fuzz.case import Case
from tests.fuzz.material import MODEL, START
from tests.fuzz.mutations import pick
from tests.helpers.processes import ROOT

__all__ = ["DATA", "EVALUATE", "FLAGS", "PREDICT", "RECORDS", "STOP", "TRAIN", "options"]

_IMAGE = "data/val/cat/0.png"
DATA, RECORDS = ("--data-dir", "data"), ("--rec-train", "train.rec", "--rec-val", "val.rec")
TRAIN = ("a2net", *START, "--num-epochs", "1", "--save-dir", "run")
EVALUATE = ("a2net", "evaluate", MODEL, "--params", "run/best.params", "--input-size", "8", "-j", "1")
PREDICT = ("a2net", "predict", "x", _IMAGE, "--json")
STOP = 5  # seconds for a training that may take for ever

_LINES = (ROOT / "tests" / "options" / "flags_of_0.1.txt").read_text(encoding="utf-8").splitlines()
FLAGS = {command: [flag for flag in flags if flag != "--help"] for command, *flags in map(str.split, _LINES)}
# No whole number that is both valid for everything and large: the machine is needed for other cases.
_VALUES = """
    0 1 2 -1 0.5 100000 3000000000 99999999999999999999 1e5 1e-300 1e39 nan inf ² ١ 0x10 1_0 true false a,b 1,2  , -
    -- -x ../../x /dev/null /proc/self/mem . ~ run data x run/best.params train.rec [::1] a=b
    paper none step dist_sync float16 a2 conv4:1,2 conv4:0
""".split()
_VALUES += ["", " ", "$(touch injected)", "1," * 5000, "x" * 5000, "\x1b[31m", "é\n", "\udcff"]
_COMMANDS = {
    "train": TRAIN[1:],
    "check": ("check", *TRAIN[2:]),
    "evaluate": (*EVALUATE[1:], *DATA),
    "export": ("export", MODEL, "--params", "run/best.params", "--output", "e/x", "--input-size", "8"),
    "predict": PREDICT[1:],
    "attention": ("attention", _IMAGE, "--params", "run/best.params", "--output", "a"),
    "cost": ("cost", MODEL),
    "tables": ("tables",),
    "digits": ("digits", "d"),
    "pack": ("pack", "data/train", "packed"),
    "launch": ("launch", "-n", "1"),
}


def options(rng, material):
    """Flags of every command with values of every kind."""
    command = pick(rng, FLAGS)
    words = [*_COMMANDS[command]]
    if command in ("train", "check"):
        words += pick(rng, (DATA, DATA, RECORDS, ("--benchmark",), ()))
    for _ in range(rng.integers(1, 4)):
        flag, value = pick(rng, FLAGS[command] or ("",)), pick(rng, _VALUES)
        forms = [flag, value], [flag, value], [f"{flag}={value}"], [flag], [value]
        words += pick(rng, forms[:3] if command == "launch" else forms)  # where a word alone is a command to run
    words += ["--", "true"] if command == "launch" else []
    files = {**material.data, **material.records, **material.run, **material.export}
    each = command in ("predict", "attention", "check")
    return Case(("a2net", *words), files, stop=STOP, writes_into=("run/", "train.", "x"), tells_each=each)
