"""The table of named networks, and `get_model` in the manner of GluonCV's model zoo."""

import dataclasses
import difflib
import functools
import typing
import warnings

import mxnet as mx

from a2net_gluon.blocks import DoubleAttention
from a2net_gluon.errors import UsageError
from a2net_gluon.networks.mobilenet import MOBILENET_V2, MobileArchitecture, MobileNetV2
from a2net_gluon.networks.resnet import Architecture, ResNet, image_stages
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
    reduction: int = 2  # m = n = c / reduction
    family: typing.Callable = ResNet  # makes the network from its architecture


# The paper's image ResNet-50 (section 3.1): Table 1's stem of 32 channels, without the temporal dimension.
_RESNET50 = Architecture(32, (5, 5), (2, 2), (2, 2), image_stages((3, 4, 6, 3), (256, 512, 1024, 2048)))
# For small images, 32 to 64 pixels: no reduction before the first stage. Ours, not the paper's.
_RESNET20_SMALL = Architecture(16, (3, 3), (1, 1), None, image_stages((2, 2, 2), (64, 128, 256)))

# Five blocks, two after conv3 units and three after conv4 units, with m = n = c/2: Table 4's A²-Net (33.0 M, 6.5 G).
# Which units is not in the paper; every second one is the precedent of the non-local networks it compares with.
_FIVE_BLOCKS = {"conv3": (2, 4), "conv4": (2, 4, 6)}
# The paper's future work, compact networks; sized by us. As in the paper's A²-Net two blocks see 28×28 and three 14×14
# maps, after every second of the ten units of those sizes. m = n = c, not c/2, since a unit's output is its narrow end
# here: the narrow end of a ResNet's unit is c/4, so that c/2 is wider than it. Costs 10 % more multiply-adds.
_EVERY_SECOND_UNIT = {"conv4": (1, 3), "conv5": (2, 4), "conv6": (2,)}

_NETWORKS = {
    "resnet50": _Network(_RESNET50, 1000, (3, 224, 224)),
    "a2net_resnet50": _Network(_RESNET50, 1000, (3, 224, 224), "a2", _FIVE_BLOCKS),
    "resnet20_small": _Network(_RESNET20_SMALL, 10, (3, 32, 32)),
    "a2net_resnet20_small": _Network(_RESNET20_SMALL, 10, (3, 32, 32), "a2", {"conv3": (2,), "conv4": (2,)}),
    "mobilenet_v2": _Network(MOBILENET_V2, 1000, (3, 224, 224), family=MobileNetV2),
    "a2net_mobilenet_v2": _Network(
        MOBILENET_V2, 1000, (3, 224, 224), "a2", _EVERY_SECOND_UNIT, reduction=1, family=MobileNetV2
    ),
}

_CONTEXTS = {"a2": DoubleAttention}
_NETWORK_OPTIONS = ("last_gamma", "norm_layer", "norm_kwargs", "prefix")
_CONTEXT_OPTIONS = ("association", "identity_start", "reduction")


def list_models():
    """Names that `get_model` knows."""
    return sorted(_NETWORKS)


def input_shape(name):
    """Shape of one input the network `name` is made for, e.g. ``(3, 224, 224)``; other sizes work too."""
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
        for ImageNet networks). With pretrained parameters of another number of classes everything but the output
        layer is loaded, the output layer starts at random, and a warning says so.
    ctx : mxnet.Context or list of them, optional
        Where pretrained parameters are loaded, the CPU unless given. As in GluonCV, a network without
        pretrained parameters is returned uninitialised.
    root : str
        Folder of parameter files; ``$MXNET_HOME/models`` where that is set. A file that is asked for by tag and is
        not there is fetched from the server that MXNET_GLUON_REPO names.
    context : {"a2"}, optional
        Kind of context block; the network's own unless given.
    placement : dict, optional
        Units (from 1) after which context blocks stand, e.g. ``{"conv3": (2, 4)}``; the network's own unless given.
    last_gamma, norm_layer, norm_kwargs, prefix
        Passed to `a2net_gluon.networks.ResNet` or `MobileNetV2`.
    association, identity_start
        Passed to the context blocks, see `a2net_gluon.DoubleAttention`.
    reduction : int
        Context blocks get m = n = channels // reduction.
    input_size : int
        For GluonCV's scripts, which tell it to some networks: these here take any size.

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
    contexts = check_contexts(ctx or mx.cpu())
    kind, placement = _resolve_context(name, row, context, placement, kwargs)
    net = row.family(
        row.architecture,
        _check_classes(classes),
        context=_context_factory(kind, row, kwargs),
        placement=placement,
        **{key: value for key, value in kwargs.items() if key in _NETWORK_OPTIONS},
    )
    if file:
        _load(net, file, classes, contexts)
    return net


def _load(net, file, classes, contexts):
    """Load pretrained parameters, and the names of their classes."""
    from a2net_gluon.data.description import Description  # reads images too, and not everybody needs that

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
    if name in table:
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


def _check_classes(classes):
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 1:
        raise UsageError(f"classes is {classes!r}; it must be a positive whole number")
    return classes


def _resolve_context(name, row, context, placement, kwargs):
    """The kind of context block and its placement; both or neither."""
    kind = context or row.context
    placement = row.placement if placement is None else placement
    for stage, units in placement.items():
        if not isinstance(units, (tuple, list)):
            raise UsageError(f"placement of {stage} is {units!r}; it must be a tuple of units, e.g. (2, 4)")
    if bool(kind) != bool(placement):
        lacking = "context" if placement else "placement"
        given = f"placement={placement}" if placement else f"context={kind!r}"
        raise UsageError(f"{given} needs a {lacking}: {name} has none of its own")
    idle = [key for key in _CONTEXT_OPTIONS if key in kwargs and not kind]
    if idle:
        raise UsageError(f"{idle[0]}={kwargs[idle[0]]!r} is for context blocks, and {name} has none")
    return kind, placement


def _context_factory(kind, row, kwargs):
    if kind is None:
        return None
    block = _look_up(_CONTEXTS, kind, "context")
    reduction = kwargs.get("reduction", row.reduction)
    if not isinstance(reduction, int) or reduction < 1:
        raise UsageError(f"reduction is {reduction!r}; it must be a positive whole number")
    options = {
        key: kwargs[key] for key in ("association", "identity_start", "norm_layer", "norm_kwargs") if key in kwargs
    }

    def build(channels, ndim, prefix):
        width = channels // reduction
        return block(channels, width, width, ndim=ndim, prefix=prefix, **options)

    return build
