"""The ways in which a command can end early, and the exit code each one gives on the command line."""

import numbers

__all__ = ["FailureError", "InterruptedRunError", "UsageError", "check_counts"]


class UsageError(ValueError):
    """What was asked for cannot be: an unknown name, a path that is not there, values that contradict.

    The message is one line that names the value, the rule and the fix. The command line exits with 2.
    """

    exit_code = 2


class FailureError(RuntimeError):
    """What was asked for is sound, but something it needs is broken: a truncated file, a full disk.

    The message is one line that names the file or value and what to do. The command line exits with 1.
    """

    exit_code = 1


class InterruptedRunError(RuntimeError):
    """A run was stopped by a signal, after saving its state.

    The message says where it can be gone on with. The command line exits with 128 + the signal's number, as a shell
    reports a process that a signal ended.
    """

    def __init__(self, message, signal):
        super().__init__(message)
        self.exit_code = 128 + signal


def check_counts(**values):
    """Raise a UsageError that names the first of `values` that is no positive whole number."""
    for name, value in values.items():
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
            raise UsageError(f"{name} is {value!r}; it must be a positive whole number")
