"""Accuracy, agreement, speed and size of every form of an export, measured side by side.

    python benchmarks/forms.py exported/cifar10 --data-dir cifar10    all images of cifar10/val
    python benchmarks/forms.py exported/resnet --batch-size 16        speed alone, on random pixels

Prints a Markdown table. Speed is images/s relative to the form "symbol"; the forms take turns, and the best of several
rounds counts for each.
"""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import numpy as np

from a2net_gluon.data import list_images
from a2net_gluon.deploy.forms import FORMS, exported_files, load_form, written_forms
from a2net_gluon.deploy.inputs import graph_input
from a2net_gluon.networks.description import Description
from a2net_gluon.options.types import count
from benchmarks.report import table
from benchmarks.settings import parser


def main():
    """Measure the forms of the export that the command line names."""
    options = parser(__doc__)
    options.add_argument("prefix", help="the --output of a2net export")
    options.add_argument("--data-dir", help="image folder; all of val/<class>/ is classified")
    options.add_argument("--batch-size", type=count, default=32)
    options.add_argument("--rounds", type=count, default=5, help="timed runs of each form (5)")
    args = options.parse_args()
    description = Description.load(exported_files(args.prefix)[-1])
    runs = {form: load_form(args.prefix, form) for form in written_forms(args.prefix)}
    size = description.preprocessing.size
    pixels = np.random.default_rng(0).integers(0, 256, (args.batch_size, size, size, 3), np.uint8)
    seconds = _best_times(runs, graph_input(pixels, description), args.rounds)
    rows = {
        form: [form, f"{seconds['symbol'] / seconds[form]:.2f}", f"{_megabytes(args.prefix, form):.2f}"]
        for form in runs
    }
    titles = ["form", "images/s, × symbol", "MB"]
    if args.data_dir:
        titles += ["top-1 %", "same class as symbol %"]
        for form, accuracy in _accuracies(runs, description, args.data_dir, args.batch_size).items():
            rows[form] += accuracy
    speed = args.batch_size / seconds["symbol"]
    print(f"{description.model}, {size} px, batch {args.batch_size}; {speed:.1f} images/s as symbol\n")
    print(table(titles, rows.values()))


def _best_times(runs, inputs, rounds):
    """Return the seconds of each form for `inputs`, the best of some rounds in which the forms take turns."""
    times = {form: [] for form in runs}
    for _ in range(rounds):
        for form, run in runs.items():
            run(inputs)  # untimed: threads of the form before may still be spinning
            start = time.perf_counter()
            run(inputs)
            times[form].append(time.perf_counter() - start)
    return {form: min(measured) for form, measured in times.items()}


def _accuracies(runs, description, folder, batch_size):
    """Return the top-1 accuracy of each form and its agreement with the form "symbol", in percent."""
    _, images = list_images(pathlib.Path(folder) / "val", description.classes)
    found = {form: [] for form in runs}
    for start in range(0, len(images.names), batch_size):
        numbers = range(start, min(start + batch_size, len(images.names)))
        crops = np.stack([description.preprocessing.centre_crop(images.load(number)) for number in numbers])
        inputs = graph_input(crops, description)
        for form, run in runs.items():
            found[form] += list(run(inputs).argmax(1))
    truths = (np.array(images.labels), np.array(found["symbol"]))
    return {form: [f"{100 * np.mean(truth == classes):.2f}" for truth in truths] for form, classes in found.items()}


def _megabytes(prefix, form):
    return sum(pathlib.Path(f"{prefix}{ending}").stat().st_size for ending in FORMS[form].files) / 1e6


if __name__ == "__main__":
    main()
