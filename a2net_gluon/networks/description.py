"""What has to be known about a network besides its parameters, as a small JSON file beside them."""

import dataclasses
import json
import pathlib
import re
import typing

import mxnet as mx
import numpy as np

from a2net_gluon.data.preprocessing import Preprocessing
from a2net_gluon.errors import FailureError, check_counts
from a2net_gluon.files import write_text

__all__ = ["EXPORTED", "FILE_NAME", "OPTIONS", "Description", "network_in_words"]

FILE_NAME = "model.json"  # in run folders and checkpoints; exports name it after their prefix
# Those of `a2net_gluon.get_model` that tell how a network is made and are kept in a description.
OPTIONS = ("context", "placement", "reduction")
EXPORTED = "-0000.params"  # end of the name of an export's parameter file


@dataclasses.dataclass(frozen=True)
class Description:
    """What a network is and what it takes.

    Attributes
    ----------
    model : str
        The network's name.
    classes : tuple of str
        In the order of its outputs.
    preprocessing : Preprocessing
    options : dict
        What else `a2net_gluon.get_model` was given: ``context``, ``placement``, ``reduction``, those that are not
        the network's own.
    frames : int or None
        Of a clip; None for networks that take images.
    input : {"normalized", "pixels"}
        What the graph takes: float32 (N, 3, h, w) that went through all of `preprocessing`, or crops as they are,
        RGB uint8 (N, h, w, 3), where normalisation is a part of the graph. Clips are normalized: (N, 3, t, h, w).
    """

    model: str
    classes: typing.Tuple[str, ...]
    preprocessing: Preprocessing
    input: str = "normalized"
    options: typing.Mapping = dataclasses.field(default_factory=dict)
    frames: typing.Optional[int] = None

    @property
    def network(self):
        """The network in words, see `network_in_words`."""
        return network_in_words(self.model, self.options)

    def graph_input(self, crops):
        """Turn uint8 crops (N, h, w, 3) into what the graph takes, a NumPy array.

        For clips each `frames` crops in a row become one clip; at the end too few for another are left out.
        """
        if self.input == "pixels":
            return crops
        normalized = self.preprocessing.normalize(mx.nd.array(crops.transpose(0, 3, 1, 2), dtype=np.uint8)).asnumpy()
        if not self.frames:
            return normalized
        clips = len(crops) // self.frames
        frames = normalized[: clips * self.frames].reshape(clips, self.frames, *normalized.shape[1:])
        return frames.transpose(0, 2, 1, 3, 4)  # (N, t, 3, h, w) to (N, 3, t, h, w)

    def save(self, path):
        """Write this description as JSON."""
        write_text(path, json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n")

    @classmethod
    def beside(cls, params):
        """The description that training or an export left beside parameter file `params`, or None."""
        params = pathlib.Path(params)
        own = params.with_name(re.sub(r"(-\d{4})?\.params$", "", params.name) + ".json")
        candidates = [own] if _is_description(own) else []
        candidates.append(params.with_name(FILE_NAME))
        return next((cls.load(path) for path in candidates if path.is_file()), None)

    @classmethod
    def load(cls, path):
        """Read a description.

        Raises
        ------
        FailureError
            If the file is not one.
        """
        try:
            fields = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
            preprocessing = dict(fields["preprocessing"])
            for key in ("mean", "scale"):
                preprocessing[key] = tuple(float(value) for value in preprocessing[key])
            classes = tuple(str(name) for name in fields["classes"])
            graph_input = fields.get("input", "normalized")
            if graph_input not in ("normalized", "pixels"):
                raise ValueError(f"input is {graph_input!r}")
            options, frames = dict(fields.get("options", {})), fields.get("frames")
            _check_options(options)
            check_counts(frames=1 if frames is None else frames)
            return cls(str(fields["model"]), classes, Preprocessing(**preprocessing), graph_input, options, frames)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FailureError(f"{path}: not a description of a network ({error}); export the network again") from None


def network_in_words(model, options):
    """A network's name and its options as they stand on a command line."""
    shown = dict(options)
    if "placement" in shown:
        stages = shown["placement"].items()
        shown["placement"] = "+".join(f"{stage}:{','.join(map(str, units))}" for stage, units in stages)
    return ", ".join([model, *(f"{name} {value}" for name, value in shown.items())])


def _check_options(options):
    """Raise a ValueError unless `options` are of the types that a run or an export writes."""
    unknown = [name for name in options if name not in OPTIONS]
    if unknown:
        raise ValueError(f"unknown option {unknown[0]!r}")
    if not isinstance(options.get("context", ""), str):
        raise ValueError(f"context is {options['context']!r}")
    placement = options.get("placement", {})
    if not isinstance(placement, dict) or not all(isinstance(units, list) for units in placement.values()):
        raise ValueError(f"placement is {placement!r}")
    check_counts(
        reduction=options.get("reduction", 1), **{f"unit of {s}": u for s, us in placement.items() for u in us}
    )


def _is_description(path):
    """Whether a JSON file beside parameters, which may be anybody's, has the marks of a description."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(fields, dict) and {"model", "classes", "preprocessing"} <= set(fields)
