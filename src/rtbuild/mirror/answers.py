"""Answers of servers, and what their headers say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2

from rtbuild.mirror.failure import FetchFailure

_NUMBER = re.compile(r"[0-9]{1,18}\Z")
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}


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


def check_status(response: httpx2.Response) -> None:
    """Raise a `FetchFailure` unless the server sends the file or a part of it."""
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


def extent_of(response: httpx2.Response) -> tuple[int, int | None]:
    """Return the offset of the first byte and the size of the whole file (RFC 9110, sections 14.4 and 8.6).

    Raises:
        FetchFailure: if a part of the file comes without saying which.
    """
    length = response.headers.get("Content-Length", "")
    if response.status_code != httpx2.codes.PARTIAL_CONTENT:
        return 0, int(length) if _NUMBER.match(length) else None
    unit, _, extent = response.headers.get("Content-Range", "").partition(" ")
    window, _, total = extent.partition("/")
    start = window.partition("-")[0]
    if unit != "bytes" or not _NUMBER.match(start):
        raise FetchFailure("sent a part of the file without a valid Content-Range")
    return int(start), int(total) if _NUMBER.match(total) else None


def encoding_of(response: httpx2.Response) -> str:
    """Return the coding of the content in lower case; empty if it has none."""
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    return "" if encoding == "identity" else encoding


def is_html(response: httpx2.Response) -> bool:
    """Return whether the server sends an HTML page."""
    return media_type_of(response) in ("text/html", "application/xhtml+xml")


def media_type_of(response: httpx2.Response) -> str:
    """Return the media type in lower case, without parameters; empty if the server does not say."""
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
