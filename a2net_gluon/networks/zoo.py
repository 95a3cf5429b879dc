"""The table of named networks, and `get_model` in the manner of GluonCV's model zoo."""

import dataclasses
import difflib
import functools
import typing
import warnings

import mxnet as mx

from a2net_gluon.blocks import DoubleAttention, NonLocal, SqueezeExcitation
from a2net_gluon.blocks.double_attention import cheaper_association
from a2net_gluon.blocks.preactivation import check_ndim
from a2net_gluon.blocks.squeeze_excitation import REDUCTION
from a2net_gluon.errors import UsageError, check_counts
from a2net_gluon.networks.description import Description
from a2net_gluon.networks.mobilenet import MOBILENET_V2, MobileArchitecture, MobileNetV2
from a2net_gluon.networks.placement import locations
from a2net_gluon.networks.resnet import Architecture, ResNet, clip_stages, image_stages
from a2net_gluon.networks.store import MODEL_FOLDER, find_weights
from a2net_gluon.networks.weights import ParameterFile, check_contexts

__all__ = ["get_model", "input_shape", "list_models", "register_with_gluoncv"]


@dataclasses.dataclass(frozen=True)
class _Network:
    """A named network: a backbone and where its context blocks stand."""

    architecture: typing.Union[Architecture, MobileArchitecture]
    classes: int
    input_shape: typing.Tuple[int, ...]
    context: typing.Optional[str] = None
    placement: typing.Mapping[str, typing.Tuple[int, ...]] = dataclasses.field(default_factory=dict)
    reduction: int = 2  # of attention blocks, m = n = c / reduction; also of those that are put into a plain network
    family: typing.Callable = ResNet  # makes the network from its architecture


@dataclasses.dataclass(frozen=True)
class _Context:
    """A kind of context block: its class, how many widths of c / reduction it takes, and its options of `get_model`."""

    block: type
    widths: int
    options: typing.Tuple[str, ...] = ()
    on_branch: bool = False  # see `ResNet`
    reduction: typing.Optional[int] = None  # None: the network's

    def factory(self, reduction, options, locations):
        """``context(stage, channels, ndim, prefix)`` for `ResNet`; `locations` are those of each stage's map."""

        def build(stage, channels, ndim, prefix):
            width = channels // reduction
            if not width:
                raise UsageError(f"reduction is {reduction}; a stage of {channels} channels allows at most that")
            chosen = dict(options)
            if chosen.get("association") == "auto":
                chosen["association"] = cheaper_association(width, width, locations[stage])
            return self.block(channels, *[width] * self.widths, ndim=ndim, prefix=prefix, **chosen)

        return build


_CONTEXTS = {
    "a2": _Context(DoubleAttention, 2, ("association", "identity_start", "norm_layer", "norm_kwargs")),
    "nl": _Context(NonLocal, 2, ("identity_start", "norm_layer", "norm_kwargs")),
    "se": _Context(SqueezeExcitation, 1, on_branch=True, reduction=REDUCTION),
}
_NETWORK_OPTIONS = ("last_gamma", "norm_layer", "norm_kwargs", "prefix")
_CONTEXT_OPTIONS = ("association", "identity_start", "reduction")

_WIDE, _NARROW = (256, 512, 1024, 2048), (128, 256, 512, 1024)  # conv2 to conv5
_IMAGE, _CLIP, _SMALL_CLIP = (3, 224, 224), (3, 8, 224, 224), (3, 16, 112, 112)


def _image_resnet(*units):
    """The paper's image ResNet (section 3.1): Table 1's stem of 32 channels, without the temporal dimension."""
    return Architecture(32, (5, 5), (2, 2), (2, 2), image_stages(units, _WIDE))


def _small_image_resnet(*units):
    """Table 1's ResNet-26 and 29 without time: the paper's ablations (Tables 2 and 3) on images. Ours."""
    return Architecture(16, (5, 5), (2, 2), None, image_stages(units, _NARROW))


def _small_clip_resnet(*units):
    """Table 1's ResNet-26 and 29. That time is halved in conv2_1 is worked out from its sizes and FLOPs."""
    strides = ((2, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 2))
    stages = clip_stages([(3,) * count for count in units], _NARROW, strides)
    return Architecture(16, (3, 5, 5), (1, 2, 2), None, stages)


_RESNET50 = _image_resnet(3, 4, 6, 3)
# Table 4 takes ResNet-152 from He et al.; this is the image ResNet-50 above with their number of units.
_RESNET152 = _image_resnet(3, 8, 36, 3)
# For small images, 32 to 64 pixels: no reduction before the first stage. Ours, not the paper's.
_RESNET20_SMALL = Architecture(16, (3, 3), (1, 1), None, image_stages((2, 2, 2), (64, 128, 256)))
_RESNET26_3D = _small_clip_resnet(2, 2, 2, 2)
_RESNET29_3D = _small_clip_resnet(2, 2, 3, 2)
# Table 1: k is 3 in every unit of conv2, then in every other one. Time is halved in conv3_1.
_RESNET50_3D = Architecture(
    32,
    (3, 5, 5),
    (1, 2, 2),
    (1, 2, 2),
    clip_stages(
        ((3, 3, 3), (3, 1, 3, 1), (3, 1, 3, 1, 3, 1), (1, 3, 1)),
        _WIDE,
        ((1, 1, 1), (2, 2, 2), (1, 2, 2), (1, 2, 2)),
    ),
)

# Five blocks, two after conv3 units and three after conv4 units, with m = n = c/2: Table 4's A²-Net (33.0 M, 6.5 G).
# Which units is not in the paper; every second one is the precedent of the non-local networks it compares with.
_FIVE_BLOCKS = {"conv3": (2, 4), "conv4": (2, 4, 6)}
# The paper's future work, compact networks; sized by us. As in the paper's A²-Net two blocks see 28×28 and three 14×14
# maps, after every second of the ten units of those sizes. m = n = c, not c/2, since a unit's output is its narrow end
# here: the narrow end of a ResNet's unit is c/4, so that c/2 is wider than it. Costs 10 % more multiply-adds.
_EVERY_SECOND_UNIT = {"conv4": (1, 3), "conv5": (2, 4), "conv6": (2,)}
# One block, which Table 2 finds best here: "after the second residual unit" of conv4, with m = n = c/4 (section 3.2).
_ONE_BLOCK = {"conv4": (2,)}
_EVERY_UNIT = {"conv2": (1, 2, 3), "conv3": (1, 2, 3, 4), "conv4": (1, 2, 3, 4, 5, 6), "conv5": (1, 2, 3)}

_NETWORKS = {
    "resnet50": _Network(_RESNET50, 1000, _IMAGE),
    "a2net_resnet50": _Network(_RESNET50, 1000, _IMAGE, "a2", _FIVE_BLOCKS),
    "nl_resnet50": _Network(_RESNET50, 1000, _IMAGE, "nl", _FIVE_BLOCKS),
    "se_resnet50": _Network(_RESNET50, 1000, _IMAGE, "se", _EVERY_UNIT),
    "resnet152": _Network(_RESNET152, 1000, _IMAGE),
    "resnet26": _Network(_small_image_resnet(2, 2, 2, 2), 1000, (3, 112, 112), reduction=4),
    "resnet29": _Network(_small_image_resnet(2, 2, 3, 2), 1000, (3, 112, 112), reduction=4),
    "resnet20_small": _Network(_RESNET20_SMALL, 10, (3, 32, 32)),
    "a2net_resnet20_small": _Network(_RESNET20_SMALL, 10, (3, 32, 32), "a2", {"conv3": (2,), "conv4": (2,)}),
    "mobilenet_v2": _Network(MOBILENET_V2, 1000, _IMAGE, reduction=1, family=MobileNetV2),
    "a2net_mobilenet_v2": _Network(
        MOBILENET_V2, 1000, _IMAGE, "a2", _EVERY_SECOND_UNIT, reduction=1, family=MobileNetV2
    ),
    "resnet26_3d": _Network(_RESNET26_3D, 400, _SMALL_CLIP, reduction=4),
    "a2net_resnet26_3d": _Network(_RESNET26_3D, 400, _SMALL_CLIP, "a2", _ONE_BLOCK, reduction=4),
    "nl_resnet26_3d": _Network(_RESNET26_3D, 400, _SMALL_CLIP, "nl", _ONE_BLOCK, reduction=4),
    "resnet29_3d": _Network(_RESNET29_3D, 400, _SMALL_CLIP, reduction=4),
    "resnet50_3d": _Network(_RESNET50_3D, 400, _CLIP),
    "a2net_resnet50_3d": _Network(_RESNET50_3D, 400, _CLIP, "a2", _FIVE_BLOCKS),
}


def list_models(ndim=None, context=None):
    """Names that `get_model` knows: all; those for images (`ndim` 2) or clips (3); those with a kind of `context`."""
    check_ndim(2 if ndim is None else ndim)
    return sorted(
        name
        for name, row in _NETWORKS.items()
        if ndim in (None, len(row.input_shape) - 1) and context in (None, row.context)
    )


def input_shape(name):
    """Shape of one input the network `name` is made for; other sizes work too.

    ``(3, 224, 224)`` for images, channels, height and width; ``(3, 8, 224, 224)`` for clips, with frames.
    """
    return _look_up(_NETWORKS, name, "model").input_shape


def get_model(
    name,
    pretrained=False,
    classes=None,
    ctx=None,
    root=MODEL_FOLDER,
    context=None,
    placement=None,
    **kwargs,
):
    """Build a network by name.

    Parameters
    ----------
    name : str
        One of `list_models`.
    pretrained : bool or str
        True for the published parameters, which `a2net_resnet20_small` alone has; a tag, the first 8 to 40 digits
        of a parameter file's SHA-1 (a download needs all); the path of a parameter file; or the name of one in `root`.
    classes : int, optional
        Width of the output. Unless given, that of the pretrained parameters, or what the network was made for (1000
        for ImageNet networks, 400 for those for clips, as in Kinetics). With pretrained parameters of another number
        of classes everything but the output layer is loaded, the output layer starts at random, and a warning says so.
    ctx : mxnet.Context or list of them, optional
        Where pretrained parameters are loaded, the CPU unless given. As in GluonCV, a network without
        pretrained parameters is returned uninitialised.
    root : str
        Folder of parameter files; ``$MXNET_HOME/models`` where that is set. A file that is asked for by tag and is
        not there is fetched from the server that MXNET_GLUON_REPO names.
    context : {"a2", "nl", "se"}, optional
        Kind of context block: double attention, non-local, squeeze-and-excitation; the network's own unless given.
    placement : dict, optional
        Units (from 1) after which context blocks stand, e.g. ``{"conv3": (2, 4)}``; the network's own unless given.
        Squeeze-and-excitation stands in these units, at the end of the residual branch; MobileNetV2 takes none.
    last_gamma, norm_layer, norm_kwargs, prefix
        Passed to `a2net_gluon.networks.ResNet` or `MobileNetV2`.
    association : {"left", "right", "auto"}
        Of double attention blocks, "left" unless given. The answers are equal; "auto" is what needs fewer multiply-adds
        in each stage for an input of `input_size`, see `a2net_gluon.blocks.double_attention.cheaper_association`;
        networks without such blocks take it too.
    identity_start
        Passed to the context blocks, see `a2net_gluon.DoubleAttention`; "se" has none.
    reduction : int
        Attention blocks get m = n = channels // reduction, squeeze-and-excitation an inner width of that. Unless
        given, 2; 4 in ResNet-26 and 29, as in the paper's ablations; 1 in MobileNetV2; 16 for "se".
    input_size : int
        Height and width to choose the associations for, the network's own unless given; it takes any size all the same.

    Returns
    -------
    HybridBlock
        One input, logits out; `features` and `output` as in GluonCV. With pretrained parameters `classes` are the names
        of the classes, where they are known.

    Raises
    ------
    UsageError
        A ValueError: unknown name, context, stage or unit; bad `classes`; parameters that do not fit.
    FailureError
        Damaged or wrong parameter files, see `a2net_gluon.networks.store`.
    TypeError
        Unknown keyword.
    """
    row = _look_up(_NETWORKS, name, "model")
    _check_keywords(kwargs)
    file = ParameterFile(find_weights(name, pretrained, root)) if pretrained else None
    if classes is None:
        classes = (file and file.classes) or row.classes
    check_counts(classes=classes)
    contexts = check_contexts(ctx or mx.cpu())
    kind, placement = _resolve_context(name, row, context, placement, kwargs)
    net = row.family(
        row.architecture,
        classes,
        context=_context_factory(kind, row, kwargs),
        placement=placement,
        **({"on_branch": True} if kind and _CONTEXTS[kind].on_branch else {}),
        **{key: value for key, value in kwargs.items() if key in _NETWORK_OPTIONS},
    )
    if file:
        _load(net, file, classes, contexts)
    return net


def _load(net, file, classes, contexts):
    """Load pretrained parameters, and the names of their classes."""
    same_head = file.classes in (None, classes)
    file.load(net, contexts, head=same_head)
    if same_head:
        description = Description.beside(file.path)
        if description and len(description.classes) == classes:
            net.classes = description.classes
    else:
        net.output.initialize(mx.init.MSRAPrelu(), ctx=contexts)
        warnings.warn(
            f"{file.path} was trained for {file.classes} classes, the network has {classes}: loaded all but the output "
            "layer, which starts at random",
            stacklevel=3,
        )


def register_with_gluoncv():
    """Make ``gluoncv.model_zoo.get_model`` know our names.

    Raises
    ------
    UsageError
        If gluoncv cannot be imported, with the reason.
    """
    try:
        from gluoncv.model_zoo import model_zoo
    except (ImportError, RuntimeError) as error:
        # GluonCV 0.10.5 refuses to load beside torch >= 2 and says so with a RuntimeError about "legacy torch".
        fix = "use an environment without torch" if "torch" in str(error) else "pip install gluoncv"
        raise UsageError(f"gluoncv cannot be imported here ({' '.join(str(error).split())}): {fix}") from None
    for name in list_models():
        model_zoo._models[name] = functools.partial(get_model, name)


def _look_up(table, name, what):
    if isinstance(name, str) and name in table:
        return table[name]
    raise UsageError(f"unknown {what} {name!r}; {_suggest(name, table)}")


def _suggest(name, known):
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"{f'did you mean {close[0]!r}? ' if close else ''}there are: {', '.join(sorted(known))}"


def _check_keywords(kwargs):
    known = (
        "pretrained",
        "classes",
        "ctx",
        "root",
        "context",
        "placement",
        "input_size",
        *_NETWORK_OPTIONS,
        *_CONTEXT_OPTIONS,
    )
    for key in kwargs:
        if key not in known:
            raise TypeError(f"get_model has no keyword {key!r}; {_suggest(key, known)}")


def _resolve_context(name, row, context, placement, kwargs):
    """The kind of context block and its placement; both or neither."""
    kind = row.context if context is None else context
    placement = row.placement if placement is None else placement
    if kind is None and placement:
        raise UsageError(f"{name} needs a context for placement={placement}: {', '.join(_CONTEXTS)}")
    _check_context_options(name, kind, kwargs)
    if kind is not None and not placement:
        raise UsageError(
            f"{name} needs a placement for context={kind!r}: the units it stands after, {{'conv4': (2,)}} or, on a "
            "command line, conv4:2"
        )
    if kind is not None and _CONTEXTS[kind].on_branch and row.family is not ResNet:
        raise UsageError(f"context {kind!r} stands on the residual branches of a ResNet; {name} is none")
    return kind, placement


def _check_context_options(name, kind, kwargs):
    given = [key for key in _CONTEXT_OPTIONS if key in kwargs and kwargs[key] != "auto"]
    if given and kind is None:
        raise UsageError(f"{given[0]}={kwargs[given[0]]!r} is for context blocks, and {name} has none")
    known = ("reduction", *_look_up(_CONTEXTS, kind, "context").options) if kind is not None else ()
    for key in given:
        if key not in known:
            raise UsageError(f"{key}={kwargs[key]!r} is not for {kind!r} blocks; those have {', '.join(known)}")


def _context_factory(kind, row, kwargs):
    if kind is None:
        return None
    context = _CONTEXTS[kind]
    reduction = kwargs.get("reduction", context.reduction or row.reduction)
    check_counts(reduction=reduction)
    options = {key: kwargs[key] for key in context.options if key in kwargs}
    return context.factory(reduction, options, locations(row.architecture, _sizes(row, kwargs.get("input_size"))))


def _sizes(row, input_size):
    """Lengths of the input, (h, w) or (t, h, w): the network's own, or what GluonCV's scripts say."""
    _, *frames, height, width = row.input_shape
    if input_size is None:
        return *frames, height, width
    check_counts(input_size=input_size)
    return *frames, input_size, input_size
