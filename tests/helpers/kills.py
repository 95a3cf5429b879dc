"""What a killed process leaves, at each step of writing its files."""

import contextlib
import os
import shutil
import signal
import time

import pytest

STEPS = ("replace", "rename", "unlink", "fsync")  # the calls that change a name, or flush a file to the disk


@contextlib.contextmanager
def before_each_step(act):
    """Call ``act(number)`` before each of the `STEPS` of this process, which are counted from 0."""
    number = -1

    def watched(function):
        def act_first(*arguments, **options):
            nonlocal number
            number += 1
            act(number)
            return function(*arguments, **options)

        return act_first

    with pytest.MonkeyPatch.context() as patch:
        for name in STEPS:
            patch.setattr(os, name, watched(getattr(os, name)))
        yield


def left_at_each_step(work, folder, copies):
    """Do ``work()``; return copies of `folder` from before each step and from the end, in the folder `copies`.

    They are what a process leaves that is killed there.
    """
    with before_each_step(lambda number: shutil.copytree(folder, copies / f"{number:04d}")):
        work()
    shutil.copytree(folder, copies / "end")
    return sorted(copies.iterdir())


def killed_at(step, work):
    """Do ``work()`` in a process that gets SIGKILL before its step number `step`."""
    child = os.fork()
    if not child:
        try:
            with before_each_step(lambda number: os.kill(os.getpid(), signal.SIGKILL) if number == step else None):
                work()
        finally:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL


def leftovers(folder):
    """The staging folders in `folder`, made so old that the next process does not take them for ones in use."""
    left = list(folder.glob(".staging-*"))
    for path in left:
        os.utime(path, (time.time() - 1000,) * 2)
    return left
