"""Accuracy, agreement, speed and size of every form of an export, measured side by side.

    python benchmarks/forms.py exported/cifar10 --data-dir cifar10    all images of cifar10/val
    python benchmarks/forms.py exported/resnet --batch-size 16        speed alone, on random pixels

Prints a Markdown table. Speed is images/s relative to the form "symbol"; the forms take turns, and the best of several
rounds counts for each.
"""

import argparse
import pathlib
import time

import numpy as np

from a2net_gluon.data import list_images
from a2net_gluon.deploy.forms import FORMS, exported_files, load_form, written_forms
from a2net_gluon.deploy.inputs import graph_input
from a2net_gluon.networks.description import Description


def main():
    """Measure the forms of the export that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefix", help="the --output of a2net export")
    parser.add_argument("--data-dir", help="image folder; all of val/<class>/ is classified")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument(
        "--rounds", type=int, default=5, help="times each form runs the batch whose speed is measured (5)"
    )
    args = parser.parse_args()
    description = Description.load(exported_files(args.prefix)[-1])
    runs = {form: load_form(args.prefix, form) for form in written_forms(args.prefix)}
    size = description.preprocessing.size
    pixels = np.random.default_rng(0).integers(0, 256, (args.batch_size, size, size, 3), np.uint8)
    seconds = best_times(runs, graph_input(pixels, description), args.rounds)
    rows = {form: [f"{seconds['symbol'] / seconds[form]:.2f}", f"{megabytes(args.prefix, form):.2f}"] for form in runs}
    titles = ["form", "images/s, × symbol", "MB"]
    if args.data_dir:
        titles += ["top-1 %", "same class as symbol %"]
        for form, accuracy in accuracies(runs, description, args.data_dir, args.batch_size).items():
            rows[form] += accuracy
    speed = args.batch_size / seconds["symbol"]
    print(f"{description.model}, {size} px, batch {args.batch_size}; {speed:.1f} images/s as symbol\n")
    for row in (titles, ["---"] * len(titles), *([form, *row] for form, row in rows.items())):
        print(f"| {' | '.join(row)} |")


def best_times(runs, inputs, rounds):
    """Seconds each form takes for `inputs`, the best of some rounds in which the forms take turns."""
    times = {form: [] for form in runs}
    for _ in range(rounds):
        for form, run in runs.items():
            run(inputs)  # untimed: threads of the form before may still be spinning
            start = time.perf_counter()
            run(inputs)
            times[form].append(time.perf_counter() - start)
    return {form: min(measured) for form, measured in times.items()}


def accuracies(runs, description, folder, batch_size):
    """Top-1 accuracy of each form, and how often it gives the class that the form "symbol" gives, in percent."""
    _, images = list_images(pathlib.Path(folder) / "val", description.classes)
    found = {form: [] for form in runs}
    for start in range(0, len(images.names), batch_size):
        numbers = range(start, min(start + batch_size, len(images.names)))
        crops = np.stack([description.preprocessing.centre_crop(images.read(number)) for number in numbers])
        inputs = graph_input(crops, description)
        for form, run in runs.items():
            found[form] += list(run(inputs).argmax(1))
    labels, plain = np.array(images.labels), np.array(found["symbol"])
    return {
        form: [f"{100 * (labels == classes).mean():.2f}", f"{100 * (plain == classes).mean():.2f}"]
        for form, classes in ((form, np.array(classes)) for form, classes in found.items())
    }


def megabytes(prefix, form):
    """Size of a form's files."""
    return sum(pathlib.Path(f"{prefix}{ending}").stat().st_size for ending in FORMS[form].files) / 1e6


if __name__ == "__main__":
    main()
