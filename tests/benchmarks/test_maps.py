"""The scenario of growing maps: a whole run, its table, and blocks that do not fit into the memory."""

import json

import pytest

from benchmarks import block, speed
from benchmarks.report import markdown

TASK = {"map": (2, 3, 4), "channels": 16, "width": 5, "steps": 2}


@pytest.mark.slow
def test_a_whole_run(tmp_path, capsys):
    assert speed.main(["--quick", "--no-torch", "--only", "maps", "--output", str(tmp_path / "new")]) == 0
    report = json.loads((tmp_path / "new" / "maps.json").read_text(encoding="utf-8"))
    assert [(line["mode"], line["form"]) for line in report["rows"]] == [
        (mode, form) for mode in ("inference", "training") for form in ("left", "right", "nl")
    ]
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
            "mode": "inference",
            "form": form,
            "map": place,
            "min_ms": 1.5 * ms,
            "memory_mb": 2 * ms,
        }
        for place in ([28, 28], [8, 28, 28])
        for form, ms in (("left", 1), ("right", 10_000))
    ]
    rows[3] = {**rows[3], "error": "MemoryError: needs about 8.0 GB, 1.0 GB are free"}
    report = {
        "scenario": "maps",
        "machine": {"processor": "a processor", "threads": 2},
        "settings": {"channels": 256, "width": 64, "rounds": 1, "runs": 2},
        "started": "now",
        "commit": "abc",
        "ratios": [],
        "rows": rows,
    }
    lines = markdown(report).splitlines()
    assert "|  | L | the left, ms | the right, ms | the left, MB | the right, MB |" in lines
    assert "| 28×28 | 784 | 1.50 | 15,000.00 | 2.00 | 20,000.00 |" in lines
    assert "| 8×28×28 | 6,272 | 1.50 |  | 2.00 |  |" in lines
    assert lines[-1].startswith("Excluded: the right, mode inference, map [8, 28, 28]: MemoryError: needs about 8.0 GB")


@pytest.mark.parametrize("mode", ["inference", "training"])
@pytest.mark.parametrize("form", ["left", "right", "nl"])
def test_blocks_run(form, mode):
    run, facts = block.steps({**TASK, "form": form, "mode": mode})
    run()
    assert facts["before_mb"] > 0


def test_nothing_is_computed_without_the_memory(monkeypatch):
    monkeypatch.setattr(block, "free_bytes", lambda: 10**9)
    for form in ("right", "nl"):
        with pytest.raises(MemoryError, match=r"needs about \d\.\d GB, 1\.0 GB are free"):
            block.steps(
                {"form": form, "mode": "training", "map": (32, 28, 28), "channels": 256, "width": 64, "steps": 1}
            )
