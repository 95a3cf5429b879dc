"""Costs by stage and block, and what attention blocks store between their two products."""

import json

import pytest

from a2net_gluon import DoubleAttention, cli, cost, get_model, list_models
from a2net_gluon.blocks import NonLocal
from a2net_gluon.errors import UsageError
from a2net_gluon.insight import Cost, breakdown, intermediates, stored_bytes
from a2net_gluon.insight.cost_breakdown import PARTS
from a2net_gluon.insight.cost_report import readable_bytes
from a2net_gluon.networks import input_shape
from a2net_gluon.options import commands

CLIP = (512, 32, 28, 28)  # section 2.3: "32 28 × 28 frames and 512 channel size"


@pytest.mark.parametrize("by", PARTS)
@pytest.mark.parametrize("name", list_models())
def test_parts_add_up_to_the_whole(name, by):
    net, shape = get_model(name), input_shape(name)
    assert sum(breakdown(net, shape, by).values(), Cost()) == cost(net, shape)


def test_stages_and_blocks():
    net = get_model("a2net_resnet50", prefix="mine_")  # parts are named the same whatever the prefix
    stages, blocks = (breakdown(net, (3, 224, 224), by) for by in PARTS)
    assert list(stages) == ["stem", "conv2", "conv3", "conv4", "conv5", "tail", "fc"]
    assert list(blocks)[:7] == [
        *("stem", "conv2_x__1", "conv2_x__2", "conv2_x__3", "conv3_x__1", "conv3_x__2", "conv3_x__2 context"),
    ]
    c, locations = 512, 28 * 28  # m = n = c/2: three convolutions in, one out, four BNs of 4 values a channel
    block = blocks["conv3_x__2 context"]
    assert block.params == 4 * c * c // 2 + 4 * (3 * c + c // 2) == 531_456
    assert block.macs == 4 * c * c // 2 * locations + 2 * (c // 2) ** 2 * locations == 513_802_240
    assert stages["tail"] == Cost(params=4 * 2048, trainable_params=2 * 2048)
    assert (stages["fc"].params, stages["fc"].macs) == (2048 * 1000 + 1000, 2048 * 1000)


def test_blocks_on_the_branch_and_stages_of_the_compact_network():
    blocks = breakdown(get_model("se_resnet50"), (3, 224, 224))
    assert [name for name in blocks if "context" in name][:2] == ["conv2_x__1 context", "conv2_x__2 context"]
    assert blocks["conv2_x__1 context"].params == 2 * 256 * 16 + 256 + 16
    stages = breakdown(get_model("a2net_mobilenet_v2"), (3, 224, 224), "stage")
    assert list(stages) == ["stem", *(f"conv{number}" for number in range(2, 10)), "fc"]


def test_unknown_parts():
    with pytest.raises(UsageError, match="by is 'layer'; it must be one of stage, block"):
        breakdown(get_model("resnet50"), (3, 224, 224), "layer")
    assert commands.PARTS == PARTS


def test_the_papers_megabyte_against_more_than_two_gigabytes():
    """Section 2.3: mn/2¹⁸ MB against (dhw)²/2¹⁸ MB, "more than 2GB" against 1 MB."""
    left, right = stored_bytes(512, 512, 32 * 28 * 28)
    assert (left, right) == (2**20, 4 * 25_088**2)
    assert (left, right) == (512 * 512 * 2**20 // 2**18, (32 * 28 * 28) ** 2 * 2**20 // 2**18)
    assert (readable_bytes(left), readable_bytes(right)) == ("1.0 MB", "2.3 GB")
    assert right > 2 * 2**30


@pytest.mark.parametrize("association", ["left", "right"])
def test_intermediate_of_a_block(association):
    block = DoubleAttention(512, 512, 512, ndim=3, association=association, prefix="block_")
    (found,) = intermediates(block, CLIP).values()
    left, right = stored_bytes(512, 512, 32 * 28 * 28)
    assert (found.kind, found.locations, found.left, found.right) == ("double attention", 25_088, left, right)
    assert found.stored == {"left": left, "right": right}[association]


def test_intermediate_of_a_non_local_block():
    (found,) = intermediates(NonLocal(512, 256, 128, ndim=3), CLIP).values()
    assert (found.kind, found.left) == ("non-local", None)
    assert found.right == found.stored == 4 * 25_088**2


def test_intermediates_of_networks():
    found = intermediates(get_model("a2net_resnet50", association="right"), (3, 224, 224))
    assert list(found) == [f"conv3_x__{unit} context" for unit in (2, 4)] + [
        f"conv4_x__{unit} context" for unit in (2, 4, 6)
    ]
    assert found["conv3_x__2 context"].left == 4 * 256 * 256
    assert found["conv3_x__2 context"].right == found["conv3_x__2 context"].stored == 4 * (28 * 28) ** 2
    assert intermediates(get_model("se_resnet50"), (3, 224, 224)) == {}


@pytest.mark.parametrize(
    ("count", "text"), [(12, "12 B"), (1024, "1.0 KB"), (3 * 2**20 // 2, "1.5 MB"), (5 * 2**40, "5120.0 GB")]
)
def test_readable_bytes(count, text):
    assert readable_bytes(count) == text


def test_command(capsys):
    assert cli.main(["cost", "nl_resnet26_3d", "--by", "block"]) == 0
    out = capsys.readouterr().out
    assert "conv4_x__2 context         268,800     1,040,449,536" in out
    assert "1,568             –        9.4 MB        9.4 MB   non-local" in out
    assert cli.main(["cost", "a2net_resnet50", "--by", "stage", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert sum(part["macs"] for part in found["parts"].values()) == found["macs"] == 6_538_174_464
    assert found["intermediates"]["conv3_x__2 context"]["left"] == 2**18
    assert cli.main(["cost", "a2net_resnet50", "--json"]) == 0
    assert "parts" not in json.loads(capsys.readouterr().out)
