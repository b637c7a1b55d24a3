"""The sources that locking uses: indexes, first bytes, project pages, from real HTTP servers and folders."""

from __future__ import annotations

import hashlib
import json
import random
import time
import tracemalloc
from pathlib import Path

import pytest

from rtbuild.digest import sha256_bytes, sha256_stream
from rtbuild.errors import IntegrityError, MirrorError
from rtbuild.mirror.find import SETTINGS, Mirrors
from rtbuild.mirror.http import Web
from rtbuild.mirror.remote import MirrorSources
from rtbuild.mirror.site import Mirror
from rtbuild.mirror.sources import Wanted
from rtbuild.progress import Silent
from rtbuild.recipe.model import Suite
from tests.fakes.debian_archive import DebianArchive, FakeDeb, Fault, serve_folder
from tests.fakes.package_index import PackageIndex, make_wheel
from tests.fakes.tagged_server import tagged_server

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


def test_each_mirror_answers_for_an_index(tmp_path: Path, archive: DebianArchive) -> None:
    expected = (archive.root / "dists/stable/InRelease").read_bytes()
    with archive.serve() as server, serve_folder(tmp_path / "nothing") as empty:
        found = list(sources(tmp_path, empty.url, server.url, str(archive.root)).debian_index(SUITE, "InRelease"))
    assert [answer.mirror for answer in found] == [str(archive.root), server.url], "the archive's name goes first"
    assert {answer.content for answer in found} == {expected}


def test_a_mirror_is_asked_only_when_its_answer_is_wanted(tmp_path: Path, archive: DebianArchive) -> None:
    with archive.serve() as first, archive.serve() as second:
        answers = sources(tmp_path, first.url, second.url).debian_index(SUITE, "InRelease")
        next(answers)
        assert len(first.requests) == 1
        assert second.requests == []


def test_a_failing_mirror_is_skipped_and_noted_once(tmp_path: Path, archive: DebianArchive) -> None:
    notes = Notes()
    with archive.serve() as good, archive.serve() as bad:
        bad.misbehave("*", Fault.STALLED)
        asked = sources(tmp_path, bad.url, good.url, timeout=0.3, progress=notes)
        for _ in range(2):
            assert [answer.mirror for answer in asked.debian_index(SUITE, "InRelease")] == [good.url]
    assert notes.texts == [f"mirror {bad.url}: sent nothing for 0.3 s"]


def test_an_index_named_by_its_digest_is_downloaded_once(tmp_path: Path) -> None:
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


def test_wrong_bytes_for_a_digest_are_returned_but_not_cached(tmp_path: Path, archive: DebianArchive) -> None:
    path = f"main/binary-amd64/by-hash/SHA256/{'0' * 64}"
    place = archive.root / "dists" / "stable" / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"something else")
    asked = sources(tmp_path, str(archive.root))
    assert next(asked.debian_index(SUITE, path)).content == b"something else"
    assert not (tmp_path / "cache" / "by-digest").exists()


def test_a_dated_suite_is_read_from_dated_archives_only(tmp_path: Path, archive: DebianArchive) -> None:
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
    for name, size in (("small", 50), ("big", 5000)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file.deb").write_bytes(bytes([size % 256]) * size)
    wanted = [
        Wanted(suite=SUITE, path="file.deb", size=5000),
        Wanted(suite=SUITE, path="absent.deb", size=1),
    ]
    with serve_folder(tmp_path / "small") as small, serve_folder(tmp_path / "big") as big:
        if fault:
            big.misbehave("*", fault)
        asked = MirrorSources(
            Mirrors(debian=(Mirror(address=small.url, origin=""), Mirror(address=big.url, origin=""))),
            tmp_path / "cache",
            web=Web(retries=2),
        )
        assert asked.debian_heads(wanted, 68) == {"file.deb": bytes([5000 % 256]) * 68}
        assert big.requests[-1].range == "bytes=0-67"


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


def test_a_missing_project_is_an_error_with_each_answer(tmp_path: Path) -> None:
    with PackageIndex() as empty, PackageIndex() as old:
        old.publish(make_wheel("spam", "1.0"))
        old.html_only = True
        with pytest.raises(MirrorError, match="no package index has a usable page for spam") as caught:
            sources(tmp_path, python=(empty.url, old.url)).python_project("spam")
    details = caught.value.details or ""
    assert f"{empty.url}: 404 Not Found" in details
    assert f"{old.url}: answers as text/html, not in the JSON form" in details


def test_a_project_missing_from_a_company_index_is_not_read_from_the_public_one(tmp_path: Path) -> None:
    with PackageIndex() as company, PackageIndex() as public:
        public.publish(make_wheel("internal", "0.0.0"))
        mirrors = Mirrors(
            python=(Mirror(address=company.url, origin=SETTINGS), Mirror(address=public.url, origin="pip's default"))
        )
        with pytest.raises(MirrorError):
            MirrorSources(mirrors, tmp_path / "cache").python_project("internal")
        assert public.requested == []


def test_an_index_that_does_not_answer_is_not_replaced_by_the_next(tmp_path: Path) -> None:
    with PackageIndex() as company, PackageIndex() as public:
        public.publish(make_wheel("internal", "0.0.0"))
        company.fail("/internal", status=503)
        with pytest.raises(MirrorError) as caught:
            sources(tmp_path, python=(company.url, public.url)).python_project("internal")
        assert public.requested == []
    assert (caught.value.details or "").endswith(
        "the other indexes were not asked, because only this one can say that it has none"
    )


def test_a_private_package_is_asked_for_at_the_first_index_only(tmp_path: Path) -> None:
    with PackageIndex() as company, PackageIndex() as public:
        public.publish(make_wheel("acme-tools", "0.0.0"))
        public.publish(make_wheel("flask", "1.0"))
        indexes = tuple(Mirror(address=index.url, origin=SETTINGS) for index in (company, public))
        asked = MirrorSources(Mirrors(python=indexes, private=("acme-*",)), tmp_path / "cache")
        with pytest.raises(MirrorError, match="no package index has a usable page for acme-tools"):
            asked.python_project("acme-tools")
        assert public.requested == []
        assert asked.python_project("flask")["files"]
        alone = Mirrors(python=(Mirror(address=public.url, origin="pip's default"),), private=("acme-*",))
        with pytest.raises(MirrorError, match="acme-tools is a private package, and the settings name no"):
            MirrorSources(alone, tmp_path / "cache").python_project("acme-tools")
        assert public.requested == ["/simple/flask/"]


def test_metadata_and_files_of_wheels(tmp_path: Path) -> None:
    with PackageIndex() as index:
        spam = index.publish(make_wheel("spam", "1.0"))
        eggs = index.publish(make_wheel("eggs", "1.0"), metadata=False)
        spam_url, eggs_url = (f"{index.base}{index.path_of(file.filename)}" for file in (spam, eggs))
        asked = sources(tmp_path, python=(index.url,))
        digest = hashlib.sha256(spam.metadata).hexdigest()
        assert asked.python_metadata(spam_url, digest) == spam.metadata
        assert asked.python_metadata(spam_url + "#sha256=" + spam.sha256, None) == spam.metadata
        with pytest.raises(IntegrityError, match=r"spam.*\.metadata: the file does not match the sha256 in the index"):
            asked.python_metadata(spam_url, "0" * 64)
        assert asked.python_metadata(eggs_url, None) is None
        size = len(eggs.content)
        with asked.python_file(eggs_url, eggs.sha256, size) as file:
            assert file.read() == eggs.content
        asked_for = len(index.requested)
        with asked.python_file(eggs_url, eggs.sha256, size) as file:
            assert file.read() == eggs.content
        assert asked.python_metadata(spam_url, digest) == spam.metadata
        assert len(index.requested) == asked_for, "a file with a known digest is downloaded once"
        with pytest.raises(IntegrityError, match=r"spam.*\.whl: the file does not match the sha256 in the index"):
            asked.python_file(spam_url, "0" * 64, len(spam.content))
        with pytest.raises(MirrorError, match=r"absent\.whl: 404 Not Found"):
            asked.python_file(f"{index.base}/files/absent.whl", "0" * 64, 1)
        for wrong, problem in ((-1, "sent more than the"), (1, "bytes instead of")):
            with pytest.raises(MirrorError, match=problem):
                asked.python_file(spam_url, spam.sha256, len(spam.content) + wrong)
        assert list((tmp_path / "cache" / "by-digest").glob(".*")) == []


def test_a_large_file_is_not_held_in_memory(tmp_path: Path) -> None:
    content = random.Random(1).randbytes(1 << 20) * 48
    place = tmp_path / "large.tar.gz"
    place.write_bytes(content)
    digest, size = sha256_bytes(content), len(content)
    del content
    asked = MirrorSources(Mirrors(), tmp_path / "cache")
    tracemalloc.start()
    try:
        for _ in range(2):
            with asked.python_file(str(place), digest, size) as file:
                assert sha256_stream(file) == digest
            place.unlink(missing_ok=True)  # the second comes from the cache
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_the_password_of_an_index_is_in_no_address_of_its_files(tmp_path: Path) -> None:
    page = json.dumps({"files": [{"filename": "spam-1.0.tar.gz", "url": "../files/spam-1.0.tar.gz"}]}).encode()
    with tagged_server(page, '"v1"', password="hunter2") as (url, statuses):
        private = url.replace("http://", "http://robot:hunter2@")
        for _ in range(2):
            (file,) = sources(tmp_path, python=(private,)).python_project("spam")["files"]
            assert file["url"] == f"{url}/files/spam-1.0.tar.gz"
    assert statuses == [200, 304]


def test_retry_after_is_respected(tmp_path: Path) -> None:
    with tagged_server(b'{"files": []}', '"v1"', busy=1) as (url, statuses):
        start = time.monotonic()
        assert sources(tmp_path, python=(url,)).python_project("spam")["files"] == []
        assert time.monotonic() - start >= 1
    assert statuses == [429, 200]
