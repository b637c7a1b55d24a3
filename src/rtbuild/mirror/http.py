"""Reading from a location: http and https with httpx2, `file:` addresses and folders from the disk, all in one way.

HTTP/1.1 on kept connections: HTTP/2 would put all downloads behind one TCP window, and Debian mirrors mostly speak
plain HTTP/1.1 anyway. Proxies are those of the environment, as httpx2 reads it (`HTTPS_PROXY`, ...), or the one that a
mirror comes with. Certificates are verified with the authorities that the machine trusts (`SSL_CERT_FILE`,
`SSL_CERT_DIR`, the system's own), as apt and pip do.

Servers are not trusted: header, body and decompressed body have limits in time and size, and https never becomes http.
A login is sent to the scheme, host and port that it belongs to, and nowhere else.
"""

from __future__ import annotations

import logging
import random
import re
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar
from urllib.parse import unquote, urlsplit

import certifi
import httpx2

from rtbuild.errors import MirrorError, UsageError
from rtbuild.files import open_regular
from rtbuild.formats.streams import decompressed
from rtbuild.mirror.deadline import REASON, answer_within, deadlines, watch

_LOG = logging.getLogger(__name__)

_T = TypeVar("_T")

_CHUNK = 1 << 18
_SLOWEST = 512  # bytes per second; a mirror below it for a whole timeout counts as stalled
_LARGEST = 256 << 20
_FIRST_PAUSE, _LONGEST_PAUSE = 0.4, 20.0
_GZIP = ("gzip", "x-gzip")
_NUMBER = re.compile(r"[0-9]{1,18}\Z")
DIRECT = "DIRECT"
"""In place of a proxy: none, whatever the environment says."""
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
        logins: The user name and password for hosts, as in `~/.netrc`.
    """

    def __init__(
        self,
        *,
        timeout: float = 30.0,
        retries: int = 4,
        connections: int = 8,
        stop: threading.Event | None = None,
        logins: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        self.timeout = timeout
        self.retries = retries
        self.connections = connections
        self.stop = stop or threading.Event()
        self._unreachable: set[str] = set()
        self._logins = dict(logins or {})
        self._origin_logins: dict[_Origin, tuple[str, str]] = {}
        self._origin_proxies: dict[_Origin, str] = {}
        self._authorities = _authorities()
        self._thread = threading.local()
        self._adding = threading.Lock()
        self._clients: dict[str | None, httpx2.Client] = {}
        self._client_for(None)
        self._finalizer = weakref.finalize(self, _close, self._clients)

    def close(self) -> None:
        """Close every connection."""
        self._finalizer()

    def add_site(self, address: str, *, proxy: str | None = None) -> None:
        """Use what is known of a mirror for every location with its scheme, host and port.

        Args:
            address: Its address. A user name and a password in it are sent there.
            proxy: The address of its proxy; `DIRECT` for none, None for that of the environment.
        """
        origin = _origin(address)
        if origin is None:
            return
        login = _login_in(address)
        if login is not None:
            self._origin_logins.setdefault(origin, login)
        if proxy is not None:
            self._origin_proxies[origin] = proxy

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
                if stream.offset != offset:
                    return None
                content = bytearray()
                for chunk in stream.chunks:
                    content += chunk
                    if len(content) > length:
                        raise FetchFailure(f"sent more than the {length} bytes that were asked for")
                return bytes(content)

        return self._retrying(location, attempt)

    def save(self, location: str, file: BinaryIO, *, size: int) -> None:
        """Write the whole of `location`, which must have `size` bytes, to the empty `file`, with retries.

        Raises:
            FetchFailure: if it cannot be had, or has another size.
        """

        def attempt() -> None:
            file.seek(0)
            file.truncate()
            received = 0
            with self.open(location) as stream:
                for chunk in stream.chunks:
                    received += len(chunk)
                    if received > size:
                        raise FetchFailure(f"sent more than the {size} bytes that were expected")
                    file.write(chunk)
            if received < size:
                raise FetchFailure(f"sent {received} bytes instead of {size}", transient=True)

        self._retrying(location, attempt)

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
        with self._failures(location), self._asked(location, headers) as response:
            _check_status(response)
            if _encoding(response):
                raise FetchFailure(f"answers with Content-Encoding {_encoding(response)!r}, which was not asked for")
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
        with self._failures(location), self._asked(location, {"Accept-Encoding": "gzip", **headers}) as response:
            etag, modified = response.headers.get("ETag"), response.headers.get("Last-Modified")
            if response.status_code == httpx2.codes.NOT_MODIFIED:
                return Reply(location=str(response.url), content=b"", etag=etag, modified=modified, changed=False)
            _check_status(response)
            if _is_html(response) and not html:
                raise FetchFailure("returned an HTML page instead of the file")
            content = self._content(response)
            return Reply(
                location=str(response.url),
                content=bytes(content),
                content_type=_media_type(response),
                etag=etag,
                modified=modified,
            )

    def _content(self, response: httpx2.Response) -> bytearray:
        """Return the whole body, decompressed here: httpx2 decompresses what it is sent at once, whatever its size."""
        encoding = _encoding(response)
        chunks = self._watched(response.iter_raw())
        if encoding in _GZIP:
            chunks = decompressed(chunks, "gzip", limit=_LARGEST)
        elif encoding:
            raise FetchFailure(f"answers with Content-Encoding {encoding!r}, which was not asked for")
        content = bytearray()
        try:
            for chunk in chunks:
                content += chunk
                if len(content) > _LARGEST:
                    raise FetchFailure(f"sent more than {_LARGEST >> 20} MiB")
        except ValueError as error:
            raise FetchFailure(f"its compressed answer {error}") from None
        return content

    @contextmanager
    def _asked(self, location: str, headers: Mapping[str, str]) -> Iterator[httpx2.Response]:
        """Send a request, and open its answer once the header is there."""
        try:
            urlsplit(location)
        except ValueError:
            raise FetchFailure("the address is not valid") from None
        origin = _origin(location)
        login = _login_in(location) or (self._origin_logins.get(origin) if origin else None)
        if login is None and origin is not None:
            login = self._logins.get(origin[1])
        if origin is not None and login is not None and _login_in(location):
            self._origin_logins[origin] = login
        client = self._client_for(self._origin_proxies.get(origin) if origin else None)
        self._thread.secure = False
        with deadlines():
            answer_within(2 * self.timeout)
            with client.stream(
                "GET", redacted(location), headers=headers, auth=httpx2.BasicAuth(*login) if login else None
            ) as response:
                yield response

    def _client_for(self, proxy: str | None) -> httpx2.Client:
        with self._adding:
            if proxy not in self._clients:
                try:
                    self._clients[proxy] = self._new_client(proxy)
                except (ImportError, ValueError, httpx2.InvalidURL) as error:
                    # Support for SOCKS is another package, which rtbuild does not require.
                    raise UsageError(
                        "a proxy of the environment cannot be used" if proxy is None else "a proxy cannot be used",
                        details=str(error).split(". ", 1)[0] if isinstance(error, ImportError) else None,
                        hint="name a proxy that speaks HTTP, such as http://proxy:3128",
                    ) from None
            return self._clients[proxy]

    def _new_client(self, proxy: str | None) -> httpx2.Client:
        client = httpx2.Client(
            follow_redirects=True,
            timeout=httpx2.Timeout(self.timeout, connect=min(self.timeout, 10.0)),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=self.connections * 2),
            headers={"User-Agent": "rtbuild"},
            verify=self._authorities,
            trust_env=proxy is None,
            proxy=None if proxy in (None, DIRECT) else proxy,
            event_hooks={"request": [self._check_scheme]},
        )
        watch(client)
        return client

    def _check_scheme(self, request: httpx2.Request) -> None:
        """Refuse a redirect from https to http, on which anybody could read and answer."""
        if request.url.scheme == "https":
            self._thread.secure = True
        elif self._thread.secure:
            raise FetchFailure("redirects from https to http, which is refused")

    @contextmanager
    def _failures(self, location: str) -> Iterator[None]:
        """Turn what httpx2 raises into a `FetchFailure`, and remember which hosts are unreachable."""
        _LOG.debug("GET %s", redacted(location))
        try:
            yield
        except httpx2.ConnectTimeout:
            self._unreachable.add(_host(location))
            raise FetchFailure("the connection timed out", transient=True, unreachable=True) from None
        except httpx2.TimeoutException as error:
            self._unreachable.add(_host(location))
            slow = f"took more than {2 * self.timeout:g} s to answer"
            brief = slow if str(error) == REASON else f"sent nothing for {self.timeout:g} s"
            raise FetchFailure(brief, transient=True) from None
        except httpx2.ConnectError as error:
            self._unreachable.add(_host(location))
            certificate = isinstance(_root(error), ssl.SSLCertVerificationError)
            raise FetchFailure(f"cannot be reached: {error}", transient=not certificate, unreachable=True) from None
        except (httpx2.NetworkError, httpx2.RemoteProtocolError) as error:
            raise FetchFailure(f"the connection broke: {error}".removesuffix(": "), transient=True) from None
        except (httpx2.InvalidURL, UnicodeError):
            raise FetchFailure("the address is not valid") from None  # the reason may quote a password
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise FetchFailure(f"the request failed: {error}") from None
        else:
            self._unreachable.discard(_host(location))

    def _watched(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield `chunks` until the mirror gets too slow to be of use or the work is stopped."""
        since, count = time.monotonic(), 0
        answer_within(2 * self.timeout)
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
            answer_within(2 * self.timeout)


_Origin = tuple[str, str, int]
"""The scheme, host and port of an address."""


def _origin(location: str) -> _Origin | None:
    """Return where a login for `location` may be sent; None if it is not a valid http or https address."""
    try:
        parts = urlsplit(location)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80)


def _login_in(location: str) -> tuple[str, str] | None:
    parts = urlsplit(location)
    if "@" not in parts.netloc:
        return None
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    return unquote(user), unquote(password)


def _close(clients: Mapping[str | None, httpx2.Client]) -> None:
    for client in clients.values():
        client.close()


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
    scheme, slashes, rest = location.partition("://")
    if not slashes or "@" not in rest:
        return location
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        return f"{scheme}://{authority.rpartition('@')[2]}{rest[len(authority) :]}"
    if re.search(r":(?![0-9]*\Z)", authority):  # a password with a slash in it, which makes the address invalid
        return f"{scheme}://{rest.rpartition('@')[2]}"
    return location


@contextmanager
def _open_file(path: Path, offset: int, end: int | None) -> Iterator[Stream]:
    try:
        with open_regular(path) as file:
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
        pause=float(wait) if _NUMBER.match(wait) else 0.0,
    )


def _extent(response: httpx2.Response) -> tuple[int, int | None]:
    """Return the offset of the first byte and the size of the whole file (RFC 9110, sections 14.4 and 8.6)."""
    length = response.headers.get("Content-Length", "")
    if response.status_code != httpx2.codes.PARTIAL_CONTENT:
        return 0, int(length) if _NUMBER.match(length) else None
    unit, _, extent = response.headers.get("Content-Range", "").partition(" ")
    window, _, total = extent.partition("/")
    start = window.partition("-")[0]
    if unit != "bytes" or not _NUMBER.match(start):
        raise FetchFailure("sent a part of the file without a valid Content-Range")
    return int(start), int(total) if _NUMBER.match(total) else None


def _encoding(response: httpx2.Response) -> str:
    """Return the coding of the content in lower case; empty if it has none."""
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    return "" if encoding == "identity" else encoding


def _is_html(response: httpx2.Response) -> bool:
    return _media_type(response) in ("text/html", "application/xhtml+xml")


def _media_type(response: httpx2.Response) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _host(location: str) -> str:
    try:
        return urlsplit(location).netloc
    except ValueError:
        return location


def _root(error: BaseException) -> BaseException:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return error
