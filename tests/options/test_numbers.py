"""Every number on a command line has bounds, told in one line before anything is done.

An option that takes a number is one that refuses a word and has no list of choices.
"""

import re

import pytest

from a2net_gluon import cli
from tests.helpers.commands import call
from tests.options.test_flags_of_all_commands import BEFORE, POSITIONAL

OUT_OF_BOUNDS = ("nan", "inf", "1e39", "-1", "1e-300", "9" * 5000)
# The start of a value that holds numbers among other things.
STARTS = {"--placement": "conv4:", "--locations": "0.5,"}
NUMBERS = {
    "train": 35,
    "check": 35,
    "evaluate": 11,
    "export": 5,
    "predict": 2,
    "attention": 6,
    "cost": 5,
    "launch": 5,
    "tables": 0,
    "digits": 0,
    "pack": 0,
}


@pytest.fixture(autouse=True)
def only_parsed(monkeypatch):
    """Commands that go on after their options are parsed would be an error of this test."""
    monkeypatch.setattr(cli, "environment", None)


@pytest.mark.parametrize("command", BEFORE)
def test_every_number_is_bounded(command, capsys):
    numbers = set()
    for flag in BEFORE[command]:
        words = [*POSITIONAL.get(command, ()), "--no-such-flag"]
        if command == "launch":
            words = words[2:] if flag in ("-n", "--num-workers") else words
        _, _, said = call(capsys, command, *words, f"{flag}=word")
        if not re.search(rf"argument (\S+/)?{flag}(/\S+)?: 'word' is not ", said):
            continue
        numbers.add(flag)
        for text in OUT_OF_BOUNDS:
            code, _, said = call(capsys, command, *words, f"{flag}={STARTS.get(flag, '')}{text}")
            assert (code, said.count("\n")) == (2, 1), (flag, text, said)
            assert re.search(r"is not a (whole )?number from \S+ to \S+", said), (flag, text, said)
            assert len(said) < 300
        code, _, said = call(capsys, command, *words, f"{flag}=")
        assert (code, said.count("\n")) == (2, 1), (flag, said)
        assert re.search(f"argument .*{flag}.*: '' is (empty|not )", said), (flag, said)
    assert len(numbers) == NUMBERS[command], sorted(numbers)
