"""Continuous integration fails where a test is skipped for lack of something."""

import os
import subprocess
import sys

import pytest

from tests.helpers.processes import ROOT

TESTS = """
import pytest
@pytest.mark.skipif(True, reason="there is no gcc")
def test_marked(): ...
def test_lacking(): pytest.skip("make peers")
def test_accepted(): pytest.importorskip("no_such_module", reason="DALI is not installed")
@pytest.mark.xfail
def test_wrong(): assert False
def test_right(): ...
"""
MISSING = "import pytest\npytest.importorskip('no_such_module', reason='ONNX is an extra')\n"


def run(path, text, setting):
    """The exit code and the last line of pytest's report on a file."""
    path.write_text(text)
    options = ["-q", "--noconftest", "-p", "no:cacheprovider", "-p", "tests.helpers.skips", "-c", os.devnull]
    variables = {**os.environ, "A2NET_NO_SKIPS": setting, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "pytest", *options, str(path)]
    done = subprocess.run(words, env=variables, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines()[-1].partition(" in ")[0]


@pytest.mark.parametrize(
    ("text", "setting", "expected"),
    [
        (TESTS, "", (0, "1 passed, 3 skipped, 1 xfailed")),
        (TESTS, "1", (1, "1 failed, 1 passed, 1 skipped, 1 xfailed, 1 error")),
        (MISSING, "", (5, "1 skipped")),
        (MISSING, "1", (2, "1 error")),
    ],
    ids=["tests may be", "tests may not be", "a file may be", "a file may not be"],
)
def test_skipped(text, setting, expected, tmp_path):
    assert run(tmp_path / "test_some.py", text, setting) == expected
