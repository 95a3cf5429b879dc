"""A short form of ``make fuzz``, and faults that the judge must see."""

import contextlib
import dataclasses

import pytest

from tests.fuzz.__main__ import Fuzzer
from tests.fuzz.case import Case
from tests.fuzz.kinds import KINDS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fuzzer():
    with contextlib.closing(Fuzzer()) as running:
        yield running


@pytest.mark.parametrize("kind", KINDS)
def test_no_input_does_harm(kind, fuzzer):
    for number in range(2):
        case = dataclasses.replace(fuzzer.case(kind, 0, number), seconds=600)  # tests depend on no machine's speed
        assert fuzzer.run(case)[0] == [], number


def test_a_case_is_the_same_again(fuzzer):
    for kind in set(KINDS) - {"store"}:  # whose server has another address
        assert fuzzer.case(kind, 1, 2) == fuzzer.case(kind, 1, 2)


SAY = "import sys; sys.stderr.write({!r}); sys.exit({})"
FAULTS = {
    "traceback": ("raise ValueError", "says 'Traceback"),
    "exit code": (SAY.format("", 3), "exit code 3"),
    "crash": ("import os; os.abort()", "exit code -6"),
    "hang": ("import time; time.sleep(100)", "exceeded 2 s"),
    "memory": ("import time; all = b'x' * 2**30; time.sleep(100)", "exceeded 512 MiB"),
    "no reason": (SAY.format("", 1), "0 lines of errors with exit code 1"),
    "two reasons": (SAY.format("a\nb\n", 2), "2 lines of errors with exit code 2"),
    "a warning": (SAY.format("a\n", 0), "1 lines of errors with exit code 0"),
    "an escape": (SAY.format("\x1b\n", 1), "prints the control character"),
    "half a file": ("open('.x.tmp', 'w')", "left here/.x.tmp"),
    "a temporary file": ("import tempfile; tempfile.mkdtemp(prefix='x')", "left tmp/x"),
    "a process": ("import os, time; os.fork() or time.sleep(100)", "left 1 processes"),
    "a cut file": ("open('x.json', 'w').write('{')", "wrote x.json, which is damaged"),
    "a lost file": ("import os; os.remove('data')", "changed data"),
    "another file": ("open('result', 'w').write('0')", "wrote another result"),
    "foreign memory": ("import numpy; print(numpy.empty(99999, 'uint8')[5000:5010])", "two processes say"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_judge_sees(fault, fuzzer):
    statement, finding = FAULTS[fault]
    limits = {"seconds": 2 if fault == "hang" else 60, "memory": 2**29}
    case = Case(("python", statement), {"data": b"1"}, twice=True, same={"result": b"1"}, **limits)
    assert finding in "\n".join(fuzzer.run(case)[0])


def test_the_judge_sees_nothing_else(fuzzer):
    case = Case(("python", SAY.format("one line\n", 1)), {"data": b"1"}, twice=True, same={"result": b"1"})
    assert fuzzer.run(case)[0] == []
