"""Export that proves itself: every form is loaded back and compared before anything is left on the disk."""

import dataclasses
import os
import pathlib

import mxnet as mx

from a2net_gluon.deploy.forms import FORMS, exported_files, load_form, load_module
from a2net_gluon.deploy.inputs import crops_of, graph_input
from a2net_gluon.deploy.normalization import WithNormalization
from a2net_gluon.deploy.onnx_file import write_onnx
from a2net_gluon.deploy.proof import in_batches, prove
from a2net_gluon.deploy.quantization import write_int8
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.files import output_folder, staging_folder
from a2net_gluon.networks.fusion import can_fuse, fuse_relu

__all__ = ["AGREEMENT", "TOLERANCE", "export"]

TOLERANCE = 1e-4  # of the largest logit; the same operators in the same order differ by much less
AGREEMENT = 0.99  # share of all images of this kind to which the 8-bit form must give the same class
CALIBRATION = 20  # images needed at least, half of them to compare
_ENDINGS = ("-optimized", "-int8")  # of what stands before the ending in the files of some forms


def export(net, prefix, description, forms=(), images=(), calibration=(), pixels=False):
    """Write `net` under names that start with `prefix`, in one form or several.

    ``<prefix>-symbol.json``, ``<prefix>-0000.params`` (the form "symbol") and ``<prefix>.json`` are always
    written. Every form is loaded back and run on the same images as the live network; only if all agree do the files
    appear under their names, and those of an older export under this prefix go.

    Parameters
    ----------
    net : HybridBlock
        Initialised on one CPU or GPU context; one input, logits out. It is hybridized.
    prefix : str or Path
        Folder and start of the files' names.
    description : Description
        Classes and preprocessing, written to ``<prefix>.json``.
    forms : sequence of str
        Others to write: "optimized" (MXNet with oneDNN's fused operators: BN, ReLU and sums go into the convolutions
        before them; for the CPU), "onnx" (batch, height and width left open), "int8" (ONNX with 8-bit
        convolutions, for the CPU, see `a2net_gluon.deploy.quantization`).
    images : sequence of Path
        Images to compare on; embedded handwritten digits unless given. A network that takes clips gets them as frames.
    calibration : sequence of Path
        For "int8": images, of which one half calibrates and the other half is compared on.
    pixels : bool
        Take the normalisation into the graph, which then takes crops as they are, RGB uint8 (N, h, w, 3).

    Returns
    -------
    dict of str to Proof
        How close each form is: "symbol" (loaded with SymbolBlock), "Module" (the same files) and the others.

    Raises
    ------
    UsageError
        If `prefix` names a folder, an image cannot be read, or the description does not fit the network; for a network
        that takes clips, if there are fewer images than frames, or `pixels` or "int8" are asked for.
    FailureError
        If the folder cannot be written, or a form differs by more than `TOLERANCE`; for "int8", if so few images get
        the same class that it would be less than `AGREEMENT` of all images of this kind.
    """
    prefix = pathlib.Path(prefix)
    _check_prefix(prefix)
    forms = _complete(forms, calibration)
    if description.preprocessing.frames and (pixels or "int8" in forms):
        raise UsageError(
            f"{description.model} takes clips: {'pixels' if pixels else 'int8'} is for images, leave it out"
        )
    if pixels:
        description = dataclasses.replace(description, input="pixels")
    live = _Live(net, description)
    samples = live.sample(images)
    samples8 = live.sample(calibration[1::2]) if calibration else None
    with output_folder(prefix.parent) as parent, staging_folder(parent) as staging:
        staged = staging / prefix.name
        _write(live, staged, prefix, forms, calibration[::2])
        proofs = {"Module": _prove(prefix, "Module", load_module(staged), samples)}
        for form in forms:
            proofs[form] = _prove(prefix, form, load_form(staged, form), samples8 if form == "int8" else samples)
        _replace(staged, prefix, forms)
    return proofs


def _check_prefix(prefix):
    if not prefix.name or prefix.is_dir():
        raise UsageError(f"{prefix} is a folder; --output is the start of file names, e.g. {prefix / 'model'}")
    ending = next((ending for ending in _ENDINGS if prefix.name.endswith(ending)), None)
    if ending:  # its files could be those of another export
        raise UsageError(f"{prefix} ends in {ending}, as files of exports do: choose another --output")
    in_the_way = [path for path in exported_files(prefix, FORMS) if path.is_dir()]
    if in_the_way:
        raise UsageError(f"{in_the_way[0]} is a folder, where a file has to go: choose another --output")


class _Live:
    """The network as it will be exported."""

    def __init__(self, net, description):
        self.description = description
        self.block = WithNormalization(net, description.preprocessing) if description.input == "pixels" else net
        self.block.hybridize()
        self._ctx = next(iter(net.collect_params().values())).list_ctx()[0]

    def inputs(self, paths):
        """What the graph takes for image files."""
        return graph_input(crops_of(paths, self.description.preprocessing), self.description)

    def sample(self, paths):
        """Inputs, and the network's answers to them."""
        inputs = self.inputs(paths)
        logits = in_batches(self._forward, inputs)
        if logits.shape[1] != len(self.description.classes):
            classes = len(self.description.classes)
            raise UsageError(f"the network has {logits.shape[1]} classes, its description {classes}")
        return inputs, logits

    def _forward(self, inputs):
        return self.block(mx.nd.array(inputs, ctx=self._ctx, dtype=inputs.dtype)).asnumpy()


def _complete(forms, calibration):
    """All forms to write, in the order of the table."""
    unknown = [form for form in forms if form not in FORMS]
    if unknown:
        raise UsageError(f"unknown form {unknown[0]!r}; there are: {', '.join(FORMS)}")
    if "int8" in forms and len(calibration) < CALIBRATION:
        raise UsageError(
            f"{len(calibration)} images for calibration; give at least {CALIBRATION}, better some hundreds"
        )
    if {"onnx", "int8"} & set(forms):
        import onnx  # noqa: F401  (missing packages are told at once, not after the work)
        import onnxruntime  # noqa: F401
    return [form for form in FORMS if form in ("symbol", *forms)]


def _write(live, staged, prefix, forms, calibration):
    """Write all `forms` at `staged`."""
    symbol, params, description = exported_files(staged)
    try:
        live.block.export(str(staged), epoch=0)
        live.description.save(description)
        if "optimized" in forms:
            arguments = mx.model.load_params(str(staged), 0)
            optimized = mx.sym.load(str(symbol)).optimize_for("MKLDNN", *arguments, skip_infer=True)
            if can_fuse():
                optimized = fuse_relu(optimized, gradients=False)
            optimized.save(str(exported_files(staged, ["optimized"])[0]))
        if {"onnx", "int8"} & set(forms):
            model = exported_files(staged, ["onnx"])[0]
            write_onnx(symbol, params, model, live.description)
        if "int8" in forms:
            write_int8(model, exported_files(staged, ["int8"])[0], live.inputs(calibration))
    except (OSError, mx.MXNetError) as error:
        raise FailureError(f"{prefix}: cannot be written ({' '.join(str(error).split())[:200]})") from None


def _prove(prefix, form, forward, sample):
    """Compare a form with the live network; raises FailureError unless it is close enough."""
    inputs, expected = sample
    proof = prove(in_batches(forward, inputs), expected)
    if form == "int8":
        if not proof.agreement >= _least_agreement(proof.images):
            raise FailureError(
                f"{prefix}: as int8 only {100 * proof.agreement:.2f} % of {proof.images} images get the same class, "
                f"too few for {100 * AGREEMENT:.0f} % of all: calibrate with more images, of the kind it was trained on"
            )
    elif not proof.difference <= TOLERANCE:
        raise FailureError(f"{prefix}: loaded as {form}, the export differs by {proof.difference:.2g} (relative)")
    return proof


def _least_agreement(images):
    """Agreement on so many images that 19 of 20 samples reach if it is `AGREEMENT` on all there are."""
    from scipy.stats import binom  # takes long to import, and only 8 bits need it

    return (images - binom.ppf(0.95, images, 1 - AGREEMENT)) / images


def _replace(staged, prefix, forms):
    """Put the staged files in their places, and remove those of an older export."""
    written = exported_files(staged, forms)
    for path in exported_files(prefix, FORMS):
        staged_path = staged.with_name(path.name)
        if staged_path in written:
            os.replace(staged_path, path)
        else:
            path.unlink(missing_ok=True)
