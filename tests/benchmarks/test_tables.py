"""Tables 2 and 3 as time and memory: every row once, kept rows stay, failures are named. No network runs."""

import json

import pytest

from benchmarks import tables

ROWS = 12  # 8 and 8 of the paper's tables, of which 4 are in both


@pytest.fixture
def measured(monkeypatch):
    """Names and modes that were measured; rows with NL blocks after conv2 fail."""
    asked = []

    def take_turns(implementations, settings, rounds):
        (one,) = implementations
        asked.append((one.name, one.task["mode"], one.task["context"], one.task["placement"]))
        if one.name == "ResNet-26 + NL @ conv2":
            return [{"error": "no memory"}]
        return [{"seconds": [0.2, 0.1], "peak_mb": 300.0, "first_peak_mb": 100.0}]

    monkeypatch.setattr(tables, "take_turns", take_turns)
    return asked


def test_every_row_once_and_none_again(measured, tmp_path):
    assert tables.main(["--output", str(tmp_path)]) == 0
    assert len(measured) == len(set(map(str, measured))) == ROWS * len(tables.MODES)
    assert ("ResNet-26 + A² 4 @ conv3&4", "training", "a2", {"conv3": (1, 2), "conv4": (1, 2)}) in measured
    page = (tmp_path / "table-costs.md").read_text()
    assert page.count("| 100 | 1.00 | 300 | 100 | 1.00 | 300 |") == ROWS - 1
    assert "| 2 | ResNet-26 + NL @ conv2 | 48.97 G | 40.69 G | failed |" in page
    assert "Failed: ResNet-26 + NL @ conv2, inference: no memory" in page
    assert (tmp_path / "table-costs.png").read_bytes().startswith(b"\x89PNG")
    removed, *kept = sorted((tmp_path / "rows").iterdir())
    name = json.loads(removed.read_text())["name"]
    removed.unlink()
    measured.clear()
    assert tables.main(["--output", str(tmp_path)]) == 0
    assert {row for row, *_ in measured} == {name}
    assert (tmp_path / "table-costs.md").read_text() == page
    assert len(kept) == ROWS - 1


def test_rows_of_other_sizes_are_others(measured, tmp_path):
    for size in ("112", "56"):
        assert tables.main(["--output", str(tmp_path), "--size", size]) == 0
    assert len(measured) == 2 * ROWS * len(tables.MODES)
