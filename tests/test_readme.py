"""The README's commands are run as they stand there."""

import os
import re
import shlex
import subprocess
import sys

import pytest

from a2net_gluon import options

from .conftest import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


TRAINING = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")


def blocks(language, text=TEXT):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.mark.slow
def test_commands_run_in_order(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    outputs = []
    (tmp_path / "docs").symlink_to(ROOT / "docs")  # the photo
    for line in "".join(blocks("bash") + blocks("bash", TRAINING)).splitlines():
        words = shlex.split(line)
        if words[0] == "a2net":
            words = [sys.executable, "-m", "a2net_gluon", *words[1:]]
        else:
            assert words[0] == "python"
            words = [sys.executable, *words[1:]]
            words[1] = str(ROOT / words[1]) if words[1] == "train_imagenet.py" else words[1]
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, line + "\n" + done.stdout + done.stderr
        outputs.append(done.stdout)
    assert "32,982,216" in "".join(outputs)
    assert "none unexpected" in "".join(outputs)
    assert any("of 360 images" in output for output in outputs)


def other_lines():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
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
