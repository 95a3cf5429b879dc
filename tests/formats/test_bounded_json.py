"""JSON is read with bounds on its size and depth, by every reader of the program."""

import json

import pytest

from a2net_gluon.errors import FailureError
from a2net_gluon.formats.bounded_json import parse_json, read_json
from a2net_gluon.networks.description import Description

LEVELS = 32


@pytest.mark.parametrize("value", [None, 1.5, "a", [], {}, {"a": [1, {"b": [True, None, "ñ"]}]}, 10**300, -1])
def test_the_same_as_json(tmp_path, value):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    assert read_json(path) == value


def test_the_deepest():
    assert json.dumps(parse_json(b"[" * LEVELS + b"]" * LEVELS)) == "[" * LEVELS + "]" * LEVELS


HOSTILE = {
    "levels": b"[" * (LEVELS + 1) + b"]" * (LEVELS + 1),
    "levels of objects": b'{"a":' * 100 + b"1" + b"}" * 100,
    "100,000 levels": b"[" * 100_000 + b"]" * 100_000,
    "100,000 levels without an end": b'[{"a":' * 100_000,
    "digits": b"1" * 5000,
    "size": b'"' + b"a" * 2**24 + b'"',
    "no UTF-8": b'"\xff"',
    "nothing": b"",
    "no JSON": b"{'a': 1}",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_what_is_out_of_bounds(tmp_path, content):
    path = tmp_path / "model.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"\S"):
        read_json(path)
    with pytest.raises(FailureError, match="model.json: not a description of a network") as error:
        Description.load(path)
    assert "\n" not in str(error.value)
    (tmp_path / "net.json").write_bytes(content)  # beside net.params: it may be of any program
    path.unlink()
    assert Description.beside(tmp_path / "net.params") is None
