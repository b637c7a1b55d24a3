"""Answers cached on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtbuild.digest import sha256_bytes
from rtbuild.errors import StoreError
from rtbuild.mirror.cache import AnswerCache, WrongDigest
from rtbuild.mirror.http import Web
from tests.fakes.tagged_server import tagged_server


@pytest.fixture
def web() -> Iterator[Web]:
    web = Web(timeout=5, retries=2)
    yield web
    web.close()


def cached(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_an_answer_with_a_validator_is_sent_once(tmp_path: Path, web: Web) -> None:
    with tagged_server(b"content", '"v1"') as (url, statuses):
        for _ in range(3):
            assert AnswerCache(tmp_path, web).get(url).content == b"content"
    assert statuses == [200, 304, 304]


def test_each_accepted_form_is_cached_by_itself(tmp_path: Path, web: Web) -> None:
    cache = AnswerCache(tmp_path, web)
    with tagged_server(b"content", '"v1"') as (url, statuses):
        cache.get(url, accept="text/html")
        cache.get(url, accept="application/json")
    assert statuses == [200, 200]
    assert len(cached(tmp_path)) == 2


@pytest.mark.parametrize("damage", [b"", b"{}\ncontent", b"[]\n", b"not JSON\ncontent", None])
def test_a_damaged_answer_is_asked_for_again(tmp_path: Path, web: Web, damage: bytes | None) -> None:
    with tagged_server(b"content", '"v1"') as (url, statuses):
        AnswerCache(tmp_path, web).get(url)
        (path,) = cached(tmp_path)
        path.write_bytes(path.read_bytes()[:-3] if damage is None else damage)
        assert AnswerCache(tmp_path, web).get(url).content == b"content"
    assert statuses == [200, 200]


def test_a_password_is_used_each_time_and_never_written(tmp_path: Path, web: Web) -> None:
    with tagged_server(b"content", '"v1"', password="hunter2") as (url, statuses):
        private = url.replace("http://", "http://robot:hunter2@")
        for _ in range(2):
            assert AnswerCache(tmp_path, web).get(private).location.startswith("http://127.0.0.1")
    assert statuses == [200, 304]
    (path,) = cached(tmp_path)
    head = json.loads(path.read_bytes().partition(b"\n")[0])
    assert head["location"].startswith("http://127.0.0.1")
    assert b"hunter2" not in path.read_bytes()


def test_content_is_found_by_its_digest_while_it_is_intact(tmp_path: Path, web: Web) -> None:
    cache = AnswerCache(tmp_path, web)
    digest = sha256_bytes(b"content")
    assert cache.by_digest(digest) is None
    cache.keep(digest, b"content")
    assert cache.by_digest(digest) == b"content"
    (path,) = cached(tmp_path)
    path.write_bytes(b"damaged")
    assert cache.by_digest(digest) is None


def test_a_cache_without_a_folder_keeps_nothing(web: Web) -> None:
    cache = AnswerCache(None, web)
    digest = sha256_bytes(b"content")
    cache.keep(digest, b"content")
    assert cache.by_digest(digest) is None
    with tagged_server(b"content", '"v1"') as (url, statuses):
        for _ in range(2):
            assert cache.get(url).content == b"content"
    assert statuses == [200, 200]


def test_a_cache_that_cannot_be_written_is_an_error(tmp_path: Path, web: Web) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot write .*/by-digest/"):
        AnswerCache(tmp_path / "file", web).keep(sha256_bytes(b"content"), b"content")


@pytest.mark.parametrize("cached", [True, False])
def test_what_is_received_is_checked_and_open(tmp_path: Path, web: Web, cached: bool) -> None:
    cache = AnswerCache(tmp_path / "cache" if cached else None, web)
    digest = sha256_bytes(b"content")
    assert cache.open(digest) is None
    with cache.receive(digest, lambda file: bool(file.write(b"content"))) as received:
        assert received.read() == b"content"
    again = cache.open(digest)
    assert (again is not None) is cached
    if again is not None:
        with again:
            assert again.read() == b"content"
        assert cache.by_digest(digest) == b"content"
        (tmp_path / "cache" / "by-digest" / digest).write_bytes(b"damaged")
        assert cache.open(digest) is None
    with pytest.raises(WrongDigest, match=sha256_bytes(b"other")):
        cache.receive(digest, lambda file: bool(file.write(b"other")))
    assert not cached or [file.name for file in (tmp_path / "cache" / "by-digest").iterdir()] == [digest]
