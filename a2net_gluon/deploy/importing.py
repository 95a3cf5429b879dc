"""Parameters that were trained in PyTorch, for use here: the way back of an export with "torch"."""

from __future__ import annotations

import dataclasses
import os
import pathlib

from a2net_gluon.errors import UsageError
from a2net_gluon.files import flush, output_folder, staging_folder
from a2net_gluon.networks.description import TORCH_PARAMETERS, Description, is_description, own_description
from a2net_gluon.networks.trained import load_trained
from a2net_gluon.networks.weights import save_weights
from a2net_gluon.settings import Import, Trained

__all__ = ["import_parameters"]

_ENDING = ".params"


def import_parameters(options: Import) -> tuple[Description, tuple[pathlib.Path, pathlib.Path]]:
    """Write the parameters of a file of safetensors as a parameter file, and their description beside it.

    ``NAME.params`` can then be evaluated, trained further and exported; ``NAME.json`` is the description.

    Parameters
    ----------
    options : settings.Import
        Network and preprocessing replace those of the description in the file, or beside it.

    Returns
    -------
    description : Description
    paths : tuple of Path
        The parameter file and the description.

    Raises
    ------
    UsageError
        If there is no such file, no description and no name of the network, or the file holds another network.
    FailureError
        If the file is damaged or holds numbers that are not finite, or the output cannot be written.
    """
    source, output = pathlib.Path(options.file), pathlib.Path(options.output)
    beside = _check(source, output)
    kept = Description.beside(source)
    if not (kept or options.network.name):
        raise UsageError(f"{source} has no description: name its network with --model")
    network = dataclasses.replace(options.network, name=options.network.name or (kept.model if kept else None))
    net, description, _ = load_trained(Trained(network, str(source), input=options.input))
    with output_folder(output.parent) as parent, staging_folder(parent) as staging:
        staged = [staging / path.name for path in (output, beside)]
        save_weights(net, staged[0])
        description.save(staged[1])
        flush(staged[0])
        beside.unlink(missing_ok=True)  # at no moment a description lies beside parameters of another network
        for path in staged:
            os.replace(path, parent / path.name)
        flush(parent)
    return description, (output, beside)


def _check(source: pathlib.Path, output: pathlib.Path) -> pathlib.Path:
    """Check the names of the files; returns the path of the description."""
    if source.suffix != TORCH_PARAMETERS:
        raise UsageError(f"{source} is no file of safetensors: their names end in {TORCH_PARAMETERS}")
    if not source.is_file():
        raise UsageError(f"{source}: no such file")
    if output.suffix != _ENDING or output.is_dir():
        raise UsageError(f"--output is {output}; it must be a file whose name ends in {_ENDING}")
    beside = own_description(output)
    if beside.exists() and not is_description(beside):
        raise UsageError(f"{beside} would be replaced, and is no description of a network: choose another --output")
    return beside
