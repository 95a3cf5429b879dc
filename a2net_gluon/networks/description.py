"""The description of a network: what its parameters do not tell about it, in a small JSON file beside them."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
from typing import Any, Callable, Mapping

from a2net_gluon.data.preprocessing import INTERPOLATION_NAME, Preprocessing
from a2net_gluon.errors import FailureError, check_counts
from a2net_gluon.files import AnyPath, write_text
from a2net_gluon.formats.bounded_json import parse_json, read_json
from a2net_gluon.formats.safetensors_file import read_metadata
from a2net_gluon.settings.network import BLOCKS, FRAME_ORDERS

__all__ = [
    "EXPORTED",
    "FILE_NAME",
    "INPUTS",
    "OPTIONS",
    "TORCH_PARAMETERS",
    "Description",
    "is_description",
    "network_in_words",
    "own_description",
]

FILE_NAME = "model.json"  # in run folders and checkpoints; exports name it after their prefix
# Arguments of `a2net_gluon.get_model` that decide how a network is built, and that a description keeps.
OPTIONS = BLOCKS
EXPORTED = "-0000.params"  # end of the name of an export's parameter file
TORCH_PARAMETERS = ".safetensors"  # end of the name of one for PyTorch
INPUTS = ("normalized", "pixels")


@dataclasses.dataclass(frozen=True)
class Description:
    """Name, classes and input of a network.

    Attributes
    ----------
    model : str
        The network's name.
    classes : tuple of str
        In the order of its outputs.
    preprocessing : Preprocessing
        Its `frames` tells whether the network takes images or clips.
    input : {"normalized", "pixels"}
        Input of the graph: normalized float32 (N, 3, h, w) or (N, 3, t, h, w), or RGB crops of uint8 (N, h, w, 3) or
        (N, t, h, w, 3), which the graph normalizes itself.
    options : dict
        Further arguments of `a2net_gluon.get_model` where they differ from the network's own: ``context``,
        ``placement``, ``reduction``, ``gathering``, ``distribution``.
    trained_on : str or None
        The division of a data set whose training part the network was trained on, e.g. "ucf101/1"; None where the
        data set has but one.
    """

    model: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    input: str = "normalized"
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    trained_on: str | None = None

    @property
    def network(self) -> str:
        """The network in words, see `network_in_words`."""
        return network_in_words(self.model, self.options)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input of the graph, e.g. (3, 8, 224, 224), or (8, 224, 224, 3) if it takes pixels."""
        channels, *locations = self.preprocessing.input_shape
        return (*locations, channels) if self.input == "pixels" else (channels, *locations)

    @property
    def noun(self) -> str:
        """The kind of input, "images" or "clips"."""
        return "images" if self.preprocessing.frames is None else "clips"

    def as_dict(self) -> dict[str, Any]:
        """Return the fields of the JSON file.

        ``frames``, and for clips ``stride``, stand beside ``preprocessing``, where version 0.1 looks for them. So do
        ``order``, where the frames of clips are not in that of the video, and ``interpolation``, which tells other
        programs how images are resized.
        """
        fields = {**dataclasses.asdict(self), "interpolation": INTERPOLATION_NAME}
        fields["frames"], stride, order = (fields["preprocessing"].pop(name) for name in ("frames", "stride", "order"))
        if fields["trained_on"] is None:
            del fields["trained_on"]
        if fields["frames"] is not None:
            fields["stride"] = stride
            if order != FRAME_ORDERS[0]:
                fields["order"] = order
        return fields

    def as_json(self) -> str:
        """Return the text of the JSON file; bytes of a class name that are not UTF-8 are escaped."""
        text = json.dumps(self.as_dict(), indent=2, ensure_ascii=False) + "\n"
        return text.encode("utf-8", "backslashreplace").decode("utf-8")

    def save(self, path: AnyPath) -> None:
        """Write this description as JSON."""
        write_text(path, self.as_json())

    @classmethod
    def beside(cls, params: AnyPath) -> Description | None:
        """Load the description that training or an export wrote beside parameter file `params`; None without one.

        A file of safetensors can hold the description itself, in its metadata.
        """
        params = pathlib.Path(params)
        if params.suffix == TORCH_PARAMETERS:
            try:
                held = read_metadata(params).get("description")
            except (OSError, ValueError) as error:
                raise FailureError(f"{params}: cannot be read ({error}); write it again") from None
            if held:
                return cls._parse(params, lambda: parse_json(held.encode()))
        own = own_description(params)
        candidates = [own] if is_description(own) else []
        candidates.append(params.with_name(FILE_NAME))
        return next((cls.load(path) for path in candidates if path.is_file()), None)

    @classmethod
    def load(cls, path: AnyPath) -> Description:
        """Read a description.

        Raises
        ------
        FailureError
            If the file is not one.
        """
        return cls._parse(path, lambda: read_json(path))

    @classmethod
    def _parse(cls, path: AnyPath, read: Callable[[], Any]) -> Description:
        try:
            fields = read()
            classes = tuple(str(name) for name in fields["classes"])
            graph_input = fields.get("input", INPUTS[0])
            if graph_input not in INPUTS:
                raise ValueError(f"input is {graph_input!r}")
            if fields.get("interpolation", INTERPOLATION_NAME) != INTERPOLATION_NAME:
                raise ValueError(f"interpolation is {fields['interpolation']!r}, not {INTERPOLATION_NAME!r}")
            options = dict(fields.get("options", {}))
            _check_options(options)
            trained_on = fields.get("trained_on")
            if not isinstance(trained_on, (str, type(None))):
                raise ValueError(f"trained_on is {trained_on!r}")
            return cls(str(fields["model"]), classes, _preprocessing(fields), graph_input, options, trained_on)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FailureError(f"{path}: not a description of a network ({error}); export the network again") from None


def own_description(params: AnyPath) -> pathlib.Path:
    """Return the path of the description of parameter file `params` alone: ``x.json`` for ``x.params``."""
    params = pathlib.Path(params)
    return params.with_name(re.sub(rf"((-\d{{4}})?\.params|\{TORCH_PARAMETERS})$", "", params.name) + ".json")


def network_in_words(model: str, options: Mapping[str, Any]) -> str:
    """Return a network's name and its options as they stand on a command line."""
    shown = dict(options)
    if "placement" in shown:
        stages = shown["placement"].items()
        shown["placement"] = "+".join(f"{stage}:{','.join(map(str, units))}" for stage, units in stages)
    return ", ".join([model, *(f"{name} {value}" for name, value in shown.items())])


def _preprocessing(fields: dict) -> Preprocessing:
    """Build the preprocessing from the fields of a JSON file; one without ``frames`` belongs to images."""
    found = dict(fields["preprocessing"])
    for key in ("mean", "scale"):
        found[key] = tuple(float(value) for value in found[key])
    clips = {name: fields[name] for name in ("frames", "stride", "order") if name in fields}
    return Preprocessing(**found, **clips)


def _check_options(options: dict) -> None:
    """Raise a ValueError unless `options` are of the types that a run or an export writes."""
    unknown = [name for name in options if name not in OPTIONS]
    if unknown:
        raise ValueError(f"unknown option {unknown[0]!r}")
    for name in ("context", "gathering", "distribution"):
        if not isinstance(options.get(name, ""), str):
            raise ValueError(f"{name} is {options[name]!r}")
    placement = options.get("placement", {})
    if not isinstance(placement, dict) or not all(isinstance(units, list) for units in placement.values()):
        raise ValueError(f"placement is {placement!r}")
    check_counts(
        reduction=options.get("reduction", 1), **{f"unit of {s}": u for s, us in placement.items() for u in us}
    )


def is_description(path: pathlib.Path) -> bool:
    """Tell whether a JSON file beside parameters, which any program may have written, has a description's fields."""
    try:
        fields = read_json(path)
    except (OSError, ValueError):
        return False
    return isinstance(fields, dict) and {"model", "classes", "preprocessing"} <= set(fields)
