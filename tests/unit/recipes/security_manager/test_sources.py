"""Where keys come from: a PEM file, a server, or both."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rtbuild_security_manager import sources
from rtbuild_security_manager.errors import KeysUnusable
from rtbuild_security_manager.keys import VerificationKey
from rtbuild_security_manager.sources import JwkServer, PemFile, ServerThenFile, fetch_document, key_source

from tests.fakes.token_issuer import DRIPS, Issuer, dripping_site, jwk_site


class Clock:
    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Later:
    """Collects background work, which a test then runs."""

    def __init__(self) -> None:
        self.work: list[Callable[[], None]] = []

    def __call__(self, work: Callable[[], None]) -> None:
        self.work.append(work)

    def happen(self) -> None:
        self.work.pop()()
        assert not self.work


def at_once(work: Callable[[], None]) -> None:
    work()


def kids(keys: tuple[VerificationKey, ...]) -> list[str | None]:
    return [key.kid for key in keys]


def until(condition: Callable[[], bool], title: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, title
        time.sleep(0.01)


def asking_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "jwk-server"]


def age(path: Path, seconds: float = 60) -> None:
    """Make the file look as if it was written `seconds` ago."""
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


@pytest.fixture
def pem(tmp_path: Path, rsa_issuer: Issuer) -> Path:
    path = tmp_path / "tls.crt"
    path.write_bytes(rsa_issuer.pem)
    age(path)
    return path


def test_a_changed_pem_file_is_read_again(pem: Path, ec_issuer: Issuer) -> None:
    file = PemFile(pem)
    first = file.current()
    assert [key.algorithm for key in first] == ["RS256"]
    assert file.current() is first
    pem.write_bytes(ec_issuer.pem)
    assert [key.algorithm for key in file.current()] == ["ES256"]


def test_a_change_that_keeps_size_and_time_is_noticed_if_the_file_is_recent(
    pem: Path, rsa_issuer: Issuer, other_issuer: Issuer
) -> None:
    file = PemFile(pem)
    os.utime(pem)
    status = pem.stat()
    before = file.current()
    assert len(other_issuer.pem) == len(rsa_issuer.pem)
    pem.write_bytes(other_issuer.pem)
    os.utime(pem, ns=(status.st_mtime_ns, status.st_mtime_ns))
    assert file.current()[0].key.public_numbers() != before[0].key.public_numbers()


def test_a_mounted_secret_changes_with_its_symbolic_link(pem: Path, tmp_path: Path, ec_issuer: Issuer) -> None:
    link, new = tmp_path / "link", tmp_path / "new"
    link.symlink_to(pem)
    file = PemFile(link)
    assert [key.algorithm for key in file.current()] == ["RS256"]
    new.write_bytes(ec_issuer.pem)
    (tmp_path / "fresh").symlink_to(new)
    (tmp_path / "fresh").rename(link)
    assert [key.algorithm for key in file.current()] == ["ES256"]


@pytest.mark.parametrize("content", [None, b"", b"no key"])
def test_a_broken_pem_file_gives_no_key_until_it_is_repaired(
    pem: Path, rsa_issuer: Issuer, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    file = PemFile(pem)
    assert file.current()
    if content is None:
        pem.unlink()
    else:
        pem.write_bytes(content)
    assert file.current() == ()
    assert file.current() == ()
    assert [record.levelname for record in caplog.records] == ["ERROR"], "logged once"
    pem.write_bytes(rsa_issuer.pem)
    assert len(file.current()) == 1


def test_a_pem_file_may_be_created_later(tmp_path: Path, rsa_issuer: Issuer) -> None:
    file = PemFile(tmp_path / "tls.crt")
    assert file.current() == ()
    (tmp_path / "tls.crt").write_bytes(rsa_issuer.pem)
    assert len(file.current()) == 1


def test_a_folder_is_not_a_pem_file(tmp_path: Path) -> None:
    assert PemFile(tmp_path).current() == ()


def test_an_answer_is_cached_for_five_minutes(rsa_issuer: Issuer, ec_issuer: Issuer) -> None:
    clock, later = Clock(), Later()
    with jwk_site([rsa_issuer]) as site:
        server = JwkServer(site.url, timeout=5, clock=clock, start=later)
        assert kids(server.current()) == ["rsa-1"]
        site.show(ec_issuer)
        clock.now += 239
        assert kids(server.current()) == ["rsa-1"]
        assert (site.asked, later.work) == (1, [])
        clock.now += 61
        assert kids(server.current()) == ["ec-1"], "after a pause without requests, the first one waits"
        assert (site.asked, later.work) == (2, [])


def test_the_answer_is_renewed_in_the_background_before_it_expires(rsa_issuer: Issuer, ec_issuer: Issuer) -> None:
    clock, later = Clock(), Later()
    with jwk_site([rsa_issuer]) as site:
        server = JwkServer(site.url, timeout=5, clock=clock, start=later)
        assert kids(server.current()) == ["rsa-1"]
        site.show(ec_issuer)
        for now in (1240.0, 1250.0, 1299.0):
            clock.now = now
            assert kids(server.current()) == ["rsa-1"], "nobody waits"
        assert site.asked == 1
        later.happen()
        assert kids(server.current()) == ["ec-1"]
        assert site.asked == 2
        clock.now = 1299.0 + 239
        assert kids(server.current()) == ["ec-1"]
        assert (site.asked, later.work) == (2, [])


def test_an_answer_is_used_until_it_expires_if_the_server_fails(rsa_issuer: Issuer) -> None:
    clock = Clock()
    with jwk_site([rsa_issuer]) as site:
        server = JwkServer(site.url, timeout=5, clock=clock, start=at_once)
        seen = server.current()
        site.status = 500
        for now, asked in ((1240.0, 2), (1249.0, 2), (1250.0, 3), (1299.0, 4)):
            clock.now = now
            assert server.current() is seen
            assert server.renewed(seen) == (), "it was asked just now"
            assert site.asked == asked
        clock.now = 1300.0
        assert server.current() == (), "not a moment longer"
        assert site.asked == 4, "and nobody waits"
        site.status = 200
        clock.now = 1309.0
        assert kids(server.current()) == ["rsa-1"]


def test_keys_from_a_concurrent_request_are_kept(rsa_issuer: Issuer) -> None:
    """Two requests find that the server may be asked again; the second one continues once the first one has keys."""
    with jwk_site() as site:
        site.status = 503
        overtaken: list[bool] = []

        class Overtaking(Clock):
            def __call__(self) -> float:
                if overtaken == [False]:
                    overtaken.append(True)
                    assert kids(server.current()) == ["rsa-1"]
                return self.now

        clock, later = Overtaking(), Later()
        start: list[Callable[[Callable[[], None]], None]] = [at_once]
        server = JwkServer(site.url, timeout=5, clock=clock, start=lambda work: start[0](work))
        assert server.current() == ()
        site.show(rsa_issuer)
        clock.now += sources.RETRY_SECONDS
        overtaken.append(False)
        assert kids(server.current()) == ["rsa-1"]
        assert overtaken == [False, True]
        assert site.asked == 2, "once before, and once for both"
        start[0] = later
        clock.now += 240
        assert kids(server.current()) == ["rsa-1"]
        later.happen()
        assert site.asked == 3, "and the server can be asked again"


def test_a_thread_that_cannot_be_started_does_not_block(rsa_issuer: Issuer) -> None:
    clock = Clock()

    def refuse(_work: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    start: list[Callable[[Callable[[], None]], None]] = [refuse]
    with jwk_site([rsa_issuer]) as site:
        server = JwkServer(site.url, timeout=5, clock=clock, start=lambda work: start[0](work))
        assert kids(server.current()) == ["rsa-1"]
        clock.now += 240
        with pytest.raises(RuntimeError):
            server.current()
        start[0] = at_once
        server.current()
        assert site.asked == 2


def test_an_unknown_key_asks_the_server_but_not_often(
    rsa_issuer: Issuer, ec_issuer: Issuer, other_issuer: Issuer
) -> None:
    clock = Clock()
    with jwk_site([rsa_issuer]) as site:
        server = JwkServer(site.url, timeout=5, clock=clock)
        seen = server.current()
        site.show(rsa_issuer, ec_issuer)
        renewed = server.renewed(seen)
        assert kids(renewed) == ["rsa-1", "ec-1"], "at once, right after the first question"
        site.show(other_issuer)
        for _ in range(100):
            assert server.renewed(server.current()) == ()
        assert site.asked == 2
        assert server.renewed(seen) is renewed, "what somebody else has asked for meanwhile"
        clock.now += sources.RENEWAL_SECONDS
        assert kids(server.renewed(server.current())) == ["rsa-2"]
        assert site.asked == 3


def test_a_failed_renewal_keeps_the_keys(rsa_issuer: Issuer) -> None:
    clock = Clock()
    with jwk_site([rsa_issuer]) as site:
        server = JwkServer(site.url, timeout=5, clock=clock)
        seen = server.current()
        site.status = 500
        assert server.renewed(seen) == ()
        assert server.current() is seen
        clock.now += sources.FAILED_RENEWAL_SECONDS - 1
        assert server.renewed(seen) == ()
        assert site.asked == 2
        clock.now = 1300.0
        assert server.current() == (), "but nothing counts longer than five minutes"


def test_a_failing_server_is_asked_again_in_the_background(rsa_issuer: Issuer) -> None:
    clock, later = Clock(), Later()
    with jwk_site([rsa_issuer]) as site:
        site.status = 503
        server = JwkServer(site.url, timeout=5, clock=clock, start=later)
        assert server.current() == ()
        assert server.current() == ()
        assert server.renewed(()) == ()
        assert (site.asked, later.work) == (1, [])
        clock.now += sources.RETRY_SECONDS
        for _ in range(3):
            assert server.current() == (), "nobody waits"
        assert site.asked == 1
        later.happen()
        assert site.asked == 2
        site.status = 200
        clock.now += sources.RETRY_SECONDS
        assert server.current() == ()
        later.happen()
        assert kids(server.current()) == ["rsa-1"]


def test_the_server_is_asked_by_one_request_at_a_time(rsa_issuer: Issuer) -> None:
    import json

    asked, go = [], threading.Event()

    def fetch(url: str, _timeout: float) -> bytes:
        asked.append(url)
        assert go.wait(60)
        return json.dumps(rsa_issuer.jwk).encode()

    server = JwkServer("http://keys.example/", timeout=5, fetch=fetch)
    answers: list[list[str | None]] = []
    threads = [threading.Thread(target=lambda: answers.append(kids(server.current()))) for _ in range(20)]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(60)
    assert answers == [["rsa-1"]] * 20
    assert len(asked) == 1


def test_the_file_is_used_if_the_server_fails(pem: Path, ec_issuer: Issuer) -> None:
    clock = Clock()
    with jwk_site([ec_issuer]) as site:
        both = ServerThenFile(JwkServer(site.url, timeout=5, clock=clock, start=at_once), PemFile(pem))
        assert [key.algorithm for key in both.current()] == ["ES256"], "the file does not count beside a server"
        site.status = 500
        clock.now += 300
        assert [key.algorithm for key in both.current()] == ["RS256"]
        assert both.renewed(both.current()) == ()
        site.status = 200
        clock.now += sources.RETRY_SECONDS
        assert [key.algorithm for key in both.current()] == ["ES256"]


def test_a_server_that_does_not_exist(pem: Path, caplog: pytest.LogCaptureFixture) -> None:
    with jwk_site() as site:
        url = site.url.replace("//", "//user:password@")
    source = key_source(signing_cert=pem, jwk_url=url, timeout=1)
    assert len(source.current()) == 1
    assert "houston_jwk_url cannot be used" in caplog.text
    assert "password" not in caplog.text


@pytest.mark.parametrize("kind", DRIPS)
def test_one_deadline_for_the_whole_question(kind: str, pem: Path) -> None:
    """A byte now and then keeps every single step within the timeout."""
    with dripping_site(kind) as site:
        source = key_source(signing_cert=pem, jwk_url=site.url, timeout=0.3)
        begun = time.monotonic()
        assert len(source.current()) == 1, "the file's"
        assert 0.25 < time.monotonic() - begun < 20
        for _ in range(100):
            assert len(source.current()) == 1
        assert time.monotonic() - begun < 20, "it is waited for only once"
        # A server that says nothing runs into the timeout of the socket at the same moment.
        with pytest.raises(TimeoutError, match=r"not complete within 0\.2 s|timed out"):
            fetch_document(site.url, 0.2)
        until(lambda: site.closed == site.asked == 2, "the connections are closed")
        until(lambda: not asking_threads(), "no thread goes on asking")


@pytest.mark.parametrize("kind", ["header", "100 Continue", "TLS"])
def test_known_keys_are_used_while_the_server_drips(kind: str, rsa_issuer: Issuer) -> None:
    clock = Clock()
    with dripping_site(kind) as site, jwk_site([rsa_issuer]) as good:
        urls = [good.url, site.url]
        server = JwkServer(
            "http://keys.example/", timeout=2, clock=clock, fetch=lambda _, timeout: fetch_document(urls[0], timeout)
        )
        assert kids(server.current()) == ["rsa-1"]
        del urls[0]
        clock.now += 240
        begun = time.monotonic()
        for _ in range(100):
            assert kids(server.current()) == ["rsa-1"]
        assert time.monotonic() - begun < 1.8, "no request waits"
        until(lambda: site.closed == site.asked == 1, "it was asked once, and given up")
        assert kids(server.current()) == ["rsa-1"]


def test_a_name_that_is_not_resolved_in_time(rsa_issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can end a look-up; whoever waits goes on, and the thread does not ask once nobody waits."""
    resolved = threading.Event()
    look_up = socket.getaddrinfo

    def slowly(*args: Any, **kwargs: Any) -> Any:
        assert resolved.wait(60)
        return look_up(*args, **kwargs)

    with jwk_site([rsa_issuer]) as site:
        monkeypatch.setattr(socket, "getaddrinfo", slowly)
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            fetch_document(site.url, 0.2)
        assert time.monotonic() - begun < 20
        resolved.set()
        until(lambda: not asking_threads(), "the thread ends")
        assert site.asked == 0


def test_a_thread_that_cannot_be_started_is_a_failure_of_the_server(pem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with jwk_site() as site:
        source = key_source(signing_cert=pem, jwk_url=site.url, timeout=5)
        monkeypatch.setattr(threading.Thread, "start", refuse)
        try:
            assert len(source.current()) == 1, "the file's"
        finally:
            monkeypatch.undo()


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b'{"keys": []}', b"\xff\xfe", b" " * (sources.LARGEST_DOCUMENT + 1)]
)
def test_an_answer_without_keys(content: bytes) -> None:
    with jwk_site() as site:
        site.content = content
        assert JwkServer(site.url, timeout=5).current() == ()


def test_redirects_are_not_followed(rsa_issuer: Issuer) -> None:
    with jwk_site([rsa_issuer]) as other, jwk_site() as site:
        site.status, site.headers = 302, {"Location": other.url}
        assert JwkServer(site.url, timeout=5).current() == ()
        assert (site.asked, other.asked) == (1, 0)


def test_a_large_answer_is_not_read_to_its_end() -> None:
    with jwk_site() as site:
        site.content = b" " * (4 * sources.LARGEST_DOCUMENT)
        with pytest.raises(KeysUnusable, match="more than"):
            fetch_document(site.url, 5)


def test_a_source_needs_a_file_or_a_server(pem: Path) -> None:
    assert isinstance(key_source(signing_cert=pem, jwk_url=None, timeout=1), PemFile)
    assert isinstance(key_source(signing_cert=None, jwk_url="http://keys.example/", timeout=1), JwkServer)
    with pytest.raises(ValueError, match="neither"):
        key_source(signing_cert=None, jwk_url=None, timeout=1)


def test_changes_are_logged_without_the_address(caplog: pytest.LogCaptureFixture, rsa_issuer: Issuer) -> None:
    with caplog.at_level(logging.INFO), jwk_site([rsa_issuer]) as site:
        JwkServer(site.url, timeout=5).current()
    assert [record.message for record in caplog.records] == ["[astronomer] houston_jwk_url: 1 key(s) read"]
