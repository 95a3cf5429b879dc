"""``state.json`` of a checkpoint: it is covered by a checksum, as it covers the other files by theirs.

The checksum is the SHA-256 of the content in canonical form. Version 0.1.0 began without it and without "format"; what
it wrote has exactly the keys that it wrote, so that a file of today without these two is not taken for one of then.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
import typing

from a2net_gluon.files import checksum
from a2net_gluon.formats.bounded_json import read_json
from a2net_gluon.training.learner_state import AVERAGE, NET
from a2net_gluon.training.shapes import ANY, COUNT, NUMBER, OBJECT, TEXT, Shape, check_shape

__all__ = ["checkpoint_name", "read_state", "write_state"]

State = typing.Dict[str, typing.Any]

_STATE = "state.json"
_FORMAT = 2
_NUMBER_OR_NONE = (int, float, type(None))
_FIRST_SHAPE: dict[str, Shape] = {
    "epoch": COUNT,
    "batch": COUNT,
    "batches": [COUNT],
    "progress": {"sums": [NUMBER], "batches": COUNT, "images": COUNT, ...: _NUMBER_OR_NONE},
    "history": [{"epoch": COUNT, ...: _NUMBER_OR_NONE}],
    "seed": COUNT,
    "arguments": OBJECT,
    "learner": {"loss_scale": {"scale": NUMBER, "good_steps": COUNT}, "bad_steps": COUNT, ...: COUNT},
    "sha256": {NET: TEXT, ...: TEXT},
}
_SHAPE: dict[str, Shape] = {**_FIRST_SHAPE, "data": {...: TEXT}, "format": ANY, "checksum": ANY}


def checkpoint_name(epoch: int, batch: int) -> str:
    """The name of the folder that holds the state after `epoch` epochs and `batch` batches."""
    return f"epoch-{epoch:04d}" + (f"-batch-{batch:06d}" if batch else "")


def write_state(folder: pathlib.Path, state: typing.Mapping[str, typing.Any]) -> None:
    """Write `state` to a checkpoint whose other files are complete."""
    sums = {path.name: checksum(path, "sha256") for path in sorted(folder.iterdir())}
    content = json.loads(json.dumps({**state, "sha256": sums, "format": _FORMAT}))  # as it will be read
    (folder / _STATE).write_text(json.dumps({**content, "checksum": _checksum(content)}, indent=1))


def read_state(folder: pathlib.Path) -> State:
    """Return the state of a checkpoint.

    Raises
    ------
    OSError, ValueError
        If it is not whole.
    """
    state = read_json(folder / _STATE)
    first = not isinstance(state, dict) or not {"format", "checksum"} & {*state}
    check_shape(state, _FIRST_SHAPE if first else _SHAPE, _STATE)
    if not first and state["format"] != _FORMAT:
        raise ValueError(f"{_STATE} has format {state['format']!r}; this version reads {_FORMAT}")
    if not first and state["checksum"] != _checksum({key: state[key] for key in state if key != "checksum"}):
        raise ValueError(f"{_STATE} is damaged")
    _check_place(folder, state)
    _check_files(folder, state)
    return state


def _check_place(folder: pathlib.Path, state: State) -> None:
    name = checkpoint_name(state["epoch"], state["batch"])
    if folder.name != name or state["progress"]["batches"] != state["batch"]:
        raise ValueError(f"{_STATE} is that of {name}, after {state['progress']['batches']} batches of the epoch")


def _check_files(folder: pathlib.Path, state: State) -> None:
    """Compare all files with their checksums; hidden ones, which some systems create, are never read."""
    present = {path.name: path for path in folder.iterdir() if not path.name.startswith(".") and path.name != _STATE}
    unmatched = sorted({*present} ^ {*state["sha256"]})
    if unmatched:
        raise ValueError(f"{unmatched[0]} {'has no checksum' if unmatched[0] in present else 'is missing'}")
    if (AVERAGE in present) != ("ema_steps" in state["learner"]):
        raise ValueError(f"{AVERAGE} and ema_steps do not go together")
    for name, path in present.items():
        if not path.is_file() or checksum(path, "sha256") != state["sha256"][name]:
            raise ValueError(f"{name} is damaged")


def _checksum(content: State) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
