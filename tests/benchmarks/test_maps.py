"""The benchmark of growing maps: its files, its figures where they are known, and what does not fit."""

import json
import os
import subprocess
import sys

import cv2
import pytest

from benchmarks import maps, maps_report
from tests.helpers.processes import ROOT

KINDS = ("left", "right", "nl")


def benchmark(*arguments):
    """Run the benchmark in a process; returns what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "benchmarks/maps.py", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_one_small_clip(tmp_path, monkeypatch):
    output = tmp_path / "new" / "maps"
    out = benchmark("--output", output, "--maps", "2x3x4", "--rounds", 1, "--channels", 16, "--width", 5)
    assert out.count("2×3×4, ") == 6
    results = json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))
    stored = {(one["kind"], one["mode"]): one["stored_values"] for one in results["entries"]}
    assert stored == {(k, mode): 5 * 5 if k == "left" else 24**2 for k in KINDS for mode in ("inference", "training")}
    for one in results["entries"]:
        assert one["fits"]
        assert 0 < one["minimum"] <= one["median"]
        assert one["peak_bytes"] >= 0
    tables = output.with_suffix(".md").read_text(encoding="utf-8")
    assert "| 2×3×4 | 24 | 1 | " in tables
    picture = output.with_suffix(".png").read_bytes()
    assert cv2.imread(str(output.with_suffix(".png"))).shape == (500, 1200, 3)
    assert sorted(path.name for path in output.parent.iterdir()) == ["maps.json", "maps.md", "maps.png"]

    output.with_suffix(".md").unlink()
    monkeypatch.setattr(sys, "argv", ["maps.py", "--output", str(output), "--redraw"])
    assert maps.main() == 0
    assert output.with_suffix(".md").read_text(encoding="utf-8") == tables
    assert output.with_suffix(".png").read_bytes() == picture


def made_up(refused=()):
    """Results in which the left association is linear in L and the others have a quadratic part besides."""
    entries = []
    for place in ((10, 10), (20, 20), (40, 40), (80, 80), (2, 40, 40), (8, 40, 40)):
        size = maps.math.prod(place)
        for mode in maps_report.MODES:
            for kind, quadratic in zip(KINDS, (0, 1, 2)):
                fits = (kind, place) not in refused
                value = 100 * size + quadratic * size**2
                figures = {"minimum": 1e-6 * value if fits else None, "peak_bytes": value if fits else None}
                stored = size**2 if quadratic else 25
                entries.append(
                    {"kind": kind, "mode": mode, "map": place, "stored_values": stored, "fits": fits, **figures}
                )
    return {"channels": 16, "width": 5, "entries": json.loads(json.dumps(entries))}


def test_tables_of_known_growth():
    tables = maps_report.tables(made_up())
    assert "| 80² | 6,400 | 64 | 65 | 129 | 64 | 65 | 129 |" in tables
    assert "| 80² | 0.0001 | 164 | 0.64 | 41.6 | 82.6 | 0.64 | 41.6 | 82.6 |" in tables
    for line in ("time, inference", "memory, inference", "time, forward and backward", "memory, forward and backward"):
        assert f"| {line} | 20² to 80² | 1.00 | 1.93 | 1.96 | 2.00 | 2.00 |" in tables
        assert f"| {line} | 2×40² to 8×40² | 1.00 | 1.98 | 1.99 | 2.00 | 2.00 |" in tables


def test_what_does_not_fit_is_said_and_not_drawn(tmp_path):
    results = made_up({("right", (8, 40, 40)), ("nl", (8, 40, 40))})
    maps_report.write(results, tmp_path / "maps")
    tables = (tmp_path / "maps.md").read_text(encoding="utf-8")
    assert "| 8×40² | 12,800 | 128 | does not fit | does not fit | 128 | does not fit | does not fit |" in tables
    assert "| 2×40² to 8×40² | 1.00 | does not fit | does not fit | does not fit | does not fit |" in tables
    assert (tmp_path / "maps.png").stat().st_size > 0


def test_nothing_is_started_without_the_memory(monkeypatch, capsys):
    monkeypatch.setattr(maps, "free_memory", lambda: 10**9)
    monkeypatch.setattr(maps, "measure_apart", lambda case: {"seconds": [1.0, 2.0, 6.0], "peak_bytes": 10})
    entries = maps.measure_map((32, 28, 28), 256, 64, 2)
    assert [one["kind"] for one in entries if one["fits"]] == ["left"]  # in inference, 0.4 of 1 GB
    assert (entries[0]["minimum"], entries[0]["median"]) == (1.0, 2.0)
    assert capsys.readouterr().out.count("does not fit") == 10
    assert all(one["estimated_bytes"] > 4 * one["stored_values"] for one in entries)


@pytest.mark.parametrize(
    ("code", "arguments", "message"),
    [
        (2, ["--maps", "28"], "'28' is not a map such as 28x28 or 8x28x28"),
        (2, ["--rounds", "0"], "0 is not a whole number of at least 1"),
        (2, ["--redraw", "--output", "{}/none"], "none.json is not there"),
        (1, ["--redraw", "--output", "{}/maps"], "maps.json is no result of this benchmark"),
        (2, ["--output", "/"], "--output is /, a folder"),
    ],
)
def test_bad_arguments(code, arguments, message, monkeypatch, capsys, tmp_path):
    (tmp_path / "maps.json").write_text("{}")
    monkeypatch.setattr(sys, "argv", ["maps.py", *(word.format(tmp_path) for word in arguments)])
    try:
        found = maps.main()
    except SystemExit as error:
        found = error.code
    assert found == code
    assert message in capsys.readouterr().err
