"""What `a2net cost` says, as text and as JSON."""

import json

__all__ = ["as_json", "as_text", "readable_bytes"]


def readable_bytes(count):
    """Write `count` bytes in a unit of 1024, as the paper does: ``1.0 MB``."""
    if count < 1024:
        return f"{count} B"
    for unit in ("KB", "MB", "GB"):
        count /= 1024
        if count < 1024 or unit == "GB":
            return f"{count:.1f} {unit}"


def as_text(total, parts, intermediates):
    """The lines of a whole network's `Cost`, of its `breakdown` and of the `intermediates` of its attention blocks.

    The latter two may be empty.
    """
    return "\n".join([*_total(total), *_parts(parts), *_intermediates(intermediates)])


def as_json(heading, total, parts, intermediates):
    """The same as a JSON object that starts with `heading`; "parts" and "intermediates" only with a breakdown."""
    found = {**heading, **vars(total)}
    if parts:
        found["parts"] = {name: vars(part) for name, part in parts.items()}
        found["intermediates"] = {name: vars(one) for name, one in intermediates.items()}
    return json.dumps(found)


def _total(total):
    yield f"  parameters        {total.params:>14,}   of which trained {total.trainable_params:,}"
    yield f"    the paper's way {total.paper_params:>14,}   without the tail's BN and the fc bias"
    yield f"  multiply-adds     {total.macs:>14,}   convolutions, fc, matrix products, as executed"
    yield f"    the paper's way {total.paper_macs:>14,}   double attention as 2·m·n·L"


def _parts(parts):
    if parts:
        yield f"\n  {'part':<20}{'parameters':>14}{'multiply-adds':>18}"
    for name, part in parts.items():
        yield f"  {name:<20}{part.params:>14,}{part.macs:>18,}"


def _intermediates(intermediates):
    if intermediates:
        yield "\n  stored between the two products of an attention block, for one input in float32"
        yield f"  {'block':<20}{'locations':>12}{'left, m·n':>14}{'right, L²':>14}{'as built':>14}"
    for name, one in intermediates.items():
        left = "–" if one.left is None else readable_bytes(one.left)
        sizes = f"{left:>14}{readable_bytes(one.right):>14}{readable_bytes(one.stored):>14}"
        yield f"  {name:<20}{one.locations:>12,}{sizes}   {one.kind}"
