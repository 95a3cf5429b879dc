"""The two kinds of errors a user can cause, and the exit code each one gives on the command line."""

__all__ = ["FailureError", "UsageError"]


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
