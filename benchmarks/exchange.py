"""Times in which devices exchange gradients, calculated, not measured: the tables of docs/results/scaling.md.

``python -m benchmarks.exchange`` prints them.
"""

import a2net_gluon
from benchmarks.report import table

__all__ = ["INSIDE", "LINKS", "efficiency", "exchange_seconds", "exchange_table"]

NETWORK, SHAPE = "a2net_resnet50", (3, 224, 224)
BACKWARD = 2 / 3  # of a step's multiply-adds
# Arithmetic: bytes of a gradient, and images a second on one device (assumed, see docs/results/scaling.md).
KINDS = {"float32": (4, 200.0), "float16": (2, 600.0)}
# Bytes a second that a link carries each way.
INSIDE = {"NVLink, 130 GB/s": 130e9, "PCI Express, 10 GB/s": 10e9}
LINKS = {"100 Gbit/s": 12.5e9, "25 Gbit/s": 3.125e9, "10 Gbit/s": 1.25e9}
TITLES = [
    "link",
    "gradients",
    "batch a device",
    "step",
    "exchange",
    "efficiency, one after the other",
    "beside each other",
]


def exchange_seconds(values, members, rate, size):
    """Return the time in which `members` add up `values` gradients over links of `rate` bytes a second each way.

    Each sends, and receives, 2 (N - 1) / N times all gradients. So it is in a ring all-reduce, and with as many servers
    as workers, one on each machine, which send to all but themselves.
    """
    return 2 * (members - 1) / members * values * size / rate


def efficiency(step, exchange, overlap):
    """Return the speed of each device against one alone, from the seconds of a step and of its exchange.

    With `overlap` the exchange runs beside the backward pass, as far as that lasts.
    """
    hidden = min(exchange, BACKWARD * step) if overlap else 0.0
    return step / (step + exchange - hidden)


def exchange_table(machines, devices, links, batches=(32, 64)):
    """Return a Markdown table for `machines` with `devices` each, connected by each of `links` in turn."""
    values = a2net_gluon.cost(a2net_gluon.get_model(NETWORK), SHAPE).trainable_params
    rows = []
    for link, rate in links.items():
        for kind, (size, speed) in KINDS.items():
            exchange = exchange_seconds(values, machines if machines > 1 else devices, rate, size)
            if machines > 1:  # first inside each machine
                exchange += exchange_seconds(values, devices, INSIDE["NVLink, 130 GB/s"], size)
            for batch in batches:
                step = batch / speed
                shares = [f"{100 * efficiency(step, exchange, overlap):.0f} %" for overlap in (False, True)]
                rows.append([link, kind, str(batch), f"{1e3 * step:.0f} ms", f"{1e3 * exchange:.1f} ms", *shares])
    return table(TITLES, rows)


if __name__ == "__main__":
    print("8 devices, one machine\n")
    print(exchange_table(1, 8, INSIDE))
    print("\n64 devices, eight machines of eight with NVLink\n")
    print(exchange_table(8, 8, LINKS))
