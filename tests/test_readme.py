"""The README's commands are run as they stand there."""

import re
import runpy
import shlex
import sys

import pytest

from a2net_gluon import options
from tests.helpers.processes import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


TRAINING = (ROOT / "docs" / "train.md").read_text(encoding="utf-8")


def blocks(language, text=TEXT):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def run_here(words, monkeypatch):
    """Run a command of the project as its own process would, but where mxnet is loaded; returns its exit code."""
    program, run = (words, runpy.run_module) if words[0] == "a2net" else (words[1:], runpy.run_path)
    assert words[:1] == ["a2net"] or words[:2] == ["python", "train_imagenet.py"]
    monkeypatch.setattr(sys, "argv", program)
    with pytest.raises(SystemExit) as raised:
        run("a2net_gluon" if words[0] == "a2net" else str(ROOT / words[1]), run_name="__main__")
    return raised.value.code


@pytest.mark.slow
def test_commands_run_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    outputs = []
    (tmp_path / "docs").symlink_to(ROOT / "docs")  # the photo
    for line in "".join(blocks("bash") + blocks("bash", TRAINING)).splitlines():
        code = run_here(shlex.split(line), monkeypatch)
        said = capsys.readouterr()
        assert code == 0, line + "\n" + said.out + said.err
        outputs.append(said.out)
    assert "32,982,216" in "".join(outputs)
    assert "none unexpected" in "".join(outputs)
    assert any("of 360 images" in output for output in outputs)


def other_lines():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    return [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]


@pytest.mark.parametrize("line", other_lines())
def test_commands_for_other_machines_parse(line):
    words = shlex.split(line)
    if words[:2] == ["a2net", "launch"]:
        words = options.launch_parser().parse_args(words[2:]).command
    start = words.index("python")
    assert words[start + 1] == "train_imagenet.py"
    options.complete(options.parse_training(words[start + 2 :]))


def test_python_runs():
    pytest.importorskip("gluoncv")
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), {})


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make ([a-z-]+)", TEXT):
        assert f"\n{target}:" in makefile, target
