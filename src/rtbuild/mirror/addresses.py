"""Addresses of files: what is on this machine, where a login may be sent, and what messages may show."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

Origin = tuple[str, str, int]
"""The scheme, host and port of an address."""


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


def origin_of(location: str) -> Origin | None:
    """Return where a login for `location` may be sent; None if it is not a valid http or https address."""
    try:
        parts = urlsplit(location)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80)


def login_in(location: str) -> tuple[str, str] | None:
    """Return the user name and password in a valid address, if there are any."""
    parts = urlsplit(location)
    if "@" not in parts.netloc:
        return None
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    return unquote(user), unquote(password)


def host_of(location: str) -> str:
    """Return the host and port of an address; the address itself if it is not valid."""
    try:
        return urlsplit(location).netloc
    except ValueError:
        return location
