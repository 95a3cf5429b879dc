"""Output to the terminal: escapes names, detects output that cannot be written, silences libraries."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
import typing

__all__ = ["libraries_silenced", "lost_output", "prepare_output", "printable", "say"]


def printable(text: str) -> str:
    r"""Return `text` as one line that changes no terminal: all but letters, signs and spaces is escaped, as ``\x1b``.

    A byte of a file name that is not UTF-8, which Python keeps as half of a surrogate pair, is escaped as ``\xff``.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode("ascii")


def say(text: str, file: typing.TextIO | None = None) -> None:
    """Print `text`, which may hold names of files and classes, as one line; default: on the standard output."""
    print(printable(text), file=file)


def prepare_output() -> None:
    """Make the standard output print what its encoding has, and ``?`` in place of the rest."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)  # a stream of a test or a notebook may have none
    if reconfigure:
        reconfigure(errors="replace")


def lost_output() -> OSError | None:
    """Flush the standard output; return the error if it cannot be written, and leave nothing to write at exit."""
    if sys.stdout is None:  # closed when the process started
        return None
    try:
        sys.stdout.flush()
    except OSError as error:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        return error
    return None


class _Silence:
    """A context in which the file descriptor of the standard error leads nowhere; it can be entered more than once.

    Image libraries write there from C, past ``sys.stderr``. What other threads write meanwhile is lost too.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._kept = threading.Lock(), 0, -1

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                with contextlib.suppress(OSError):  # it is closed
                    self._kept = os.dup(2)
                    os.dup2(_nowhere(), 2)

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and self._kept >= 0:
                os.dup2(self._kept, 2)
                os.close(self._kept)
                self._kept = -1


@functools.lru_cache(maxsize=None)
def _nowhere() -> int:
    return os.open(os.devnull, os.O_WRONLY)


_silence = _Silence()


def libraries_silenced() -> typing.ContextManager[None]:
    """Return a context in which nothing that libraries print on the standard error is seen."""
    return _silence
