"""Output of commands: names with escapes, terminals without the letters, pipes and disks that take no more."""

import io
import json
import os
import subprocess
import sys

import mxnet as mx
import pytest

from a2net_gluon import cli
from a2net_gluon.errors import UsageError, reason_of
from a2net_gluon.terminal import printable
from tests.helpers.commands import SMALL, call, error
from tests.helpers.processes import ROOT, usual_environment

ESCAPE = "\x1b[31m"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("photo 1.jpg", "photo 1.jpg"),
        ("ñandú 鳥.jpg", "ñandú 鳥.jpg"),
        (f"{ESCAPE}red", "\\x1b[31mred"),
        ("two\nlines\r\t", "two\\nlines\\r\\t"),
        ("\x9b31m\u202etxt.exe\u2028", "\\x9b31m\\u202etxt.exe\\u2028"),
        (os.fsdecode(b"caf\xe9"), "caf\\xe9"),
    ],
)
def test_names_are_printed_in_one_line_that_changes_no_terminal(name, shown):
    assert printable(name) == shown


def full():
    return open("/dev/full", "w")


def closed():
    read, write = os.pipe()
    os.close(read)
    return os.fdopen(write, "w")


@pytest.mark.parametrize(("lost", "reason"), [(full, "No space left on device"), (closed, "Broken pipe")])
@pytest.mark.parametrize("arguments", [("--help",), ("cost", "--help"), ("cost", "resnet50")])
def test_output_that_cannot_be_written_is_an_error(arguments, lost, reason, capsys, monkeypatch):
    with lost() as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        try:
            code = cli.main(arguments)
        except SystemExit as end:
            code = end.code
    said = capsys.readouterr().err
    assert code == 1
    assert said.endswith(f": error: the standard output cannot be written ({reason})\n")
    assert said.count("\n") == 1


def test_the_first_of_two_errors_is_told(capsys, monkeypatch):
    def fails(arguments, prog):
        print("lost")
        raise UsageError("too much")

    monkeypatch.setitem(cli.COMMANDS, "cost", fails)
    with full() as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        assert cli.main(["cost"]) == 2
    assert capsys.readouterr().err == "a2net cost: error: too much\n"


def test_the_interpreter_has_nothing_to_add_at_exit():
    words = [sys.executable, "-m", "a2net_gluon", "--help"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            words, cwd=ROOT, env=usual_environment(), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "a2net: error: the standard output cannot be written (No space left on device)\n"


TRAIN = ("train", "--model", SMALL, "-j", "1", "--warmup-epochs", "0", "--num-epochs", "2", "--log-interval", "5")


def test_training_whose_output_is_lost_saves_its_state_and_stops(image_folder, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    flags = ("--data-dir", image_folder, "--batch-size", 2, "--input-size", 32, "--log-interval", 1, "--save-dir", run)
    words = [str(word) for word in (*TRAIN, *flags)]
    with open(tmp_path / "out.txt", "w") as stream, open("/dev/full", "w") as full, monkeypatch.context() as patch:
        write_line = stream.write

        def full_after_two_batches(text):
            if "batch 2/" in text:
                os.dup2(full.fileno(), stream.fileno())
            return write_line(text)

        patch.setattr(stream, "write", full_after_two_batches, raising=False)
        patch.setattr(sys, "stdout", stream)
        assert cli.main(words) == 143
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "stopped by SIGTERM, saved" in said
    log = (run / "log.txt").read_text()
    assert "the standard output cannot be written (No space left on device): the run stops" in log
    assert "batch 2/6" in log
    assert (run / "checkpoints" / "epoch-0000-batch-000002").is_dir()


def test_a_terminal_that_lacks_letters_gets_the_others(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert cli.main(["cost", "a2net_resnet20_small"]) == 0
    assert cli.main([]) == 0
    text = written.getvalue().decode("ascii")
    assert "a2net_resnet20_small, input 3?32?32" in text
    assert "A?-Nets: Double Attention" in text


def test_help_in_a_shell_without_unicode(command):
    assert "A?-Nets" in command("--help", PYTHONIOENCODING="ascii").stdout


@pytest.fixture
def odd_folder(image_folder):
    """Images with names that are not UTF-8 or change the terminal; one of each part cannot be decoded."""
    for part in ("train", "val"):
        folder = os.fsencode(image_folder / part)
        os.rename(folder + b"/cat", folder + b"/\x1b[31mcat")
        os.rename(folder + b"/dog", folder + b"/do\xffg")
        with open(folder + b"/do\xffg/\x1b[2J\xfe.png", "wb") as file:
            file.write(b"no image")
    return image_folder


def test_odd_names_in_every_command(odd_folder, tmp_path, capsys):
    run, val = tmp_path / "run", odd_folder / "val"
    flags = ("--data-dir", odd_folder, "--batch-size", 4, "--input-size", 32, "--save-dir", run, "--num-epochs", 1)
    bad = f"{val}/do\\xffg/\\x1b[2J\\xfe.png"
    code, out, err = call(capsys, *TRAIN, *flags)
    assert (code, err) == (0, "")
    assert f"skipped {bad}: not an image OpenCV can decode" in out
    assert f"skipped {bad}: " in (run / "log.txt").read_text()
    params = run / "best.params"
    evaluated = call(capsys, "evaluate", SMALL, "--params", params, "--data-dir", odd_folder, "-j", 1)
    assert evaluated[0] == 0
    assert f"skipped {bad}: " in evaluated[1]
    assert "on 10 of 11 images" in evaluated[1]
    assert call(capsys, "export", SMALL, "--params", params, "--output", tmp_path / "net")[0] == 0
    printed = [evaluated[1], out]
    for style in ("--csv", "--json"):
        code, out, err = call(capsys, "predict", tmp_path / "net", val, style)
        assert (code, err) == (1, f"{bad}: not an image OpenCV can decode\n")
        printed.append(out)
    undecodable = val / os.fsdecode(b"do\xffg/\x1b[2J\xfe.png")
    code, out, err = call(capsys, "attention", undecodable, "--params", params, "--output", tmp_path / "maps")
    assert (code, err) == (1, f"{bad}: not an image OpenCV can decode\n")
    code, checked, _ = call(capsys, "check", *flags[:-4])
    assert code == 0
    assert f"1 of 11 cannot be read, e.g. {bad}" in checked
    for text in (*printed, out, checked):
        assert "\x1b" not in text
    assert "\\x1b[31mcat" in printed[2]
    paths = {os.fsencode(prediction["path"]) for prediction in json.loads(printed[-1])}
    assert os.fsencode(undecodable) in paths


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "[12:01:02] ../3rdparty/dmlc-core/src/io/local_filesys.cc:209: Check failed: allow_null:  Open x: No file",
            "Open x: No file",
        ),
        (
            'Traceback (most recent call last):\n  File "../src/ndarray/ndarray.cc", line 1897\n'
            "MXNetError: Check failed: header == kMagic (1 vs. 2) : Invalid NDArray file format",
            "Invalid NDArray file format",
        ),
        (
            "OpenCV(4.11.0) /io/opencv/modules/imgproc/src/resize.cpp:4208: error: (-215:Assertion failed) "
            "!ssize.empty() in function 'resize'\n",
            "!ssize.empty() in function 'resize'",
        ),
        ("a plain reason", "a plain reason"),
    ],
)
def test_reasons_of_libraries_have_no_places_in_their_source(text, reason):
    assert reason_of(RuntimeError(text)) == reason


def test_an_error_of_mxnet_is_one_line(capsys, monkeypatch):
    def fails(arguments, prog):
        mx.recordio.MXRecordIO("/absent/x.rec", "r")

    monkeypatch.setitem(cli.COMMANDS, "cost", fails)
    said = error(capsys, 1, "cost", "resnet50")
    assert "/absent/x.rec" in said
    assert "3rdparty" not in said
