"""Commands of the command line, run in this process."""

from a2net_gluon import cli

SMALL = "a2net_resnet20_small"


def call(capsys, *arguments):
    """Run a command in this process; returns exit code, standard output, standard error."""
    try:
        code = cli.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def error(capsys, code, *arguments):
    """Run a command that must fail with `code` and a single line; returns the line."""
    found, _, text = call(capsys, *arguments)
    assert (found, text.count("\n")) == (code, 1), text
    assert "Traceback" not in text
    return text
