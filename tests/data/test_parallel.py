"""A function of many items in processes: the order of the results, and processes that end."""

import os
import signal
import time

import pytest

from a2net_gluon.data.parallel import results_of
from a2net_gluon.errors import FailureError


@pytest.mark.parametrize("workers", [0, 1, 3, 9])
def test_results_come_in_order(workers):
    def late(number):
        time.sleep(0.02 * (number % 3 == 0))
        return number**2, os.getpid()

    found = list(results_of(late, range(7), workers, str))
    assert [square for square, _ in found] == [number**2 for number in range(7)]
    processes = {process for _, process in found}
    assert len(processes) == max(min(workers, 7), 1)
    assert (os.getpid() in processes) == (workers == 0)


def test_a_large_result_is_handed_over_whole():
    assert [len(one) for one in results_of(lambda size: bytes(size), [3_000_000] * 3, 2, str)] == [3_000_000] * 3


@pytest.mark.parametrize("end", [lambda: os._exit(3), lambda: os.kill(os.getpid(), signal.SIGKILL)])
def test_a_process_that_ends_is_named_with_its_item(end):
    def work(number):
        return number if number < 4 else end()

    results = results_of(work, range(9), 3, lambda number: f"item {number}")
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(FailureError, match=r"^item 4: the process that read it ended, exit code (3|-9)$"):
        next(results)


def test_no_process_outlives_the_results():
    results = results_of(lambda number: os.getpid(), range(9), 2, str)
    process = next(results)
    results.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_nothing_to_do_starts_nothing():
    assert list(results_of(str, [], 4, str)) == []
