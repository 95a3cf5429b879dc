"""Training runs in the process of the tests: what they leave, and how they are stopped."""

import csv
import itertools
import os
import signal

import mxnet as mx
import numpy as np


def arrays(path):
    """The arrays of a parameter file, in NumPy."""
    return {name: array.asnumpy() for name, array in mx.nd.load(str(path)).items()}


def epochs(run):
    """The rows of a run's results."""
    return list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))


def assert_same_end(one, other):
    """The same bits in every parameter file that the last epoch left, and the same results in every epoch."""
    last = max(path.name for path in (one / "checkpoints").iterdir())
    files = [one / "best.params", *(one / "checkpoints" / last).glob("*.params")]
    assert len(files) >= 3
    for file in files:
        counterpart, expected = arrays(other / file.relative_to(one)), arrays(file)
        assert set(counterpart) == set(expected)
        for name, array in counterpart.items():
            np.testing.assert_array_equal(array, expected[name], err_msg=f"{file} {name}")
    tables = [epochs(folder) for folder in (one, other)]
    for before, after in zip(*tables):
        timing = ("images_per_second", "data_wait")
        assert [before[column] for column in before if column not in timing] == [
            after[column] for column in before if column not in timing
        ]
    assert len(tables[0]) == len(tables[1])


def last_parameters(run):
    """The parameters of a run's last checkpoint, in float64."""
    path = max((run / "checkpoints").iterdir()) / "net.params"
    return {name: array.astype(np.float64) for name, array in arrays(path).items()}


def difference(one, other):
    """Relative difference of all parameters together, in the Euclidean norm."""
    squares = [(np.sum((one[name] - other[name]) ** 2), np.sum(one[name] ** 2)) for name in one]
    return np.sqrt(sum(pair[0] for pair in squares) / sum(pair[1] for pair in squares))


def stopping_source(open_source, batches):
    """Sources during whose reading SIGTERM comes, after a number of `batches` of all epochs."""
    numbers = itertools.count()

    def opened(*args, **kwargs):
        source = open_source(*args, **kwargs)
        read = source.train

        def until_stopped(*epoch):
            for batch in read(*epoch):
                if next(numbers) == batches:
                    os.kill(os.getpid(), signal.SIGTERM)
                yield batch

        source.train = until_stopped
        return source

    return opened
