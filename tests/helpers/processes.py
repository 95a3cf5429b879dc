"""Commands in processes of their own: as a user's shell starts them, or forked from this process."""

import contextlib
import os
import pathlib
import subprocess
import sys
import time
import traceback

from a2net_gluon import cli
from a2net_gluon.environment import THREADS, threads_are_free

ROOT = pathlib.Path(__file__).parent.parent.parent


def usual_environment():
    """The environment of a user's shell, without the number of threads that the package has set in this process."""
    return {name: value for name, value in os.environ.items() if name != THREADS or not threads_are_free()}


def start(*arguments, script="train_imagenet.py", **kwargs):
    """Start a training script in the background, as from a user's shell."""
    words = [sys.executable, script, *map(str, arguments)]
    return subprocess.Popen(words, cwd=ROOT, env=usual_environment(), **kwargs)


def fork(function, *arguments, **kwargs):
    """Call a function, e.g. ``cli.main``, in a process forked from this one; a number that it returns is the exit code.

    MXNet is loaded there, for which a new process takes seconds. Further arguments are those of `subprocess.Popen`.
    """
    here = set(os.listdir("/proc/self/fd"))

    def become():
        for descriptor in {*os.listdir("/proc/self/fd")} - here - {"0", "1", "2"}:
            with contextlib.suppress(OSError):  # that of the listing
                os.close(int(descriptor))  # pipes of Popen, which waits here for the end of one of them
        code = 1
        try:
            sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
            code = function(*arguments)
        except SystemExit as stop:
            code = stop.code
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code or 0)

    return subprocess.Popen(["forked"], cwd=ROOT, preexec_fn=become, restore_signals=False, **kwargs)


def fork_command(*words, **kwargs):
    """Start a command of the project in a forked process."""
    return fork(cli.main, [str(word) for word in words], **kwargs)


def in_session_of(process):
    """Processes of the session that `process` was started with: itself, and what it has started."""
    return subprocess.run(["pgrep", "-s", str(process.pid)], capture_output=True, text=True, check=False).stdout.split()


def still_there(find):
    """Return the processes that ``find()`` returns; those that have just ended get a moment to go."""
    for _ in range(50):
        if not find():
            break
        time.sleep(0.1)
    return find()


def left_by(process):
    """Processes of its session that are still there."""
    return still_there(lambda: in_session_of(process))


def wait_until(condition, process, seconds=300):
    """Whether `condition` came true before `process` ended."""
    deadline = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return True
