"""Reading the pages of a package index: the JSON form of the Simple API (PEP 691, PEP 700), or the HTML form (PEP 503).

The shapes of both forms are in `rtbuild.formats.project_page`.
"""

from __future__ import annotations

from urllib.parse import unquote, urldefrag, urlsplit

from rtbuild.formats.project_page import JSON_TYPE, JSON_TYPES, ProjectPage, parse_links, parse_project_page
from rtbuild.mirror.answers import Reply
from rtbuild.mirror.cache import AnswerCache
from rtbuild.mirror.failure import FetchFailure
from rtbuild.mirror.site import Mirror

_ACCEPT = f"{JSON_TYPE}, text/html;q=0.1"


def read_project(mirror: Mirror, name: str, cache: AnswerCache) -> ProjectPage:
    """Return the page of project `name`, file addresses made absolute.

    Raises:
        FetchFailure: if the index cannot be reached, has no such project, or does not answer in JSON.
    """
    return _parse(_ask(mirror, name, cache))


def file_addresses(mirror: Mirror, name: str, cache: AnswerCache) -> dict[str, str]:
    """Return the address of each file of project `name`, by file name, from a page in either form.

    Raises:
        FetchFailure: if the index cannot be reached, has no such project, or answers with anything else.
    """
    reply = _ask(mirror, name, cache)
    if reply.content_type in JSON_TYPES:
        addresses = [file["url"] for file in _parse(reply)["files"] if isinstance(file.get("url"), str)]
    else:
        try:
            addresses = parse_links(reply.content, reply.location)
        except ValueError as error:
            raise FetchFailure(f"its answer {error}") from None
    plain = [urldefrag(address).url for address in addresses]
    return {unquote(urlsplit(address).path).rpartition("/")[2]: address for address in plain}


def _ask(mirror: Mirror, name: str, cache: AnswerCache) -> Reply:
    path = f"{name}/index.json" if mirror.folder is not None else f"{name}/"
    return cache.get(mirror.place(path), accept=_ACCEPT)


def _parse(reply: Reply) -> ProjectPage:
    if reply.content_type not in JSON_TYPES:
        raise FetchFailure(f"answers as {reply.content_type}, not in the JSON form of the Simple API (PEP 691)")
    try:
        return parse_project_page(reply.content, reply.location)
    except ValueError as error:
        raise FetchFailure(f"its answer {error}") from None
