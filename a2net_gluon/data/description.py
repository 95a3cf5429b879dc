"""What has to be known about a network besides its parameters, as a small JSON file beside them."""

import dataclasses
import json
import pathlib
import typing

from a2net_gluon.data.preprocessing import Preprocessing
from a2net_gluon.errors import FailureError
from a2net_gluon.files import write_text

__all__ = ["EXPORTED", "FILE_NAME", "Description"]

FILE_NAME = "model.json"  # in run folders and checkpoints; exports name it after their prefix
EXPORTED = "-0000.params"  # end of the name of an export's parameter file


@dataclasses.dataclass(frozen=True)
class Description:
    """The network's name, its classes in the order of its outputs, and its preprocessing."""

    model: str
    classes: typing.Tuple[str, ...]
    preprocessing: Preprocessing

    def save(self, path):
        """Write this description as JSON."""
        write_text(path, json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n")

    @classmethod
    def beside(cls, params):
        """The description that training or an export left beside parameter file `params`, or None."""
        params = pathlib.Path(params)
        candidates = [params.with_name(FILE_NAME)]
        if params.name.endswith(EXPORTED):
            candidates.insert(0, params.with_name(params.name[: -len(EXPORTED)] + ".json"))
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
            return cls(str(fields["model"]), classes, Preprocessing(**preprocessing))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FailureError(f"{path}: not a description of a network ({error}); export the network again") from None
