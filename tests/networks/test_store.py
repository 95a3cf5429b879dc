"""The store of pretrained parameters, with a server on this machine in the place of a real one."""

import hashlib
import http.server
import io
import multiprocessing
import threading
import time
import zipfile

import mxnet as mx
import numpy as np
import pytest

from a2net_gluon import get_model
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.networks import find_weights, published, store
from a2net_gluon.networks.published import PRETRAINED

NAME = "a2net_resnet20_small"


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """The bytes of a parameter file."""
    net = get_model(NAME, classes=3)
    net.initialize(mx.init.MSRAPrelu())
    path = tmp_path_factory.mktemp("weights") / "net.params"
    net.save_parameters(str(path))
    return path.read_bytes()


@pytest.fixture
def sha1(content):
    return hashlib.sha1(content).hexdigest()


def archive(name, content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, content)
    return buffer.getvalue()


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # noqa: N802
        self.server.requests.append(self.path)
        time.sleep(self.server.delay)
        answer = self.server.answers.get(self.path)
        self.send_response(200 if answer is not None else 404)
        self.send_header("Content-Length", str(self.server.promised or len(answer or b"")))
        self.end_headers()
        step = self.server.drip or len(answer or b"") or 1
        for start in range(0, len(answer or b""), step):
            self.wfile.write(answer[start : start + step])
            if self.server.drip and self.server.stopped.wait(0.02):
                return

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    """A server of archives: `answers` by path; `promised` is a length to claim in place of the true one.

    With `drip`, it sends that many bytes at a time, slowly.
    """
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    running.answers, running.requests, running.promised = {}, [], None
    running.delay, running.drip, running.stopped = 0, 0, threading.Event()
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    running.url = f"http://127.0.0.1:{running.server_port}"
    monkeypatch.setenv("MXNET_GLUON_REPO", running.url)
    yield running
    running.stopped.set()
    running.shutdown()
    running.server_close()
    thread.join(10)


def url_path(sha1):
    return f"/gluon/models/{NAME}-{sha1[:8]}.zip"


def left_in(root):
    return sorted(path.name for path in root.rglob("*") if path.suffix != ".lock")


def test_a_file_in_the_store_by_tag(tmp_path, content, sha1):
    path = tmp_path / f"{NAME}-{sha1[:8]}.params"
    path.write_bytes(content)
    for tag in (sha1, sha1[:8], sha1[:20]):
        assert find_weights(NAME, tag, tmp_path) == path
        assert get_model(NAME, pretrained=tag, root=str(tmp_path)).output.weight.shape[0] == 3
    assert [file.name for file in tmp_path.iterdir()] == [path.name]  # nothing is written, so it may be read-only


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: content[:-1] + b"\xff"])
def test_truncated_and_tampered_files_are_not_loaded(tmp_path, content, sha1, damage, monkeypatch):
    monkeypatch.delenv("MXNET_GLUON_REPO", raising=False)
    (tmp_path / f"{NAME}-{sha1[:8]}.params").write_bytes(damage(content))
    with pytest.raises(FailureError, match="its content is not what its name promises"):
        get_model(NAME, pretrained=sha1, root=str(tmp_path))


def test_home_of_mxnet(tmp_path, content, sha1, monkeypatch):
    monkeypatch.setenv("MXNET_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    path = tmp_path / "models" / f"{NAME}-{sha1[:8]}.params"
    path.write_bytes(content)
    assert find_weights(NAME, sha1[:8]) == path


def test_unknown_tags_and_names(tmp_path, monkeypatch):
    monkeypatch.delenv("MXNET_GLUON_REPO", raising=False)
    with pytest.raises(
        UsageError, match="no such file; put the right one there, or name a server that has it in MXNET_GLUON_REPO"
    ):
        find_weights(NAME, "0123abcd", tmp_path)
    with pytest.raises(UsageError, match="not-a-tag: no such parameter file, also not in .*, and not a tag"):
        find_weights(NAME, "not-a-tag", tmp_path)
    with pytest.raises(UsageError, match="no published weights for a2net_resnet50, only for"):
        find_weights("a2net_resnet50", True, tmp_path)


def test_download(tmp_path, content, sha1, server):
    server.answers[url_path(sha1)] = archive(f"{NAME}-{sha1[:8]}.params", content)
    root = tmp_path / "new" / "models"
    path = find_weights(NAME, sha1, root)
    assert path.read_bytes() == content
    assert find_weights(NAME, sha1, root) == path
    assert server.requests == [url_path(sha1)]  # the second time it was there


def test_download_from_a_registered_address(tmp_path, content, sha1, server, monkeypatch):
    monkeypatch.setenv("MXNET_GLUON_REPO", "http://127.0.0.1:1")
    server.answers[url_path(sha1)] = archive(f"{NAME}-{sha1[:8]}.params", content)
    published.register_weights(NAME, sha1, server.url)
    for pretrained in (True, sha1[:8]):  # the whole checksum is known
        path = find_weights(NAME, pretrained, tmp_path / str(pretrained))
        assert path.read_bytes() == content
    with pytest.raises(UsageError, match="no such file"):
        find_weights(NAME, "0" * 8, tmp_path)  # not what is registered


def test_a_damaged_file_in_the_store_is_fetched_again(tmp_path, content, sha1, server):
    server.answers[url_path(sha1)] = archive(f"{NAME}-{sha1[:8]}.params", content)
    (tmp_path / f"{NAME}-{sha1[:8]}.params").write_bytes(content[:100])
    assert find_weights(NAME, sha1, tmp_path).read_bytes() == content


def test_no_download_without_the_whole_checksum(tmp_path, sha1, server):
    with pytest.raises(UsageError, match="too short a checksum for a download: give all 40 digits"):
        find_weights(NAME, sha1[:8], tmp_path)
    assert server.requests == []


def test_what_a_server_can_do_wrong(tmp_path, content, sha1, server):
    file_name = f"{NAME}-{sha1[:8]}.params"
    whole = archive(file_name, content)
    wrong = {
        "404": None,
        "half a file": whole[: len(whole) // 2],
        "another file": archive(file_name, content + b" "),
        "another name": archive("other.params", content),
        "a name outside": archive(f"../{file_name}", content),
        "a page": b"<html>Please log in</html>",
    }
    for what, answer in wrong.items():
        server.answers = {} if answer is None else {url_path(sha1): answer}
        with pytest.raises(FailureError, match="404|cannot be fetched|does not have the SHA-1") as raised:
            find_weights(NAME, sha1, tmp_path / "store")
        assert server.url in str(raised.value), what
        assert left_in(tmp_path) == ["store"], what
    server.answers, server.promised = {url_path(sha1): whole[:1000]}, len(whole)  # the connection breaks off
    with pytest.raises(FailureError, match="cannot be fetched"):
        find_weights(NAME, sha1, tmp_path / "store")
    assert left_in(tmp_path) == ["store"]


def declaring(archive, size):
    """An archive that declares another size of its file than it has."""
    directory = archive.rindex(b"PK\1\2")
    return archive[: directory + 24] + size.to_bytes(4, "little") + archive[directory + 28 :]


def test_answers_larger_than_a_parameter_file(tmp_path, sha1, server, monkeypatch):
    monkeypatch.setattr(store, "_LARGEST", 1 << 20)
    file_name = f"{NAME}-{sha1[:8]}.params"
    bomb = archive(file_name, bytes(1 << 24))
    for answer, reason in (
        (bomb, "larger than 1 MiB"),
        (declaring(bomb, 1 << 10), "cannot be fetched"),
        (bytes(3 << 20), "larger than 1 MiB"),
    ):
        server.answers = {url_path(sha1): answer}
        with pytest.raises(FailureError, match=reason):
            find_weights(NAME, sha1, tmp_path / "store")
        assert left_in(tmp_path) == ["store"]


def test_an_answer_that_never_ends(tmp_path, content, sha1, server, monkeypatch):
    monkeypatch.setattr(store, "_DOWNLOAD_TIMEOUT", 0.5)
    server.answers, server.drip = {url_path(sha1): archive(f"{NAME}-{sha1[:8]}.params", content)}, 1
    with pytest.raises(FailureError, match="not complete after 0.5 s"):
        find_weights(NAME, sha1, tmp_path)
    monkeypatch.setattr(store, "_DOWNLOAD_TIMEOUT", 60)
    server.drip = 0
    assert find_weights(NAME, sha1, tmp_path).read_bytes() == content  # the lock is free


@pytest.mark.parametrize("login", ["someone:s3cret", "someone:s3%20cret", "s3cret"])
@pytest.mark.parametrize("port", [None, "1", "x"])
def test_a_password_is_not_printed(login, port, tmp_path, content, sha1, server, monkeypatch):
    monkeypatch.setenv("MXNET_GLUON_REPO", f"http://{login}@127.0.0.1:{port or server.server_port}")
    for answers in ({}, {url_path(sha1): archive(f"{NAME}-{sha1[:8]}.params", content + b" ")}):
        server.answers = answers
        with pytest.raises(FailureError, match=r"//\*\*\*@127.0.0.1") as raised:
            find_weights(NAME, sha1, tmp_path)
        assert "s3" not in str(raised.value)
        assert "cret" not in str(raised.value)


@pytest.mark.parametrize("address", ["http://someone:s3/cret@there", "http://someone:s3@cret@there", "s3cret@there"])
def test_an_address_that_hides_a_password(address, tmp_path, sha1, monkeypatch):
    monkeypatch.setenv("MXNET_GLUON_REPO", address)
    with pytest.raises(UsageError, match="MXNET_GLUON_REPO is not an address") as raised:
        find_weights(NAME, sha1, tmp_path)
    assert "s3" not in str(raised.value)


def test_a_lock_that_is_a_link(tmp_path, sha1, server):
    root, elsewhere = tmp_path / "models", tmp_path / "elsewhere"
    root.mkdir()
    (root / f"{NAME}-{sha1[:8]}.lock").symlink_to(elsewhere)
    with pytest.raises(FailureError, match="lock: cannot be opened"):
        find_weights(NAME, sha1, root)
    assert not elsewhere.exists()
    assert server.requests == []


@pytest.mark.parametrize("text", ["soon", "-1", "²", "9" * 30])
def test_a_lock_timeout_that_is_no_number(text, tmp_path, sha1, server, monkeypatch):
    monkeypatch.setenv("GLUON_MODEL_LOCK_TIMEOUT", text)
    with pytest.raises(UsageError, match=f"GLUON_MODEL_LOCK_TIMEOUT is '{text}'; it must be a whole number of seconds"):
        find_weights(NAME, sha1, tmp_path)


def test_no_server(tmp_path, sha1, monkeypatch):
    monkeypatch.setenv("MXNET_GLUON_REPO", "http://127.0.0.1:1/")
    with pytest.raises(FailureError, match="127.0.0.1:1/gluon/models/.* cannot be fetched"):
        find_weights(NAME, sha1, tmp_path)


def test_a_root_that_cannot_be_written(tmp_path, sha1, server):
    (tmp_path / "file").write_text("")
    with pytest.raises(FailureError, match="cannot write here"):
        find_weights(NAME, sha1, tmp_path / "file" / "models")


def test_two_processes_download_once(tmp_path, content, sha1, server):
    server.answers[url_path(sha1)] = archive(f"{NAME}-{sha1[:8]}.params", content)
    server.delay = 2  # long enough for all of them to ask
    with multiprocessing.get_context("fork").Pool(3) as processes:
        paths = set(processes.starmap(find_weights, 3 * [(NAME, sha1, tmp_path)], chunksize=1))
    assert paths == {tmp_path / f"{NAME}-{sha1[:8]}.params"}
    assert paths.pop().read_bytes() == content
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", list(PRETRAINED))
def test_published_parameters(name, tmp_path):
    net = get_model(name, pretrained=True, root=str(tmp_path / "absent"))
    assert not (tmp_path / "absent").exists()  # it comes with the package
    assert len(net.classes) == net.output.weight.shape[0]
    path = find_weights(name, True)
    assert hashlib.sha1(path.read_bytes()).hexdigest() == PRETRAINED[name].sha1
    assert find_weights(name, PRETRAINED[name].sha1[:8]) == path
    for parameter in net.collect_params().values():
        assert np.isfinite(parameter.data().asnumpy()).all()
