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
        one, *first = implementations
        assert [each.name for each in first] == ["ResNet-26"] * (one.name != "ResNet-26")
        asked.append((one.name, one.task["mode"], one.task["batch"], one.task["context"], one.task["placement"]))
        known = {"seconds": [0.6, 0.2, 0.2], "peak_mb": 300.0, "first_peak_mb": 100.0}
        if one.name == "ResNet-26 + NL @ conv2":
            return [{"error": "no memory"}, known]
        return [known, {**known, "seconds": [0.5, 0.4, 0.4]}] if first else [known]

    monkeypatch.setattr(tables, "take_turns", take_turns)
    return asked


def test_every_row_once_and_none_again(measured, tmp_path):
    assert tables.main(["--output", str(tmp_path), "--batch", "2"]) == 0
    assert len(measured) == len(set(map(str, measured))) == ROWS * len(tables.MODES)
    assert ("ResNet-26 + A² 4 @ conv3&4", "training", 2, "a2", {"conv3": (1, 2), "conv4": (1, 2)}) in measured
    page = (tmp_path / "table-costs.md").read_text()
    assert page.count("| 8.27 G |  | 100 | 100 | 1.00 / 1.00 | 300 |") == len(tables.MODES)
    assert page.count("| 100 | 100 | 0.50 / 0.50 | 300 |") == (ROWS - 2) * len(tables.MODES)
    assert "| 2 | ResNet-26 + NL @ conv2 | 48.97 G | 40.69 G | failed |" in page
    assert page.count("Failed: ResNet-26 + NL @ conv2: no memory") == len(tables.MODES)
    assert (tmp_path / "table-costs.png").read_bytes().startswith(b"\x89PNG")
    removed, *kept = sorted((tmp_path / "rows").iterdir())
    name = json.loads(removed.read_text())["name"]
    removed.unlink()
    measured.clear()
    assert tables.main(["--output", str(tmp_path), "--batch", "2"]) == 0
    assert {row for row, *_ in measured} == {name}
    assert (tmp_path / "table-costs.md").read_text() == page
    assert len(kept) == ROWS - 1


def test_rows_of_other_sizes_are_others(measured, tmp_path):
    for size in ("112", "56"):
        assert tables.main(["--output", str(tmp_path), "--size", size]) == 0
    assert len(measured) == 2 * ROWS * len(tables.MODES) * 2  # batch sizes
