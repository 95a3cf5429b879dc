"""Tables 1 to 6 as printed by the paper, each row with the corresponding network of this library."""

from __future__ import annotations

from a2net_gluon.insight.tables import Column, Network, Row, Table

__all__ = ["CONVENTIONS", "TABLES"]

CONVENTIONS = (
    '"#Params" are all values of the parameter file, four for each channel of a BN (γ, β, running mean, running '
    "variance), without the tail's BN and the bias of the fully connected layer: with this convention Tables 2 and 3 "
    "agree to the last digit.",
    '"FLOPs" are multiply-adds of convolutions, the fully connected layer and the matrix products of attention blocks, '
    "for one image or clip: double attention 4·c·m·L + 2·m·n·L (the left association), non-local 4·c·m·L + 2·m·L².",
    "A counted figure matches if, rounded to the printed digits, it equals the printed figure. Zeros at the end of a "
    "whole number do not count as digits: the 900 M of ResNet-29 is the difference of the printed 9.2 G and 8.3 G.",
    "Networks for images have 1000 classes (ImageNet), networks for clips 400 (Kinetics), in Table 6 101 (UCF-101).",
)


def _row(labels: str, network: Network | None, costs: str, accuracies: str = "") -> Row:
    """Create a row from cells separated by `|`, as in a printed table."""
    return Row(_cells(labels), network, _cells(costs), _cells(accuracies))


def _cells(text: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in text.split("|")) if text else ()


_RESNET26, _RESNET29, _RESNET50_3D = (Network(f"resnet{depth}_3d") for depth in (26, 29, 50))


def _resnet26(context: str, **placement: tuple[int, ...]) -> Network:
    """Return ResNet-26 with blocks after units of some stages; m = n = c/4 (section 3.2)."""
    return Network("resnet26_3d", context, tuple(placement.items()))


def _added_flops(network: Network) -> int | None:
    return None if network == _RESNET26 else network.cost.paper_macs - _RESNET26.cost.paper_macs


_PARAMS = Column("#Params", lambda network: network.cost.paper_params, exact=True)
_ALL_VALUES = Column("all values", lambda network: network.cost.params, exact=True)
_FLOPS = Column("FLOPs", lambda network: network.cost.paper_macs)
_ADDED_FLOPS = Column("Δ FLOPs", _added_flops)

_ABLATION_COLUMNS = (_PARAMS, _FLOPS, _ADDED_FLOPS), ("Clip@1", "Δ Clip@1", "Video@1")
_WITHOUT_BLOCKS = (
    _row("ResNet-26 | none", _RESNET26, "7.043 M | 8.3 G | –", "50.4 % | – | 60.7 %"),
    _row("ResNet-29 | none", _RESNET29, "7.620 M | 9.2 G | 900 M", "50.8 % | +0.5 % | 61.6 %"),
)
_NL_CONV2, _A2_CONV2 = (_resnet26(context, conv2=(2,)) for context in ("nl", "a2"))
_NL_CONV3, _A2_CONV3 = (_resnet26(context, conv3=(2,)) for context in ("nl", "a2"))
_NL_CONV4, _A2_CONV4 = (_resnet26(context, conv4=(2,)) for context in ("nl", "a2"))
_NL_TWO, _A2_TWO = (_resnet26(context, conv4=(1, 2)) for context in ("nl", "a2"))
_NL_FOUR, _A2_FOUR = (_resnet26(context, conv3=(1, 2), conv4=(1, 2)) for context in ("nl", "a2"))

TABLES = (
    Table(
        1,
        "the backbones for clips",
        ("network", "input"),
        (_PARAMS, _FLOPS),
        (),
        (
            _row("ResNet-26 | 16×112×112", _RESNET26, "7.0 M | 8.3 G"),
            _row("ResNet-29 | 16×112×112", _RESNET29, "7.6 M | 9.2 G"),
            _row("ResNet-50 | 8×224×224", _RESNET50_3D, "33.4 M | 31.3 G"),
        ),
    ),
    Table(
        2,
        "one block, on Kinetics",
        ("model", "+ 1 block"),
        *_ABLATION_COLUMNS,
        (
            *_WITHOUT_BLOCKS,
            _row("ResNet-26 + NL | @ conv2", _NL_CONV2, "7.061 M | 49.0 G | 40.69 G", "– | – | –"),
            _row("ResNet-26 + NL | @ conv3", _NL_CONV3, "7.112 M | 13.7 G | 5.45 G", "51.5 % | +1.1 % | 62.0 %"),
            _row("ResNet-26 + NL | @ conv4", _NL_CONV4, "7.312 M | 9.3 G | 1.04 G", "51.7 % | +1.3 % | 62.3 %"),
            _row("ResNet-26 + A² | @ conv2", _A2_CONV2, "7.061 M | 8.7 G | 463 M", "51.2 % | +0.8 % | 61.8 %"),
            _row("ResNet-26 + A² | @ conv3", _A2_CONV3, "7.112 M | 8.7 G | 463 M", "51.9 % | +1.5 % | 62.0 %"),
            _row("ResNet-26 + A² | @ conv4", _A2_CONV4, "7.312 M | 8.7 G | 463 M", "52.3 % | +1.9 % | 62.6 %"),
        ),
    ),
    Table(
        3,
        "several blocks, on Kinetics",
        ("model", "+ N blocks"),
        *_ABLATION_COLUMNS,
        (
            *_WITHOUT_BLOCKS,
            _row("ResNet-26 + NL | 1 @ conv4", _NL_CONV4, "7.312 M | 9.3 G | 1.04 G", "51.7 % | +1.3 % | 62.3 %"),
            _row("ResNet-26 + NL | 2 @ conv4", _NL_TWO, "7.581 M | 10.4 G | 2.08 G", "52.0 % | +1.6 % | 62.9 %"),
            _row("ResNet-26 + NL | 4 @ conv3&4", _NL_FOUR, "7.719 M | 21.3 G | 12.97 G", "52.4 % | +2.0 % | 62.8 %"),
            _row("ResNet-26 + A² | 1 @ conv4", _A2_CONV4, "7.312 M | 8.7 G | 463 M", "52.3 % | +1.9 % | 62.6 %"),
            _row("ResNet-26 + A² | 2 @ conv4", _A2_TWO, "7.581 M | 9.2 G | 925 M", "52.5 % | +2.1 % | 63.1 %"),
            _row("ResNet-26 + A² | 4 @ conv3&4", _A2_FOUR, "7.719 M | 10.1 G | 1.85 G", "53.0 % | +2.6 % | 63.5 %"),
        ),
    ),
    Table(
        4,
        "ImageNet",
        ("model", "backbone"),
        (_PARAMS, _ALL_VALUES, _FLOPS),
        ("Top-1", "Top-5"),
        (
            _row("ResNet | ResNet-50", Network("resnet50"), "– | – | –", "75.3 % | 92.2 %"),
            _row("ResNet | ResNet-152", Network("resnet152"), "– | – | –", "77.0 % | 93.3 %"),
            _row("SENet | ResNet-50", Network("se_resnet50"), "– | – | –", "76.7 % | 93.4 %"),
            _row("A²-Net | ResNet-50", Network("a2net_resnet50"), "33.0 M | – | 6.5 G", "77.0 % | 93.5 %"),
        ),
        (
            "The paper's table has no costs; its 33.0 M and 6.5 G are from the text of section 3.3.",
            "The paper quotes ResNet and SENet from their own papers. Counted here are `resnet50`, `resnet152` and "
            "`se_resnet50`, which have the stem and the pre-activation units of the paper's A²-Net.",
            '"all values" is the size of the parameter file, the tail\'s BN and the bias of the fully connected layer '
            "included.",
        ),
    ),
    Table(
        5,
        "Kinetics",
        ("model", "frames"),
        (_FLOPS,),
        ("Video@1", "Video@5"),
        (
            _row("ConvNet+LSTM | –", None, "–", "63.3 % | –"),
            _row("I3D | 64", None, "107.9 G", "71.1 % | 89.3 %"),
            _row("R(2+1)D | 32", None, "152.4 G", "72.0 % | 90.0 %"),
            _row("A²-Net | 8", Network("a2net_resnet50_3d"), "40.8 G", "74.6 % | 91.5 %"),
        ),
        ("The first three are quoted by the paper; this library has no such networks.",),
    ),
    Table(
        6,
        "UCF-101",
        ("method", "backbone"),
        (_FLOPS,),
        ("Video@1",),
        (
            _row("C3D | VGG", None, "38.5 G", "82.3 %"),
            _row("Res3D | ResNet-18", None, "19.3 G", "85.8 %"),
            _row("I3D-RGB | Inception", None, "107.9 G", "95.6 %"),
            _row("R(2+1)D-RGB | ResNet-34", None, "152.4 G", "96.8 %"),
            _row("A²-Net | ResNet-50", Network("a2net_resnet50_3d", classes=101), "41.6 G", "96.4 %"),
        ),
        ("The first four are quoted by the paper; this library has no such networks.",),
    ),
)
