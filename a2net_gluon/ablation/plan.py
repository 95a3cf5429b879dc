"""The runs of an ablation: what is to be trained, where, and what of it is done."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import typing

from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.fields import flat
from a2net_gluon.files import write_text
from a2net_gluon.formats.bounded_json import read_json
from a2net_gluon.networks.trained import preprocessing_of
from a2net_gluon.networks.zoo import get_model
from a2net_gluon.options import words_of
from a2net_gluon.settings import Ablation, Training
from a2net_gluon.settings.training import changed_options

__all__ = ["GRID", "PlannedRun", "check", "plan", "record"]

GRID = "grid.json"
_RUNS = "runs"
_RESULT = "result.json"

Grid = typing.Dict[str, typing.Dict[str, typing.Dict[str, typing.Any]]]  # by case and variant


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """One run: a variant in a case, with a seed.

    Attributes
    ----------
    case, variant : str
    seed : int
    training : settings.Training
        Trains into a folder of its own, and resumes what is there.
    """

    case: str
    variant: str
    seed: int
    training: Training

    @property
    def name(self) -> str:
        """The run in messages."""
        return f"{self.case}, {self.variant}, seed {self.seed}"

    @property
    def folder(self) -> pathlib.Path:
        """The run folder."""
        return pathlib.Path(str(self.training.save_dir))

    @property
    def result_file(self) -> pathlib.Path:
        """The file with the results, which is there when the run is done."""
        return self.folder / _RESULT

    def result(self) -> dict[str, typing.Any] | None:
        """The measurements of the finished run, see `a2net_gluon.ablation.worker`; None if it is not finished.

        Raises
        ------
        FailureError
            If the file is damaged.
        """
        if not self.result_file.is_file():
            return None
        try:
            result = read_json(self.result_file)
            if not all(isinstance(value, float) for value in result["metrics"].values()):
                raise ValueError("metrics")
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            raise FailureError(f"{self.result_file} is damaged: remove it, and the run is measured again") from None
        return result


def plan(ablation: Ablation) -> list[PlannedRun]:
    """List the runs of an ablation, seed by seed, so that there is something to compare early."""
    return [
        PlannedRun(case, variant, seed, _of_run(training, pathlib.Path(ablation.save_dir), case, variant, seed))
        for seed in range(ablation.seeds)
        for case, variants in ablation.cases.items()
        for variant, training in variants.items()
        if seed < ablation.seeds_of(variant)
    ]


def _of_run(training: Training, folder: pathlib.Path, case: str, variant: str, seed: int) -> Training:
    """The settings of one run. Weights are drawn by name: those that variants share are the same for a seed."""
    return dataclasses.replace(
        training,
        seed=seed,
        start=dataclasses.replace(training.start, by_name=True),
        run=dataclasses.replace(training.run, auto_resume=True, keep=1),
        save_dir=folder / _RUNS / case / variant / f"seed-{seed}",
    )


def check(ablation: Ablation) -> None:
    """Build the network of every variant in every case, before the first one is trained.

    Raises
    ------
    UsageError
        If one of them does not fit together; the message names it.
    """
    for case, variants in ablation.cases.items():
        for variant, training in variants.items():
            try:
                network = training.resolved().network
                preprocessing_of(training.input, str(network.name), kind=training.data.kind)
                get_model(str(network.name), **network.blocks)
            except UsageError as error:
                raise UsageError(f"{case}, {variant}: {error}") from None


def record(ablation: Ablation) -> None:
    """Note in the folder what is trained there, or compare it with what an earlier start has noted.

    Raises
    ------
    UsageError
        If the folder holds other settings of the same variant.
    FailureError
        If it cannot be written, or the note is damaged.
    """
    path = pathlib.Path(ablation.save_dir) / GRID
    now: Grid = {
        case: {
            variant: {
                "command": f"a2net {' '.join(words_of(training))}",
                "data": type(training.data).__name__,
                "settings": flat(training, incidental=False),
            }
            for variant, training in variants.items()
        }
        for case, variants in ablation.cases.items()
    }
    before = _noted(path)
    for case, variants in now.items():
        for variant, one in variants.items():
            changed = _changed(before.get(case, {}).get(variant, one), one)
            if changed:
                raise UsageError(
                    f"{path.parent} holds other runs of {case}, {variant}: {changed}; name another --save-dir"
                )
    merged = {case: {**before.get(case, {}), **now.get(case, {})} for case in {**before, **now}}
    write_text(path, json.dumps(merged, indent=1) + "\n")


def _changed(before: typing.Mapping[str, typing.Any], now: typing.Mapping[str, typing.Any]) -> str | None:
    """The first difference between two notes of a variant, in words."""
    if before["data"] != now["data"]:
        return f"its data are {now['data']}, were {before['data']}"
    for name, (old, new) in changed_options(before["settings"], now["settings"]).items():
        return f"--{name.replace('_', '-')} is {new}, was {old}"
    return None


def _noted(path: pathlib.Path) -> Grid:
    if not path.exists():
        return {}
    try:
        noted = read_json(path)
        for variants in noted.values():
            for one in variants.values():
                _changed(one, {"data": one["data"], "settings": {}})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise FailureError(f"{path} is damaged: restore it, or name another --save-dir") from None
    return noted
