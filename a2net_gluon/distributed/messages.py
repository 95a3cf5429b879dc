"""Messages between the supervisor and its agents: one JSON object on each line."""

from __future__ import annotations

import json
import socket
from typing import Any

from a2net_gluon.formats.bounded_json import parse_json

__all__ = ["keep_alive", "receive", "send"]

_SILENCE = 30  # seconds without an answer after which a machine counts as lost


def keep_alive(connection: socket.socket) -> None:
    """Make the system close `connection` when the other machine is switched off or unreachable."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, _SILENCE // 3),
        (socket.TCP_KEEPINTVL, _SILENCE // 6),
        (socket.TCP_KEEPCNT, 4),
        (socket.TCP_USER_TIMEOUT, 1000 * _SILENCE),
    ):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)


def send(stream: Any, **message: Any) -> None:
    """Write a message to `stream`, a binary file."""
    stream.write(json.dumps(message).encode() + b"\n")
    stream.flush()


def receive(stream: Any) -> dict | None:
    """Return the next message, or None if the connection is closed or speaks another language."""
    try:
        line = stream.readline(1 << 20)
        message = parse_json(line) if line.endswith(b"\n") else None
    except (OSError, ValueError):
        return None
    return message if isinstance(message, dict) else None
