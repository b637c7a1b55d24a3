"""Reading from a location: http and https with httpx2, `file:` addresses and folders from the disk, all in one way.

HTTP/1.1 on kept connections: HTTP/2 would put all downloads behind one TCP window, and Debian mirrors mostly speak
plain HTTP/1.1 anyway. Proxies are those of the environment, as httpx2 reads it (`HTTPS_PROXY`, ...). Certificates are
verified with the authorities that the machine trusts (`SSL_CERT_FILE`, `SSL_CERT_DIR`, the system's own), as apt and
pip do.
"""

from __future__ import annotations

import logging
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

_LOG = logging.getLogger(__name__)

_T = TypeVar("_T")

_CHUNK = 1 << 18
_SLOWEST = 512  # bytes per second; a mirror below it for a whole timeout counts as stalled
_LARGEST = 256 << 20
_FIRST_PAUSE, _LONGEST_PAUSE = 0.4, 20.0
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}


class FetchFailure(MirrorError):
    """What one location gave instead of a file.

    Attributes:
        transient: The same request may succeed later.
        missing: The mirror has no such file.
        unreachable: There was no connection at all.
        pause: Seconds that the mirror asked to wait before the next try.
    """

    def __init__(
        self,
        brief: str,
        *,
        transient: bool = False,
        missing: bool = False,
        unreachable: bool = False,
        pause: float = 0.0,
    ) -> None:
        super().__init__(brief)
        self.transient = transient
        self.missing = missing
        self.unreachable = unreachable
        self.pause = pause


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole answer.

    Attributes:
        location: Where it came from, after redirects.
        content: Its bytes, decompressed.
        content_type: Its media type in lower case, without parameters; empty if the server does not say.
        etag: The validator that the server gave, if any.
        modified: The time of the last change that the server gave, if any.
        changed: Whether it has content; False for 304 Not Modified.
    """

    location: str
    content: bytes
    content_type: str = ""
    etag: str | None = None
    modified: str | None = None
    changed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """An answer that is still being received.

    Attributes:
        location: Where it comes from, after redirects.
        offset: The position in the file of the first of the `chunks`.
        total: The size of the whole file in bytes, if the server says.
        chunks: The bytes, as they arrive.
    """

    location: str
    offset: int
    total: int | None
    chunks: Iterator[bytes]


class Web:
    """Connections to every mirror, shared by threads.

    Args:
        timeout: Seconds without a byte after which a request fails.
        retries: How many more times to try after a transient failure.
        connections: How many requests to make at once; twice as many idle connections are kept.
        stop: Set by the caller to end all work soon.
    """

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
        """Return False if the last request to the host of `location` found no connection or timed out."""
        return _host(location) not in self._unreachable

    def get(self, location: str, *, headers: Mapping[str, str] | None = None, html: bool = False) -> Reply:
        """Return the whole of `location`, with retries.

        Raises:
            FetchFailure: if it cannot be had, or is an HTML page and `html` is not set.
        """
        return self._retrying(location, lambda: self._get(location, dict(headers or {}), html))

    def head(self, location: str, length: int) -> tuple[bytes, int | None]:
        """Return the first `length` bytes of `location` and the size of the whole file if known, with retries.

        Raises:
            FetchFailure: if they cannot be had.
        """

        def attempt() -> tuple[bytes, int | None]:
            with self.open(location, end=length) as stream:
                content = bytearray()  # locking reads whole files this way, in many chunks
                for chunk in stream.chunks:  # to the end: a connection with unread bytes cannot be kept
                    content += chunk
                    if len(content) > length:  # the server ignores the range: stop after all
                        break
                return bytes(content[:length]), stream.total

        return self._retrying(location, attempt)

    def part(self, location: str, offset: int, length: int) -> bytes | None:
        """Return `length` bytes of `location` from `offset` on, with retries.

        None if the server ignores the range and sends the file from its start.

        Raises:
            FetchFailure: if they cannot be had.
        """

        def attempt() -> bytes | None:
            with self.open(location, offset=offset, end=offset + length) as stream:
                return b"".join(stream.chunks) if stream.offset == offset else None

        return self._retrying(location, attempt)

    @contextmanager
    def open(self, location: str, *, offset: int = 0, end: int | None = None) -> Iterator[Stream]:
        """Open a stream of the file at `location` from byte `offset` up to `end`, without retries.

        If the server ignores the range, the stream's own `offset` is 0.

        Raises:
            FetchFailure: if the file cannot be had, also while the stream is read.
        """
        path = local_path(location)
        if path is not None:
            with _open_file(path, offset, end) as stream:
                yield stream
            return
        headers = {"Accept-Encoding": "identity"}
        if offset or end is not None:
            headers["Range"] = f"bytes={offset}-{'' if end is None else end - 1}"
        with self._failures(location), self._client.stream("GET", location, headers=headers) as response:
            _check_status(response)
            if _is_html(response):
                raise FetchFailure("returned an HTML page instead of the file")
            start, total = _extent(response)
            chunks = self._watched(response.iter_raw())
            yield Stream(location=str(response.url), offset=start, total=total, chunks=chunks)

    def pause(self, attempt: int, at_least: float = 0.0) -> None:
        """Wait after try number `attempt` (from 1): exponentially longer, with jitter, `at_least` so many seconds."""
        seconds = min(_FIRST_PAUSE * 2 ** (attempt - 1), _LONGEST_PAUSE) * random.uniform(0.5, 1.0)
        self.stop.wait(max(seconds, min(at_least, _LONGEST_PAUSE)))

    def _retrying(self, location: str, attempt: Callable[[], _T]) -> _T:
        # A host that was unreachable a moment ago is tried only once: there may be 400 files to ask it for.
        tries = self.retries if self.reachable(location) else 0
        for number in range(1, tries + 1):
            try:
                return attempt()
            except FetchFailure as failure:
                if not failure.transient or self.stop.is_set():
                    raise
                self.pause(number, failure.pause)
        return attempt()

    def _get(self, location: str, headers: dict[str, str], html: bool) -> Reply:
        path = local_path(location)
        if path is not None:
            with _open_file(path, 0, None) as stream:
                return Reply(location=location, content=b"".join(stream.chunks))
        with self._failures(location), self._client.stream("GET", location, headers=headers) as response:
            etag, modified = response.headers.get("ETag"), response.headers.get("Last-Modified")
            if response.status_code == httpx2.codes.NOT_MODIFIED:
                return Reply(location=str(response.url), content=b"", etag=etag, modified=modified, changed=False)
            _check_status(response)
            if _is_html(response) and not html:
                raise FetchFailure("returned an HTML page instead of the file")
            content = bytearray()
            for chunk in self._watched(response.iter_bytes()):
                content += chunk
                if len(content) > _LARGEST:
                    raise FetchFailure(f"sent more than {_LARGEST >> 20} MiB")
            return Reply(
                location=str(response.url),
                content=bytes(content),
                content_type=_media_type(response),
                etag=etag,
                modified=modified,
            )

    @contextmanager
    def _failures(self, location: str) -> Iterator[None]:
        """Turn what httpx2 raises into a `FetchFailure`, and remember which hosts are unreachable."""
        _LOG.debug("GET %s", redacted(location))
        try:
            yield
        except httpx2.ConnectTimeout:
            self._unreachable.add(_host(location))
            raise FetchFailure("the connection timed out", transient=True, unreachable=True) from None
        except httpx2.TimeoutException:
            self._unreachable.add(_host(location))
            raise FetchFailure(f"sent nothing for {self.timeout:g} s", transient=True) from None
        except httpx2.ConnectError as error:
            self._unreachable.add(_host(location))
            certificate = isinstance(_root(error), ssl.SSLCertVerificationError)
            raise FetchFailure(f"cannot be reached: {error}", transient=not certificate, unreachable=True) from None
        except (httpx2.NetworkError, httpx2.RemoteProtocolError) as error:
            raise FetchFailure(f"the connection broke: {error}".removesuffix(": "), transient=True) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            raise FetchFailure(f"the request failed: {error}") from None
        else:
            self._unreachable.discard(_host(location))

    def _watched(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield `chunks` until the mirror gets too slow to be of use or the work is stopped."""
        since, count = time.monotonic(), 0
        for chunk in chunks:
            if self.stop.is_set():
                raise FetchFailure("interrupted")
            yield chunk
            count += len(chunk)
            now = time.monotonic()
            if now - since > self.timeout:
                if count < _SLOWEST * self.timeout:
                    raise FetchFailure(f"too slow: {count} bytes in {now - since:.1f} s", transient=True)
                since, count = now, 0


def _authorities() -> ssl.SSLContext:
    """Return what the machine trusts, which may include a company's own authority; certifi's list if that is nothing.

    The context is made here, not by httpx2, whose own choice of authorities changed between versions.
    """
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    folder = Path(paths.capath or paths.openssl_capath)
    if not context.cert_store_stats()["x509_ca"] and not (folder.is_dir() and any(folder.iterdir())):
        context.load_verify_locations(certifi.where())
    return context


def local_path(location: str) -> Path | None:
    """Return the path that a `file:` address or a plain path stands for; None for any other address."""
    if location.startswith("/"):
        return Path(location)
    if location.startswith("file:"):
        return Path(unquote(urlsplit(location).path))
    return None


def redacted(location: str) -> str:
    """Return `location` without a user name and password, for messages."""
    parts = urlsplit(location)
    if "@" not in parts.netloc:
        return location
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


@contextmanager
def _open_file(path: Path, offset: int, end: int | None) -> Iterator[Stream]:
    try:
        with path.open("rb", buffering=0) as file:
            total = path.stat().st_size
            start = min(offset, total)
            file.seek(start)
            stop = total if end is None else min(end, total)

            def chunks() -> Iterator[bytes]:
                left = stop - start
                while left > 0 and (chunk := file.read(min(_CHUNK, left))):
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
    wait = response.headers.get("Retry-After", "")
    raise FetchFailure(
        f"{status} {response.reason_phrase}".strip(),
        transient=status in _TRANSIENT,
        missing=status in (httpx2.codes.NOT_FOUND, httpx2.codes.GONE),
        pause=float(wait) if wait.isascii() and wait.isdigit() else 0.0,
    )


def _extent(response: httpx2.Response) -> tuple[int, int | None]:
    """Return the offset of the first byte and the size of the whole file (RFC 9110, sections 14.4 and 8.6)."""
    length = response.headers.get("Content-Length", "")
    if response.status_code != httpx2.codes.PARTIAL_CONTENT:
        return 0, int(length) if length.isascii() and length.isdigit() else None
    unit, _, extent = response.headers.get("Content-Range", "").partition(" ")
    window, _, total = extent.partition("/")
    start = window.partition("-")[0]
    if unit != "bytes" or not start.isdigit():
        raise FetchFailure("sent a part of the file without a valid Content-Range")
    return int(start), int(total) if total.isdigit() else None


def _is_html(response: httpx2.Response) -> bool:
    return _media_type(response) in ("text/html", "application/xhtml+xml")


def _media_type(response: httpx2.Response) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _host(location: str) -> str:
    return urlsplit(location).netloc


def _root(error: BaseException) -> BaseException:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return error
