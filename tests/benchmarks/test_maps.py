"""The scenario of growing maps: a whole run, and its table."""

import json

import pytest

from benchmarks import mxnet_worker, scenarios, speed
from benchmarks.report import markdown


@pytest.mark.slow
def test_a_whole_run(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(scenarios, "BLOCKS", scenarios.BLOCKS[1:2])  # every figure takes a process
    assert speed.main(["--quick", "--no-torch", "--only", "maps", "--output", str(tmp_path / "new")]) == 0
    report = json.loads((tmp_path / "new" / "maps.json").read_text(encoding="utf-8"))
    assert [(line["mode"], line["form"]) for line in report["rows"]] == [("inference", "right"), ("training", "right")]
    for line in report["rows"]:
        assert "error" not in line
        assert 0 < line["min_ms"] <= line["median_ms"]
        assert line["memory_mb"] >= 0
    tables = (tmp_path / "new" / "maps.md").read_text(encoding="utf-8")
    assert "## Training" in tables
    assert tables.count("| 2×3×4 | 24 | ") == 2
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["maps.json", "maps.md"]
    assert "A², right: ready" in capsys.readouterr().out


def test_table_of_known_figures():
    rows = [
        {
            "name": f"the {form}",
            "form": form,
            "mode": "inference",
            "map": place,
            "min_ms": 1.5 * ms,
            "memory_mb": 2 * ms,
        }
        for place in ([28, 28], [8, 28, 28])
        for form, ms in (("left", 1), ("right", 10_000))
    ]
    rows[3] = {**rows[3], "error": "ended with -9: "}
    report = {
        "scenario": "maps",
        "machine": {"processor": "a processor", "threads": 2},
        "settings": {"channels": 256, "width": 64, "turns": 1},
        "started": "now",
        "commit": "abc",
        "ratios": [],
        "rows": rows,
    }
    lines = markdown(report).splitlines()
    assert "|  | L | the left, ms | the right, ms | the left, MB | the right, MB |" in lines
    assert "| 28×28 | 784 | 1.50 | 15,000.00 | 2.00 | 20,000.00 |" in lines
    assert "| 8×28×28 | 6,272 | 1.50 |  | 2.00 |  |" in lines
    assert lines[-1].startswith("Excluded: the right, mode inference, map [8, 28, 28]: ended with -9")


@pytest.mark.parametrize("mode", ["inference", "training"])
@pytest.mark.parametrize("form", ["left", "right", "nl"])
def test_blocks_run(form, mode):
    run, facts = mxnet_worker.block(
        {"map": (2, 3, 4), "channels": 16, "width": 5, "steps": 2, "form": form, "mode": mode}
    )
    run()
    assert facts["before_mb"] > 0
