"""Transfer of parameters between networks: which ones fit by name and shape, and the values that are taken."""

from __future__ import annotations

import re
import typing

import mxnet as mx

__all__ = ["HEAD", "BackboneReport", "compare", "is_context", "taken_value"]

# Starts of parameter names, in files of save_parameters and in exports.
HEAD = ("output.", "fc_")  # the output layer, the only part that depends on the number of classes
_CONTEXT = "context"  # somewhere in the name of every parameter of a context block

_Shapes = typing.Mapping[str, typing.Sequence[int]]


def is_context(name: str) -> bool:
    """Whether a parameter of this name, in either kind of file, belongs to a context block."""
    return _CONTEXT in name


class BackboneReport(typing.NamedTuple):
    """Names of parameters: spread over time, copied unchanged, left where they are, and new in the network that takes.

    A name in both `left` and `new` is a parameter of the output layer, made for another number of classes.
    """

    inflated: tuple[str, ...]
    copied: tuple[str, ...]
    left: tuple[str, ...]
    new: tuple[str, ...]

    @property
    def taken(self) -> tuple[str, ...]:
        """The names of all parameters that have a counterpart."""
        return (*self.inflated, *self.copied)

    @property
    def foreign(self) -> str | None:
        """A parameter that is left and no output layer: the networks have different backbones or blocks."""
        return next((name for name in self.left if not name.startswith(HEAD)), None)

    @property
    def lacking(self) -> str | None:
        """A parameter that is new and neither in the output layer nor in a context block: the backbones differ."""
        return next((name for name in self.new if not (name.startswith(HEAD) or is_context(name))), None)

    def __str__(self) -> str:
        inflated = f"{len(self.inflated)} inflated, {len(self.copied)} copied"
        parts = [inflated if self.inflated else f"{len(self.copied)} taken"]
        parts += [f"{len(self.left)} left ({', '.join(self.left)})"] if self.left else []
        parts += [f"{len(self.new)} new ({', '.join(dict.fromkeys(map(_part, self.new)))})"] if self.new else []
        return "; ".join(parts)


def compare(sources: _Shapes, targets: _Shapes) -> BackboneReport:
    """Find the counterparts of parameters, given the shapes of both networks' parameters by their names."""
    shared = [name for name in sources if name in targets]
    inflated = tuple(name for name in shared if _inflates(tuple(sources[name]), tuple(targets[name])))
    copied = tuple(name for name in shared if tuple(sources[name]) == tuple(targets[name]))
    done = {*inflated, *copied}
    left, new = (tuple(name for name in names if name not in done) for names in (sources, targets))
    return BackboneReport(inflated, copied, left, new)


def taken_value(array: mx.nd.NDArray, shape: typing.Sequence[int]) -> mx.nd.NDArray:
    """The values of a parameter of `shape` from those of its counterpart: the same, or inflated.

    A kernel (out, in, h, w) goes into all t slices of (out, in, t, h, w), divided by t: Carreira, Zisserman, "Quo
    Vadis, Action Recognition? A New Model and the Kinetics Dataset", CVPR 2017, section 2.4.1. The A²-Nets paper starts
    its Kinetics networks from inflated ones and names no rule; this one is in the published code of its first author.
    """
    if array.shape == tuple(shape):
        return array
    return mx.nd.broadcast_to(array.expand_dims(2) / shape[2], tuple(shape))


def _inflates(flat: tuple[int, ...], deep: tuple[int, ...]) -> bool:
    """Whether the shapes are (out, in, h, w) and (out, in, t, h, w)."""
    return (len(flat), len(deep)) == (4, 5) and flat == (*deep[:2], *deep[3:])


def _part(name: str) -> str:
    """The block, or the layer, that a parameter belongs to."""
    return re.sub(r"(context\d*)(\.|__).*|(\.|_)[a-z]+$", r"\1", name)
