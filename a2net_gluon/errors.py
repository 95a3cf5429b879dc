"""Errors that end a command early, with their exit codes on the command line."""

from __future__ import annotations

import numbers
import re

__all__ = ["FailureError", "InterruptedRunError", "UsageError", "check_counts", "reason_of"]


class UsageError(ValueError):
    """A request that cannot be met: an unknown name, a missing path, contradictory values.

    The message is one line of text with the value, the rule and the fix. The command line exits with 2.
    """

    exit_code = 2


class FailureError(RuntimeError):
    """A valid request that fails on something it needs: a truncated file, a full disk.

    The message is one line of text with the file or value and the fix. The command line exits with 1.
    """

    exit_code = 1


class InterruptedRunError(RuntimeError):
    """The end of a run by a signal, after its state was saved.

    The message tells how to resume the run. The command line exits with 128 + the signal's number, as a shell does for
    a process that a signal ended.
    """

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal


def check_counts(**values: object) -> None:
    """Raise a UsageError that names the first of `values` that is not a positive whole number."""
    for name, value in values.items():
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
            raise UsageError(f"{name} is {value!r}; it must be a positive whole number")


# What MXNet and OpenCV put before the reason: kind, time, place in their source, the condition that was not met.
_LIBRARY_PREFIX = re.compile(
    r"^(MXNetError: )?(Error in operator \S+: )?(OpenCV\(\S*\) )?(\[\d\d:\d\d:\d\d\] )?"
    r"(\S+\.(cc|cpp|cu|h|hpp):\d+: )?(error: \([^)]*\) )?(Check failed: \S.*?: )?"
)


def reason_of(error: BaseException) -> str:
    """The reason of an error in one line, without source locations and C++ frames.

    Parameters
    ----------
    error : exception
        Of the system, of MXNet or of OpenCV, whose own texts are up to a page long.
    """
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    lines = str(error).strip().splitlines() or [type(error).__name__]
    line = next((line for line in lines if "Error:" in line or "Check failed" in line or "error:" in line), lines[-1])
    line = " ".join(line.split())
    return (_LIBRARY_PREFIX.sub("", line, count=1) or line)[:300]
