"""Reading from a location: what servers do wrong is a `FetchFailure` that says what, and whether to try again."""

from __future__ import annotations

import base64
import gzip
import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from pathlib import Path

import pytest
import zstandard
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rtbuild.errors import UsageError
from rtbuild.mirror import http
from rtbuild.mirror.addresses import local_path, redacted
from rtbuild.mirror.failure import FetchFailure
from rtbuild.mirror.http import Web
from tests.fakes.debian_archive import Fault, serve_folder
from tests.fakes.serving import serve_with

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def web() -> Iterator[Web]:
    web = Web(timeout=5, retries=0)
    yield web
    web.close()


def reply(
    status: int = 200, headers: dict[str, str] | None = None, content: bytes = b"content"
) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | (headers or {})).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def failure_of(web: Web, location: str, *, html: bool = False) -> FetchFailure:
    with pytest.raises(FetchFailure) as caught:
        web.get(location, html=html)
    return caught.value


def test_a_reply_has_its_validators_and_media_type(web: Web) -> None:
    headers = {"ETag": '"v1"', "Last-Modified": "Mon, 01 May 2023 00:00:00 GMT", "Content-Type": "Text/Plain; a=b"}
    with serve_with(reply(headers=headers)) as url:
        found = web.get(url)
    assert (found.location, found.content, found.changed) == (url, b"content", True)
    assert (found.etag, found.modified) == ('"v1"', "Mon, 01 May 2023 00:00:00 GMT")
    assert found.content_type == "text/plain"


def test_an_answer_has_a_size_that_fits_into_memory(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_LARGEST", 1 << 20)
    for headers, encode in (({}, bytes), ({"Content-Encoding": "gzip"}, gzip.compress)):
        for size in (1 << 20, (1 << 20) + 1):
            content = encode(bytes(size))
            with serve_with(reply(headers={**headers, "Content-Length": str(len(content))}, content=content)) as url:
                if size == 1 << 20:
                    assert len(web.get(url).content) == size
                else:
                    failure = failure_of(web, url)
                    assert "1 MiB" in failure.brief or str(1 << 20) in failure.brief
                    assert not failure.transient


def test_the_location_of_a_reply_is_where_redirects_end(web: Web, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    with serve_folder(tmp_path) as server, serve_with(reply(302, {"Location": f"{server.url}/file"}, b"")) as url:
        assert web.get(url).location == f"{server.url}/file"
        with web.open(url) as stream:
            assert stream.location == f"{server.url}/file"
            assert b"".join(stream.chunks) == CONTENT


@pytest.mark.parametrize(
    ("status", "brief", "transient", "missing"),
    [
        (404, "404 Not Found", False, True),
        (410, "410 Gone", False, True),
        (403, "403 Forbidden", False, False),
        (503, "503 Service Unavailable", True, False),
        (204, "204 No Content", False, False),
    ],
)
def test_a_status_is_transient_or_missing_or_neither(
    web: Web, status: int, brief: str, transient: bool, missing: bool
) -> None:
    with serve_with(reply(status, {"Retry-After": "7"}, b"")) as url:
        failure = failure_of(web, url)
    assert (failure.brief, failure.transient, failure.missing) == (brief, transient, missing)
    assert failure.pause == 7


def test_an_html_page_is_no_file(web: Web) -> None:
    with serve_with(reply(headers={"Content-Type": "text/html; charset=utf-8"})) as url:
        assert failure_of(web, url).brief == "returned an HTML page instead of the file"
        assert web.get(url, html=True).content == b"content"
        with pytest.raises(FetchFailure, match="returned an HTML page"), web.open(url):
            pass


def test_a_connection_that_breaks_is_transient(web: Web) -> None:
    with serve_with(reply(headers={"Content-Length": "100"})) as url:
        failure = failure_of(web, url)
    assert failure.brief.startswith("the connection broke: ")
    assert (failure.transient, failure.unreachable) == (True, False)


def test_a_host_is_unreachable_until_it_answers(web: Web) -> None:
    with serve_with(reply()) as url:
        web.get(url)
        assert web.reachable(url)
    failure = failure_of(web, url)
    assert failure.brief.startswith("cannot be reached: ")
    assert (failure.transient, failure.unreachable) == (True, True)
    assert not web.reachable(url)
    assert web.reachable("http://127.0.0.2/file")


def test_another_protocol_is_a_failure_and_not_transient(web: Web) -> None:
    failure = failure_of(web, "gopher://127.0.0.1/file")
    assert failure.brief.startswith("the request failed: ")
    assert not failure.transient


def test_a_certificate_that_the_machine_does_not_trust_is_not_transient(web: Web, tmp_path: Path) -> None:
    with serve_with(reply(), self_signed(tmp_path)) as url:
        failure = failure_of(web, url)
    assert "certificate verify failed" in failure.brief
    assert (failure.transient, failure.unreachable) == (False, True)


def test_the_authorities_of_the_machine_are_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    web = Web(timeout=5, retries=0)
    with serve_with(reply(), context) as url:
        assert web.get(url).content == b"content"
    web.close()


def test_what_has_arrived_comes_as_one_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    content = os.urandom(1 << 20)
    asked: list[object] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.protocol_version, handler.close_connection = "HTTP/1.1", False
        asked.append(handler.client_address)
        reply(content=content)(handler)

    web = Web(timeout=5, retries=0)
    with serve_with(answer, context) as url:
        for _ in range(2):
            with web.open(url) as stream:
                time.sleep(0.3)  # until more than one record of TLS has arrived, 16 KiB
                chunks = list(stream.chunks)
            assert b"".join(chunks) == content
            assert max(map(len, chunks)) > 1 << 16
    assert len(set(asked)) == 1, "the connection is kept"
    web.close()


def test_a_part_is_none_if_the_server_ignores_ranges(web: Web, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    with serve_folder(tmp_path) as server:
        assert web.part(f"{server.url}/file", 100, 20) == CONTENT[100:120]
        assert web.part(str(tmp_path / "file"), 100, 20) == CONTENT[100:120]
        server.misbehave("*", Fault.NO_RANGES)
        assert web.part(f"{server.url}/file", 100, 20) is None


@pytest.mark.parametrize("extent", ["", "bytes */100", "lines 1-2/3"])
def test_a_part_must_say_where_it_begins(web: Web, extent: str) -> None:
    with serve_with(reply(206, {"Content-Range": extent})) as url:
        with pytest.raises(FetchFailure, match="without a valid Content-Range"), web.open(url, offset=5):
            pass


def test_a_part_may_leave_out_the_size_of_the_file(web: Web) -> None:
    with serve_with(reply(206, {"Content-Range": "bytes 5-11/*"})) as url, web.open(url, offset=5) as stream:
        assert (stream.offset, stream.total, b"".join(stream.chunks)) == (5, None, b"content")


def test_work_that_is_stopped_ends_at_the_next_chunk(web: Web) -> None:
    with serve_with(reply(content=bytes(1 << 20))) as url, web.open(url) as stream:
        next(stream.chunks)
        web.stop.set()
        with pytest.raises(FetchFailure, match="interrupted"):
            next(stream.chunks)


def test_a_missing_path_is_missing(web: Web, tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        failure = failure_of(web, path.as_uri())
        assert (failure.brief, failure.missing) == ("no such file", True)


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/srv/a folder", Path("/srv/a folder")),
        ("file:///srv/a%20folder", Path("/srv/a folder")),
        ("file:/srv/folder", Path("/srv/folder")),
        ("http://127.0.0.1/srv", None),
    ],
)
def test_a_path_or_a_file_address_is_local(location: str, path: Path | None) -> None:
    assert local_path(location) == path


def test_a_message_has_no_password() -> None:
    assert redacted("https://robot:secret@127.0.0.1/simple?a=b") == "https://127.0.0.1/simple?a=b"
    assert redacted("/srv/a@b") == "/srv/a@b"


def self_signed(folder: Path) -> ssl.SSLContext:
    """Return the context of a server on 127.0.0.1 whose certificate, `certificate.pem`, nobody trusts yet."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a mirror of a test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


# --- hostile servers -------------------------------------------------------------------------------------------------


@contextmanager
def raw_server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serve connections on 127.0.0.1 with `answer`, which gets them before anything was read."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    answer(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def drip(start: bytes, piece: bytes) -> Callable[[socket.socket], None]:
    """Return an answer that begins with `start`, and goes on with `piece` every 50 ms for ever."""

    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(start)
        while True:
            connection.sendall(piece)
            time.sleep(0.05)

    return answer


@pytest.mark.parametrize(
    ("scheme", "start", "piece", "brief"),
    [
        ("http", b"HTTP/1.1 200 OK\r\nX: ", b"x", "took more than 0.6 s to answer"),
        ("http", b"", b"HTTP/1.1 100 Continue\r\n\r\n", "took more than 0.6 s to answer"),
        ("http", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0", "took more than 0.6 s to answer"),
        ("http", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", b"x", "too slow: "),
        ("https", b"\x16\x03\x03\x40\x00", b"x", "the connection timed out"),
    ],
)
def test_an_answer_that_drips_has_a_deadline(scheme: str, start: bytes, piece: bytes, brief: str) -> None:
    web = Web(timeout=0.3, retries=0)
    began = time.monotonic()
    with raw_server(drip(start, piece)) as place:
        failure = failure_of(web, f"{scheme}://{place}/")
        assert failure.brief.startswith(brief)
        assert failure.transient
    assert time.monotonic() - began < 5
    web.close()


def test_a_connection_that_is_reset_is_not_the_end_of_the_file(web: Web) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"half of a file whose size nobody says" * 500)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() sends a RST

    with raw_server(answer) as place:
        assert failure_of(web, f"http://{place}/").brief.startswith("the connection broke: ")


def test_a_download_that_is_slow_but_steady_has_no_deadline() -> None:
    content = b"x" * 600

    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 12000\r\n\r\n")
        for _ in range(20):
            connection.sendall(content)
            time.sleep(0.05)

    web = Web(timeout=0.3, retries=0)
    with raw_server(answer) as place:
        assert len(web.get(f"http://{place}/").content) == 12000
    web.close()


def test_compressed_answers_are_unpacked_within_limits(web: Web) -> None:
    with serve_with(reply(headers={"Content-Encoding": "gzip"}, content=gzip.compress(CONTENT))) as url:
        assert web.get(url).content == CONTENT
    bomb = gzip.compress(bytes(1 << 20)) * 300
    with serve_with(reply(headers={"Content-Encoding": "gzip"}, content=bomb)) as url:
        assert failure_of(web, url).brief == "its compressed answer has more than 268435456 bytes when decompressed"
    with serve_with(reply(headers={"Content-Encoding": "gzip"}, content=b"not gzip")) as url:
        assert failure_of(web, url).brief.startswith("its compressed answer cannot be decompressed: ")


@pytest.mark.parametrize("encoding", ["zstd", "br", "deflate", "gzip, gzip"])
def test_a_coding_that_was_not_asked_for_is_refused(web: Web, encoding: str) -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(64 << 20))
    with serve_with(reply(headers={"Content-Encoding": encoding}, content=bomb)) as url:
        expected = f"answers with Content-Encoding {encoding!r}, which was not asked for"
        assert failure_of(web, url).brief == expected
        with pytest.raises(FetchFailure, match="which was not asked for"), web.open(url):
            pass


def test_a_redirect_from_https_to_http_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    asked: list[str] = []

    def plain(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        reply()(handler)

    web = Web(timeout=5, retries=0)
    with (
        serve_with(plain) as target,
        serve_with(reply(302, {"Location": target}, b""), context) as url,
        serve_with(reply(302, {"Location": url}, b"")) as start,
    ):
        for address in (url, start):
            assert failure_of(web, address).brief == "redirects from https to http, which is refused"
            with pytest.raises(FetchFailure, match="redirects from https to http"), web.open(address):
                pass
    assert asked == []
    web.close()


@pytest.mark.parametrize("address", ["http://[::1/simple", "http://127.0.0.1:port/", "http://\ud800.invalid/"])
def test_a_malformed_address_is_a_failure(web: Web, address: str) -> None:
    web.add_site(address)
    failure = failure_of(web, address)
    assert failure.brief == "the address is not valid"
    assert not failure.transient


@pytest.mark.parametrize("name", ["pipe", "zero"])
def test_what_is_no_regular_file_is_refused(web: Web, tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    assert failure_of(web, str(tmp_path / name)).brief == "cannot be read: not a regular file"


@pytest.mark.parametrize("length", ["9" * 5000, "\xb2", "-1", "1_0"])
def test_numbers_that_are_none_are_ignored_or_refused(web: Web, length: str) -> None:
    with serve_with(reply(503, {"Retry-After": length}, b"")) as url:
        assert failure_of(web, url).pause == 0
    with serve_with(reply(206, {"Content-Range": f"bytes {length}-9/10"})) as url:
        with pytest.raises(FetchFailure, match="without a valid Content-Range"), web.open(url, offset=5):
            pass


def test_a_part_that_is_longer_than_asked_for_is_refused(web: Web) -> None:
    with serve_with(reply(206, {"Content-Range": "bytes 5-6/1000"}, b"x" * 900)) as url:
        with pytest.raises(FetchFailure, match="sent more than the 2 bytes that were asked for"):
            web.part(url, 5, 2)


# --- logins ----------------------------------------------------------------------------------------------------------


def test_a_login_is_sent_to_its_own_host_and_port_only(web: Web) -> None:
    seen: list[tuple[str, str | None]] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        seen.append((handler.path, handler.headers.get("Authorization")))
        if handler.path == "/away":
            reply(302, {"Location": f"{other}/landed"}, b"")(handler)
        else:
            reply()(handler)

    with serve_with(answer) as other, serve_with(answer) as url:
        web.add_site(url.replace("http://", "http://robot:p%40ss%2Fw:rd@"))
        reply_to_file = web.get(f"{url}/file")
        web.get(f"{other}/file")
        web.get(f"{url}/away")
    login = f"Basic {base64.b64encode(b'robot:p@ss/w:rd').decode()}"
    assert seen == [("/file", login), ("/file", None), ("/away", login), ("/landed", None)]
    assert "@" not in reply_to_file.location


def test_logins_by_host_are_those_of_netrc() -> None:
    seen: list[str | None] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        seen.append(handler.headers.get("Authorization"))
        reply()(handler)

    web = Web(timeout=5, retries=0, logins={"127.0.0.1": ("robot", "hunter2"), "localhost": ("x", "y")})
    with serve_with(answer) as url:
        web.get(url)
        web.get(url.replace("http://", "http://other:login@"))
    tokens = [base64.b64encode(text).decode() for text in (b"robot:hunter2", b"other:login")]
    assert seen == [f"Basic {token}" for token in tokens]
    web.close()


def test_a_proxy_of_a_site_is_used_for_it_alone(web: Web) -> None:
    seen: list[str] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        seen.append(handler.path)
        reply()(handler)

    with serve_with(answer) as proxy, serve_with(reply(content=b"direct")) as url:
        web.add_site("http://archive.invalid/debian", proxy=proxy)
        assert web.get("http://archive.invalid/debian/x").content == b"content"
        assert web.get(url).content == b"direct"
        web.add_site(url, proxy=proxy)
        assert web.get(f"{url}/y").content == b"content", "known only after a first request"
    assert seen == ["http://archive.invalid/debian/x", f"{url}/y"]


def test_a_proxy_that_cannot_be_used_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "gopher://127.0.0.1:1")
    with pytest.raises(UsageError, match="a proxy of the environment cannot be used"):
        Web()


@pytest.mark.parametrize(
    "location", ["http://robot:pa/ss@127.0.0.1/simple", "http://robot:pass@127.0.0.1/simple", "http://r:p@s@127.0.0.1/"]
)
def test_no_part_of_a_password_is_shown(location: str) -> None:
    assert redacted(location).startswith("http://127.0.0.1/")
    assert redacted("http://127.0.0.1/@scope/x@1?a=@") == "http://127.0.0.1/@scope/x@1?a=@"
