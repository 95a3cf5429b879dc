"""How long devices would exchange gradients, worked out, not measured: the tables of docs/results/scaling.md.

python benchmarks/exchange.py
"""

import typing

import a2net_gluon

__all__ = ["LINKS", "efficiency", "exchange_seconds", "table"]

NETWORK, SHAPE = "a2net_resnet50", (3, 224, 224)
BACKWARD = 2 / 3  # of a step's multiply-adds


class Kind(typing.NamedTuple):
    """Arithmetic of a run: its name, bytes of a gradient, assumed images a second on one device."""

    name: str
    size: int
    images: float


KINDS = (Kind("float32", 4, 200.0), Kind("float16", 2, 600.0))


class Link(typing.NamedTuple):
    """What connects devices: its name and how many bytes a second it carries each way."""

    name: str
    rate: float


INSIDE = (Link("NVLink, 130 GB/s", 130e9), Link("PCI Express, 10 GB/s", 10e9))
LINKS = (Link("100 Gbit/s", 12.5e9), Link("25 Gbit/s", 3.125e9), Link("10 Gbit/s", 1.25e9))


def exchange_seconds(values, members, rate, size):
    """Time in which `members` add up `values` gradients over links of `rate` bytes a second each way.

    Each sends, and receives, 2 (N - 1) / N times all gradients. So it is in a ring all-reduce, and with as many servers
    as workers, one on each machine, which send to all but themselves.
    """
    return 2 * (members - 1) / members * values * size / rate


def efficiency(step, exchange, overlap):
    """Speed for each device against one alone: seconds of a step and of its exchange.

    With `overlap` the exchange runs beside the backward pass, as far as that lasts.
    """
    hidden = min(exchange, BACKWARD * step) if overlap else 0.0
    return step / (step + exchange - hidden)


def table(machines, devices, links, batches=(32, 64)):
    """A Markdown table for `machines` with `devices` each, connected by each of `links` in turn."""
    values = a2net_gluon.cost(a2net_gluon.get_model(NETWORK), SHAPE).trainable_params
    members = machines if machines > 1 else devices
    lines = [
        "| link | gradients | batch a device | step | exchange | efficiency, one after the other | beside each other |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for link in links:
        for kind in KINDS:
            for batch in batches:
                step = batch / kind.images
                exchange = exchange_seconds(values, members, link.rate, kind.size)
                if machines > 1:  # first inside each machine
                    exchange += exchange_seconds(values, devices, INSIDE[0].rate, kind.size)
                shares = (f"{100 * efficiency(step, exchange, overlap):.0f} %" for overlap in (False, True))
                cells = (link.name, kind.name, str(batch), f"{1e3 * step:.0f} ms", f"{1e3 * exchange:.1f} ms", *shares)
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print("8 devices, one machine\n")
    print(table(1, 8, INSIDE))
    print("\n64 devices, eight machines of eight with NVLink\n")
    print(table(8, 8, LINKS))
