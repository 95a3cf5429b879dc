"""The report of ``a2net cost`` as text and as JSON."""

from __future__ import annotations

import json
from typing import Any, Iterator, Mapping

from a2net_gluon.insight.cost_breakdown import Intermediate
from a2net_gluon.insight.counting import Cost

__all__ = ["as_json", "as_text", "readable_bytes"]


def readable_bytes(count: float) -> str:
    """Return `count` bytes in a multiple of 1024, as the paper does: ``1.0 MB``."""
    if count < 1024:
        return f"{count} B"
    for unit in ("KB", "MB"):
        count /= 1024
        if count < 1024:
            return f"{count:.1f} {unit}"
    return f"{count / 1024:.1f} GB"


def as_text(total: Cost, parts: Mapping[str, Cost], intermediates: Mapping[str, Intermediate]) -> str:
    """Return a network's cost, `breakdown` and `intermediates` as lines of text; the latter two may be empty."""
    return "\n".join([*_total(total), *_parts(parts), *_intermediates(intermediates)])


def as_json(
    heading: Mapping[str, Any], total: Cost, parts: Mapping[str, Cost], intermediates: Mapping[str, Intermediate]
) -> str:
    """Return the same as a JSON object that starts with `heading`; a breakdown adds "parts" and "intermediates"."""
    found: dict[str, Any] = {**heading, **vars(total)}
    if parts:
        found["parts"] = {name: vars(part) for name, part in parts.items()}
        found["intermediates"] = {name: vars(one) for name, one in intermediates.items()}
    return json.dumps(found)


def _total(total: Cost) -> Iterator[str]:
    yield f"  parameters        {total.params:>14,}   of which trained {total.trainable_params:,}"
    yield f"    the paper's way {total.paper_params:>14,}   without the tail's BN and the fc bias"
    yield f"  multiply-adds     {total.macs:>14,}   convolutions, fc, matrix products, as executed"
    yield f"    the paper's way {total.paper_macs:>14,}   double attention as 2·m·n·L"


def _parts(parts: Mapping[str, Cost]) -> Iterator[str]:
    if parts:
        yield f"\n  {'part':<20}{'parameters':>14}{'multiply-adds':>18}"
    for name, part in parts.items():
        yield f"  {name:<20}{part.params:>14,}{part.macs:>18,}"


def _intermediates(intermediates: Mapping[str, Intermediate]) -> Iterator[str]:
    if intermediates:
        yield "\n  stored between the two products of an attention block, for one input in float32"
        yield f"  {'block':<20}{'locations':>12}{'left, m·n':>14}{'right, L²':>14}{'as built':>14}"
    for name, one in intermediates.items():
        left = "–" if one.left is None else readable_bytes(one.left)
        sizes = f"{left:>14}{readable_bytes(one.right):>14}{readable_bytes(one.stored):>14}"
        yield f"  {name:<20}{one.locations:>12,}{sizes}   {one.kind}"
