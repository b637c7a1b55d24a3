"""Project pages of the Simple API, well formed and otherwise."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from rtbuild.formats import project_page
from rtbuild.formats.project_page import ProjectFile, parse_links, parse_project_page, render_project_page

LOCATION = "http://127.0.0.1/simple/spam/"
SPAM: ProjectFile = {
    "filename": "spam-1.0.tar.gz",
    "url": "http://127.0.0.1/files/spam-1.0.tar.gz",
    "hashes": {"sha256": "a" * 64},
    "size": 7,
    "upload-time": "2023-01-01T00:00:00.5Z",
    "requires-python": ">=3.9",
    "yanked": "broken",
    "core-metadata": {"sha256": "b" * 64},
}


def test_a_page_that_is_written_can_be_read() -> None:
    assert parse_project_page(render_project_page("spam", [SPAM]).encode(), LOCATION) == {"files": [SPAM]}


def test_addresses_are_made_absolute() -> None:
    content = render_project_page("spam", [{"url": "../../files/spam-1.0.tar.gz"}, {"filename": "without-an-address"}])
    first, second = parse_project_page(content.encode(), LOCATION)["files"]
    assert first["url"] == "http://127.0.0.1/files/spam-1.0.tar.gz"
    assert "url" not in second


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"<html>", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[]", "has no list of files"),
        (b"{}", "has no list of files"),
        (b'{"files": {}}', "has no list of files"),
        (b'{"files": ["spam-1.0.tar.gz"]}', "has no list of files"),
    ],
)
def test_a_malformed_page(content: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_project_page(content, LOCATION)


def test_links_of_the_html_form() -> None:
    page = b'<a name="x"></a><a href="../../files/spam-1.0.tar.gz#sha256=0">spam</a><A HREF="eggs.whl">eggs</A>'
    assert parse_links(page, LOCATION) == [
        "http://127.0.0.1/files/spam-1.0.tar.gz#sha256=0",
        "http://127.0.0.1/simple/spam/eggs.whl",
    ]


def test_the_fields_of_a_file() -> None:
    assert project_page.address(SPAM) == "http://127.0.0.1/files/spam-1.0.tar.gz"
    assert project_page.sha256(SPAM) == "a" * 64
    assert project_page.size(SPAM) == 7
    assert project_page.upload_time(SPAM) == datetime(2023, 1, 1, 0, 0, 0, 500000, tzinfo=UTC)
    assert project_page.requires_python(SPAM) == ">=3.9"
    assert project_page.yanked_reason(SPAM) == "broken"
    assert project_page.metadata_offer(SPAM) == (True, "b" * 64)


def test_fields_that_an_index_may_leave_out() -> None:
    assert project_page.requires_python({}) is None
    assert project_page.yanked_reason({}) is None
    assert project_page.yanked_reason({"yanked": True}) == ""
    assert project_page.yanked_reason({"yanked": False}) is None
    assert project_page.metadata_offer({}) == (False, None)
    assert project_page.metadata_offer({"core-metadata": True}) == (True, None)
    assert project_page.metadata_offer({"dist-info-metadata": {"sha256": "c" * 64}}) == (True, "c" * 64)


@pytest.mark.parametrize(
    ("read", "field"),
    [
        (project_page.address, "url"),
        (project_page.size, "size"),
        (project_page.sha256, "hashes"),
        (project_page.upload_time, "upload-time"),
    ],
)
def test_fields_that_an_index_must_not_leave_out(read: Callable[[ProjectFile], object], field: str) -> None:
    with pytest.raises(ValueError, match=f"gives no {field}"):
        read({})


@pytest.mark.parametrize(
    ("read", "fields", "problem"),
    [
        (project_page.sha256, {"hashes": {"md5": "1"}}, "gives no sha256"),
        (project_page.sha256, {"hashes": {"sha256": "A" * 64}}, "gives no sha256"),
        (project_page.sha256, {"hashes": "a" * 64}, "gives no sha256"),
        (project_page.upload_time, {"upload-time": "yesterday"}, "'yesterday', which is not a time"),
        (project_page.upload_time, {"upload-time": "2023-01-01T00:00:00"}, "which has no time zone"),
        (project_page.size, {"size": "7"}, "gives the size '7', which is not a number of bytes"),
        (project_page.size, {"size": -1}, "not a number of bytes"),
        (project_page.size, {"size": True}, "not a number of bytes"),
    ],
)
def test_malformed_fields(read: Callable[[ProjectFile], object], fields: dict[str, Any], problem: str) -> None:
    file: ProjectFile = json.loads(json.dumps(fields))
    with pytest.raises(ValueError, match=problem):
        read(file)


def test_links_that_are_not_spelt_as_usual() -> None:
    page = b"<a data-requires-python='>=3.7' href='one.whl'>x</a><a\n href=two.whl >x</a><a href='a&amp;b.whl'>x"
    names = ["one.whl", "two.whl", "a&b.whl"]
    assert parse_links(page, LOCATION) == [f"http://127.0.0.1/simple/spam/{name}" for name in names]


@pytest.mark.parametrize("piece", [b"<a ", b"<a href=", b'<a href="', b"<a '", b"<!--", b"<a " + b"\n" * 99, b"\"'"])
def test_malformed_pages_take_linear_time(piece: bytes) -> None:
    page = piece * (2_000_000 // len(piece))
    start = time.process_time()
    parse_links(page, LOCATION)
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("page", "link", "reason"),
    [
        ("http://127.0.0.1/simple/spam/", "file:///etc/passwd", "may not link to file: addresses"),
        ("https://127.0.0.1/simple/spam/", "/../file:/x", None),
        ("https://127.0.0.1/simple/spam/", "http://127.0.0.1/x", "may not link to an http address"),
        ("http://127.0.0.1/simple/spam/", "https://127.0.0.1/x", None),
        ("http://127.0.0.1/simple/spam/", "http://[::1/x", "it is malformed"),
        ("http://127.0.0.1/simple/spam/", "http://127.0.0.1:port/x", "it is malformed"),
        ("http://127.0.0.1/simple/spam/", "javascript:alert(1)", "may not link to javascript: addresses"),
        ("/srv/index/spam/index.json", "../../files/x", None),
        ("/srv/index/spam/index.json", "file:///srv/x", None),
    ],
)
def test_links_that_a_page_may_not_have(page: str, link: str, reason: str | None) -> None:
    content = json.dumps({"files": [{"filename": "x", "url": link}, {"filename": "y", "url": "y"}]}).encode()
    bad, good = parse_project_page(content, page)["files"]
    assert project_page.address(good).endswith("/y")
    html = f'<a href="{link}">x</a>'.encode()
    if reason is None:
        assert parse_links(html, page) == [project_page.address(bad)]
    else:
        assert parse_links(html, page) == []
        with pytest.raises(ValueError, match=f"gives an address that cannot be used: .*{reason}"):
            project_page.address(bad)


def test_a_page_that_is_nested_deep_is_an_error() -> None:
    with pytest.raises(ValueError, match="is nested more than 64 levels deep"):
        parse_project_page(b'{"files": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", LOCATION)
