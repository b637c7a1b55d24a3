"""Project pages of the Simple API: its JSON form (PEP 691, PEP 700), and of its HTML form (PEP 503) the links."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from rtbuild.mirror.cache import AnswerCache
from rtbuild.mirror.find import Mirror
from rtbuild.mirror.http import FetchFailure, Reply

SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"
_ACCEPT = f"{SIMPLE_JSON}, text/html;q=0.1"
_JSON = {SIMPLE_JSON, "application/vnd.pypi.simple.latest+json", "application/json", ""}


def read_project(mirror: Mirror, name: str, cache: AnswerCache) -> dict[str, Any]:
    """Return the JSON page of project `name`, file addresses made absolute.

    Raises `FetchFailure`, also for an index without JSON.
    """
    return _parse(_ask(mirror, name, cache))


def file_addresses(mirror: Mirror, name: str, cache: AnswerCache) -> dict[str, str]:
    """The address of each file of project `name`, by file name, from a page of either form. Raises `FetchFailure`."""
    reply = _ask(mirror, name, cache)
    if reply.content_type in _JSON:
        files = _parse(reply)["files"]
        addresses = [file["url"] for file in files if isinstance(file, dict) and isinstance(file.get("url"), str)]
    else:
        links = _Links()
        links.feed(reply.content.decode("utf-8", "replace"))
        addresses = [urljoin(reply.location, link) for link in links.found]
    found = {}
    for address in addresses:
        address = urldefrag(address).url
        found[unquote(urlsplit(address).path).rpartition("/")[2]] = address
    return found


def _ask(mirror: Mirror, name: str, cache: AnswerCache) -> Reply:
    path = f"{name}/index.json" if mirror.folder is not None else f"{name}/"
    return cache.get(mirror.place(path), accept=_ACCEPT)


def _parse(reply: Reply) -> dict[str, Any]:
    if reply.content_type not in _JSON:
        raise FetchFailure(f"answers as {reply.content_type}, not in the JSON form of the Simple API (PEP 691)")
    try:
        page = json.loads(reply.content)
    except ValueError:
        raise FetchFailure("an answer that is not JSON") from None
    if not isinstance(page, dict) or not isinstance(page.get("files"), list):
        raise FetchFailure("an answer without a list of files")
    for file in page["files"]:
        if isinstance(file, dict) and isinstance(file.get("url"), str):
            file["url"] = urljoin(reply.location, file["url"])
    return page


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]
