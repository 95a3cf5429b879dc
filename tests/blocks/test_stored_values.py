"""What a block holds that grows with the square of the map, in the shapes of its graph: Section 2.3 of the paper."""

import math

import mxnet as mx
import pytest

from a2net_gluon import DoubleAttention
from a2net_gluon.blocks import NonLocal

C, M, N = 12, 5, 3
PLACES = {"image": (6, 7), "clip": (3, 4, 5)}


def output_shapes(block, place):
    """Shapes of all nodes' outputs, by the nodes' names."""
    internals = block(mx.sym.var("data")).get_internals()
    _, shapes, _ = internals.infer_shape(data=(1, C, *place))
    names, inputs = internals.list_outputs(), {*internals.list_inputs()}
    return {name: shape for name, shape in zip(names, shapes) if name not in inputs}


def quadratic(block, place):
    """Names of the nodes whose output has L × L values, or more."""
    locations = math.prod(place)
    shapes = output_shapes(block, place)
    assert all(math.prod(shape) in (locations**2, *range(C * locations + 1)) for shape in shapes.values())
    return {name for name, shape in shapes.items() if shape[-2:] == (locations, locations)}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_only_the_left_association_stores_nothing_quadratic(place):
    ndim = len(place)
    left, right = (DoubleAttention(C, M, N, ndim, association, prefix="a2_") for association in ("left", "right"))
    assert quadratic(left, place) == set()
    assert quadratic(right, place) == {"a2_relation_output"}
    assert quadratic(NonLocal(C, M, N, ndim, prefix="nl_"), place) == {"nl_scores_output", "nl_attention_maps_output"}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_the_left_association_gathers_into_m_times_n_values(place):
    shapes = output_shapes(DoubleAttention(C, M, N, len(place), prefix="a2_"), place)
    assert shapes["a2_descriptors_output"] == (1, M, N)
