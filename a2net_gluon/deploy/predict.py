"""Classifying image files with an exported network."""

import typing

import mxnet as mx
import numpy as np

from a2net_gluon.data import Description
from a2net_gluon.data.folder import read_image
from a2net_gluon.data.preprocessing import DecodeError
from a2net_gluon.deploy.export import exported_files, load_symbol_block
from a2net_gluon.errors import FailureError, UsageError

__all__ = ["Prediction", "Predictor"]


class Prediction(typing.NamedTuple):
    """The most probable classes of an image, or the reason why there are none."""

    path: str
    classes: typing.Tuple[typing.Tuple[str, float], ...]
    problem: typing.Optional[str] = None


class Predictor:
    """An exported network with its classes and preprocessing.

    Parameters
    ----------
    prefix : str or Path
        As given to `a2net_gluon.deploy.export`.
    ctx : mxnet.Context, optional
        The CPU unless given.

    Raises
    ------
    UsageError
        If a file of the export is missing.
    FailureError
        If one is damaged.
    """

    def __init__(self, prefix, ctx=None):
        for path in exported_files(prefix):
            if not path.is_file():
                raise UsageError(f"{path}: no such file; {prefix} must be the --output of an export")
        self.description = Description.load(exported_files(prefix)[2])
        self._ctx = ctx or mx.cpu()
        try:
            self._net = load_symbol_block(prefix, self._ctx)
        except Exception as error:  # mxnet raises anything from KeyError to MXNetError on damaged files
            reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
            raise FailureError(f"{prefix}: the export is damaged ({reason[0][:200]}); export it again") from None
        self._net.hybridize(static_alloc=True, static_shape=True)

    def predict(self, paths, top=5, batch_size=32):
        """Yield a `Prediction` for each image file in `paths`, in their order.

        Unreadable files are yielded with the problem and do not stop the others.
        """
        paths = list(paths)
        for start in range(0, len(paths), batch_size):
            yield from self._predict_batch(paths[start : start + batch_size], top)

    def _predict_batch(self, paths, top):
        crops, problems = {}, {}
        for path in paths:
            try:
                crops[path] = self.description.preprocessing.centre_crop(read_image(path))
            except DecodeError as error:
                problems[path] = str(error)
        probabilities = dict(zip(crops, self._probabilities(list(crops.values())))) if crops else {}
        for path in paths:
            if path in problems:
                yield Prediction(str(path), (), problems[path])
                continue
            order = np.argsort(-probabilities[path], kind="stable")[:top]
            names = self.description.classes
            yield Prediction(str(path), tuple((names[k], float(probabilities[path][k])) for k in order))

    def _probabilities(self, crops):
        pixels = mx.nd.array(np.stack(crops).transpose(0, 3, 1, 2), ctx=self._ctx, dtype=np.uint8)
        return mx.nd.softmax(self._net(self.description.preprocessing.normalize(pixels))).asnumpy()
