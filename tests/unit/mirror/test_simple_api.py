"""Pages of a package index, in either form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtbuild.mirror.cache import AnswerCache
from rtbuild.mirror.failure import FetchFailure
from rtbuild.mirror.http import Web
from rtbuild.mirror.simple_api import file_addresses, read_project
from rtbuild.mirror.site import Mirror
from tests.fakes.package_index import PackageIndex, make_wheel


@pytest.fixture
def cache() -> Iterator[AnswerCache]:
    web = Web(timeout=5, retries=0)
    yield AnswerCache(None, web)
    web.close()


@pytest.mark.parametrize("html", [False, True])
def test_the_addresses_of_files_are_absolute_in_either_form(cache: AnswerCache, html: bool) -> None:
    with PackageIndex() as index:
        index.html_only, index.relative_urls = html, True
        wheel = index.publish(make_wheel("spam", "1.0"))
        mirror = Mirror(address=index.url, origin="test")
        assert file_addresses(mirror, "spam", cache) == {wheel.filename: index.base + index.path_of(wheel.filename)}


def test_a_page_in_the_html_form_is_not_read_as_a_project(cache: AnswerCache) -> None:
    with PackageIndex() as index:
        index.html_only = True
        index.publish(make_wheel("spam", "1.0"))
        with pytest.raises(FetchFailure, match="answers as text/html, not in the JSON form"):
            read_project(Mirror(address=index.url, origin="test"), "spam", cache)


def test_a_folder_may_hold_pages(cache: AnswerCache, tmp_path: Path) -> None:
    (tmp_path / "spam").mkdir()
    page = tmp_path / "spam" / "index.json"
    page.write_text(json.dumps({"files": [{"filename": "spam-1.0.tar.gz", "url": "spam-1.0.tar.gz"}]}))
    mirror = Mirror(address=str(tmp_path), origin="test")
    assert list(file_addresses(mirror, "spam", cache)) == ["spam-1.0.tar.gz"]
    page.write_text("{")
    with pytest.raises(FetchFailure, match="its answer is not JSON"):
        read_project(mirror, "spam", cache)
    with pytest.raises(FetchFailure, match="no such file"):
        read_project(mirror, "eggs", cache)
