"""All processes below this one, also those in sessions of their own: they are adopted, taken in, and ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import signal
import subprocess

__all__ = ["adopt_orphans", "end_all", "send_signal", "wait_for"]


def adopt_orphans() -> None:
    """Make Linux give this process the descendants whose parents have ended; they would be lost sight of otherwise."""
    pr_set_child_subreaper = 36
    ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1)


def send_signal(child: subprocess.Popen, number: int) -> None:
    """Send a signal to a child unless it has ended; the method of Popen would take in its end, see `wait_for`."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, number)


def wait_for(child: subprocess.Popen) -> int:
    """Wait for `child` and return its exit code, 128 + N after signal N; adopted processes are taken in as they end."""
    while child.returncode is None:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        assert ended is not None  # it waits
        if ended.si_pid == child.pid:
            child.wait()
        else:
            os.waitpid(ended.si_pid, 0)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def end_all() -> None:
    """Kill all descendants: the children first, whose own children then are adopted, and so on."""
    while True:
        killed = [child for child in _children() if _kill(child)]
        if not killed:
            return
        for child in killed:
            os.waitpid(child, 0)


def _children() -> list[int]:
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            parent = stat.read_bytes().rpartition(b")")[2].split()[1]  # the name before it may hold anything
            if int(parent) == os.getpid():
                found.append(int(stat.parent.name))
    return found


def _kill(process: int) -> bool:
    try:
        os.kill(process, signal.SIGKILL)
    except PermissionError:  # it runs for another user
        return False
    return True
