"""Reading from a location: http and https with httpx2, `file:` addresses and folders from the disk, all in one way.

Servers are not trusted: body and decompressed body have limits in time and size. See `connections` for what is sent
where.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

import httpx2

from rtbuild.files import open_regular
from rtbuild.formats.streams import decompressed
from rtbuild.mirror.addresses import local_path
from rtbuild.mirror.answers import Reply, Stream, check_status, encoding_of, extent_of, is_html, media_type_of
from rtbuild.mirror.connections import Connections
from rtbuild.mirror.deadline import answer_within
from rtbuild.mirror.failure import FetchFailure

_T = TypeVar("_T")

_CHUNK = 1 << 18
_SLOWEST = 512  # bytes per second; a mirror below it for a whole timeout counts as stalled
_LARGEST = 256 << 20
_FIRST_PAUSE, _LONGEST_PAUSE = 0.4, 20.0
_GZIP = ("gzip", "x-gzip")


class Web:
    """Connections to every mirror, shared by threads.

    Args:
        timeout: Seconds without a byte after which a request fails.
        retries: How many more times to try after a transient failure.
        connections: How many requests to make at once.
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
        self._servers = Connections(timeout=timeout, logins=logins or {})

    def close(self) -> None:
        """Close every connection."""
        self._servers.close()

    def add_site(self, address: str, *, proxy: str | None = None) -> None:
        """Use what is known of a mirror for every location with its scheme, host and port.

        Args:
            address: Its address. A user name and a password in it are sent there.
            proxy: The address of its proxy; `DIRECT` for none, None for that of the environment.
        """
        self._servers.add_site(address, proxy=proxy)

    def reachable(self, location: str) -> bool:
        """Return False if the last request to the host of `location` found no connection or timed out."""
        return self._servers.reachable(location)

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
        with self._servers.ask(location, headers) as response:
            check_status(response)
            if encoding_of(response):
                raise FetchFailure(f"answers with Content-Encoding {encoding_of(response)!r}, which was not asked for")
            if is_html(response):
                raise FetchFailure("returned an HTML page instead of the file")
            start, total = extent_of(response)
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
        with self._servers.ask(location, {"Accept-Encoding": "gzip", **headers}) as response:
            etag, modified = response.headers.get("ETag"), response.headers.get("Last-Modified")
            if response.status_code == httpx2.codes.NOT_MODIFIED:
                return Reply(location=str(response.url), content=b"", etag=etag, modified=modified, changed=False)
            check_status(response)
            if is_html(response) and not html:
                raise FetchFailure("returned an HTML page instead of the file")
            content = self._content(response)
            return Reply(
                location=str(response.url),
                content=bytes(content),
                content_type=media_type_of(response),
                etag=etag,
                modified=modified,
            )

    def _content(self, response: httpx2.Response) -> bytearray:
        """Return the whole body, decompressed here: httpx2 decompresses what it is sent at once, whatever its size."""
        encoding = encoding_of(response)
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
