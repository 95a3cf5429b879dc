"""Signals, most of them in forked processes."""

import contextlib
import os
import signal
import subprocess
import time

import numpy as np
import pytest

from a2net_gluon.data import Dataset, ImageSamples, Preprocessing, SampleSource
from a2net_gluon.training.interruption import Interruption
from tests.helpers.processes import fork, start, wait_until


def read(number):
    if number == 3:
        time.sleep(1000)
    return np.zeros((8, 8, 3), dtype="uint8")


def wait():
    """Read with three processes, of which two have nothing to do at last and one reads an image that takes for ever."""
    with Interruption() as interruption:
        images = ImageSamples([str(number) for number in range(4)], [0] * 4, read)
        source = SampleSource(Dataset("four", ("a",), images, images), Preprocessing(8), None, 1, 3, 0)
        with contextlib.closing(source):
            for _ in interruption.watch(source.validation()):
                print("batch")
            print(interruption.signal.name)
    print("end")
    return 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_to_all_processes_ends_the_wait_for_a_batch(number):
    """It comes to the whole process group, as a batch system sends it, while the main process waits for that image."""
    process = fork(wait, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        for _ in range(3):
            assert process.stdout.readline() == "batch\n"
        time.sleep(0.5)
        os.killpg(process.pid, number)
        output = process.communicate(timeout=180)[0]
    finally:
        process.kill()
    assert output.split() == [number.name, "end"]
    assert process.returncode == 0


def test_second_interrupt_stops_at_once():
    before = signal.getsignal(signal.SIGINT)
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGINT)
        assert interruption.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            interrupt_and_wait()
    assert signal.getsignal(signal.SIGINT) is before


def interrupt_and_wait():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(10)


def test_killed_reader_ends_the_run_with_a_sentence(tmp_path):
    run = tmp_path / "run"
    flags = ("--num-epochs", "1000", "--input-size", "8", "--batch-size", "128", "-j", "1", "--save-dir", run)
    process = start(*flags, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert wait_until((run / "best.params").exists, process), process.stdout.read()
        subprocess.run(["pkill", "-KILL", "-P", str(process.pid)], check=True)
        output = process.communicate(timeout=180)[0]
    finally:
        process.kill()
    assert "error: a process that reads images has ended, exit code -9; " in output.splitlines()[-1]
    assert process.returncode == 1
