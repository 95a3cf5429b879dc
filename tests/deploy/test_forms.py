"""How ONNX Runtime is given a batch."""

import types

import numpy as np
import pytest

from a2net_gluon.deploy import forms


class Session:
    """Stands for ONNX Runtime's: notes how many images it is given, and answers with their first values."""

    given = []
    batch = "N"

    def __init__(self, model, threads):
        self.threads = threads

    def get_inputs(self):
        return [types.SimpleNamespace(shape=[self.batch, 3])]

    def run(self, outputs, inputs):
        self.given.append((self.threads, len(inputs["data"])))
        return [inputs["data"][:, :1]]


@pytest.mark.parametrize(
    ("cores", "images", "expected"),
    [
        (1, 5, [(1, 5)]),
        (2, 1, [(2, 1)]),
        (2, 3, [(2, 3)]),
        (2, 4, [(1, 2)] * 2),
        (2, 7, [(1, 2)] * 2 + [(2, 3)]),
        (3, 5, [(3, 5)]),
        (3, 13, [(1, 2)] * 6 + [(3, 1)]),
        (32, 32, [(32, 32)]),
        (2, 0, [(2, 0)]),
    ],
)
def test_every_core_has_as_much_to_do(monkeypatch, cores, images, expected):
    """Pairs where there is one for each core; the rest is shared. Answers keep their order."""
    monkeypatch.setattr(forms, "onnx_session", Session)
    monkeypatch.setattr(forms, "thread_count", lambda: cores)
    monkeypatch.setattr(Session, "given", [])
    inputs = np.arange(images * 4).reshape(images, 4)
    np.testing.assert_array_equal(forms.FORMS["onnx"].load("model.onnx")(inputs), inputs[:, :1])
    assert sorted(Session.given) == sorted(expected)


@pytest.mark.parametrize("images", [0, 1, 3, 4, 7])
def test_a_fixed_batch_is_filled(monkeypatch, images):
    monkeypatch.setattr(forms, "onnx_session", Session)
    monkeypatch.setattr(forms, "thread_count", lambda: 2)
    monkeypatch.setattr(Session, "given", [])
    monkeypatch.setattr(Session, "batch", 3)
    inputs = np.arange(1, images * 4 + 1).reshape(images, 4)
    np.testing.assert_array_equal(forms.FORMS["onnx"].load("model.onnx")(inputs), inputs[:, :1])
    assert Session.given == [(2, 3)] * max(1, -(-images // 3))
