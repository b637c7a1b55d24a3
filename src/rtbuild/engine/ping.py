"""The smallest request to a Docker daemon."""

from __future__ import annotations

import http.client
import socket
from pathlib import Path

_SECONDS = 5.0


def answers(path: Path) -> bool:
    """Return whether a Docker daemon answers at the socket `path` (Docker Engine API, `GET /_ping`)."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_SECONDS)
            connection.connect(str(path))
            connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            response = http.client.HTTPResponse(connection)
            response.begin()
            with response:
                return response.status == 200
    except (OSError, http.client.HTTPException):
        return False
