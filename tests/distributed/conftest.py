import os
import signal
import uuid

import pytest

from a2net_gluon.distributed import launch
from tests.helpers.jobs import MARK, left_with
from tests.helpers.processes import ROOT


@pytest.fixture
def launch_script(monkeypatch, tmp_path, capsys):
    """Return a function that launches a shell script in place of a training; no process may be left at the end.

    The exit code of a script should not be 0: the servers would be waited for, which serve nobody here.
    """
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def call(script, *words, workers=1, servers=1, **options):
        command = ["sh", "-c", script, "sh", *words]
        code = launch(command, workers=workers, servers=servers, log_dir=tmp_path / "logs", **options)
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    yield call
    left = left_with(mark)
    for process in left:
        os.kill(process, signal.SIGKILL)
    assert left == []
