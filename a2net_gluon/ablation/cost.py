"""The costs of each variant: parameters, multiply-adds, and the time of an image or clip, measured in turns."""

from __future__ import annotations

import json
import pathlib
import time
import typing

import mxnet as mx

from a2net_gluon.ablation.plan import PlannedRun
from a2net_gluon.errors import FailureError
from a2net_gluon.files import write_text
from a2net_gluon.formats.bounded_json import read_json
from a2net_gluon.insight.counting import cost
from a2net_gluon.networks.trained import TrainedNetwork, load_trained
from a2net_gluon.settings import Network, Trained

__all__ = ["Costs", "measure_costs"]

Costs = typing.Dict[str, typing.Dict[str, typing.Dict[str, float]]]  # by case and variant, with the names of the costs

COSTS = "costs.json"
_BATCH = 16
_ROUNDS = 10


def measure_costs(runs: typing.Sequence[PlannedRun], folder: pathlib.Path) -> Costs:
    """Return the costs of all variants that are trained; they are measured once, and kept in the folder.

    Parameters
    ----------
    runs : list of PlannedRun
        All of them done.
    folder : Path
        Of the ablation.

    Returns
    -------
    dict
        ``{case: {variant: {"params": …, "macs": …, "milliseconds": …}}}``: of one image or clip. The time is the
        shortest of 10 forward passes of 16 at a time, for which the variants take turns.

    Raises
    ------
    FailureError
        If the file is damaged.
    """
    path = folder / COSTS
    first = {(run.case, run.variant): run for run in runs if run.seed == 0}
    known = _kept(path)
    if any(variant not in known.get(case, {}) for case, variant in first):
        nets = {place: _load(run) for place, run in first.items()}
        times = _times(nets)
        known = {}
        for (case, variant), one in nets.items():
            counted = cost(one.net, one.description.input_shape)
            known.setdefault(case, {})[variant] = {
                "params": counted.params,
                "macs": counted.macs,
                "milliseconds": times[case, variant],
            }
        write_text(path, json.dumps(known, indent=1) + "\n")
    return known


def _kept(path: pathlib.Path) -> Costs:
    if not path.exists():
        return {}
    try:
        kept = read_json(path)
        for variants in kept.values():
            for one in variants.values():
                one["params"], one["macs"], one["milliseconds"]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise FailureError(f"{path} is damaged: remove it, and the costs are measured again") from None
    return kept


def _load(run: PlannedRun) -> TrainedNetwork:
    trained = load_trained(
        Trained(network=Network(run.training.resolved().network.name), params=run.folder / "best.params")
    )
    trained.net.hybridize(static_alloc=True, static_shape=True)
    return trained


def _times(nets: typing.Mapping[tuple[str, str], TrainedNetwork]) -> dict[tuple[str, str], float]:
    """Milliseconds of one image or clip; equal networks of several cases are measured once."""
    places: dict[str, list[tuple[str, str]]] = {}
    for place, one in nets.items():
        description = one.description.as_dict()
        places.setdefault(json.dumps({**description, "classes": len(description["classes"])}), []).append(place)
    turns = {key: nets[some[0]] for key, some in places.items()}
    inputs = {key: mx.nd.random.normal(shape=(_BATCH, *one.description.input_shape)) for key, one in turns.items()}
    shortest = {key: float("inf") for key in turns}
    for number in range(_ROUNDS + 1):
        for key, one in turns.items():
            started = time.perf_counter()
            one.net(inputs[key]).wait_to_read()
            if number:  # the first pass prepares the graph
                shortest[key] = min(shortest[key], time.perf_counter() - started)
    return {place: round(1000 * shortest[key] / _BATCH, 4) for key, some in places.items() for place in some}
