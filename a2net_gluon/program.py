"""A command as a program: its exit code, one line for an error, and output that cannot be written."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import typing

from a2net_gluon import environment
from a2net_gluon.errors import FailureError, InterruptedRunError, UsageError, reason_of
from a2net_gluon.terminal import lost_output, prepare_output, say

__all__ = ["Arguments", "Command", "run"]

Arguments = typing.Sequence[str]
Command = typing.Callable[[Arguments, str], typing.Optional[int]]


def run(command: Command, arguments: Arguments, prog: str) -> int:
    """Call ``command(arguments, prog)``; an expected error becomes one line and an exit code."""
    prepare_output()
    try:
        code = _after_output(_run(command, arguments, prog), prog)
    except SystemExit as end:  # of argparse, after its help or a wrong option
        raise SystemExit(_after_output(int(end.code or 0), prog)) from None
    if code and "DMLC_ROLE" in os.environ:
        # One of several processes has failed. An ordinary exit would wait in MXNet for the others, which wait for it.
        sys.stderr.flush()
        os._exit(code)
    return code


def _run(command: Command, arguments: Arguments, prog: str) -> int:
    try:
        return command(arguments, prog) or 0
    except (UsageError, FailureError, InterruptedRunError) as error:
        return _failed(prog, str(error), error.exit_code)
    except ModuleNotFoundError as error:
        fix = _FIXES.get(str(error.name), f"pip install {error.name}")
        return _failed(prog, f"{error.name} is not installed: {fix}")
    except OSError as error:
        if error.filename is None and error.errno in (errno.EPIPE, errno.ENOSPC):  # errors of files name them
            lost_output()
            return _failed(prog, _LOST.format(error.strerror))
        return _failed(prog, environment.library_error_in_words(error))
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        return 130
    except RuntimeError as error:
        if type(error).__name__ != "MXNetError":  # named, since mxnet need not have been imported
            raise
        return _failed(prog, _mxnet_error_in_words(error))


def _failed(prog: str, text: str, code: int = 1) -> int:
    """Print one line about an error; returns the exit code."""
    with contextlib.suppress(OSError):  # the standard error cannot be written either
        say(f"{prog}: error: {text}", sys.stderr)
    return code


def _after_output(code: int, prog: str) -> int:
    """Print what is left to print; returns the exit code, which is not 0 if that fails."""
    lost = lost_output()
    if lost and not code:
        return _failed(prog, _LOST.format(lost.strerror))
    return code


_LOST = "the standard output cannot be written ({})"
_FIXES = {
    "mxnet": "pip install 'a2net-gluon[cpu]' or [cu112]",
    "onnx": "pip install 'a2net-gluon[onnx]'",
    "onnxruntime": "pip install 'a2net-gluon[onnx]'",
    "safetensors": "pip install 'a2net-gluon[safetensors]'",
}


def _mxnet_error_in_words(error: RuntimeError) -> str:
    """One line for an error of MXNet."""
    text = str(error)
    if "out of memory" in text:
        return "the GPU's memory is full: lower --batch-size (--accumulate keeps the total batch)"
    if "no kernel image" in text:
        return "mxnet-cu112 has no code for this GPU: it runs on compute capability 5.0 to 8.6; see the README"
    if "shared memory" in text:
        return f"shared memory cannot be used ({reason_of(error)}): {environment.SHARED_MEMORY_FIX}"
    return f"MXNet failed ({reason_of(error)})"
