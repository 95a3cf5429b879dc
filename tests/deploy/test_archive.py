"""Archives for multi-model-server, and the answers of the server itself where it is installed."""

import contextlib
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import time
import types
import zipfile

import pytest

from a2net_gluon import Predictor, cli
from a2net_gluon.deploy import service
from tests.helpers.commands import call
from tests.helpers.kills import leftovers
from tests.helpers.processes import ROOT, usual_environment, wait_until

CAT = ROOT / "docs" / "cat.jpg"
SERVER = pathlib.Path(os.environ.get("SERVER_BIN", ROOT / ".venv-server" / "bin")) / "multi-model-server"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("exported") / "net"
    words = ["export", "a2net_resnet20_small", "--use-pretrained", "--archive", "--output", str(prefix)]
    assert cli.main(words) == 0
    return prefix


@pytest.fixture(scope="module")
def expected(exported):
    (prediction,) = Predictor(exported).predict([CAT])
    return [{"class": name, "probability": pytest.approx(share, rel=1e-5)} for name, share in prediction.classes]


def test_what_is_in_it(exported):
    with zipfile.ZipFile(f"{exported}.mar") as archive:
        manifest = json.loads(archive.read("MAR-INF/MANIFEST.json"))
        assert manifest["model"] == {"modelName": "net", "handler": "a2net_handler:handle"}
        assert b"import handle" in archive.read("a2net_handler.py")
        for ending in ("-symbol.json", "-0000.params", ".json"):
            assert archive.read(f"model{ending}") == pathlib.Path(f"{exported}{ending}").read_bytes()
        assert len(archive.namelist()) == 5


def test_the_handler_answers_as_predict(exported, expected, tmp_path):
    with zipfile.ZipFile(f"{exported}.mar") as archive:
        archive.extractall(tmp_path)
    refused = {}
    context = types.SimpleNamespace(
        system_properties={"model_dir": str(tmp_path)},
        set_response_status=lambda code, phrase, number: refused.update({number: code}),
    )
    assert service.handle(None, context) == []
    photo = CAT.read_bytes()
    answers = service.handle([{"data": photo}, {"body": b"no image"}, {}, {"body": bytearray(photo)}], context)
    assert answers[0] == answers[3] == {"classes": expected}
    assert ["problem" in answer for answer in answers] == [False, True, True, False]
    assert refused == {1: 400, 2: 400}


def test_an_export_without_an_archive_removes_an_older_one(tmp_path, capsys):
    words = ("export", "resnet20_small", "--output", tmp_path / "net")
    _, said, _ = call(capsys, *words, "--archive")
    assert f"{tmp_path / 'net.mar'}" in said
    assert (tmp_path / "net.mar").is_file()
    call(capsys, *words)
    assert not (tmp_path / "net.mar").exists()
    assert not leftovers(tmp_path)


def free_ports(count):
    """Ports that nobody uses; the server knows none above 32767, where the system would choose them."""
    found = []
    for port in random.SystemRandom().sample(range(20_000, 30_000), 100):
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            found.append(port)
    return found[:count]


def ask(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.fixture
def server(exported, tmp_path):
    """The real server with the archive; returns its port."""
    if not SERVER.is_file() or not shutil.which("java"):
        pytest.skip(f"{SERVER} or Java is not there: make server")
    ports = dict(zip(("inference", "management"), free_ports(2)))
    lines = [f"{name}_address=http://127.0.0.1:{port}" for name, port in ports.items()]
    lines += ["default_workers_per_model=1", f"vmargs=-Xmx256m -Djava.io.tmpdir={tmp_path}"]
    (tmp_path / "config").write_text("\n".join(lines) + "\n")
    words = [str(SERVER), "--start", "--foreground", "--model-store", str(exported.parent), "--models", "net=net.mar"]
    path = f"{SERVER.parent}:{os.environ['PATH']}"
    variables = {**usual_environment(), "TMPDIR": str(tmp_path), "PATH": path, "PYTHONPATH": str(ROOT)}
    log = tmp_path / "log"
    with open(log, "w") as output:
        process = subprocess.Popen(
            [*words, "--mms-config", str(tmp_path / "config")],
            cwd=tmp_path,
            env=variables,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        assert is_ready(ports["management"], process), log.read_text()
        yield ports["inference"]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def is_ready(port, process):
    """Wait until the worker of the server has loaded the network, or the server has ended."""

    def loaded():
        time.sleep(0.5)
        with contextlib.suppress(OSError, KeyError):  # nobody listens yet, or there is no such model yet
            _, model = ask(port, "GET", "/models/net")
            return [worker["status"] for worker in model["workers"]] == ["READY"]

    return wait_until(loaded, process)


@pytest.mark.peers
def test_the_server_answers_as_predict(server, expected):
    assert ask(server, "POST", "/predictions/net", CAT.read_bytes()) == (200, {"classes": expected})
    status, answer = ask(server, "POST", "/predictions/net", b"no image")
    assert status == 400
    assert "problem" in answer
