"""The commands and the code of the README and of the guides run as they stand there."""

import pathlib
import re
import runpy
import shlex
import sys

import pytest

from a2net_gluon import options
from a2net_gluon.data import digits, moving_digits
from tests.helpers.processes import ROOT

KEPT = "of 35 images"  # see `keep_some`
PACKED = ["written: 2 videos in packed/train.rec", "written: 3 videos in smaller", "ok   bad list: 0 of 3 videos"]
# Pages whose ``bash`` and ``python`` blocks run here, in order, in one folder for each page, with what they print.
PAGES = {
    "README.md": [KEPT, "of 30 clips"],
    "docs/train.md": [KEPT],
    "docs/python.md": ["cat\n"],
    "docs/evaluate-and-deploy.md": [KEPT, '"cat"'],
    "docs/networks.md": ["7718608", "32,982,216", "none unexpected"],
    "docs/pretrained.md": ["29 inflated"],
    "docs/videos.md": ["40 (4, 48, 64, 3)", "{'missing.avi': 'No such file or directory'}", *PACKED],
}
# Pages whose blocks need something that another test prepares.
ELSEWHERE = {"docs/attention.md": "tests/insight/test_attention.py", "docs/module.md": "tests/test_symbols.py"}
ALL = [path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md")))]


def read(page):
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page, *languages):
    """Language, text and number of the first line of each block, in the order of the page."""
    page = read(page)
    found = re.finditer(rf"^```({'|'.join(languages)})\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    return [(*block.groups(), page.count("\n", 0, block.start(2)) + 1) for block in found]


def run_here(words, monkeypatch):
    """Run a command of the project as its own process would, but where mxnet is loaded; returns its exit code."""
    program, run = (words, runpy.run_module) if words[0] == "a2net" else (words[1:], runpy.run_path)
    assert words[0] == "a2net" or words[:2] in (["python", "train_imagenet.py"], ["python", "train_video.py"])
    monkeypatch.setattr(sys, "argv", program)
    with pytest.raises(SystemExit) as raised:
        run("a2net_gluon" if words[0] == "a2net" else str(ROOT / words[1]), run_name="__main__")
    return raised.value.code


def keep_some(folder):
    """Leave a twelfth of the images of each class, with which a page takes a few seconds."""
    for place in folder.iterdir():
        for number, path in enumerate(sorted(place.iterdir())):
            if number % 12:
                path.unlink()


@pytest.fixture
def few_clips(monkeypatch):
    """A twelfth of the moving digits."""
    images, labels = digits.load_digits()
    monkeypatch.setattr(moving_digits, "load_digits", lambda: (images[::12], labels[::12]))
    monkeypatch.setattr(moving_digits, "TRAIN_COUNT", 120)


def run_page(page, monkeypatch, capsys):
    """Run all blocks of a page; returns what they print."""
    printed, names = [], {}
    for language, text, first in blocks(page, "bash", "python"):
        if language == "python":
            exec(compile("\n" * (first - 1) + text, page, "exec"), names)  # a traceback names the line of the page
            printed.append(capsys.readouterr().out)
            continue
        for line in text.splitlines():
            code = run_here(shlex.split(line), monkeypatch)
            said = capsys.readouterr()
            assert code == 0, line + "\n" + said.out + said.err
            printed.append(said.out)
            if line == "a2net digits images":
                for part in ("train", "val"):
                    keep_some(pathlib.Path("images", part))
    return "".join(printed)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.usefixtures("few_clips")
def test_page_runs(page, tmp_path, monkeypatch, capsys):
    if "register_with_gluoncv" in read(page):
        pytest.importorskip("gluoncv")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").symlink_to(ROOT / "docs")  # the photo
    printed = run_page(page, monkeypatch, capsys)
    for expected in PAGES[page]:
        assert expected in printed


def test_every_page_with_commands_or_code_is_run():
    assert {page for page in ALL if blocks(page, "bash", "python")} == {*PAGES, *ELSEWHERE}
    for page, test in ELSEWHERE.items():
        assert pathlib.Path(page).name in read(test)


def other_lines():
    return [line for page in ALL for _, text, _ in blocks(page, "sh") for line in text.splitlines()]


@pytest.mark.parametrize("line", other_lines())
def test_commands_for_other_machines_parse(line):
    words = shlex.split(line)
    if words[:2] == ["a2net", "launch"]:
        words = options.parse_launch(words[2:]).command
    if words[0] == "a2net":
        name = {"evaluate": "evaluation", "ablate": "ablation"}.get(words[1], words[1].replace("-", "_"))
        getattr(options, f"parse_{name}")(words[2:])
        return
    start = words.index("python")
    kind = {"train_imagenet.py": options.FOR_IMAGES, "train_video.py": options.FOR_CLIPS}[words[start + 1]]
    options.parse_training(words[start + 2 :], None, kind).training.resolved()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_make_targets_exist(page):
    makefile = read("Makefile")
    for target in re.findall(r"make ([a-z-]+)", read(page)):
        assert f"\n{target}:" in makefile, target
