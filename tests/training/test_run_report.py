"""The page about training runs: its figures are those of the tables, its settings those of the runs."""

import csv
import html
import re

import numpy as np
import pytest

import a2net_gluon as a2
from a2net_gluon import settings
from a2net_gluon.insight.curves import Panel, curves_figure
from tests.helpers.browser import CHROMIUM, browser
from tests.helpers.commands import SMALL, call, error
from tests.helpers.images import make_image_folder

NAMES = ("one $x <b>", "other")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs that differ in the learning rate and the seed; one image cannot be read."""
    folder = tmp_path_factory.mktemp("runs")
    images = make_image_folder(folder / "images")
    (images / "train" / "cat" / "0.jpg").write_bytes(b"<i>no image")
    for name, lr, seed in zip(NAMES, (0.01, 0.02), (0, 7)):
        training = settings.Training(
            data=settings.ImageFolder(images),
            network=settings.Network(SMALL),
            input=settings.Input(size=16),
            optimization=settings.Optimization(lr=lr),
            batch_size=4,
            epochs=2,
            workers=1,
            seed=seed,
            save_dir=folder / name,
        )
        a2.train(training)
    return [folder / name for name in NAMES]


def tables(page):
    """The tables of a page by their headings: rows of texts."""
    found = {}
    for heading, table in re.findall(r"<h2>([^<]*)</h2><table>(.*?)</table>", page, re.S):
        rows = re.findall(r"<tr>(.*?)</tr>", table, re.S)
        found[heading] = [
            [html.unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows
        ]
    return found


def test_a_comparison(runs, tmp_path, capsys):
    code, said, _ = call(capsys, "report", *runs, "--output", tmp_path / "page.html")
    assert (code, said) == (0, f"written: {tmp_path}/page.html\n")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    found = tables(page)
    results = {row[0]: row[1:] for row in found["Results"]}
    assert results[""] == [*NAMES]
    assert results["epochs"] == ["2 of 2"] * 2
    assert results["validated samples"] == ["10", "10"]
    for number, run in enumerate(runs):
        with open(run / "metrics.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        best = max(rows, key=lambda row: float(row["val_top1"]))
        assert results["best epoch"][number] == best["epoch"]
        assert results["validation top-1, best epoch"][number] == f"{100 * float(best['val_top1']):.1f} %"
        assert results["training loss, best epoch"][number] == f"{float(best['train_loss']):.4g}"
        speed = np.median([float(row["images_per_second"]) for row in rows])
        assert results["samples a second, median of the epochs"][number] == f"{speed:,.4g}"
    assert found["Settings that differ"] == [["", *NAMES], ["--lr", "0.01", "0.02"], ["--seed", "0", "7"]]
    assert page.count("<figure") == 5
    assert len(re.findall(r"cat/0\.jpg: not an image", page)) == 2
    assert [row[1] for row in found["Starts"]] == ["run", *NAMES]


def test_a_single_run_shows_what_is_not_default_and_reaches_for_nothing(runs, tmp_path):
    path = a2.report(settings.Report([runs[1]], tmp_path / "page.html"))
    page = path.read_text(encoding="utf-8")
    changed = {row[0]: row[1] for row in tables(page)["Settings other than the defaults"][1:]}
    assert changed.items() >= {"--lr": "0.02", "--seed": "7", "--num-epochs": "2", "--model": SMALL}.items()
    assert "--momentum" not in changed
    assert "default-src 'none'" in page
    assert re.findall(r"<script|\bsrc=|@import|url\((?!#)", page) == []
    assert {*re.findall(r'href="([^"]*)"', page)} <= {*re.findall(r'href="(#[^"]*)"', page)}


def test_a_run_without_a_finished_epoch(runs, tmp_path, capsys):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "run.json").write_bytes((runs[0] / "run.json").read_bytes())
    assert call(capsys, "report", tmp_path / "new", "--output", tmp_path / "page.html")[0] == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert ["epochs", "0 of 2"] in tables(page)["Results"]
    assert "<figure" not in page


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("epoch", "epoch!", 1),
        lambda text: text.replace(text.splitlines()[1].split(",")[5], "nan"),
        lambda text: text + "3,1\n",
        lambda text: text + "3," * 99 + "\n",
        lambda text: text.replace("0.", "x."),
    ],
)
def test_damaged_results(change, runs, tmp_path, capsys):
    for name in ("run.json", "metrics.csv"):
        (tmp_path / name).write_bytes((runs[0] / name).read_bytes())
    (tmp_path / "metrics.csv").write_text(change((tmp_path / "metrics.csv").read_text()))
    said = error(capsys, 1, "report", tmp_path, "--output", tmp_path / "page.html")
    assert f"{tmp_path}/metrics.csv is damaged: restore it" in said
    assert not (tmp_path / "page.html").exists()


def test_wrong_use(runs, tmp_path, capsys):
    twice = ("report", *runs, runs[0].parent / "." / runs[0].name, "--output", tmp_path / "x")
    assert "is named twice: name each run once" in error(capsys, 2, *twice)
    assert "holds no run: name the --save-dir" in error(capsys, 2, "report", tmp_path, "--output", tmp_path / "x")
    assert "is a folder; name a file" in error(capsys, 1, "report", runs[0], "--output", tmp_path)


@pytest.mark.parametrize(("values", "scale"), [([9.0, 0.09], "log"), ([9.0, 0.1], "linear"), ([9.0, 0.0], "linear")])
def test_the_axis_of_a_loss_that_spans_decades(values, scale):
    history = [{"epoch": number, "loss": value} for number, value in enumerate(values)]
    for decades in (True, False):
        (axes,) = curves_figure({"a": history, "b": []}, [Panel("", {"loss": "loss"}, decades=decades)]).axes
        assert axes.get_yscale() == (scale if decades else "linear")
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a: loss"]


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_in_a_browser(runs, tmp_path):
    path = a2.report(settings.Report(runs, tmp_path / "page.html"))
    with browser(tmp_path / "chromium") as page:
        page.open(path, dark=True)
        assert page.run("document.querySelectorAll('figure svg').length") == 5
        assert page.run(
            "[...document.querySelectorAll('figure')].every(one => one.getBoundingClientRect().height > 100)"
        )
        assert page.run("document.title") == f"Training runs {', '.join(NAMES)}"
        assert "one $x <b>: training loss" in page.run("document.querySelector('figure').textContent")
        assert page.run("document.documentElement.scrollWidth <= innerWidth")
