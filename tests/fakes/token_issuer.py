"""A platform that signs tokens, and the server that tells its keys."""

from __future__ import annotations

import base64
import datetime
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.fakes.serving import serving

AUDIENCE = "deployment.example"
MISSING = object()
"""As a claim's value: the claim is left out."""


class Issuer:
    """Signs tokens with a key of its own, made for it: RSA for RS..., elliptic curves for ES...; `bits` is the size of
    an RSA key."""

    def __init__(self, algorithm: str = "RS256", *, kid: str | None = None, bits: int = 2048) -> None:
        self.algorithm = algorithm
        self.kid = kid
        self.key: Any
        if algorithm.startswith("RS"):
            self.key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
        else:
            self.key = ec.generate_private_key(ec.SECP384R1() if algorithm == "ES384" else ec.SECP256R1())

    @property
    def pem(self) -> bytes:
        public: bytes = self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return public

    @property
    def certificate(self) -> bytes:
        """The key in a certificate, which has long expired: that is nobody's business here."""
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
        start = datetime.datetime(2020, 1, 1)
        builder = x509.CertificateBuilder(name, name, self.key.public_key(), x509.random_serial_number(), start, start)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)

    @property
    def jwk(self) -> dict[str, Any]:
        numbers = self.key.public_key().public_numbers()
        if self.algorithm.startswith("RS"):
            found = {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
        else:
            curve = "P-384" if self.algorithm == "ES384" else "P-256"
            found = {"kty": "EC", "crv": curve, "x": number(numbers.x), "y": number(numbers.y)}
        return found if self.kid is None else {**found, "kid": self.kid}

    def token(self, subject: str = "ada", *, headers: Mapping[str, Any] | None = None, **changes: Any) -> str:
        """A good token about `subject`, but for the claims in `changes`."""
        named = {} if self.kid is None else {"kid": self.kid}
        return sign(claims(subject, **changes), self.key, self.algorithm, {**named, **(headers or {})})


def claims(subject: str = "ada", **changes: Any) -> dict[str, Any]:
    """What a good token says, but for `changes`."""
    now = int(time.time())
    said = {
        "sub": subject,
        "email": f"{subject}@mail.example",
        "full_name": "Ada King Lovelace",
        "roles": ["Viewer"],
        "aud": AUDIENCE,
        "exp": now + 600,
        "nbf": now - 5,
        **changes,
    }
    return {name: value for name, value in said.items() if value is not MISSING}


def sign(said: Mapping[str, Any], key: Any, algorithm: str, headers: Mapping[str, Any] | None = None) -> str:
    made: Any = jwt.encode(dict(said), key, algorithm=algorithm, headers=dict(headers or {}))
    return made.decode() if isinstance(made, bytes) else made  # bytes before PyJWT 2


def forge(header: Mapping[str, Any], said: Mapping[str, Any], signature: bytes) -> str:
    """A token put together by hand, as an attacker would."""
    parts = [json.dumps(header).encode(), json.dumps(said).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def number(value: int) -> str:
    octets = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


class JwkSite:
    """What a JWK server on loopback answers with; `asked` counts how often."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/keys"
        self.asked = 0
        self.status = 200
        self.headers: dict[str, str] = {}
        self.content = b""

    def show(self, *issuers: Issuer) -> None:
        self.status, self.content = 200, json.dumps({"keys": [issuer.jwk for issuer in issuers]}).encode()

    def show_one(self, issuer: Issuer) -> None:
        """A bare JWK, not a set."""
        self.status, self.content = 200, json.dumps(issuer.jwk).encode()


@contextmanager
def jwk_site(issuers: Sequence[Issuer] = (), *, port: int = 0) -> Iterator[JwkSite]:
    """A JWK server, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked += 1
            self.send_response(site.status)
            for name, value in site.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(site.content)

        def log_message(self, *_args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    site = JwkSite(server.server_port)
    site.show(*issuers)
    with serving(server):
        yield site


DRIPS: Mapping[str, tuple[bytes, bytes]] = {
    "nothing": (b"", b""),
    "status line": (b"HTTP/1.1 ", b"2"),
    "header": (b"HTTP/1.1 200 OK\r\nServer: ", b"x"),
    "body": (b"HTTP/1.0 200 OK\r\n\r\n", b" "),
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "TLS": (b"\x16\x03\x03\x3f\xff", b"\x00"),
}
"""What a server that never finishes begins with, and what it then sends again and again."""


class DrippingSite:
    """A JWK server on loopback that never finishes to answer. `asked` counts connections, `closed` those that the
    client has given up; with a `content` it answers as it should."""

    def __init__(self, port: int, scheme: str) -> None:
        self.url = f"{scheme}://127.0.0.1:{port}/keys"
        self.asked = 0
        self.closed = 0
        self.content: bytes | None = None


@contextmanager
def dripping_site(kind: str) -> Iterator[DrippingSite]:
    """A server that drips one of `DRIPS`, every 20 ms, until the block ends."""
    begins, goes_on = DRIPS[kind]
    over = threading.Event()

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            site.asked += 1
            if kind != "TLS":
                self.request.recv(65536)
            if site.content is not None:
                self.request.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + site.content)
                return
            try:
                self.request.sendall(begins)
                self.request.settimeout(0.02)
                while not over.is_set():
                    self.request.sendall(goes_on)
                    with suppress(TimeoutError):
                        if kind != "TLS" and not self.request.recv(65536):
                            break
                        over.wait(0.02)
            except OSError:
                pass
            site.closed += 1

    server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
    site = DrippingSite(server.server_address[1], "https" if kind == "TLS" else "http")
    with serving(server):
        try:
            yield site
        finally:
            over.set()


class SilentSite:
    """A JWK server on loopback that takes requests and never answers; `waited` has the seconds until each client gave
    up."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/keys"
        self.waited: list[float] = []


@contextmanager
def silent_site(port: int = 0) -> Iterator[SilentSite]:
    """A server that does not answer, until the block ends."""

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            begun = time.monotonic()
            with suppress(OSError):
                while self.request.recv(4096):
                    pass
            site.waited.append(time.monotonic() - begun)

    class Listener(ThreadingTCPServer):
        allow_reuse_address = True

    server = Listener(("127.0.0.1", port), Handler)
    site = SilentSite(server.server_address[1])
    with serving(server):
        yield site
