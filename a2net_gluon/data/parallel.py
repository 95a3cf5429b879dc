"""A function of many items, called in forked processes."""

from __future__ import annotations

import multiprocessing
import typing

from a2net_gluon.data.readers import starting_readers
from a2net_gluon.errors import FailureError

__all__ = ["results_of"]

_Item = typing.TypeVar("_Item")
_Result = typing.TypeVar("_Result")


def results_of(
    function: typing.Callable[[_Item], _Result],
    items: typing.Sequence[_Item],
    workers: int,
    name: typing.Callable[[_Item], str],
) -> typing.Iterator[_Result]:
    """Yield ``function(item)`` of each item, in order.

    A process computes the next result while the one before waits to be taken, and no further ones: results may be
    large.

    Parameters
    ----------
    function : callable
    items : sequence
    workers : int
        Processes; 0 calls the function in this one.
    name : callable
        ``name(item)`` names an item in messages.

    Raises
    ------
    FailureError
        If a process cannot be started, or ends, which names the item that it had.
    """
    if not workers:
        yield from map(function, items)
        return
    started: list[tuple[typing.Any, typing.Any]] = []
    count = min(workers, len(items))
    try:
        with starting_readers(workers):
            for part in range(count):
                started.append(_start(function, items[part::count]))
        for number, item in enumerate(items):
            receiver, process = started[number % count]
            try:
                result = receiver.recv()
            except EOFError:
                process.join()
                raise FailureError(
                    f"{name(item)}: the process that read it ended, exit code {process.exitcode}"
                ) from None
            yield result
    finally:
        for _, process in started:
            process.kill()
        for _, process in started:
            process.join()


def _start(function: typing.Callable[[_Item], object], items: typing.Sequence[_Item]) -> tuple[typing.Any, typing.Any]:
    """Start a process; returns the pipe of its results, and the process."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, function, items), daemon=True)
    process.start()
    sender.close()
    return receiver, process


def _send(sender: typing.Any, function: typing.Callable[[_Item], object], items: typing.Sequence[_Item]) -> None:
    for item in items:
        sender.send(function(item))
