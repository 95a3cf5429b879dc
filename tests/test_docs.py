"""The documentation holds together: every relative link leads to a file, and every anchor to a heading."""

import pathlib
import re
import runpy

import pytest

from tests.helpers.processes import ROOT

PAGES = [ROOT / "README.md", *ROOT.glob("C*.md"), *sorted((ROOT / "docs").rglob("*.md"))]


def prose(page):
    """The page without its code."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def links(page):
    """Every link and picture of a page that leads into this repository."""
    found = re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", prose(page))
    return [one or other for one, other in found if not re.match("[a-z]+:", one or other)]


def anchors(page):
    """What GitHub makes of the headings of a page."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_resolve(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target == ROOT or ROOT in target.parents, link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_in_the_index():
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    results = ROOT / "docs" / "results" / "README.md"
    linked |= {(results.parent / link.partition("#")[0]).resolve() for link in links(results)}
    assert {page.resolve() for page in PAGES if page != index} <= linked


def test_every_picture_is_shown():
    shown = {(page.parent / link).resolve() for page in PAGES for link in links(page)}
    assert {path.resolve() for path in (ROOT / "docs").rglob("*.png")} <= shown


def test_the_picture_of_the_schedules_can_be_drawn(tmp_path):
    runpy.run_path(str(ROOT / "docs" / "draw_schedules.py"))["main"](tmp_path / "schedules.png")
    assert (tmp_path / "schedules.png").stat().st_size > 10_000


def files_that_name_pages():
    """Sources that name a page or a picture of docs/, and what they name."""
    sources = [path for ending in ("py", "yaml") for path in ROOT.rglob(f"*.{ending}")]
    for path in sources:
        parts = path.relative_to(ROOT).parts
        if parts[0].startswith(".") or parts[0] in ("runs", "build"):
            continue
        for name in re.findall(r"\bdocs/[\w/-]+\.(?:md|png|jpg)", path.read_text(encoding="utf-8")):
            yield path, name


def test_pages_that_the_code_names_exist():
    named = [*files_that_name_pages()]
    assert named
    for path, name in named:
        assert (ROOT / name).is_file(), f"{path} names {name}"


ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_modules_that_the_architecture_names_exist():
    files = {
        path.name for package in ("a2net_gluon", "benchmarks", "symbols") for path in (ROOT / package).rglob("*.py")
    }
    named = {pathlib.PurePath(name).name for name in re.findall(r"`([\w/]+\.py)`", ARCHITECTURE)}
    assert named
    assert named <= files


@pytest.mark.parametrize("column", ["training", "evaluation", "prediction"])
def test_the_way_of_an_image_passes_each_module_once(column):
    section = ARCHITECTURE.split("## The way of one image")[1].split("\n## ")[0]
    assert all((ROOT / "a2net_gluon" / name).is_file() for name in re.findall(r"`(\w+/\w+\.py)`", section))
    heading, _, *rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    place = [cell.strip() for cell in heading].index(column)
    passed = [name for row in rows for name in re.findall(r"`(\w+/\w+\.py)`", row[place])]
    assert passed
    assert len(set(passed)) == len(passed)
