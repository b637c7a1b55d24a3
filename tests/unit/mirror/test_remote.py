"""The sources that locking uses: indexes, first bytes, project pages, from real HTTP servers and folders."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rtbuild.errors import IntegrityError, MirrorError
from rtbuild.mirror.find import SETTINGS, Mirror, Mirrors
from rtbuild.mirror.http import Web
from rtbuild.mirror.remote import MirrorSources
from rtbuild.mirror.sources import Wanted
from rtbuild.progress import Silent
from rtbuild.recipe.model import Suite
from tests.fakes.debian_archive import DebianArchive, FakeDeb, Fault, serve_folder
from tests.fakes.package_index import PackageIndex, make_wheel
from tests.fakes.serving import serving

SUITE = Suite(archive="debian", suite="stable")


class Notes(Silent):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


def sources(
    tmp_path: Path, *debian: str, python: tuple[str, ...] = (), timeout: float = 2, progress: Notes | None = None
) -> MirrorSources:
    mirrors = Mirrors(
        debian=tuple(Mirror(address=address, origin="test") for address in debian),
        python=tuple(Mirror(address=address, origin="test") for address in python),
    )
    return MirrorSources(mirrors, tmp_path / "cache", web=Web(timeout=timeout, retries=1), progress=progress)


@pytest.fixture
def archive(tmp_path: Path) -> DebianArchive:
    archive = DebianArchive(tmp_path / "debian")
    archive.publish("stable", [FakeDeb(name="hello"), FakeDeb(name="world")])
    return archive


def test_an_index_is_answered_mirror_by_mirror(tmp_path: Path, archive: DebianArchive) -> None:
    expected = (archive.root / "dists/stable/InRelease").read_bytes()
    with archive.serve() as one, serve_folder(tmp_path / "nothing") as two:
        found = list(sources(tmp_path, two.url, one.url, str(archive.root)).debian_index(SUITE, "InRelease"))
    assert [answer.mirror for answer in found] == [str(archive.root), one.url], "the archive's name goes first"
    assert {answer.content for answer in found} == {expected}


def test_a_mirror_is_asked_only_when_its_answer_is_wanted(tmp_path: Path, archive: DebianArchive) -> None:
    with archive.serve() as one, archive.serve() as two:
        answers = sources(tmp_path, one.url, two.url).debian_index(SUITE, "InRelease")
        next(answers)
        assert len(one.requests) == 1
        assert two.requests == []


def test_a_failing_mirror_is_passed_over_and_told_once(tmp_path: Path, archive: DebianArchive) -> None:
    notes = Notes()
    with archive.serve() as good, archive.serve() as bad:
        bad.misbehave("*", Fault.STALLED)
        asked = sources(tmp_path, bad.url, good.url, timeout=0.3, progress=notes)
        for _ in range(2):
            assert [answer.mirror for answer in asked.debian_index(SUITE, "InRelease")] == [good.url]
    assert notes.texts == [f"mirror {bad.url}: sent nothing for 0.3 s"]


def test_an_index_named_by_its_digest_is_asked_for_once(tmp_path: Path) -> None:
    content = b"Package: hello\n"
    digest = hashlib.sha256(content).hexdigest()
    path = f"main/binary-amd64/by-hash/SHA256/{digest}"
    place = tmp_path / "debian" / "dists" / "stable" / path
    place.parent.mkdir(parents=True)
    place.write_bytes(content)
    with serve_folder(tmp_path / "debian") as server:
        for _ in range(2):
            answer = next(sources(tmp_path, server.url).debian_index(SUITE, path))
            assert answer.content == content
        assert len(server.requests) == 1
        kept = tmp_path / "cache" / "by-digest" / digest
        kept.write_bytes(b"damaged")
        assert next(sources(tmp_path, server.url).debian_index(SUITE, path)).content == content
        assert len(server.requests) == 2


def test_wrong_bytes_under_a_digest_are_handed_on_but_not_kept(tmp_path: Path, archive: DebianArchive) -> None:
    path = f"main/binary-amd64/by-hash/SHA256/{'0' * 64}"
    place = archive.root / "dists" / "stable" / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"something else")
    asked = sources(tmp_path, str(archive.root))
    assert next(asked.debian_index(SUITE, path)).content == b"something else"
    assert not (tmp_path / "cache" / "by-digest").exists()


def test_a_suite_of_a_moment_is_asked_of_dated_archives_alone(tmp_path: Path, archive: DebianArchive) -> None:
    moment = "20230501T000000Z"
    dated = Suite(archive="debian", suite="stable", snapshot=moment)
    with archive.serve() as server:
        assert list(sources(tmp_path, server.url).debian_index(dated, "InRelease")) == []
        assert [request.path for request in server.requests] == [f"{moment}/dists/stable/InRelease"]
    (archive.root.parent / moment).symlink_to(archive.root)
    found = sources(tmp_path, f"{archive.root.parent}/20200101T000000Z").debian_index(dated, "InRelease")
    assert [answer.mirror for answer in found] == [str(archive.root.parent / moment)]


@pytest.mark.parametrize("fault", [None, Fault.NO_RANGES, Fault.UNAVAILABLE_TWICE])
def test_heads_are_the_first_bytes_of_the_file_with_the_right_size(tmp_path: Path, fault: Fault | None) -> None:
    for name, size in (("one", 50), ("two", 5000)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file.deb").write_bytes(bytes([size % 256]) * size)
    wanted = [
        Wanted(suite=SUITE, path="file.deb", size=5000),
        Wanted(suite=SUITE, path="absent.deb", size=1),
    ]
    with serve_folder(tmp_path / "one") as one, serve_folder(tmp_path / "two") as two:
        if fault:
            two.misbehave("*", fault)
        asked = MirrorSources(
            Mirrors(debian=(Mirror(address=one.url, origin=""), Mirror(address=two.url, origin=""))),
            tmp_path / "cache",
            web=Web(retries=2),
        )
        assert asked.debian_heads(wanted, 68) == {"file.deb": bytes([5000 % 256]) * 68}
        assert two.requests[-1].range == "bytes=0-67"


def test_a_short_file_has_a_short_head(tmp_path: Path) -> None:
    (tmp_path / "file.deb").write_bytes(b"short")
    wanted = [Wanted(suite=SUITE, path="file.deb", size=5)]
    with serve_folder(tmp_path) as server:
        for place in (server.url, str(tmp_path)):
            assert sources(tmp_path, place).debian_heads(wanted, 68) == {"file.deb": b"short"}


def test_a_project_page_has_absolute_addresses(tmp_path: Path) -> None:
    with PackageIndex() as index:
        index.relative_urls = True
        spam = index.publish(make_wheel("spam", "1.0"))
        page = sources(tmp_path, python=(index.url,)).python_project("spam")
        assert page["files"][0]["url"] == index.base + index.path_of(spam.filename)
        assert sources(tmp_path, python=(index.url,)).python_index_url() == index.url


def test_a_project_that_is_nowhere_is_told_with_each_answer(tmp_path: Path) -> None:
    with PackageIndex() as one, PackageIndex() as two:
        two.publish(make_wheel("spam", "1.0"))
        two.html_only = True
        with pytest.raises(MirrorError, match="no package index has a usable page for spam") as caught:
            sources(tmp_path, python=(one.url, two.url)).python_project("spam")
    details = caught.value.details or ""
    assert f"{one.url}: 404 Not Found" in details
    assert f"{two.url}: answers as text/html, not in the JSON form" in details


def test_a_company_index_that_lacks_a_project_is_not_made_up_for_by_the_public_one(tmp_path: Path) -> None:
    with PackageIndex() as company, PackageIndex() as public:
        public.publish(make_wheel("internal", "0.0.0"))
        mirrors = Mirrors(
            python=(Mirror(address=company.url, origin=SETTINGS), Mirror(address=public.url, origin="pip's default"))
        )
        with pytest.raises(MirrorError):
            MirrorSources(mirrors, tmp_path / "cache").python_project("internal")
        assert public.requested == []


def test_metadata_and_files_of_wheels(tmp_path: Path) -> None:
    with PackageIndex() as index:
        spam = index.publish(make_wheel("spam", "1.0"))
        eggs = index.publish(make_wheel("eggs", "1.0"), metadata=False)
        spam_url, eggs_url = (f"{index.base}{index.path_of(file.filename)}" for file in (spam, eggs))
        asked = sources(tmp_path, python=(index.url,))
        digest = hashlib.sha256(spam.metadata).hexdigest()
        assert asked.python_metadata(spam_url, digest) == spam.metadata
        assert asked.python_metadata(spam_url + "#sha256=" + spam.sha256, None) == spam.metadata
        assert asked.python_metadata(eggs_url, None) is None
        assert asked.python_file(eggs_url, eggs.sha256) == eggs.content
        asked_for = len(index.requested)
        assert asked.python_file(eggs_url, eggs.sha256) == eggs.content
        assert asked.python_metadata(spam_url, digest) == spam.metadata
        assert len(index.requested) == asked_for, "what a digest names is asked for once"
        with pytest.raises(IntegrityError, match=r"spam.*\.whl: the file does not match the sha256 in the index"):
            asked.python_file(spam_url, "0" * 64)
        with pytest.raises(MirrorError, match=r"absent\.whl: 404 Not Found"):
            asked.python_file(f"{index.base}/files/absent.whl", "0" * 64)


def test_a_page_with_a_validator_is_sent_once(tmp_path: Path) -> None:
    with tagged_server(b'{"files": []}', '"v1"') as (url, statuses):
        for _ in range(3):
            assert sources(tmp_path, python=(url,)).python_project("spam")["files"] == []
    assert statuses == [200, 304, 304]


def test_the_password_of_an_index_is_used_each_time_and_never_written(tmp_path: Path) -> None:
    page = json.dumps({"files": [{"filename": "spam-1.0.tar.gz", "url": "../files/spam-1.0.tar.gz"}]}).encode()
    with tagged_server(page, '"v1"', password="hunter2") as (url, statuses):
        private = url.replace("http://", "http://robot:hunter2@")
        for _ in range(2):
            (file,) = sources(tmp_path, python=(private,)).python_project("spam")["files"]
            assert file["url"] == f"{private}/files/spam-1.0.tar.gz"
    assert statuses == [200, 304]
    kept = [path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert len(kept) == 1
    assert b"hunter2" not in kept[0]


def test_a_damaged_cache_is_asked_for_again(tmp_path: Path) -> None:
    with tagged_server(b'{"files": []}', '"v1"') as (url, statuses):
        sources(tmp_path, python=(url,)).python_project("spam")
        (kept,) = (tmp_path / "cache" / "answers").iterdir()
        kept.write_bytes(kept.read_bytes()[:-3])
        assert sources(tmp_path, python=(url,)).python_project("spam")["files"] == []
    assert statuses == [200, 200]


def test_a_host_that_asks_for_a_pause_gets_it(tmp_path: Path) -> None:
    with tagged_server(b'{"files": []}', '"v1"', busy=1) as (url, statuses):
        start = time.monotonic()
        assert sources(tmp_path, python=(url,)).python_project("spam")["files"] == []
        assert time.monotonic() - start >= 1
    assert statuses == [429, 200]


@contextmanager
def tagged_server(
    content: bytes, tag: str, *, busy: int = 0, password: str | None = None
) -> Iterator[tuple[str, list[int]]]:
    """A server that gives `content` with an ETag; the first `busy` requests get 429 and are to wait a second.

    With `password`, only the user `robot` gets anything.
    """
    wanted = f"Basic {base64.b64encode(f'robot:{password}'.encode()).decode()}" if password else None
    statuses: list[int] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status = 304 if self.headers.get("If-None-Match") == tag else 200
            status = 429 if len(statuses) < busy else status
            status = status if self.headers.get("Authorization") == wanted else 401
            statuses.append(status)
            self.send_response(status)
            self.send_header("ETag", tag)
            self.send_header("Retry-After", "1")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content) if status == 200 else 0))
            self.end_headers()
            if status == 200:
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    with serving(server):
        yield f"http://127.0.0.1:{server.server_port}", statuses
