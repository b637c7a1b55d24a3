"""Where keys come from: a PEM file, a JWK server, or the server with the file behind it. Rotation needs no restart."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, Protocol
from urllib.error import HTTPError

from rtbuild_security_manager.errors import KeysUnusable
from rtbuild_security_manager.keys import VerificationKey, keys_of_jwk, keys_of_pem

log = logging.getLogger(__name__)

CACHE_SECONDS = 300.0
"""How long the answer of a JWK server counts."""

AHEAD_SECONDS = 60.0
"""How long before that it is asked again, so that no request has to wait for it."""

RETRY_SECONDS = 10.0
"""How long a JWK server that failed is left alone."""

RENEWAL_SECONDS = 10.0
"""The least time between two questions that tokens with unknown keys cause: whoever sends such does not get to load
the JWK server, nor to slow down the webserver."""

FAILED_RENEWAL_SECONDS = 60.0
"""The same after one that failed, since it may have cost the whole timeout."""

LARGEST_DOCUMENT = 1 << 20
"""Bytes of a PEM file or JWK document."""

_NEVER = float("-inf")
_SETTLED_SECONDS = 2.0
"""A file that changed less than this before it was read may change again without its time and size telling."""


class KeySource(Protocol):
    """Gives the keys that count now."""

    def current(self) -> tuple[VerificationKey, ...]:
        """The keys; none where there is no way to get any."""
        ...

    def renewed(self, seen: tuple[VerificationKey, ...]) -> tuple[VerificationKey, ...]:
        """Keys that may be newer than `seen`, none of which fitted a token; none where there is nothing new."""
        ...


class PemFile:
    """The keys of a PEM file, read again when it changed.

    A file that is missing or broken gives no key at all: the keys that stood there before may have been withdrawn."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._read: tuple[Any, bool, tuple[VerificationKey, ...]] = (None, False, ())

    def current(self) -> tuple[VerificationKey, ...]:
        try:
            status = os.stat(self._path)
        except OSError as error:
            return self._keep(("missing", error.errno), settled=True, problem=f"it cannot be read: {error.strerror}")
        # Mounted secrets change by a symbolic link's new target: another inode, at times of equal size and time
        stamp = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        known, settled, keys = self._read
        if stamp == known and settled:
            return keys
        settled = abs(self._clock() - status.st_mtime) > _SETTLED_SECONDS
        try:
            with self._path.open("rb") as file:
                found = keys_of_pem(file.read(LARGEST_DOCUMENT))
        except OSError as error:
            return self._keep(stamp, settled=False, problem=f"it cannot be read: {error.strerror}")
        except KeysUnusable as error:
            return self._keep(stamp, settled=settled, problem=str(error))
        if stamp != known:
            log.info("[astronomer] jwt_signing_cert: %d key(s) read", len(found))
        self._read = (stamp, settled, found)
        return found

    def renewed(self, seen: tuple[VerificationKey, ...]) -> tuple[VerificationKey, ...]:
        return ()  # every call of current() looks at the file

    def _keep(self, stamp: Any, *, settled: bool, problem: str) -> tuple[VerificationKey, ...]:
        if self._read[0] != stamp:
            log.error("[astronomer] jwt_signing_cert: %s", problem)
        self._read = (stamp, settled, ())
        return ()


@dataclass(frozen=True)
class _Answer:
    """What is known of a JWK server: keys, until when they count, and from when on it is to be asked again. `failed`
    says that it did not answer when it was asked last."""

    keys: tuple[VerificationKey, ...] = ()
    until: float = _NEVER
    due: float = _NEVER
    failed: bool = False


class JwkServer:
    """The keys of a JWK or JWK set at a URL, kept for `CACHE_SECONDS`.

    One request at a time asks the server. Others wait for it only where no key counts although the server has not
    failed: at the very first, and after a pause without requests. Otherwise it is asked in the background, before its
    answer is too old or `RETRY_SECONDS` after it failed. `clock` gives seconds that only grow; `fetch` and `start` are
    what the network and threads do."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
        fetch: Callable[[str, float], bytes] | None = None,
        start: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self._url = url
        self._timeout = timeout
        self._clock = clock
        self._fetch = fetch or fetch_document
        self._start = start or _in_background
        # Whoever asks the server holds it, and replaces the answer as a whole: readers take no lock
        self._lock = threading.Lock()
        self._answer = _Answer()
        self._renewable = _NEVER

    def current(self) -> tuple[VerificationKey, ...]:
        """The keys that the server gave within the last `CACHE_SECONDS`; none where it failed."""
        answer = self._answer
        now = self._clock()
        if now >= answer.due:
            if now < answer.until or answer.failed:
                self._ask_in_background(answer)
            else:
                with self._lock:
                    if self._answer is answer:  # else somebody has asked meanwhile
                        self._answer = self._ask(answer)
            answer = self._answer
        return answer.keys if now < answer.until else ()

    def renewed(self, seen: tuple[VerificationKey, ...]) -> tuple[VerificationKey, ...]:
        """Ask the server before its answer is old, for a key that is not in it; not more often than
        `RENEWAL_SECONDS` allows. What is known counts on where it fails."""
        if self._answer.failed:
            return ()  # without waiting for whoever asks it again just now
        with self._lock:
            if self._answer.keys is not seen:
                return self._answer.keys
            if self._clock() < self._renewable:
                return ()
            answer = self._ask(self._answer)
            if not answer.failed:
                self._answer = answer
            self._renewable = self._clock() + (FAILED_RENEWAL_SECONDS if answer.failed else RENEWAL_SECONDS)
            return () if answer.failed else answer.keys

    def _ask_in_background(self, known: _Answer) -> None:
        """Replace what is known, unless somebody does so already or has meanwhile."""
        if not self._lock.acquire(blocking=False):
            return

        def replace_and_release() -> None:
            try:
                self._answer = self._ask(known)
            finally:
                self._lock.release()

        started = False
        try:
            if self._answer is known:
                self._start(replace_and_release)
                started = True
        finally:
            if not started:
                self._lock.release()

    def _ask(self, known: _Answer) -> _Answer:
        """The server's answer; where it fails, what is known, to be asked again soon."""
        try:
            found = keys_of_jwk(self._fetch(self._url, self._timeout))
        except (OSError, HTTPException, KeysUnusable, ValueError) as error:
            log.warning("[astronomer] houston_jwk_url cannot be used: %s", str(error) or type(error).__name__)
            return replace(known, due=self._clock() + RETRY_SECONDS, failed=True)
        log.info("[astronomer] houston_jwk_url: %d key(s) read", len(found))
        now = self._clock()
        return _Answer(keys=found, until=now + CACHE_SECONDS, due=now + CACHE_SECONDS - AHEAD_SECONDS)


class ServerThenFile:
    """The keys of a JWK server; those of a PEM file while the server fails."""

    def __init__(self, server: JwkServer, file: PemFile) -> None:
        self._server = server
        self._file = file

    def current(self) -> tuple[VerificationKey, ...]:
        return self._server.current() or self._file.current()

    def renewed(self, seen: tuple[VerificationKey, ...]) -> tuple[VerificationKey, ...]:
        # While the server fails, what was seen is the file's: nothing newer can be had
        return self._server.renewed(seen)


def key_source(*, signing_cert: Path | None, jwk_url: str | None, timeout: float) -> KeySource:
    """The source that a configuration asks for; at least one of both must be given."""
    if jwk_url and signing_cert:
        return ServerThenFile(JwkServer(jwk_url, timeout=timeout), PemFile(signing_cert))
    if jwk_url:
        return JwkServer(jwk_url, timeout=timeout)
    if signing_cert:
        return PemFile(signing_cert)
    raise ValueError("neither a file nor a URL to take keys from")


def fetch_document(url: str, timeout: float) -> bytes:
    """Return what a URL answers with; redirects are not followed.

    Args:
        timeout: Seconds for the whole question: the address, the connection, TLS, the headers and the body.

    Raises:
        OSError: if the server cannot be reached, or has not answered completely when the time is up.
        HTTPException: if it does not speak HTTP.
        KeysUnusable: if the answer is larger than `LARGEST_DOCUMENT`.
    """
    return _Question(url).answer(timeout)


class _Question:
    """One request to a URL, in a thread of its own.

    The timeout of a socket covers a single step, so a server that sends a byte now and then, or one `100 Continue`
    after the other, could take for ever. Whoever waits here gives up at the deadline, whatever step the thread is at,
    and closes its connection, which ends the thread too."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._given_up = False
        self._ended = threading.Event()
        self._content = b""
        self._failure: Exception | None = None

    def answer(self, timeout: float) -> bytes:
        """Ask and wait for the answer for `timeout` seconds at most."""
        try:
            _in_background(lambda: self._ask(timeout))
        except RuntimeError as error:
            raise OSError("there is no thread to ask in") from error
        if not self._ended.wait(timeout):
            self._give_up()
            raise TimeoutError(f"its answer was not complete within {timeout:g} s")
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        return self._content

    def _ask(self, timeout: float) -> None:
        try:
            opener = urllib.request.build_opener(_Unredirected, _Http(self._connect), _Https(self._connect))
            request = urllib.request.Request(self._url, headers={"Accept": "application/json"})
            with opener.open(request, timeout=timeout) as answer:
                content = answer.read(LARGEST_DOCUMENT + 1)
            if len(content) > LARGEST_DOCUMENT:
                raise KeysUnusable(f"it answers with more than {LARGEST_DOCUMENT} bytes")
            self._content = content
        except Exception as error:  # it belongs to whoever waits
            self._failure = error
            if isinstance(error, HTTPError):
                error.close()
        finally:
            with self._lock:
                if self._connection is not None:
                    self._connection.close()
                self._connection = None
            self._ended.set()

    def _connect(self, *args: Any, **kwargs: Any) -> socket.socket:
        """Open a connection as `socket.create_connection` does, unless nobody waits any more."""
        connection = socket.create_connection(*args, **kwargs)
        with self._lock:
            if self._given_up:
                connection.close()
                raise TimeoutError("nobody waits for the answer")
            # A handle of its own: TLS takes the socket over, and the thread may close it at any moment
            self._connection = connection.dup()
        return connection

    def _give_up(self) -> None:
        with self._lock:
            self._given_up = True
            if self._connection is not None:
                with suppress(OSError):  # it may be closed already
                    self._connection.shutdown(socket.SHUT_RDWR)


class _Http(urllib.request.HTTPHandler):
    """Opens http connections by `connect`."""

    def __init__(self, connect: Callable[..., socket.socket]) -> None:
        super().__init__()
        self._connect = connect

    def http_open(self, request: urllib.request.Request) -> Any:
        return self.do_open(partial(_opened, HTTPConnection, self._connect), request)


class _Https(urllib.request.HTTPSHandler):
    """Opens https connections by `connect`."""

    def __init__(self, connect: Callable[..., socket.socket]) -> None:
        super().__init__()
        self._connect = connect

    def https_open(self, request: urllib.request.Request) -> Any:
        return self.do_open(partial(_opened, HTTPSConnection, self._connect), request)


def _opened(kind: Callable[..., Any], connect: Callable[..., socket.socket], host: str, **options: Any) -> Any:
    connection = kind(host, **options)
    connection._create_connection = connect  # http.client has no public way to get at its socket before it is used
    return connection


class _Unredirected(urllib.request.HTTPRedirectHandler):
    """Takes a redirect for the failure that it is: the operator said where the keys are, nobody else does."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None


def _in_background(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="jwk-server", daemon=True).start()
