"""Interruption of a run: after SIGTERM or SIGINT, training stops at the end of the batch."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import types
import typing

__all__ = ["Interruption"]


class _StopWaitingError(BaseException):  # not an Exception: MXNet's loader would catch that, and end its readers
    """Raised out of the wait for a batch."""


class Interruption:
    """While this context is entered, SIGTERM and SIGINT are noted; a second SIGINT stops at once.

    Attributes
    ----------
    signal : signal.Signals or None
        The first that came.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._waiting = False
        self._process = os.getpid()
        self._before: dict[int, typing.Any] = {}

    def __enter__(self) -> Interruption:
        # Python lets only the main thread handle signals: a run in another one cannot be stopped by them.
        handled = threading.current_thread() is threading.main_thread()
        for number in (signal.SIGTERM, signal.SIGINT) if handled else ():
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def watch(self, batches: typing.Iterable[typing.Any]) -> typing.Iterator[typing.Any]:
        """Yield `batches` until a signal comes, which also ends the wait for a batch."""
        batches = iter(batches)
        while self.signal is None:
            batch = None
            with contextlib.suppress(_StopWaitingError):
                self._waiting = True
                batch = next(batches, None)
                self._waiting = False  # inside the block, which catches what a signal raises until here
            if batch is None:
                return
            yield batch

    def stop(self) -> None:
        """Stop as SIGTERM does, for another reason: the run saves its state, and ends."""
        self.signal = self.signal or signal.SIGTERM

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        if os.getpid() != self._process:  # a worker that inherited this handler: it has nothing to save
            os._exit(128 + number)
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)
        if self._waiting:
            self._waiting = False
            raise _StopWaitingError
