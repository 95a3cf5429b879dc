"""The lock on a run folder: one run at a time trains into it."""

from __future__ import annotations

import os
import pathlib
import typing

from a2net_gluon.errors import FailureError, UsageError

__all__ = ["LOCK", "RunLock"]

LOCK = ".lock"

_held: list[RunLock] = []


class RunLock:
    """While this context is entered, no other run can lock `folder`; the system releases it when the process ends.

    Parameters
    ----------
    folder : Path

    Attributes
    ----------
    works : bool
        Whether the file system has locks.

    Raises
    ------
    UsageError
        On entry, if another run has locked the folder.
    FailureError
        On entry, if the file of the lock cannot be written.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._path = folder / LOCK
        self._file: typing.Any = None
        self.works = True

    def __enter__(self) -> RunLock:
        while True:
            try:
                self._file = open(self._path, "ab")
            except OSError as error:
                raise FailureError(f"{self._path}: cannot be written ({error.strerror})") from None
            self._lock()
            if self.intact:
                break
            self._file.close()  # a run that ended has removed it in between
        _held.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        import portalocker

        if self._file.closed:  # in a process that was forked while the lock was held
            return
        _held.remove(self)
        if self.intact:
            self._path.unlink()
        if self.works:
            portalocker.unlock(self._file)
        self._file.close()

    @property
    def intact(self) -> bool:
        """Whether the folder still has the file that is locked: it was neither removed nor replaced."""
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), os.stat(self._path))
        except OSError:
            return False

    def _lock(self) -> None:
        import portalocker

        try:
            portalocker.lock(self._file, portalocker.LOCK_EX | portalocker.LOCK_NB)
        except portalocker.exceptions.LockException as error:
            if isinstance(error.args[0], (BlockingIOError, PermissionError)):  # EAGAIN, EACCES: another has it
                self._file.close()
                raise UsageError(
                    f"{self._path.parent} is in use by another run: wait for its end, or name another --save-dir"
                ) from None
            self.works = False


def _let_go() -> None:
    """Close the files in a process forked from this one, which would hold the locks beyond the end of the run."""
    while _held:
        _held.pop()._file.close()


os.register_at_fork(after_in_child=_let_go)
