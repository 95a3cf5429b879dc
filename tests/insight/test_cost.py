"""Counts against the paper, a hand formula, and the parameter file."""

import mxnet as mx
import pytest
from mxnet.gluon import nn

from a2net_gluon import DoubleAttention, cost, get_model, list_models
from a2net_gluon.blocks import NonLocal
from a2net_gluon.insight.counting import parameter_count
from a2net_gluon.insight.curves import Panel, draw_curves
from a2net_gluon.networks import input_shape
from tests.helpers.paper import ABLATIONS, MISSES, WHOLE


@pytest.mark.parametrize(
    ("name", "params", "paper_params", "macs"),
    [  # PAPER: 33.0 M and 6.5 G for the A²-Net (section 3.3); the exact values are worked out from its structure
        ("resnet50", 25_584_840, 25_575_648, 3_969_163_264),
        ("a2net_resnet50", 32_982_216, 32_973_024, 6_538_174_464),
    ],
)
def test_the_papers_image_networks(name, params, paper_params, macs):
    counted = cost(get_model(name), (3, 224, 224))
    assert (counted.params, counted.paper_params, counted.macs) == (params, paper_params, macs)
    assert parameter_count(get_model(name)) == params
    assert counted.paper_macs == macs
    assert round(counted.paper_macs / 1e6) == {"resnet50": 3969, "a2net_resnet50": 6538}[name]


def test_mobilenet_v2():
    """3.4 M and 300 M in its paper's Table 4; 3,504,872 trained values and 300.8 M in torchvision."""
    counted = cost(get_model("mobilenet_v2"), (3, 224, 224))
    assert (counted.params, counted.trainable_params) == (3_538_984, 3_504_872)
    macs = 112**2 * 32 * 27 + 49 * 320 * 1280 + 1280 * 1000  # stem, last convolution, fully connected
    size, width = 112, 32
    for t, c, n, s in zip(  # its Table 2
        (1, 6, 6, 6, 6, 6, 6), (16, 24, 32, 64, 96, 160, 320), (1, 2, 3, 4, 3, 3, 1), (1, 2, 2, 2, 1, 2, 1)
    ):
        for stride in (s, *(1,) * (n - 1)):
            inner, smaller = width * t, size // stride
            macs += (size**2 * width * inner if t > 1 else 0) + smaller**2 * inner * (9 + c)
            size, width = smaller, c
    assert counted.macs == macs == 300_774_272


def test_mobilenet_v2_with_double_attention():
    plain, extended = (cost(get_model(name), (3, 224, 224)) for name in ("mobilenet_v2", "a2net_mobilenet_v2"))
    blocks = [(32, 28), (32, 28), (64, 14), (64, 14), (96, 14)]  # c = m = n, and the side of the map
    assert extended.trainable_params - plain.trainable_params == sum(4 * c * c + 8 * c for c, _ in blocks) == 80_128
    assert extended.macs - plain.macs == sum(6 * c * c * side**2 for c, side in blocks) == 30_105_600
    assert extended.macs / plain.macs < 1.15


def assert_printed(value, printed):
    """`value` rounds to the digits `printed`, or to those of a known miss."""
    expected = MISSES.get(printed, printed)
    assert f"{value:.{len(expected.partition('.')[2])}f}" == expected


@pytest.mark.parametrize(("kind", "placement", "params", "printed_params", "added", "printed", "unit"), ABLATIONS)
def test_ablations_of_tables_2_and_3(kind, placement, params, printed_params, added, printed, unit):
    shape = input_shape("resnet26_3d")
    counted = cost(get_model("resnet26_3d", context=kind, placement=placement), shape)
    assert counted.paper_params == params
    assert_printed(params / 1e6, printed_params)
    assert counted.paper_macs - cost(get_model("resnet26_3d"), shape).paper_macs == added
    assert_printed(added / {"M": 1e6, "G": 1e9}[unit], printed)


@pytest.mark.parametrize(("name", "options", "params", "printed_params", "macs", "printed_macs"), WHOLE)
def test_whole_networks_of_the_paper(name, options, params, printed_params, macs, printed_macs):
    counted = cost(get_model(name, **options), input_shape(name))
    assert counted.paper_params == params
    if printed_params:
        assert_printed(params / 1e6, printed_params)
    assert round(counted.paper_macs / 1e6, 2) == macs
    assert_printed(counted.paper_macs / 1e9, printed_macs)


def test_networks_the_paper_takes_from_others():
    """ResNet-152: 60.2 M trained parameters, 11.3 to 11.6 G; SENet adds 2c²/16 + c + c/16 values to each unit."""
    deep = cost(get_model("resnet152"), (3, 224, 224))
    assert (deep.params, deep.trainable_params, deep.macs) == (60_318_920, 60_171_528, 11_393_605_632)
    counted = cost(get_model("se_resnet50"), (3, 224, 224))
    widths = [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 3
    assert counted.params == 25_584_840 + sum(2 * c * c // 16 + c + c // 16 for c in widths)
    assert counted.macs == 3_969_163_264 + sum(2 * c * c // 16 for c in widths)


@pytest.mark.parametrize("shape", [(12, 6, 5), (12, 3, 6, 5)])
def test_non_local_against_its_formula(shape):
    c, m, n = 12, 5, 4
    locations = mx.nd.zeros(shape[1:]).size
    counted = cost(NonLocal(c, m, n, ndim=len(shape) - 1), shape)
    assert counted.macs == counted.paper_macs == 2 * c * locations * (m + n) + (m + n) * locations**2


@pytest.mark.parametrize("name", list_models())
def test_params_are_the_values_of_the_parameter_file(name, tmp_path):
    net = get_model(name)
    net.initialize(mx.init.Zero())
    net.save_parameters(str(tmp_path / "net.params"))
    counted = cost(net, input_shape(name))
    assert counted.params == sum(array.size for array in mx.nd.load(str(tmp_path / "net.params")).values())
    running = sum(p.data().size for name, p in net.collect_params().items() if "running" in name)
    assert counted.trainable_params == counted.params - running


@pytest.mark.parametrize("shape", [(12, 6, 5), (12, 3, 6, 5)])
def test_block_against_the_papers_formula(shape):
    c, m, n = 12, 5, 4
    locations = mx.nd.zeros(shape[1:]).size
    convolutions = c * locations * (m + 2 * n) + m * locations * c
    left, right = (
        cost(DoubleAttention(c, m, n, ndim=len(shape) - 1, association=association), shape)
        for association in ("left", "right")
    )
    assert left.macs == left.paper_macs == right.paper_macs == convolutions + 2 * m * n * locations
    assert right.macs == convolutions + (m + n) * locations**2


def test_grouped_convolution_and_fully_connected():
    net = nn.HybridSequential()
    net.add(nn.Conv2D(8, (3, 3), padding=1, groups=2, in_channels=4), nn.Flatten(), nn.Dense(3, in_units=8 * 25))
    assert cost(net, (4, 5, 5)).macs == 25 * 8 * 2 * 9 + 8 * 25 * 3


@pytest.mark.parametrize(
    ("block", "operator"),
    [
        (nn.Conv2DTranspose(8, (3, 3), in_channels=4), "Deconvolution"),
        (nn.HybridLambda(lambda f, x: f.dot(x.reshape((20, 5)), x.reshape((5, 20)))), "dot"),
        (nn.HybridLambda(lambda f, x: f.linalg.gemm2(x, x)), "_linalg_gemm2"),
        (nn.HybridLambda(lambda f, x: f.linalg.gemm(x, x, x)), "_linalg_gemm"),
        (nn.HybridLambda(lambda f, x: f.linalg.syrk(x)), "_linalg_syrk"),
        (nn.HybridLambda(lambda f, x: f.Correlation(x, x)), "Correlation"),
        (
            nn.HybridLambda(lambda f, x: f.contrib.interleaved_matmul_selfatt_qk(x.reshape((5, 1, 20 * 3)), heads=2)),
            "_contrib_interleaved_matmul_selfatt_qk",
        ),
    ],
)
def test_uncounted_operator_is_not_free(block, operator):
    with pytest.raises(NotImplementedError, match=f"multiply-adds of {operator} are not counted"):
        cost(block, (12, 5, 5) if "interleaved" in operator else (4, 5, 5))


def test_curves_are_a_picture(tmp_path):
    columns = ("train_loss", "val_loss", "train_top1", "val_top1", "val_top5", "learning_rate")
    epoch = dict.fromkeys(columns, 0.5)
    panels = [Panel(title, {column: column for column in columns}, 100) for title in ("one", "two", "three")]
    draw_curves([{"epoch": 1, **epoch}, {"epoch": 2, **epoch}], tmp_path / "curves.png", panels)
    height, width, _ = mx.image.imread(str(tmp_path / "curves.png")).shape
    assert (height, width) == (360, 1200)
