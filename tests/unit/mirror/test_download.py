"""Downloads: whatever mirrors do, the store gets the right bytes, or the user an error that names each mirror."""

from __future__ import annotations

import hashlib
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from rtbuild.digest import sha256_bytes
from rtbuild.errors import IntegrityError, MirrorError, StoreError
from rtbuild.lockfile.model import Artifact, DebArtifact, PythonArtifact
from rtbuild.mirror.download import FetchReport, fetch_artifacts, fetch_from, in_order
from rtbuild.mirror.find import Mirrors, find_mirrors
from rtbuild.mirror.remote import MirrorSources, open_web
from rtbuild.mirror.site import Mirror
from rtbuild.progress import Progress, Silent
from rtbuild.recipe.model import Suite
from rtbuild.settings import Settings, load_settings
from rtbuild.store.store import Store
from tests.fakes import locks
from tests.fakes.debian_archive import Fault, MirrorServer, serve_folder
from tests.fakes.disks import largest_file
from tests.fakes.package_index import Distribution, PackageIndex, make_wheel
from tests.fakes.serving import serve_with

SIZE = 40_000


class Recorder(Silent):
    def __init__(self) -> None:
        self.total = 0
        self.done = 0
        self.notes: list[str] = []

    def begin(self, task: str, *, total: int | None = None, unit: str = "") -> None:
        if task == "fetch":
            self.total = total or 0

    def advance(self, task: str, amount: int = 1) -> None:
        assert amount >= 0
        if task == "fetch":
            self.done += amount

    def note(self, text: str) -> None:
        self.notes.append(text)


def content_of(name: str, size: int = SIZE) -> bytes:
    return random.Random(name).randbytes(size)


def deb(name: str, content: bytes | None = None, version: str = "1.0") -> DebArtifact:
    content = content_of(name) if content is None else content
    return DebArtifact(
        filename=f"{name}_{version}_amd64.deb",
        path=f"pool/main/{name[0]}/{name}/{name}_{version}_amd64.deb",
        size=len(content),
        sha256=sha256_bytes(content),
        name=name,
        version=version,
        architecture="amd64",
        archive="debian",
        suite="stable",
        built=0,
        layer="base-os",
    )


def publish(root: Path, *names: str) -> list[DebArtifact]:
    debs = [deb(name) for name in names]
    for package in debs:
        path = root / package.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content_of(package.name))
    return debs


def wheel(distribution: Distribution, path: str) -> PythonArtifact:
    return PythonArtifact(
        filename=distribution.filename,
        path=path.lstrip("/"),
        size=len(distribution.content),
        sha256=sha256_bytes(distribution.content),
        name=distribution.name,
        version=distribution.version,
        uploaded=datetime(2023, 1, 1, tzinfo=UTC),
        layer="airflow",
    )


def mirrors_of(*addresses: str) -> Mirrors:
    return Mirrors(debian=tuple(Mirror(address=address, origin="test") for address in addresses))


def indexes_of(*addresses: str) -> Mirrors:
    return Mirrors(python=tuple(Mirror(address=address, origin="test") for address in addresses))


def download(
    artifacts: Sequence[Artifact],
    store: Store,
    mirrors: Mirrors,
    *,
    suites: Sequence[Suite] = (),
    progress: Progress | None = None,
    **limits: Any,
) -> FetchReport:
    """Fetch from these mirrors only, within limits that are fields of `Settings`."""
    settings = Settings(store=store.root, engine_dir=store.root / "engine", **limits)
    return fetch_from(mirrors, artifacts, store, settings, suites=suites, progress=progress)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[MirrorServer, MirrorServer]]:
    with ExitStack() as stack:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        yield (
            stack.enter_context(serve_folder(tmp_path / "one")),
            stack.enter_context(serve_folder(tmp_path / "two")),
        )


def ranges(server: MirrorServer) -> list[str | None]:
    return [request.range for request in server.requests]


def test_everything_arrives_and_is_not_fetched_again(store: Store, servers: tuple[MirrorServer, MirrorServer]) -> None:
    debs = publish(servers[0].root, *(f"package{number}" for number in range(20)))
    progress = Recorder()
    report = download([*debs, debs[0]], store, mirrors_of(servers[0].url), connections=4, progress=progress)
    assert (report.fetched, report.present, report.bytes) == (20, 0, 20 * SIZE)
    assert progress.done == progress.total == 20 * SIZE
    for package in debs:
        assert store.artifact_path(package.sha256).read_bytes() == content_of(package.name)
    servers[0].requests.clear()
    report = download(debs, store, mirrors_of(servers[0].url))
    assert (report.fetched, report.present, report.bytes, servers[0].requests) == (0, 20, 0, [])


@pytest.mark.parametrize("damage", ["other", "cut", "same size"])
def test_a_corrupt_artifact_is_found_and_fetched_again(
    store: Store, servers: tuple[MirrorServer, MirrorServer], damage: str
) -> None:
    (package,) = publish(servers[0].root, "hello")
    mirrors = mirrors_of(servers[0].url)
    download([package], store, mirrors)
    path = store.artifact_path(package.sha256)
    path.chmod(0o644)
    path.write_bytes({"other": b"x", "cut": path.read_bytes()[:-1], "same size": bytes(SIZE)}[damage])
    progress = Recorder()
    report = download([package], store, mirrors, progress=progress)
    assert report.repaired == (package.filename,)
    assert progress.notes == [f"{package.filename} in the store is corrupt and will be fetched again"]
    assert path.read_bytes() == content_of("hello")


@pytest.mark.parametrize("fault", list(Fault))
def test_another_mirror_replaces_a_bad_one(
    store: Store, servers: tuple[MirrorServer, MirrorServer], fault: Fault
) -> None:
    debs = [*publish(servers[0].root, "aaa", "bbb"), *publish(servers[1].root, "aaa", "bbb")][:2]
    servers[0].misbehave("*", fault)
    start = time.monotonic()
    mirrors = mirrors_of(servers[0].url, servers[1].url)
    report = download(debs, store, mirrors, connections=2, timeout=0.7, progress=(progress := Recorder()))
    assert report.fetched == 2
    assert all(store.verify_artifact(package) for package in debs)
    assert progress.done == progress.total
    assert time.monotonic() - start < 30, "a stalled mirror keeps its connection for a minute, a slow one for two"


@pytest.mark.parametrize(
    ("fault", "error", "expected"),
    [
        (Fault.OTHER_BYTES, IntegrityError, "sent wrong bytes (sha256 "),
        (Fault.HTML, MirrorError, "returned an HTML page instead of the file"),
        (Fault.SLOW, MirrorError, "too slow: "),
        (Fault.STALLED, MirrorError, "sent nothing for 0.7 s"),
        (Fault.NOT_FOUND, MirrorError, "404 Not Found"),
    ],
)
def test_the_error_says_what_the_only_mirror_answered(
    store: Store, servers: tuple[MirrorServer, MirrorServer], fault: Fault, error: type[MirrorError], expected: str
) -> None:
    (package,) = publish(servers[0].root, "hello")
    servers[0].misbehave("*", fault)
    with pytest.raises(error, match=r"hello_1\.0_amd64\.deb: no mirror serves the file that the lock names") as caught:
        download([package], store, mirrors_of(servers[0].url), timeout=0.7, retries=0)
    assert caught.value.details is not None
    assert f"{servers[0].url}: {expected}" in caught.value.details
    assert caught.value.hint is not None
    assert not store.has_artifact(package)


def test_a_503_is_retried(store: Store, servers: tuple[MirrorServer, MirrorServer]) -> None:
    debs = publish(servers[0].root, "busy")
    servers[0].misbehave("*", Fault.UNAVAILABLE_TWICE)
    assert download(debs, store, mirrors_of(servers[0].url), retries=2).fetched == 1
    assert len(servers[0].requests) == 3


def test_a_broken_connection_is_resumed(store: Store, servers: tuple[MirrorServer, MirrorServer]) -> None:
    debs = publish(servers[0].root, "torn")
    servers[0].misbehave("*", Fault.TRUNCATED_TWICE)

    assert download(debs, store, mirrors_of(servers[0].url), retries=3).bytes == SIZE
    assert ranges(servers[0]) == [None, "bytes=20000-", "bytes=30000-"]


def test_a_404_is_not_retried(store: Store, servers: tuple[MirrorServer, MirrorServer]) -> None:
    with pytest.raises(MirrorError):
        download([deb("absent")], store, mirrors_of(servers[0].url, servers[1].url), retries=5)
    assert len(servers[0].requests) == len(servers[1].requests) == 1


def test_every_missing_file_and_every_mirror_is_named(store: Store, servers: tuple[MirrorServer, MirrorServer]) -> None:
    debs = publish(servers[0].root, "here")
    wanted = [*debs, deb("gone"), deb("lost")]
    dead = "http://127.0.0.1:9/debian"
    with pytest.raises(
        MirrorError, match=r"no mirror serves 2 of the files that the lock names, such as gone_1\.0_amd64\.deb"
    ) as caught:
        download(wanted, store, mirrors_of(servers[0].url, dead), retries=0)
    details = caught.value.details or ""
    assert details.count(f"{servers[0].url}: 404 Not Found") == 2
    assert details.count(f"{dead}: cannot be reached") == 2
    assert store.has_artifact(debs[0]), "what was fetched stays"


def test_no_mirror_at_all_is_an_error(store: Store) -> None:
    with pytest.raises(MirrorError) as caught:
        download([deb("hello")], store, Mirrors())
    assert "no known mirror can have it" in (caught.value.details or "")


@pytest.mark.parametrize("fault", [None, Fault.NO_RANGES])
def test_a_partial_file_is_resumed(
    store: Store, servers: tuple[MirrorServer, MirrorServer], fault: Fault | None
) -> None:
    (package,) = publish(servers[0].root, "hello")
    if fault:
        servers[0].misbehave("*", fault)
    with store.add_artifact(package) as partial:
        assert partial is not None
        partial.write(content_of("hello")[:30_000])
    progress = Recorder()
    report = download([package], store, mirrors_of(servers[0].url), progress=progress)
    assert ranges(servers[0]) == ["bytes=30000-"]
    assert report.bytes == (SIZE if fault else 10_000)
    assert progress.done == progress.total == SIZE
    assert store.verify_artifact(package)


@pytest.mark.parametrize("length", [1000, SIZE])
def test_a_partial_file_with_wrong_bytes_is_restarted(
    store: Store, servers: tuple[MirrorServer, MirrorServer], length: int
) -> None:
    (package,) = publish(servers[0].root, "hello")
    with store.add_artifact(package) as partial:
        assert partial is not None
        partial.write(bytes(length))
    download([package], store, mirrors_of(servers[0].url))
    assert store.verify_artifact(package)


def test_a_complete_partial_file_needs_no_mirror(store: Store) -> None:
    package = deb("hello")
    with store.add_artifact(package) as partial:
        assert partial is not None
        partial.write(content_of("hello"))
    assert download([package], store, Mirrors()).bytes == 0
    assert store.verify_artifact(package)


def test_a_folder_serves_by_pool_path_by_name_and_as_apt_names_files(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "usb"
    (by_path,) = publish(folder, "pooled")
    by_name, by_apt = deb("named"), deb("cached", version="1.0")
    (folder / by_name.filename).write_bytes(content_of("named"))
    by_apt = replace(by_apt, version="2:1.0")
    (folder / "cached_2%3a1.0_amd64.deb").write_bytes(content_of("cached"))
    mirror = Mirror(address=str(folder), origin="settings")
    assert download([by_path, by_name, by_apt], store, Mirrors(debian=(mirror,))).fetched == 3
    spam = make_wheel("spam", "1.0")
    (folder / spam.filename).write_bytes(spam.content)
    eggs = make_wheel("eggs", "1.0")
    (folder / "eggs").mkdir()
    (folder / "eggs" / eggs.filename).write_bytes(eggs.content)
    wheels = [wheel(spam, f"packages/{spam.filename}"), wheel(eggs, f"packages/{eggs.filename}")]
    assert download(wheels, store, Mirrors(folders=(mirror,))).fetched == 2


def test_a_path_cannot_leave_its_folder(store: Store, tmp_path: Path) -> None:
    (tmp_path / "secret.deb").write_bytes(content_of("hello"))
    (tmp_path / "usb").mkdir()
    package = replace(deb("hello"), path="../secret.deb", filename="../secret.deb")
    with pytest.raises(MirrorError):
        download([package], store, mirrors_of(str(tmp_path / "usb")))


def test_a_file_that_the_archive_dropped_is_in_the_dated_archive(
    store: Store, servers: tuple[MirrorServer, MirrorServer]
) -> None:
    (package,) = publish(servers[0].root / "20230501T000000Z", "old")
    suites = [
        Suite(archive="debian", suite="stable"),
        Suite(archive="debian", suite="other", snapshot="20200101T000000Z"),
        Suite(archive="debian", suite="stable", snapshot="20230501T000000Z"),
    ]
    assert download([package], store, mirrors_of(servers[0].url), suites=suites).fetched == 1
    assert [request.path for request in servers[0].requests] == [package.path, f"20230501T000000Z/{package.path}"]


def test_one_page_is_enough_to_find_the_file_host(store: Store) -> None:
    with PackageIndex() as index:
        published = [index.publish(make_wheel(name, "1.0")) for name in ("spam", "eggs", "ham")]
        wheels = [wheel(distribution, index.path_of(distribution.filename)) for distribution in published]
        assert download(wheels, store, indexes_of(index.url), connections=3).fetched == 3
        pages = [path for path in index.requested if path.startswith("/simple/")]
    assert len(pages) == 1
    assert all(store.verify_artifact(artifact) for artifact in wheels)


@pytest.mark.parametrize("html", [False, True])
def test_an_index_with_other_paths_is_asked_page_by_page(store: Store, html: bool) -> None:
    with PackageIndex() as index:
        index.html_only, index.relative_urls = html, True
        published = [index.publish(make_wheel(name, "1.0")) for name in ("spam", "eggs")]
        wheels = [wheel(distribution, f"packages/elsewhere/{distribution.filename}") for distribution in published]
        assert download(wheels, store, indexes_of(index.url)).fetched == 2


@pytest.mark.parametrize("fault", ["other paths", "an answer that fails"])
def test_pages_are_read_in_parallel_if_the_first_shows_no_file_host(store: Store, fault: str) -> None:
    together = threading.Barrier(2)

    class Meeting(PackageIndex):
        """After its first page, each waits until another is asked for too."""

        def _answer(self, path: str, accepts: str) -> tuple[int, str, bytes]:
            if path.startswith("/simple/"):
                if sum(requested.startswith("/simple/") for requested in self.requested) > 1:
                    together.wait(30)
                elif fault == "an answer that fails":
                    return 403, "text/plain", b"not you"
            return super()._answer(path, accepts)

    with Meeting() as index:
        published = [index.publish(make_wheel(name, "1.0")) for name in ("spam", "eggs", "ham")]
        wheels = [wheel(distribution, f"packages/elsewhere/{distribution.filename}") for distribution in published]
        if fault == "other paths":
            assert download(wheels, store, indexes_of(index.url), connections=3).fetched == 3
        else:
            with pytest.raises(MirrorError, match="no mirror serves"):
                download(wheels, store, indexes_of(index.url), connections=3)
            assert sum(store.has_artifact(artifact) for artifact in wheels) == 2


def test_a_wheel_that_no_index_lists_is_an_error(store: Store) -> None:
    with PackageIndex() as index:
        index.publish(make_wheel("spam", "1.0"))
        wanted = wheel(make_wheel("spam", "2.0"), "packages/spam-2.0-py3-none-any.whl")
        with pytest.raises(MirrorError) as caught:
            download([wanted], store, indexes_of(index.url))
    assert f"{index.url}: its page of spam does not list the file" in (caught.value.details or "")


def test_a_file_read_while_locking_is_not_downloaded_again(store: Store) -> None:
    package = deb("hello")
    kept = store.cache("answers") / "by-digest" / package.sha256
    kept.parent.mkdir()
    kept.write_bytes(content_of("hello"))
    assert download([package], store, Mirrors()).fetched == 1
    assert store.verify_artifact(package)
    assert not kept.exists()


def test_a_damaged_file_of_the_cache_is_downloaded(store: Store, servers: tuple[MirrorServer, MirrorServer]) -> None:
    (package,) = publish(servers[0].root, "hello")
    cached = store.cache("answers") / "by-digest" / package.sha256
    cached.parent.mkdir()
    cached.write_bytes(bytes(SIZE))
    with pytest.raises(MirrorError, match="no mirror serves") as caught:
        download([package], store, Mirrors())
    assert not isinstance(caught.value, IntegrityError), "no mirror served wrong bytes"
    assert download([package], store, mirrors_of(servers[0].url)).fetched == 1
    assert store.verify_artifact(package)


@pytest.mark.parametrize("size", [SIZE - 1, SIZE + 1])
def test_a_file_of_another_size_is_not_downloaded(
    store: Store, servers: tuple[MirrorServer, MirrorServer], size: int
) -> None:
    (package,) = publish(servers[0].root, "hello")
    (servers[0].root / package.path).write_bytes(bytes(size))
    with pytest.raises(IntegrityError) as caught:
        download([package], store, mirrors_of(servers[0].url))
    assert f"{servers[0].url}: has {size} bytes instead of {SIZE}" in (caught.value.details or "")
    assert not (store.root / "partial" / package.sha256).stat().st_size


@pytest.mark.parametrize(
    ("headers", "content", "answer"),
    [
        ({}, b"<html>Log in</html>", "returned an HTML page instead of the file"),
        ({}, bytes(SIZE + 1), f"sent more than {SIZE} bytes"),
        ({"Content-Range": "bytes 7-39999/*"}, b"x", "sent another part of the file than the one requested"),
    ],
)
def test_a_server_that_does_not_say_what_it_sends_is_found_out(
    store: Store, headers: dict[str, str], content: bytes, answer: str
) -> None:
    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(206 if headers else 200)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    with serve_with(send) as url, pytest.raises((MirrorError, IntegrityError)) as caught:
        download([deb("hello")], store, mirrors_of(url))
    assert f"{url}: {answer}" in (caught.value.details or "")


def test_ten_failures_are_enough(store: Store, servers: tuple[MirrorServer, MirrorServer]) -> None:
    debs = [deb(f"absent{number}") for number in range(30)]
    with pytest.raises(MirrorError, match=r"no mirror serves 1\d of the files"):
        download(debs, store, mirrors_of(servers[0].url), connections=1)
    assert len(servers[0].requests) < len(debs)


def test_the_mirrors_of_the_settings_are_used(store: Store, tmp_path: Path) -> None:
    debs = publish(tmp_path / "usb", "hello")
    settings = Settings(store=store.root, engine_dir=tmp_path, debian_mirrors=(str(tmp_path / "usb"),))
    assert fetch_artifacts(debs, store, settings).fetched == 1


def test_a_full_disk_stops_everything_at_once(store: Store, servers: tuple[MirrorServer, MirrorServer]) -> None:
    debs = publish(servers[0].root, *(f"package{number}" for number in range(8)))
    with largest_file(SIZE // 2), pytest.raises(StoreError, match="File too large") as caught:
        download(debs, store, mirrors_of(servers[0].url), connections=2)
    assert "free some space" in (caught.value.hint or "")
    assert len(servers[0].requests) < len(debs)
    assert store.verify().bad == ()
    assert download(debs, store, mirrors_of(servers[0].url)).fetched == len(debs)


FETCHER = """
import sys
from pathlib import Path
from rtbuild.mirror.download import fetch_from
from rtbuild.mirror.find import Mirrors, find_mirrors
from rtbuild.mirror.remote import MirrorSources, open_web
from rtbuild.mirror.site import Mirror
from rtbuild.lockfile.model import DebArtifact
from rtbuild.settings import Settings, load_settings
from rtbuild.store.store import Store
root, url, jobs, *items = sys.argv[1:]
debs = []
for item in items:
    name, size, sha256 = item.split(",")
    debs.append(DebArtifact(filename=name, path=name, size=int(size), sha256=sha256, name=name, version="1",
        architecture="amd64", archive="debian", suite="stable", built=0, layer="x"))
print("ready", flush=True)
settings = Settings(store=Path(root), engine_dir=Path(root), connections=int(jobs))
mirrors = Mirrors(debian=(Mirror(address=url, origin="test"),))
report = fetch_from(mirrors, debs, Store.open(Path(root)), settings)
print(report.fetched, report.bytes, flush=True)
"""


def fetcher(store: Store, url: str, artifacts: list[Artifact], jobs: int = 4) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    items = [f"{artifact.path},{artifact.size},{artifact.sha256}" for artifact in artifacts]
    process = subprocess.Popen(
        [sys.executable, "-c", FETCHER, str(store.root), url, str(jobs), *items],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def wait_for(condition: object, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "the condition was never met"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_fetch_is_resumed(
    store: Store, servers: tuple[MirrorServer, MirrorServer], signal_number: signal.Signals
) -> None:
    debs = publish(servers[0].root, "aaa", "bbb")
    partials = [store.root / "partial" / package.sha256 for package in debs]
    servers[0].misbehave("*", Fault.SLOW)
    with fetcher(store, servers[0].url, list(debs)) as process:
        wait_for(lambda: all(path.exists() and path.stat().st_size > 100 for path in partials))
        process.send_signal(signal_number)
        process.communicate(timeout=30)  # the mirror would take two minutes
        assert process.returncode != 0
    assert not any(store.has_artifact(package) for package in debs)
    sizes = [path.stat().st_size for path in partials]
    assert all(sizes)
    servers[0].behave()
    servers[0].requests.clear()
    assert download(debs, store, mirrors_of(servers[0].url)).bytes == 2 * SIZE - sum(sizes)
    assert sorted(str(text) for text in ranges(servers[0])) == sorted(f"bytes={size}-" for size in sizes)
    assert all(store.verify_artifact(package) for package in debs)


@pytest.mark.slow
def test_two_fetchers_of_one_store_share_the_work(store: Store, servers: tuple[MirrorServer, MirrorServer]) -> None:
    debs = publish(servers[0].root, *(f"package{number}" for number in range(30)))
    with fetcher(store, servers[0].url, list(debs)) as first, fetcher(store, servers[0].url, list(debs)) as second:
        outputs = [process.communicate(timeout=60) for process in (first, second)]
        assert [process.returncode for process in (first, second)] == [0, 0], outputs
    received = sum(int(output.split()[1]) for output, _ in outputs)
    assert received == 30 * SIZE
    assert store.verify().bad == ()
    assert list((store.root / "partial").iterdir()) == []


MEASURED = """
import resource, sys
from pathlib import Path
from rtbuild.mirror.download import fetch_from
from rtbuild.mirror.find import Mirrors, find_mirrors
from rtbuild.mirror.remote import MirrorSources, open_web
from rtbuild.mirror.site import Mirror
from rtbuild.lockfile.model import Artifact
from rtbuild.settings import Settings, load_settings
from rtbuild.store.store import Store
folder, root, *items = map(Path, sys.argv[1:])
mirrors = Mirrors(folders=(Mirror(address=str(folder), origin="test"),))
for item in items:
    name, size, sha256 = item.name.split(",")
    artifact = Artifact(filename=name, path=name, size=int(size), sha256=sha256)
    for _ in range(2):  # fetched, then hashed
        fetch_from(mirrors, [artifact], Store.open(root), Settings(store=root, engine_dir=root))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    items = []
    for name, pieces in (("small.deb", 1), ("big.deb", 64)):
        state = hashlib.sha256()
        with (folder / name).open("wb") as stream:
            stream.truncate(pieces << 20)
        for _ in range(pieces):
            state.update(bytes(1 << 20))
        items.append(f"{name},{pieces << 20},{state.hexdigest()}")
    # In a process of its own, as the peak of a process's whole life is measured.
    command = [sys.executable, "-c", MEASURED, str(folder), str(tmp_path / "store"), *items]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    small, big = map(int, done.stdout.split())
    assert big - small < 30_000


def test_ctrl_c_does_not_wait_for_a_stalled_mirror(store: Store, servers: tuple[MirrorServer, MirrorServer]) -> None:
    debs = publish(servers[0].root, "aaa")
    servers[0].misbehave("*", Fault.STALLED)
    with fetcher(store, servers[0].url, list(debs)) as process:
        wait_for(lambda: servers[0].requests)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)  # the mirror stalls for a minute
        assert "KeyboardInterrupt" in errors


def test_threads_of_one_process_may_fetch_the_same(store: Store, servers: tuple[MirrorServer, MirrorServer]) -> None:
    debs = publish(servers[0].root, *(f"package{number}" for number in range(10)))
    mirrors = mirrors_of(servers[0].url)
    threads = [threading.Thread(target=download, args=(debs, store, mirrors)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(store.verify_artifact(package) for package in debs)
    assert len(servers[0].requests) == 10


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("in_netrc", [True, False])
@pytest.mark.parametrize("password", ["hunter2", "p@ss/w:rd"])
def test_the_login_of_an_index_reaches_its_files_and_no_address(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, relative: bool, in_netrc: bool, password: str
) -> None:
    caplog.set_level(logging.DEBUG, "rtbuild")
    with PackageIndex() as index:
        index.relative_urls = relative
        index.login = f"robot:{password}"
        spam = index.publish(make_wheel("spam", "1.0"))
        address = index.url
        if in_netrc:
            (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login robot password {password}\n")
        else:
            address = address.replace("http://", f"http://robot:{quote(password, safe='')}@")
        settings = load_settings({"HOME": str(tmp_path), "RTBUILD_RETRIES": "0"}, tmp_path, python_indexes=address)
        mirrors = find_mirrors(settings, root=tmp_path, prefix=tmp_path)
        sources = MirrorSources(mirrors, tmp_path / "answers", web=open_web(settings))
        (file,) = sources.python_project("spam")["files"]
        assert file["url"] == index.base + index.path_of(spam.filename)
        assert sources.python_metadata(file["url"], None) == spam.metadata
        with sources.python_file(file["url"], spam.sha256, len(spam.content)) as stream:
            assert stream.read() == spam.content
        store = Store.open(tmp_path / "store")
        locked = wheel(spam, index.path_of(spam.filename).lstrip("/"))
        assert fetch_from(mirrors, [locked], store, settings).fetched == 1
        index.login = "robot:changed"
        absent = replace(locked, filename="spam-2.0-py3-none-any.whl", sha256=sha256_bytes(b"absent"))
        with pytest.raises(MirrorError, match="no mirror serves the file") as caught:
            fetch_from(mirrors, [absent], store, settings)
    assert "401 Unauthorized" in (caught.value.details or "")
    shown = f"{caught.value.brief}{caught.value.details}{caplog.text}{mirrors.python[0].name}"
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != ".netrc")
    for secret in (password, quote(password, safe="")):
        assert secret not in shown
        assert secret.encode() not in kept


def test_the_largest_come_first_but_for_what_the_others_wait_for() -> None:
    debs = [replace(locks.deb(f"deb{size}"), size=size, sha256=sha256_bytes(b"%d" % size)) for size in (1, 3, 5, 7)]
    wheels = [replace(locks.wheel(f"wheel{size}"), size=size, sha256=sha256_bytes(b"%d" % size)) for size in (2, 4, 6)]
    ordered = in_order([*debs, *wheels], 3)
    assert [artifact.size for artifact in ordered] == [2, 7, 5, 6, 4, 3, 1]
    assert [artifact.size for artifact in in_order(debs, 3)] == [7, 5, 3, 1]
    assert [artifact.size for artifact in in_order(wheels, 3)] == [2, 6, 4]
