"""How ONNX Runtime is given a batch."""

import numpy as np
import pytest

from a2net_gluon.deploy import forms


class Session:
    """Stands for ONNX Runtime's: notes how many images it is given, and answers with their first values."""

    given = []

    def __init__(self, model, threads):
        self.threads = threads

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
