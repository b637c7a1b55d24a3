"""Servers on 127.0.0.1 for tests, and nothing but those."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import BaseServer

import pytest


@contextmanager
def serving(server: BaseServer) -> Iterator[None]:
    """Let `server` answer in a thread of its own until the block ends, then close it."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send requests to any other host to a port where nobody listens, so that a test asks no real mirror."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
