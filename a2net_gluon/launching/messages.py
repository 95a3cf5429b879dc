"""Messages between the supervisor and its agents: one JSON object a line."""

import json

__all__ = ["receive", "send"]


def send(stream, **message):
    """Write a message to `stream`, the binary file of a socket."""
    stream.write(json.dumps(message).encode() + b"\n")
    stream.flush()


def receive(stream):
    """Return the next message, or None if the connection is cut."""
    try:
        line = stream.readline(1 << 20)
        return json.loads(line) if line.endswith(b"\n") else None
    except (OSError, ValueError):
        return None
