"""Project pages of a package index (the Simple API).

Its JSON form (PEP 691, with the sizes and upload times of PEP 700) is read and written here; of its HTML form
(PEP 503), the links. An index may leave out or misspell any field of a file, so each field is checked when it is used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from html import unescape
from typing import Final, TypedDict
from urllib.parse import urljoin, urlsplit

from rtbuild.digest import Sha256, parse_sha256
from rtbuild.documents import parse_json

JSON_TYPE = "application/vnd.pypi.simple.v1+json"
JSON_TYPES = frozenset({JSON_TYPE, "application/vnd.pypi.simple.latest+json", "application/json", ""})
"""Content types that the JSON form is served under."""

ProjectFile = TypedDict(
    "ProjectFile",
    {
        "filename": str,
        "url": str,
        "hashes": Mapping[str, str],
        "size": int,
        "upload-time": str,
        "requires-python": str | None,
        "yanked": bool | str,
        "core-metadata": bool | Mapping[str, str],
        "dist-info-metadata": bool | Mapping[str, str],
        "refused": str,
    },
    total=False,
)
"""One file of a project, with the types that the specification gives the fields. `dist-info-metadata` is the older name
of `core-metadata` (PEP 714); `refused` is set by `parse_project_page`: why the address of the file cannot be used."""

REFUSED: Final = "refused"

LARGEST_HTML = 32 << 20
"""Bytes of an HTML page."""

# Not html.parser, which takes quadratic time for some input. A tag is searched in 16 KiB at most.
_ANCHOR = re.compile(rb"""<a[\s/]((?:[^<>"']|"[^"]{0,4096}"|'[^']{0,4096}'){1,16384})>""", re.IGNORECASE)
_HREF = re.compile(rb"""(?:^|[\s/"'])href\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)


class ProjectPage(TypedDict):
    """The part of a project's page that rtbuild reads."""

    files: list[ProjectFile]


def parse_project_page(content: bytes, location: str) -> ProjectPage:
    """Parse the JSON form of a page, with file addresses made absolute against `location`, the page's own address.

    Raises:
        ValueError: if the content is not JSON or has no list of files.
    """
    page = parse_json(content)
    files = page.get("files") if isinstance(page, dict) else None
    if not isinstance(files, list) or not all(isinstance(file, dict) for file in files):
        raise ValueError("has no list of files")
    for file in files:
        if isinstance(file.get("url"), str):
            try:
                file["url"] = _joined(location, file["url"])
            except ValueError as error:
                del file["url"]  # the other files of the page can be used
                file[REFUSED] = str(error)
    return {"files": files}


def render_project_page(name: str, files: Iterable[ProjectFile]) -> str:
    """Return the JSON form of a page."""
    return json.dumps({"meta": {"api-version": "1.1"}, "name": name, "files": list(files)})


def parse_links(content: bytes, location: str) -> list[str]:
    """Return the addresses that the HTML form of a page links to, made absolute against `location`.

    Links that a page at `location` may not have, such as `file:` ones, are left out.

    Raises:
        ValueError: if the page is too large.
    """
    if len(content) > LARGEST_HTML:
        raise ValueError(f"has {len(content)} bytes, more than the {LARGEST_HTML} that are read")
    addresses = []
    for tag in _ANCHOR.finditer(content):
        link = _HREF.search(tag[1])
        if link is not None:
            text = (link[1] or link[2] or link[3] or b"").decode("utf-8", "replace")
            with suppress(ValueError):
                addresses.append(_joined(location, unescape(text).strip()))
    return addresses


def address(file: ProjectFile) -> str:
    """Return where the file is served.

    Raises:
        ValueError: if the index does not say.
    """
    if "url" not in file and REFUSED in file:
        raise ValueError(f"gives an address that cannot be used: {file[REFUSED]}")
    return str(_required(file, "url"))


def size(file: ProjectFile) -> int:
    """Return the file's size in bytes (PEP 700).

    Raises:
        ValueError: if it is missing or not a number of bytes.
    """
    value = _required(file, "size")
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"gives the size {value!r}, which is not a number of bytes")
    return value


def sha256(file: ProjectFile) -> Sha256:
    """Return the file's sha256.

    Raises:
        ValueError: if it is missing or malformed.
    """
    hashes = _required(file, "hashes")
    try:
        return parse_sha256(hashes.get("sha256") if isinstance(hashes, dict) else None)
    except ValueError:
        raise ValueError("gives no sha256") from None


def upload_time(file: ProjectFile) -> datetime:
    """Return when the file was uploaded (PEP 700), with its time zone.

    Raises:
        ValueError: if it is missing, malformed or without a time zone.
    """
    text = str(_required(file, "upload-time"))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"gives the upload-time {text!r}, which is not a time") from None
    if moment.tzinfo is None:
        raise ValueError(f"gives the upload-time {text!r}, which has no time zone")
    return moment


def requires_python(file: ProjectFile) -> str | None:
    """Return the specifier of the Pythons that the file is for (PEP 345); None if it names none."""
    value: object = file.get("requires-python")
    return str(value) if value else None


def yanked_reason(file: ProjectFile) -> str | None:
    """Return why the file was yanked (PEP 592), an empty string if no reason is given; None if it was not yanked."""
    value: object = file.get("yanked")
    if value is None or value is False:
        return None
    return value if isinstance(value, str) else ""


def metadata_offer(file: ProjectFile) -> tuple[bool, str | None]:
    """Return whether the index serves the core metadata as a file of its own (PEP 658), and that file's sha256."""
    value: object = file.get("core-metadata", file.get("dist-info-metadata", False))
    return bool(value), value.get("sha256") if isinstance(value, dict) else None


def _required(file: ProjectFile, field: str) -> object:
    value: object = file.get(field)
    if value is None:
        raise ValueError(f"gives no {field}")
    return value


def _joined(location: str, link: str) -> str:
    """Return the address that a page at `location` links to.

    Raises:
        ValueError: if it is malformed, or leads from the network to the disk or from https to http.
    """
    try:
        address = urljoin(location, link)
        page, target = urlsplit(location), urlsplit(address)
        _ = target.port
    except ValueError:
        raise ValueError("it is malformed") from None
    if page.scheme in ("http", "https"):
        if target.scheme not in ("http", "https") or not target.hostname:
            raise ValueError(f"a page on the network may not link to {target.scheme or 'a path'}: addresses")
        if page.scheme == "https" and target.scheme == "http":
            raise ValueError("a page that is read by https may not link to an http address")
    return address
