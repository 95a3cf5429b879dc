"""The speed of several numbers of readers, and what follows from it."""

import os
import re

import pytest

from a2net_gluon.settings import Input, Training
from a2net_gluon.training import reader_speeds, throughput
from tests.helpers.commands import call, error

DIGITS = Training(batch_size=160, input=Input(size=8))


@pytest.mark.parametrize(("cores", "counts"), [(1, [1]), (2, [1, 2]), (3, [1, 2])])
def test_readers_up_to_the_cores(monkeypatch, cores, counts):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)))
    lines = []
    speeds = reader_speeds(DIGITS, lines.append)
    assert list(speeds) == counts
    assert [re.sub(r": [0-9]+ images/s", ": … images/s", line) for line in lines] == [
        f"{count} reader{'s' * (count > 1)}, 8 batches of 160 images 8×8: … images/s from the data alone"
        for count in counts
    ]


def test_each_number_is_measured_for_some_seconds_only(monkeypatch):
    monkeypatch.setattr(throughput, "_SECONDS", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0})
    lines = []
    reader_speeds(DIGITS, lines.append)
    assert lines[0].startswith("1 reader, 2 batches of ")


def test_readers_that_feed_devices():
    words = throughput.readers_in_words({1: 500.0, 4: 1600.0}, 900, 4)
    assert words == (
        "readers for devices that train 900 images/s each: 1: 3, 2: 5, 4: 9, 8: 18 "
        "(400 images/s a reader, of 4; a reader needs a core, 4 are here)"
    )


def test_the_command(capsys):
    words = ("train", "--test-io", "--input-size", 8, "--batch-size", 160, "-j", 1, "--device-rate", 1e5)
    code, out, _ = call(capsys, *words)
    assert code == 0
    assert re.search(r"^1 reader, 8 batches of 160 .*\nreaders for devices that train 100000 images/s each: 1: ", out)
    assert "--device-rate is for --test-io" in error(capsys, 2, "train", "--device-rate", 100)
    assert "0 is not a number from 1e-09" in error(capsys, 2, "train", "--test-io", "--device-rate", 0)
