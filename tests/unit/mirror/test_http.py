"""Reading from a location: what servers do wrong is a `FetchFailure` that says what, and whether to try again."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rtbuild.mirror.http import FetchFailure, Web, local_path, redacted
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
