"""Accuracy of given parameters on validation data."""

from a2net_gluon import from_options
from a2net_gluon.networks import find_weights, get_model, load_weights
from a2net_gluon.networks.description import Description
from a2net_gluon.options import complete
from a2net_gluon.training.learner import check_count, evaluate_batches

__all__ = ["evaluate"]


def evaluate(args, on_skip=None):
    """Evaluate as `args` say, an ``argparse.Namespace`` of `evaluation_parser`.

    Classes and preprocessing are those kept beside the parameter file, if training left any.

    Returns
    -------
    dict
        "top1", "top5" (from 0 to 1), "loss", "count" (images evaluated), "total" (images in the data) and
        "problems".

    Raises
    ------
    UsageError
        If options, parameters and data do not fit.
    FailureError
        If parameters or data are damaged.
    """
    complete(args)
    params = find_weights(args.model, args.params or True)
    description = Description.beside(params)
    preprocessing = from_options.preprocessing(args, args.model, description)
    contexts = from_options.contexts(args)
    classes = description.classes if description else None
    source = from_options.source(args, preprocessing, len(contexts), training=False, classes=classes, on_skip=on_skip)
    options = from_options.context_options(args, description)
    net = get_model(args.model, classes=len(source.classes), **options, **from_options.fast_options(preprocessing))
    load_weights(net, params, contexts)
    net.hybridize(static_alloc=True, static_shape=True)
    measured = evaluate_batches(net, source.validation(), contexts, preprocessing, len(source.classes))
    check_count(measured)
    return {**measured, "total": source.val_count, "problems": source.problems}
