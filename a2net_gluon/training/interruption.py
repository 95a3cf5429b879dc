"""Stopping a run from outside: SIGTERM and SIGINT become a wish that training fulfils between two batches."""

import contextlib
import os
import signal

__all__ = ["Interruption"]


class _StopWaitingError(BaseException):  # not an Exception: MXNet's loader would catch that, and end its readers
    """Raised out of the wait for a batch."""


class Interruption:
    """While this context is entered, SIGTERM and SIGINT are noted; a second SIGINT stops at once.

    Attributes
    ----------
    signal : signal.Signals or None
        What has come.
    """

    def __init__(self):
        self.signal = None
        self._waiting = False
        self._process = os.getpid()
        self._before = {}

    def __enter__(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def watch(self, batches):
        """Yield `batches` until a signal comes, which also ends the wait for a batch."""
        batches = iter(batches)
        while self.signal is None:
            batch = None
            with contextlib.suppress(_StopWaitingError):
                self._waiting = True
                batch = next(batches, None)
                self._waiting = False  # here and not below: a signal between the two would find no one
            if batch is None:
                return
            yield batch

    def _note(self, number, frame):
        if os.getpid() != self._process:  # a worker that inherited this handler: nothing of its to save
            os._exit(128 + number)
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)
        if self._waiting:
            self._waiting = False
            raise _StopWaitingError
