"""Where keys come from: a PEM file, a JWK server, or the server with the file behind it. Rotation needs no restart."""

from __future__ import annotations

import logging
import os
import threading
import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any, Protocol

from rtbuild_security_manager.errors import KeysUnusable
from rtbuild_security_manager.keys import VerificationKey, keys_of_jwk, keys_of_pem

log = logging.getLogger(__name__)

CACHE_SECONDS = 300.0
"""How long the answer of a JWK server counts."""

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


class JwkServer:
    """The keys of a JWK or JWK set at a URL, kept for `CACHE_SECONDS`.

    One request at a time waits for the server, and only where nothing is known of it: one that failed is asked again in
    the background. `clock` gives seconds that only grow; `fetch` and `start` are what the network and threads do."""

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
        self._lock = threading.Lock()
        # Keys and the time until which they count, replaced together: readers take no lock
        self._known: tuple[tuple[VerificationKey, ...], float] = ((), _NEVER)
        self._renewable = _NEVER

    def current(self) -> tuple[VerificationKey, ...]:
        """The keys that the server gave within the last `CACHE_SECONDS`; none where it failed."""
        known, due = self._known
        if self._clock() < due:
            return known
        if known or due == _NEVER:
            with self._lock:
                if self._clock() >= self._known[1]:  # else somebody has asked it meanwhile
                    self._known = self._answer()
        elif self._lock.acquire(blocking=False):
            # Whoever comes next must not start another one meanwhile
            self._known = ((), self._clock() + RETRY_SECONDS + self._timeout)
            try:
                self._start(self._answer_and_release)
            except BaseException:
                self._lock.release()
                raise
        return self._known[0]

    def renewed(self, seen: tuple[VerificationKey, ...]) -> tuple[VerificationKey, ...]:
        """Ask the server before its answer is old, for a key that is not in it; not more often than
        `RENEWAL_SECONDS` allows. What is known counts on where it fails."""
        if not self._known[0]:
            return ()  # without waiting for whoever asks it again just now
        with self._lock:
            if self._known[0] is not seen:
                return self._known[0]
            if self._clock() < self._renewable:
                return ()
            answer = self._answer()
            if answer[0]:
                self._known = answer
            self._renewable = self._clock() + (RENEWAL_SECONDS if answer[0] else FAILED_RENEWAL_SECONDS)
            return answer[0]

    def _answer_and_release(self) -> None:
        try:
            self._known = self._answer()
        finally:
            self._lock.release()

    def _answer(self) -> tuple[tuple[VerificationKey, ...], float]:
        try:
            found = keys_of_jwk(self._fetch(self._url, self._timeout))
        except (OSError, HTTPException, KeysUnusable, ValueError) as error:
            log.warning("[astronomer] houston_jwk_url cannot be used: %s", str(error) or type(error).__name__)
            return (), self._clock() + RETRY_SECONDS
        log.info("[astronomer] houston_jwk_url: %d key(s) read", len(found))
        return found, self._clock() + CACHE_SECONDS


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
    """What a URL answers with, up to `LARGEST_DOCUMENT`; redirects are not followed. `timeout` is in seconds, for each
    step and for the whole body. Raises `OSError`, `HTTPException`, `KeysUnusable`."""
    request = urllib.request.Request(url, headers={"Accept": "application/json"})
    deadline = time.monotonic() + timeout
    content = bytearray()
    with urllib.request.build_opener(_Unredirected).open(request, timeout=timeout) as answer:
        while piece := answer.read1(1 << 16):
            content += piece
            if len(content) > LARGEST_DOCUMENT:
                raise KeysUnusable(f"it answers with more than {LARGEST_DOCUMENT} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError(f"its answer was not complete within {timeout:g} s")
    return bytes(content)


class _Unredirected(urllib.request.HTTPRedirectHandler):
    """Takes a redirect for the failure that it is: the operator said where the keys are, nobody else does."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None


def _in_background(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="jwk-server", daemon=True).start()
