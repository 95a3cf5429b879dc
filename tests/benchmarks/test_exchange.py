"""The calculation for many devices, and the page that shows it."""

import pytest

from benchmarks import exchange
from tests.helpers.processes import ROOT


def test_page_has_the_tables():
    page = (ROOT / "docs" / "results" / "scaling.md").read_text(encoding="utf-8")
    assert exchange.exchange_table(1, 8, exchange.INSIDE) in page
    assert exchange.exchange_table(8, 8, exchange.LINKS) in page


def test_times_of_an_exchange_and_efficiency():
    # Two devices swap all they have; at the limit each sends everything twice. 4 bytes, 1 GB/s.
    assert exchange.exchange_seconds(10**9, 2, 1e9, 4) == 4
    assert exchange.exchange_seconds(10**9, 10**9, 1e9, 4) == pytest.approx(8)
    assert exchange.efficiency(3.0, 1.0, overlap=False) == 0.75
    assert exchange.efficiency(3.0, 2.0, overlap=True) == 1.0
    assert exchange.efficiency(3.0, 5.0, overlap=True) == 0.5  # two of the five seconds are hidden
