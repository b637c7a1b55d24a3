"""A deadline for everything that a thread waits for on its connections.

The time-outs of an HTTP client bound the wait for the next byte, so a server that sends a byte now and then holds a
request for ever: in the header, with endless `100 Continue`, or between two chunks of the body.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from socket import socket
from typing import Any

import httpcore2
import httpx2

_THREAD = threading.local()

REASON = "the deadline has passed"
"""The text of the time-out that a deadline causes."""

_BODY = 1 << 16  # bytes that httpcore2 asks for when it reads a head or a body
_RECORD = 1 << 12  # bytes; whoever sends less sends no large file
_GATHERED = 1 << 18


@contextmanager
def deadlines() -> Iterator[None]:
    """Forget this thread's deadline at the end of the block."""
    try:
        yield
    finally:
        _THREAD.end = None


def answer_within(seconds: float) -> None:
    """Let whatever this thread reads from now on fail `seconds` from now, until the next call."""
    _THREAD.end = time.monotonic() + seconds


def watch(client: httpx2.Client) -> None:
    """Put every connection of `client` under the deadlines of the threads that use it."""
    # httpx2 has no parameter for it: httpcore2 has (ConnectionPool(network_backend=...)), and the pools are new still.
    for transport in (client._transport, *client._mounts.values()):
        if isinstance(transport, httpx2.HTTPTransport):
            transport._pool._network_backend = _Backend()


def _left(timeout: float | None) -> float | None:
    """Return the time-out for one more wait of this thread."""
    end = getattr(_THREAD, "end", None)
    if end is None:
        return timeout
    left = end - time.monotonic()
    if left <= 0:
        raise httpcore2.ReadTimeout(REASON)
    return float(left if timeout is None else min(timeout, left))


class _Backend(httpcore2.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        return _Stream(super().connect_tcp(host, port, _left(timeout), local_address, socket_options))


class _Stream(httpcore2.NetworkStream):
    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream = stream
        # TLS within TLS, to a proxy that speaks https, has no socket of its own.
        inner = isinstance(stream.get_extra_info("ssl_object"), ssl.SSLObject)
        self._socket: socket | None = None if inner else stream.get_extra_info("socket")
        self._buffer: memoryview | None = None

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Wait for bytes, and return up to 256 KiB of those that have arrived by then.

        One read of TLS returns 16 KiB at most, and httpcore2 and h11 spend more time on each piece than it takes to
        receive it.
        """
        allowed = _left(timeout)
        try:
            first = self._stream.read(max_bytes, allowed)
        except httpcore2.ReadTimeout:
            _left(None)  # says so if it was the deadline
            raise
        if self._socket is None or max_bytes < _BODY or len(first) < _RECORD:
            return first
        return self._gathered(first, self._socket)

    def _gathered(self, first: bytes, socket: socket) -> bytes:
        """Return `first` and what else has arrived, without waiting."""
        if self._buffer is None:
            self._buffer = memoryview(bytearray(_GATHERED))
        buffer, size = self._buffer, len(first)
        buffer[:size] = first
        socket.setblocking(False)  # the stream sets its own time-out before it reads or writes
        try:
            while size < _GATHERED and (count := socket.recv_into(buffer[size:])):
                size += count
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except OSError as error:
            raise httpcore2.ReadError(error) from error
        return bytes(buffer[:size])

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        # Python's time-out for a handshake is one for all of it.
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, _left(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
