"""The table of context blocks, and the choice of kind, places and options for one network."""

from __future__ import annotations

import dataclasses
import inspect
import typing

import mxnet as mx

from a2net_gluon.blocks import DoubleAttention, NonLocal, SqueezeExcitation
from a2net_gluon.blocks.double_attention import cheaper_association
from a2net_gluon.blocks.squeeze_excitation import REDUCTION
from a2net_gluon.errors import UsageError, check_counts
from a2net_gluon.networks.base import ContextFactory, Placement
from a2net_gluon.networks.catalog import NamedNetwork
from a2net_gluon.networks.placement import locations
from a2net_gluon.networks.spelling import look_up

__all__ = ["CONTEXTS", "ContextKind", "check_options", "choose_context", "context_factory"]


@dataclasses.dataclass(frozen=True)
class ContextKind:
    """A kind of context block.

    Attributes
    ----------
    block : type
        Its class: ``block(channels, *widths, ndim=…, prefix=…, **options)``.
    widths : int
        Number of widths of c / reduction that the class takes.
    on_branch : bool
        Whether it stands on the residual branch of a unit instead of after the unit.
    reduction : int or None
        Default of reduction; None is that of the network.
    """

    block: type
    widths: int
    on_branch: bool = False
    reduction: int | None = None

    def takes(self, option: str) -> bool:
        """Whether `option` of `a2net_gluon.get_model` is an argument of the block."""
        return option in inspect.signature(self.block).parameters


CONTEXTS = {
    "a2": ContextKind(DoubleAttention, 2),
    "nl": ContextKind(NonLocal, 2),
    "se": ContextKind(SqueezeExcitation, 1, on_branch=True, reduction=REDUCTION),
}
# Options of get_model, for those blocks that take them.
_OPTIONS = ("association", "gathering", "distribution", "identity_start", "norm_layer", "norm_kwargs")


def choose_context(
    name: str, network: NamedNetwork, context: str | None, placement: typing.Any, **options: typing.Any
) -> tuple[ContextKind | None, Placement]:
    """Choose the kind of context blocks of a network and their places: both or neither.

    Parameters
    ----------
    name : str
        Of the network, for messages.
    network : NamedNetwork
    context : str or None
        Kind of block; default: the network's own.
    placement : dict or None
        Default: the network's own.
    options
        Options of `a2net_gluon.get_model` for context blocks alone; None means not given.

    Raises
    ------
    UsageError
        If one of the two is missing, or the network or the blocks do not take it.
    """
    context = network.context if context is None else context
    placement = network.placement if placement is None else placement
    if context is None and placement:
        raise UsageError(f"{name} needs a context for placement={placement}: {', '.join(CONTEXTS)}")
    check_options(name, context, options)
    if context is None:
        return None, placement
    if not placement:
        raise UsageError(
            f"{name} needs a placement for context={context!r}: the units it stands after, {{'conv4': (2,)}} or, on a "
            "command line, conv4:2"
        )
    kind = CONTEXTS[context]
    if kind.on_branch and not network.family.takes_context_on_branch:
        raise UsageError(f"context {context!r} stands on residual branches; {name} takes no blocks there")
    return kind, placement


def check_options(name: str, context: str | None, options: dict[str, typing.Any]) -> None:
    """Refuse options that the context blocks of the network `name` do not take; None means not given."""
    # Every network takes association="auto": scripts pass it without knowing the blocks.
    given = {key: value for key, value in options.items() if value is not None and value != "auto"}
    if context is None:
        for key, value in given.items():
            raise UsageError(f"{key}={value!r} is for context blocks, and {name} has none")
        return
    kind = look_up(CONTEXTS, context, "context")
    known = ["reduction", *(option for option in _OPTIONS if kind.takes(option))]
    for key, value in given.items():
        if key not in known:
            raise UsageError(f"{key}={value!r} is not for {context!r} blocks; those have {', '.join(known)}")


def context_factory(
    kind: ContextKind,
    network: NamedNetwork,
    reduction: int | None,
    input_size: int | None,
    input_frames: int | None,
    **options: typing.Any,
) -> ContextFactory:
    """Return the factory of a network's context blocks.

    Parameters
    ----------
    kind : ContextKind
    network : NamedNetwork
    reduction : int or None
        Default: that of `kind` or `network`.
    input_size : int or None
        Height and width that ``association="auto"`` is chosen for; default: those of the network.
    input_frames : int or None
        The same for the frames of a clip; networks for images ignore it.
    options
        Options of the blocks; None means not given, and blocks that have no such option ignore it.
    """
    reduction = kind.reduction or network.reduction if reduction is None else reduction
    sizes = {"input_size": input_size, "input_frames": input_frames}
    check_counts(reduction=reduction, **{name: size for name, size in sizes.items() if size is not None})
    counts = locations(network.architecture, network.input_sizes(input_size, input_frames))
    given = {key: value for key, value in options.items() if value is not None and kind.takes(key)}

    def build(stage: str, channels: int, ndim: int, *, prefix: str) -> mx.gluon.HybridBlock:
        width = channels // reduction
        if not width:
            raise UsageError(f"reduction is {reduction}; a stage of {channels} channels allows at most that")
        chosen = dict(given)
        if chosen.get("association") == "auto":
            chosen["association"] = cheaper_association(width, width, counts[stage])
        return kind.block(channels, *[width] * kind.widths, ndim=ndim, prefix=prefix, **chosen)

    return build
