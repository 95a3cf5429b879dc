"""The published results of ablations: the page has every figure of their JSON files, and the statistics follow."""

import json

import numpy as np
import pytest
import scipy.stats

from a2net_gluon.ablation.results import as_markdown
from tests.helpers.processes import ROOT

PAGE = ROOT / "docs" / "results" / "ablation.md"
FILES = sorted(PAGE.parent.glob("ablation-*.json"))


def cases():
    for file in FILES:
        results = json.loads(file.read_text())
        for case, variants in results["cases"].items():
            yield pytest.param(results, variants, id=f"{file.stem}, {case}")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_cell_is_on_the_page(file):
    page = PAGE.read_text(encoding="utf-8")
    tables = as_markdown(json.loads(file.read_text()))
    assert tables.count("\n| ") > 2
    for line in tables.splitlines():
        assert line in page
    assert f"({file.stem}.json)" in page


@pytest.mark.parametrize(("results", "variants"), cases())
def test_the_statistics_follow_from_the_values(results, variants):
    baseline = variants[results["baseline"]]["values"]
    for row in variants.values():
        values = row["values"]
        assert row["accuracy"]["mean"] == pytest.approx(np.mean(list(values.values())))
        if row["difference"]:
            differences = [value - baseline[seed] for seed, value in values.items()]
            assert row["difference"]["mean"] == pytest.approx(np.mean(differences))
            middle, spread = np.mean(differences), scipy.stats.sem(differences)
            interval = scipy.stats.t.interval(0.95, len(values) - 1, middle, spread)
            assert row["difference"]["interval"] == pytest.approx(interval)
            p = scipy.stats.ttest_rel(list(values.values()), [baseline[seed] for seed in values]).pvalue
            assert row["difference"]["p"] == pytest.approx(p)
            claim = "higher" if middle > 0 else "lower"
            assert row["difference"]["verdict"] == (claim if p < 0.05 else "not decided")
