"""Every flag of every command of release 0.1.0 is still there.

``flags_of_0.1.txt`` is what the ``--help`` of that release says: a line for each command, its flags sorted. It was made
with the code of commit c002d73::

    for command in train evaluate export predict attention cost tables digits pack check launch; do
        echo $command $(COLUMNS=200 a2net $command --help | grep -E '^  -' |
            grep -oE '(^|[ ,])(--[a-z0-9][a-z0-9-]*|-[a-zA-Z])\\b' | tr -d ' ,' | sort -u)
    done
"""

import pathlib
import re

import pytest

from a2net_gluon import cli
from a2net_gluon.options import parse_launch, parse_training, shipped_recipes, training_parser
from tests.helpers.commands import call

LINES = (pathlib.Path(__file__).parent / "flags_of_0.1.txt").read_text(encoding="utf-8").splitlines()
BEFORE = {command: flags for command, *flags in map(str.split, LINES)}
# Arguments without which a command complains about them before it looks at flags; argparse checks flags last.
POSITIONAL = {
    "evaluate": ("resnet50", "--params", "x"),
    "export": ("resnet50", "--output", "x"),
    "predict": ("prefix", "image"),
    "attention": ("image", "--output", "x"),
    "cost": ("resnet50",),
    "digits": ("folder",),
    "pack": ("folder", "prefix"),
    "launch": ("-n", "1"),
}


def flags_in(text):
    """The flags in the lines of a help text that begin with one."""
    lines = "\n".join(re.findall(r"^  -.*", text, re.M))
    return {flag.strip(" ,") for flag in re.findall(r"(?:^|[ ,])(?:--[a-z0-9][a-z0-9-]*|-[a-zA-Z])\b", lines, re.M)}


def test_the_list_holds_every_command():
    later = {"train-video", "pack-clips", "import", "ablate", "report"}
    assert set(BEFORE) == set(cli.COMMANDS) - later
    assert {command: len(flags) for command, flags in BEFORE.items()} == {
        "train": 71,
        "evaluate": 25,
        "export": 17,
        "predict": 7,
        "attention": 15,
        "cost": 10,
        "tables": 5,
        "digits": 2,
        "pack": 2,
        "check": 71,
        "launch": 10,
    }
    assert BEFORE["check"] == BEFORE["train"]


@pytest.mark.parametrize("command", BEFORE)
def test_every_flag_is_in_the_help(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, said, _ = call(capsys, command, "--help")
    assert code == 0
    assert {*BEFORE[command]} <= flags_in(said)


@pytest.mark.parametrize("command", [command for command in BEFORE if command != "launch"])
def test_every_flag_is_accepted(command, capsys):
    """A flag that there is not is an unrecognized argument; one that there is wants a value or stops at another."""
    for flag in BEFORE[command]:
        if flag in ("-h", "--help"):
            continue
        code, _, said = call(capsys, command, *POSITIONAL.get(command, ()), flag, "--no-such-flag")
        assert code == 2
        assert re.search(rf"unrecognized arguments: --no-such-flag \(|argument (\S+/)?{flag}(/\S+)?: ", said), said


def test_launch_takes_its_flags():
    short = parse_launch(
        ["-n", "2", "-s", "1", "-H", "hosts", "--max-restarts", "3", "--log-dir", "logs", "--", "a", "-b"]
    )
    long = parse_launch(
        ["--num-workers", "2", "--num-servers", "1", "--hostfile", "hosts", "--max-restarts=3", "--log-dir=logs", "--"]
    )
    assert short.command == ["a", "-b"]
    assert {**vars(long), "command": short.command} == vars(short)
    assert (short.num_workers, short.num_servers, short.hostfile, short.max_restarts) == (2, 1, "hosts", 3)


def test_flags_without_a_value_take_false_in_training():
    """So a flag turns off what a recipe turns on."""
    switches = re.findall(r"^  (--[a-z-]+) \[false\]", training_parser().format_help(), re.M)
    assert {"--mixup", "--label-smoothing", "--no-wd", "--last-gamma", "--resume", "--auto-resume"} <= {*switches}
    for flag in switches:
        if flag not in ("--evaluate", "--test-io"):
            assert parse_training([flag, "false"]).training == parse_training([]).training
            assert parse_training([flag, "true"]) == parse_training([flag])
            assert parse_training([flag]).training != parse_training([]).training


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_each_recipe_parses(name, capsys):
    text = shipped_recipes()[name].read_text(encoding="utf-8")
    keys = re.findall(r"^([a-z-]+):", text, re.M)
    assert keys
    assert {f"--{key}" for key in keys} <= {*BEFORE["train"]}
    parsed = parse_training(["--recipe", name, "--rec-train", "t.rec", "--rec-val", "v.rec"])
    assert not parsed.evaluate
    assert (
        parsed.training.resolved() != parse_training(["--rec-train", "t.rec", "--rec-val", "v.rec"]).training.resolved()
    )
