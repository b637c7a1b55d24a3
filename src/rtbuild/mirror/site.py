"""A mirror: an address or a folder that may have files."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from rtbuild.mirror.addresses import local_path, redacted

MOMENT = re.compile(r"\d{8}T\d{6}Z\Z")
_SAFE = "/~+:@!$&'()*,;=%"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A place that may have files.

    Attributes:
        address: An address or a folder, without a slash at the end.
        origin: What names it: `SETTINGS`, a file such as `/etc/apt/sources.list`, or a variable.
        proxy: The address of its proxy; `DIRECT` for none, None for that of the environment.
        note: What the user should know about it; empty if there is nothing.
    """

    address: str
    origin: str
    proxy: str | None = None
    note: str = ""

    @property
    def name(self) -> str:
        """The address for messages: without a password."""
        return redacted(self.address)

    @property
    def folder(self) -> Path | None:
        """The folder on this machine that it is; None for any other address."""
        return local_path(self.address)

    def at(self, moment: str) -> Mirror:
        """Return the dated archive of `moment` (`20230501T000000Z`), which replaces a date in the address."""
        head, _, tail = self.address.rpartition("/")
        base = head if MOMENT.match(tail) else self.address
        return replace(self, address=f"{base}/{moment}")

    def place(self, path: str) -> str:
        """Return the location of `path` on this mirror."""
        return f"{self.address}/{path if self.address.startswith('/') else quote(path, safe=_SAFE)}"


def trimmed(address: str) -> str:
    """Return an address without slashes at its end."""
    return address.rstrip("/") or "/"
