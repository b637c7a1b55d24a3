"""Asking a place for bytes: http and https through httpx2, `file:` addresses and folders from the disk, all alike.

HTTP/1.1 on kept connections: HTTP/2 would put all downloads behind one TCP window, and Debian mirrors mostly speak
plain HTTP/1.1 anyway. Proxies are those of the environment, as httpx2 reads it (`HTTPS_PROXY`, ...); trusted are the
authorities that the machine trusts (`SSL_CERT_FILE`, `SSL_CERT_DIR`, the system's own), as apt and pip do.
"""

from __future__ import annotations

import random
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

import certifi
import httpx2

from rtbuild.errors import MirrorError

_T = TypeVar("_T")

_CHUNK = 1 << 18
_SLOWEST = 512  # bytes a second; a mirror below it for a whole timeout counts as silent
_LARGEST = 256 << 20
_FIRST_PAUSE, _LONGEST_PAUSE = 0.4, 20.0
_PASSING = {408, 425, 429, 500, 502, 503, 504}


class FetchFailure(MirrorError):
    """What one place gave instead of a file.

    `passing`: the same question may be answered later. `missing`: it has no such file. `unreachable`: it could
    not be talked to at all. `pause`: seconds it asked us to wait.
    """

    def __init__(
        self,
        brief: str,
        *,
        passing: bool = False,
        missing: bool = False,
        unreachable: bool = False,
        pause: float = 0.0,
    ) -> None:
        super().__init__(brief)
        self.passing = passing
        self.missing = missing
        self.unreachable = unreachable
        self.pause = pause


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole answer. `location` is where it finally came from; `changed` is False for 304 Not Modified."""

    location: str
    content: bytes
    content_type: str = ""
    etag: str | None = None
    modified: str | None = None
    changed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """An answer that is still coming. `offset` is where in the file `chunks` begin; `total` its whole size, if told."""

    location: str
    offset: int
    total: int | None
    chunks: Iterator[bytes]


class Web:
    """Connections to every mirror, shared by threads. `timeout` is in seconds without a byte."""

    def __init__(
        self,
        *,
        timeout: float = 30.0,
        retries: int = 4,
        connections: int = 8,
        stop: threading.Event | None = None,
    ) -> None:
        self.timeout = timeout
        self.retries = retries
        self.connections = connections
        self.stop = stop or threading.Event()
        self._unreachable: set[str] = set()
        self._client = httpx2.Client(
            follow_redirects=True,
            timeout=httpx2.Timeout(timeout, connect=min(timeout, 10.0)),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=connections * 2),
            headers={"User-Agent": "rtbuild"},
            verify=_authorities(),
        )
        self._finalizer = weakref.finalize(self, self._client.close)

    def close(self) -> None:
        """Close every connection."""
        self._finalizer()

    def reachable(self, location: str) -> bool:
        """False if the host of `location` could not be talked to when last tried."""
        return _host(location) not in self._unreachable

    def get(self, location: str, *, headers: Mapping[str, str] | None = None, html: bool = False) -> Reply:
        """Return the whole of `location`, with retries.

        Raises `FetchFailure`, also for an HTML page unless `html` is set.
        """
        return self._persistently(location, lambda: self._get(location, dict(headers or {}), html))

    def head(self, location: str, length: int) -> tuple[bytes, int | None]:
        """The first `length` bytes of `location` and its whole size, with retries. Raises `FetchFailure`."""

        def attempt() -> tuple[bytes, int | None]:
            with self.open(location, end=length) as stream:
                content = bytearray()  # locking reads whole files so, in many chunks
                for chunk in stream.chunks:  # to its end: an answer that is not read to the end costs its connection
                    content += chunk
                    if len(content) > length:  # but for a server that ignores the range
                        break
                return bytes(content[:length]), stream.total

        return self._persistently(location, attempt)

    def part(self, location: str, offset: int, length: int) -> bytes | None:
        """`length` bytes of `location` from `offset` on, with retries. Raises `FetchFailure`.

        None if the server ignores the range and sends the file from its start.
        """

        def attempt() -> bytes | None:
            with self.open(location, offset=offset, end=offset + length) as stream:
                return b"".join(stream.chunks) if stream.offset == offset else None

        return self._persistently(location, attempt)

    @contextmanager
    def open(self, location: str, *, offset: int = 0, end: int | None = None) -> Iterator[Stream]:
        """Open a stream of the file at `location` from byte `offset` up to `end`, tried once.

        Raises `FetchFailure`, also while the stream is read.

        A server that ignores the range is told by `Stream.offset` being 0.
        """
        folder = local_path(location)
        if folder is not None:
            with _open_file(folder, offset, end) as stream:
                yield stream
            return
        headers = {"Accept-Encoding": "identity"}
        if offset or end is not None:
            headers["Range"] = f"bytes={offset}-{'' if end is None else end - 1}"
        with self._answers(location), self._client.stream("GET", location, headers=headers) as response:
            _check_status(response)
            if _is_html(response):
                raise FetchFailure("an HTML page instead of the file")
            start, total = _extent(response)
            chunks = self._watched(response.iter_raw(), response)
            yield Stream(location=str(response.url), offset=start, total=total, chunks=chunks)

    def pause(self, attempt: int, least: float = 0.0) -> None:
        """Wait after try number `attempt` (from 1): exponentially longer, with jitter, at least `least`."""
        seconds = min(_FIRST_PAUSE * 2 ** (attempt - 1), _LONGEST_PAUSE) * random.uniform(0.5, 1.0)
        self.stop.wait(max(seconds, min(least, _LONGEST_PAUSE)))

    def _persistently(self, location: str, attempt: Callable[[], _T]) -> _T:
        # A host that could not be talked to a moment ago gets one chance only: there may be 400 files to ask it for.
        tries = self.retries if self.reachable(location) else 0
        for number in range(1, tries + 1):
            try:
                return attempt()
            except FetchFailure as refusal:
                if not refusal.passing or self.stop.is_set():
                    raise
                self.pause(number, refusal.pause)
        return attempt()

    def _get(self, location: str, headers: dict[str, str], html: bool) -> Reply:
        folder = local_path(location)
        if folder is not None:
            with _open_file(folder, 0, None) as stream:
                return Reply(location=location, content=b"".join(stream.chunks))
        with self._answers(location), self._client.stream("GET", location, headers=headers) as response:
            etag, modified = response.headers.get("ETag"), response.headers.get("Last-Modified")
            if response.status_code == httpx2.codes.NOT_MODIFIED:
                return Reply(location=str(response.url), content=b"", etag=etag, modified=modified, changed=False)
            _check_status(response)
            if _is_html(response) and not html:
                raise FetchFailure("an HTML page instead of the file")
            content = bytearray()
            for chunk in self._watched(response.iter_bytes(), response):
                content += chunk
                if len(content) > _LARGEST:
                    raise FetchFailure(f"more than {_LARGEST >> 20} MiB")
            return Reply(
                location=str(response.url),
                content=bytes(content),
                content_type=response.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
                etag=etag,
                modified=modified,
            )

    @contextmanager
    def _answers(self, location: str) -> Iterator[None]:
        """Turn what httpx2 raises into a `FetchFailure`, and remember which hosts can be talked to."""
        try:
            yield
        except httpx2.ConnectTimeout:
            self._unreachable.add(_host(location))
            raise FetchFailure("no connection in time", passing=True, unreachable=True) from None
        except httpx2.TimeoutException:
            self._unreachable.add(_host(location))
            raise FetchFailure(f"silent for {self.timeout:g} s", passing=True) from None
        except httpx2.ConnectError as error:
            self._unreachable.add(_host(location))
            certificate = isinstance(_root(error), ssl.SSLCertVerificationError)
            raise FetchFailure(f"cannot be reached: {error}", passing=not certificate, unreachable=True) from None
        except (httpx2.NetworkError, httpx2.RemoteProtocolError) as error:
            raise FetchFailure(f"broke off the answer: {str(error) or 'connection lost'}", passing=True) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            raise FetchFailure(f"cannot be asked: {error}") from None
        else:
            self._unreachable.discard(_host(location))

    def _watched(self, chunks: Iterator[bytes], response: httpx2.Response) -> Iterator[bytes]:
        """`chunks`, until the mirror gets too slow to be of use or the work is to stop."""
        since, count = time.monotonic(), 0
        for chunk in chunks:
            if self.stop.is_set():
                raise FetchFailure("stopped")
            yield chunk
            count += len(chunk)
            now = time.monotonic()
            if now - since > self.timeout:
                if count < _SLOWEST * self.timeout:
                    raise FetchFailure(f"too slow: {count} bytes in {now - since:.0f} s", passing=True)
                since, count = now, 0


def _authorities() -> ssl.SSLContext:
    """Who may vouch for a mirror: httpx2's own list would not know a company's authority, which the machine does."""
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    folder = Path(paths.capath or paths.openssl_capath)
    if not context.cert_store_stats()["x509_ca"] and not (folder.is_dir() and any(folder.iterdir())):
        context.load_verify_locations(certifi.where())
    return context


def local_path(location: str) -> Path | None:
    """The file or folder that a `file:` address or a plain path means; None for anything else."""
    if location.startswith("/"):
        return Path(location)
    if location.startswith("file:"):
        return Path(unquote(urlsplit(location).path))
    return None


def redacted(location: str) -> str:
    """`location` without a user name and password, for messages."""
    parts = urlsplit(location)
    if "@" not in parts.netloc:
        return location
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


@contextmanager
def _open_file(path: Path, offset: int, end: int | None) -> Iterator[Stream]:
    try:
        with path.open("rb", buffering=0) as stream:
            total = path.stat().st_size
            start = min(offset, total)
            stream.seek(start)
            stop = total if end is None else min(end, total)

            def chunks() -> Iterator[bytes]:
                left = stop - start
                while left > 0 and (chunk := stream.read(min(_CHUNK, left))):
                    left -= len(chunk)
                    yield chunk

            yield Stream(location=str(path), offset=start, total=total, chunks=chunks())
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise FetchFailure("no such file", missing=True) from None
    except OSError as error:
        raise FetchFailure(f"cannot be read: {error.strerror}") from None


def _check_status(response: httpx2.Response) -> None:
    status = response.status_code
    if status in (httpx2.codes.OK, httpx2.codes.PARTIAL_CONTENT):
        return
    brief = f"{status} {response.reason_phrase}".strip()
    wait = response.headers.get("Retry-After", "")
    raise FetchFailure(
        brief,
        passing=status in _PASSING,
        missing=status in (httpx2.codes.NOT_FOUND, httpx2.codes.GONE),
        pause=float(wait) if wait.isascii() and wait.isdigit() else 0.0,
    )


def _extent(response: httpx2.Response) -> tuple[int, int | None]:
    """The offset of the answer's first byte and the size of the whole file (RFC 9110, sections 14.4 and 8.6)."""
    length = response.headers.get("Content-Length", "")
    if response.status_code != httpx2.codes.PARTIAL_CONTENT:
        return 0, int(length) if length.isascii() and length.isdigit() else None
    unit, _, extent = response.headers.get("Content-Range", "").partition(" ")
    window, _, total = extent.partition("/")
    start = window.partition("-")[0]
    if unit != "bytes" or not start.isdigit():
        raise FetchFailure("a part of the file without saying which")
    return int(start), int(total) if total.isdigit() else None


def _is_html(response: httpx2.Response) -> bool:
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return kind in ("text/html", "application/xhtml+xml")


def _host(location: str) -> str:
    return urlsplit(location).netloc


def _root(error: BaseException) -> BaseException:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return error
