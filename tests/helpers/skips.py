"""A part of pytest that lets no test be skipped: continuous integration sets A2NET_NO_SKIPS.

A run that lacks a program or an environment then fails, instead of proving less than it seems to.
"""

import os

import pytest

__all__ = ["pytest_make_collect_report", "pytest_runtest_makereport"]

# Parts of the reasons that are accepted nevertheless: what no file of this repository can install.
ACCEPTED = (
    "DALI is not installed",  # half a gigabyte
    "Horovod is an extra that is built from source",  # for minutes
    "are not on this machine",  # archives of real images
    "this machine has a GPU",
    "oneDNN does this with AVX-512",
    *(f"{kind} has no " for kind in ("JPEG", "PNG", "BMP")),  # kind of pixels
)


def fail_if_skipped(report):
    """Turn the report of a test, or of a file of tests, into that of a failure."""
    if not os.environ.get("A2NET_NO_SKIPS") or not report.skipped or hasattr(report, "wasxfail"):
        return
    *_, reason = report.longrepr
    if not any(words in reason for words in ACCEPTED):
        report.outcome, report.longrepr = "failed", f"A2NET_NO_SKIPS is set. {reason}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport():
    fail_if_skipped((yield).get_result())


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report():
    fail_if_skipped((yield).get_result())
