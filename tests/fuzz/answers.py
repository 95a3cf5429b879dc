"""A server on this machine that gives mutated answers to requests for pretrained parameters."""

from __future__ import annotations

import functools
import hashlib
import io
import socketserver
import threading
import zipfile

from tests.fuzz.material import MODEL
from tests.fuzz.mutations import mutated, pick

__all__ = ["make", "serve"]

_HEADERS = """
    Content-Encoding: gzip|Transfer-Encoding: chunked|Content-Length: -1|Content-Length: 99999999999999999999
    |Location: file:///etc/passwd|Location: /|X: é
"""
_HEADERS = [f"{line.strip()}\r\n".encode() for line in _HEADERS.split("|")]
_STATUS = (*[b"200 OK"] * 4, b"206 Partial Content", b"302 Found", b"404 Not Found", b"500", b"999 x")


def make(rng, content):
    """Make an answer to the request for a parameter file of this content; returns it, and the SHA-1 of the file."""
    digits = hashlib.sha1(content).hexdigest()
    name = f"{MODEL}-{digits[:8]}.params"
    name = pick(rng, (name, name, name, f"../{name}", f"/{name}", "other.params", "x", name.upper()))
    if rng.random() < 0.1:
        content = bytes(1 << 26)  # of which a few kilobytes are sent
    file = io.BytesIO()
    with zipfile.ZipFile(
        file, "w", pick(rng, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    ) as archive:
        archive.writestr(name, content)
    body = file.getvalue()
    if rng.random() < 0.5:  # the directory is at the end
        body = body[:-200] + mutated(rng, body[-200:]) if rng.random() < 0.5 else mutated(rng, body)
    headers = b"".join(pick(rng, _HEADERS) for _ in range(rng.integers(0, 2)))
    head = b"HTTP/1.1 " + pick(rng, _STATUS) + b"\r\n" + headers + b"Content-Length: %d\r\n\r\n" % len(body)
    return (mutated(rng, head, _HEADERS) if rng.random() < 0.2 else head) + body, digits


class _Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.connection.settimeout(10)
        words = self.rfile.readline(9999).split()
        while self.rfile.readline(9999).strip():
            pass
        number = words[1].split(b"/")[1]
        try:
            self.wfile.write(self.server.answers[int(number)])
        except (OSError, ValueError):  # the other side has had enough, or follows the answer elsewhere
            return


@functools.lru_cache(maxsize=None)
def _server():
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads, server.answers = True, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def serve(answer):
    """Give this answer, byte by byte as it is, to every request below an address, which is returned."""
    server = _server()
    server.answers.append(answer)
    return f"http://127.0.0.1:{server.server_address[1]}/{len(server.answers) - 1}"
