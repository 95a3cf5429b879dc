"""One case: a command with its files; and what came of it."""

from __future__ import annotations

import dataclasses
import pathlib
import signal
import typing

__all__ = ["Case", "Outcome"]

Files = typing.Mapping[str, bytes]


@dataclasses.dataclass(frozen=True)
class Case:
    """A command, which runs in a folder of its own.

    Attributes
    ----------
    words : tuple of str
        One of `tests.fuzz.programs.PROGRAMS`, and its arguments.
    files : dict of str to bytes
        By their path in the folder; those in ``bin/`` can be executed.
    environment : dict of str to str
        Further variables; ``{folder}`` in them is the folder.
    twice : bool
        Run it in both processes, which find other values in their memory; they must say the same.
    stop : float, optional
        Seconds after which a SIGTERM comes.
    seconds, memory : int
        The command has to end in this time, with no more bytes; the package itself takes a quarter of one GiB.
    writes_into : tuple of str
        Folders with files that the command may change; all other files stay as they are.
    same : dict of str to bytes
        Files that must have this content if the command succeeds.
    tells_each : bool
        The command tells the problem of each of its inputs in a line, and may have several.
    """

    words: tuple[str, ...]
    files: Files = dataclasses.field(default_factory=dict)
    environment: typing.Mapping[str, str] = dataclasses.field(default_factory=dict)
    twice: bool = False
    stop: float | None = None
    seconds: int = 60
    memory: int = 3 * 2**30
    writes_into: tuple[str, ...] = ()
    same: Files = dataclasses.field(default_factory=dict)
    tells_each: bool = False

    def write(self, folder: pathlib.Path) -> None:
        """Write the files into `folder`."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            if name.startswith("bin/"):
                path.chmod(0o755)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The end of a command.

    Attributes
    ----------
    code : int
        The exit code; of a process that a signal ended, the negative number of the signal.
    output, errors : str
    peak : int
        Bytes of memory.
    killed : str or None
        The limit that it exceeded, for which it was killed.
    left : int
        Processes that it has left behind.
    folder, temporary : Path
        Its folders, as it has left them.
    """

    code: int
    output: str
    errors: str
    peak: int
    killed: str | None
    left: int
    folder: pathlib.Path
    temporary: pathlib.Path

    @property
    def stopped(self) -> bool:
        """Whether a signal of `Case.stop` ended it, or made it end."""
        return self.code in (-signal.SIGTERM, 128 + signal.SIGTERM)
