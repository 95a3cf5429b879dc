"""Which programs read an export's ONNX files, and how far their answers are from the network's.

``python -m benchmarks.readers`` prints the table of docs/evaluate-and-deploy.md; ``make readers`` installs the programs
that need an environment of their own, and runs it.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import mxnet as mx
import numpy as np

from a2net_gluon import get_model
from a2net_gluon.data import Preprocessing
from a2net_gluon.deploy import export_network, load_form
from a2net_gluon.deploy.inputs import crops_of, graph_input
from a2net_gluon.deploy.onnx_file import fix_size
from a2net_gluon.deploy.quantization import write_int8
from a2net_gluon.networks import input_shape
from a2net_gluon.networks.description import Description

ROOT = pathlib.Path(__file__).parent.parent
READER = pathlib.Path(__file__).with_name("reader.py")
NETWORKS = ("a2net_resnet20_small", "a2net_resnet50", "a2net_mobilenet_v2", "nl_resnet50", "a2net_resnet26_3d")
BATCH = 2
# Sizes of an open file's second input, which are not those of the export.
OTHER_SIZE, OTHER_FRAMES = (48, 64), 6


def readers_python():
    """Return the Python that has the newest readers: $READERS_PYTHON, default: that of ``make readers``."""
    return pathlib.Path(os.environ.get("READERS_PYTHON", ROOT / ".venv-readers" / "bin" / "python"))


@dataclasses.dataclass(frozen=True)
class Task:
    """A file to read, the inputs for it, and the answers to compare with: MXNet's, or for 8 bits ONNX Runtime's."""

    column: str  # of the table
    model: pathlib.Path
    inputs: np.ndarray
    expected: np.ndarray


def write_tasks(name, folder, size=64, int8=True):
    """Export network `name` with random parameters to `folder` in all ONNX forms; return the tasks for them."""
    frames = input_shape(name)[1] if name.endswith("_3d") else None
    description = Description(name, tuple("abcdefghij"), Preprocessing(size, frames=frames))
    mx.random.seed(0)
    net = get_model(name, classes=10)
    net.initialize(mx.init.MSRAPrelu())
    prefix = folder / name
    export_network(net, prefix, description, ["onnx"])
    inputs = graph_input(crops_of([], description.preprocessing), description)
    other = np.random.default_rng(0).normal(size=(3, 3, *([OTHER_FRAMES] if frames else []), *OTHER_SIZE))
    files = {"": (folder / f"{name}.onnx", load_form(prefix))}
    if int8:
        path = folder / f"{name}-int8.onnx"
        write_int8(files[""][0], path, inputs)
        files[", 8 bits"] = path, load_form(prefix, "int8")
    tasks = []
    for words, (path, forward) in files.items():
        for given in (inputs[:BATCH], other.astype(np.float32)):
            tasks.append(Task(f"{description.noun}{words}, open", path, given, forward(given)))
        fixed = path.with_name(f"{path.stem}-fixed.onnx")
        shutil.copyfile(path, fixed)
        fix_size(fixed, f"{prefix}-symbol.json", (BATCH, *description.input_shape))
        tasks.append(Task(f"{description.noun}{words}, fixed", fixed, inputs[:BATCH], forward(inputs[:BATCH])))
    return tasks


def read(python, reader, tasks, folder):
    """Carry out `tasks` with a reader in an interpreter; return its version, and a difference or a reason for each."""
    lines = []
    for number, task in enumerate(tasks):
        inputs, answers = (folder / f"{kind}{number}.npy" for kind in ("inputs", "answers"))
        np.save(inputs, task.inputs)
        lines.append([str(task.model), str(inputs), str(answers)])
    (folder / "tasks.json").write_text(json.dumps(lines), encoding="utf-8")
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = [str(python), str(READER), reader, str(folder / "tasks.json")]
    done = subprocess.run(words, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{reader}: {done.stderr.strip().splitlines()[-1]}")
    report = json.loads(done.stdout.splitlines()[-1])
    found = []
    for task, (_, _, answers), problem in zip(tasks, lines, report["problems"]):
        found.append(problem or float(np.abs(np.load(answers) - task.expected).max() / np.abs(task.expected).max()))
    return report["version"], found


def available():
    """Pairs of a Python and a reader that it has: those of this environment, then the newest ones."""
    readers = [(sys.executable, "ONNX Runtime"), (sys.executable, "OpenCV")]
    newest = readers_python()
    return readers + [(newest, name) for name in ("ONNX Runtime", "OpenVINO") if newest.is_file()]


def row(reader, version, tasks, found, columns):
    """A line of the table: for each column the largest difference of its tasks, or "no"."""
    cells = []
    for column in columns:
        values = [value for task, value in zip(tasks, found) if task.column == column]
        cells.append("no" if any(isinstance(value, str) for value in values) else f"{max(values):.1e}")
    return f"| {' | '.join([f'{reader} {version}', *cells])} |"


def main(arguments=None):
    """Write the networks, let every reader read them, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=NETWORKS, metavar="NAME")
    parser.add_argument("--verbose", action="store_true", help="print why a reader does not read a file")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        tasks = [task for network in options.networks for task in write_tasks(network, folder)]
        columns = list(dict.fromkeys(task.column for task in tasks))
        print(f"| reader | {' | '.join(columns)} |\n{'|---' * (len(columns) + 1)}|")
        for python, reader in available():
            version, found = read(python, reader, tasks, folder)
            print(row(reader, version, tasks, found, columns), flush=True)
            for task, value in zip(tasks, found):
                if options.verbose and isinstance(value, str):
                    print(f"{reader} {version}, {task.model.name}: {value[:300]}", file=sys.stderr)


if __name__ == "__main__":
    main()
