"""Commands in processes of their own, as a user's shell starts them."""

import os
import pathlib
import subprocess
import sys
import time

from a2net_gluon.environment import THREADS, threads_are_free

ROOT = pathlib.Path(__file__).parent.parent.parent


def usual_environment():
    """The environment of a user's shell, without the number of threads that the package has set in this process."""
    return {name: value for name, value in os.environ.items() if name != THREADS or not threads_are_free()}


def start(*arguments, script="train_imagenet.py", **kwargs):
    """Start a training script in the background, as from a user's shell."""
    words = [sys.executable, script, *map(str, arguments)]
    return subprocess.Popen(words, cwd=ROOT, env=usual_environment(), **kwargs)


def wait_until(condition, process, seconds=300):
    """Whether `condition` came true before `process` ended."""
    deadline = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return True
