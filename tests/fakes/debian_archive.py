"""A Debian archive in a folder: real (tiny) .debs, real Packages files and an InRelease with a real signature.

    archive = DebianArchive(tmp_path / "debian")                      # with an OpenPGP key of its own
    archive.publish("bookworm", [FakeDeb(name="hello", depends="libc6"), FakeDeb(name="libc6")])
    sources = FolderSources({"debian": [archive.root]})               # a `Sources` without a network
    with archive.serve() as server:                                   # the same over HTTP on 127.0.0.1
        server.misbehave("*/hello_*.deb", Fault.TRUNCATED_TWICE)
        ... server.url ...
    archive.key.certificate                                           # the certificate that clients must trust

`Fault` lists what a mirror can do wrong; `server.requests` are the requests so far.
"""

from __future__ import annotations

import fnmatch
import gzip
import hashlib
import io
import lzma
import re
import tarfile
import threading
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pysequoia import SignatureMode, Tsk, sign

from rtbuild.mirror.sources import Answer, Wanted
from rtbuild.recipe.model import Suite
from tests.fakes.serving import serving

BUILT = 1_600_000_000
"""The default time in the ar headers of the packages made here."""


PUBLISHED = datetime(2024, 1, 1, tzinfo=UTC)
"""The default date of a suite published here."""


class SigningKey:
    """An OpenPGP key that signs InRelease files. `certificate` is its public part."""

    def __init__(self) -> None:
        self._secret = Tsk.generate("Archive of a test <archive@example.invalid>")
        self.certificate = bytes(self._secret.extract_certificate())

    def sign(self, text: bytes) -> bytes:
        """Return `text` with a cleartext signature, as in InRelease files."""
        return bytes(sign(self._secret.signer(), text, mode=SignatureMode.CLEAR))


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeDeb:
    """A binary package to publish. `fields` holds the control fields that have no attribute of their own."""

    name: str
    version: str = "1.0"
    architecture: str = "all"
    depends: str = ""
    pre_depends: str = ""
    provides: str = ""
    conflicts: str = ""
    breaks: str = ""
    recommends: str = ""
    essential: bool = False
    multi_arch: str = ""
    priority: str = "optional"
    fields: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)
    built: int = BUILT

    @property
    def filename(self) -> str:
        return f"{self.name}_{self.version.partition(':')[2] or self.version}_{self.architecture}.deb"

    @property
    def path(self) -> str:
        """Its path in the archive, the field `Filename`."""
        return f"pool/main/{self.name[0]}/{self.name}/{self.filename}"

    def control(self) -> str:
        """Return the control stanza of the package; in Packages it has more fields."""
        fields = {
            "Package": self.name,
            "Version": self.version,
            "Architecture": self.architecture,
            "Maintainer": "A test <archive@example.invalid>",
            "Priority": self.priority,
            "Essential": "yes" if self.essential else "",
            "Multi-Arch": self.multi_arch,
            "Pre-Depends": self.pre_depends,
            "Depends": self.depends,
            "Recommends": self.recommends,
            "Provides": self.provides,
            "Conflicts": self.conflicts,
            "Breaks": self.breaks,
            **self.fields,
            "Description": f"the package {self.name} of a test\n Package: not-a-field\n .\n More text.",
        }
        return "".join(f"{key}: {value}\n" for key, value in fields.items() if value)

    def build(self) -> bytes:
        """Return the bytes of the .deb, which dpkg can install."""
        control = {"./control": self.control().encode()} | {f"./{k}": v.encode() for k, v in self.scripts.items()}
        files = {f"./{path.lstrip('/')}": content for path, content in self.files.items()}
        members = {
            "debian-binary": b"2.0\n",
            "control.tar.xz": _tar(control, self.built, executable={f"./{k}" for k in self.scripts}),
            "data.tar.xz": _tar(files, self.built),
        }
        out = io.BytesIO(b"!<arch>\n")
        out.seek(0, io.SEEK_END)
        for name, content in members.items():
            out.write(f"{name:<16}{self.built:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode())
            out.write(content + b"\n" * (len(content) % 2))
        return out.getvalue()


class DebianArchive:
    """An archive in the folder `root` (`root/dists`, `root/pool`), as mirrors serve it."""

    def __init__(self, root: Path, *, key: SigningKey | None = None) -> None:
        self.root = root
        self.key = key or SigningKey()
        root.mkdir(parents=True, exist_ok=True)

    def publish(
        self,
        suite: str,
        debs: Sequence[FakeDeb],
        *,
        codename: str | None = None,
        says_suite: str | None = None,
        component: str = "main",
        architecture: str = "amd64",
        date: datetime = PUBLISHED,
        valid_until: datetime | None = None,
        by_hash: bool = True,
        compressions: Sequence[str] = ("", ".gz", ".xz"),
        fields: Mapping[str, str] | None = None,
        signer: SigningKey | None = None,
    ) -> None:
        """Write the packages into the pool and `dists/<suite>`; publishing a suite again replaces it.

        The keywords are the parts of a suite that tests vary. `says_suite` and `codename` are the names in InRelease,
        both `suite` by default.
        """
        packages = "\n".join(self._put(deb) for deb in debs).encode()
        folder = self.root / "dists" / suite / component / f"binary-{architecture}"
        folder.mkdir(parents=True, exist_ok=True)
        indexes = {"": packages, ".gz": gzip.compress(packages, mtime=0), ".xz": lzma.compress(packages)}
        listed = {}
        for suffix in compressions:
            (folder / f"Packages{suffix}").write_bytes(indexes[suffix])
            listed[f"{component}/binary-{architecture}/Packages{suffix}"] = indexes[suffix]
            if by_hash:
                place = folder / "by-hash" / "SHA256" / hashlib.sha256(indexes[suffix]).hexdigest()
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(indexes[suffix])
        header = {
            "Origin": "Test",
            "Suite": says_suite or suite,
            "Codename": codename or suite,
            "Date": format_datetime(date, usegmt=True).replace("GMT", "UTC"),
            "Valid-Until": format_datetime(valid_until, usegmt=True).replace("GMT", "UTC") if valid_until else "",
            "Acquire-By-Hash": "yes" if by_hash else "",
            "Architectures": architecture,
            "Components": component,
            **(fields or {}),
        }
        text = "".join(f"{key}: {value}\n" for key, value in header.items() if value) + "SHA256:\n"
        text += "".join(f" {hashlib.sha256(c).hexdigest()} {len(c):>16} {path}\n" for path, c in listed.items())
        (self.root / "dists" / suite / "InRelease").write_bytes((signer or self.key).sign(text.encode()))

    def _put(self, deb: FakeDeb) -> str:
        content = deb.build()
        place = self.root / deb.path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        control, _, description = deb.control().partition("Description:")
        return f"{control}Filename: {deb.path}\nSize: {len(content)}\nSHA256: {digest}\nDescription:{description}"

    @contextmanager
    def serve(self) -> Iterator[MirrorServer]:
        """Serve the folder over HTTP on 127.0.0.1, with HEAD and ranges, until the block ends."""
        with serve_folder(self.root) as server:
            yield server


class FolderSources:
    """A `Sources` whose mirrors are folders: `{"debian": [folder, ...]}`. A mirror is named like its folder."""

    def __init__(self, mirrors: Mapping[str, Sequence[Path]]) -> None:
        self._mirrors = mirrors
        self.asked: list[str] = []
        """The index paths that were requested, in order."""

    def debian_index(self, suite: Suite, path: str) -> Iterator[Answer]:
        self.asked.append(f"{suite.suite}/{path}")
        for mirror in self._mirrors.get(suite.archive, ()):
            place = mirror / "dists" / suite.suite / path
            if place.is_file():
                yield Answer(mirror=mirror.name, content=place.read_bytes())

    def debian_heads(self, wanted: Sequence[Wanted], length: int) -> dict[str, bytes]:
        heads = {}
        for file in wanted:
            for mirror in self._mirrors.get(file.suite.archive, ()):
                place = mirror / file.path
                if file.path not in heads and place.is_file() and place.stat().st_size == file.size:
                    heads[file.path] = place.read_bytes()[:length]
        return heads

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a Debian test must not use Sources.{name}")


class Fault(Enum):
    """What a mirror does wrong with a file."""

    OTHER_BYTES = "the right size, but one byte differs"
    HTML = "status 200 and an HTML page, as from a captive portal"
    SLOW = "a few bytes every 0.2 s"
    STALLED = "the headers, then nothing for a minute"
    NOT_FOUND = "status 404"
    UNAVAILABLE_TWICE = "status 503 for the first two requests of each path"
    TRUNCATED_TWICE = "the first two connections of each path end after half of the content"
    NO_RANGES = "ranges are ignored: status 200 and the whole file"


@dataclass(frozen=True, slots=True)
class Request:
    """One request to a `MirrorServer`: `method`, `path` (no leading slash) and the Range header."""

    method: str
    path: str
    range: str | None


class MirrorServer:
    """A running mirror: `url` (no trailing slash), `requests` so far, `misbehave`."""

    def __init__(self, root: Path, url: str) -> None:
        self.root = root
        self.url = url
        self.requests: list[Request] = []
        self._faults: list[tuple[str, Fault]] = []
        self._stopped = threading.Event()

    def misbehave(self, pattern: str, fault: Fault) -> None:
        """Serve every path that matches `pattern` (fnmatch, no leading slash) with `fault`; the last call wins."""
        self._faults.insert(0, (pattern, fault))

    def behave(self) -> None:
        """Remove every fault."""
        self._faults.clear()

    def fault_of(self, path: str) -> Fault | None:
        return next((fault for pattern, fault in self._faults if fnmatch.fnmatch(path, pattern)), None)


@contextmanager
def serve_folder(root: Path) -> Iterator[MirrorServer]:
    """Serve any folder as a mirror on 127.0.0.1, until the block ends."""

    class Handler(_Handler):
        mirror: MirrorServer

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    Handler.mirror = MirrorServer(root, f"http://127.0.0.1:{httpd.server_port}")
    with serving(httpd):
        try:
            yield Handler.mirror
        finally:
            Handler.mirror._stopped.set()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    mirror: MirrorServer

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        mirror = self.mirror
        path = urllib.parse.unquote(self.path.lstrip("/"))
        asked_range = self.headers.get("Range")
        earlier = sum(request.path == path for request in mirror.requests)
        mirror.requests.append(Request(self.command, path, asked_range))
        fault = mirror.fault_of(path)
        place = mirror.root / path
        if fault is Fault.UNAVAILABLE_TWICE and earlier < 2:
            return self._status(503, b"try again\n", body)
        if fault is Fault.NOT_FOUND or ".." in path or not place.is_file():
            return self._status(404, b"no such file\n", body)
        content = place.read_bytes()
        if fault is Fault.HTML:
            return self._status(200, b"<!doctype html><title>Log in</title>\n", body, kind="text/html")
        if fault is Fault.OTHER_BYTES:
            content = content[:-1] + bytes([content[-1] ^ 1])
        status, extra, part = 200, {}, content
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", asked_range or "")
        if match and fault is not Fault.NO_RANGES:
            first = int(match[1])
            last = min(int(match[2]) if match[2] else len(content) - 1, len(content) - 1)
            if first >= len(content):
                return self._status(416, b"", body, extra={"Content-Range": f"bytes */{len(content)}"})
            status, part = 206, content[first : last + 1]
            extra["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        self._headers(status, len(part), "application/octet-stream", extra)
        if body:
            self._send(part, None if fault is Fault.TRUNCATED_TWICE and earlier >= 2 else fault)
        return None

    def _send(self, content: bytes, fault: Fault | None) -> None:
        try:
            if fault is Fault.STALLED:
                self.mirror._stopped.wait(60)
            elif fault is Fault.TRUNCATED_TWICE:
                self.wfile.write(content[: len(content) // 2])
                self.close_connection = True
            elif fault is Fault.SLOW:
                for start in range(0, len(content), 64):
                    self.wfile.write(content[start : start + 64])
                    self.wfile.flush()
                    if self.mirror._stopped.wait(0.2):
                        break
            else:
                self.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _status(
        self,
        status: int,
        content: bytes,
        body: bool,
        *,
        kind: str = "text/plain",
        extra: Mapping[str, str] | None = None,
    ) -> None:
        self._headers(status, len(content), kind, extra or {})
        if body:
            self.wfile.write(content)

    def _headers(self, status: int, length: int, kind: str, extra: Mapping[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        if self.mirror.fault_of(urllib.parse.unquote(self.path.lstrip("/"))) is not Fault.NO_RANGES:
            self.send_header("Accept-Ranges", "bytes")
        for key, value in extra.items():
            self.send_header(key, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Do nothing: `MirrorServer.requests` is the log."""


def _tar(files: Mapping[str, bytes], mtime: int, *, executable: set[str] | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        folders = sorted({str(p) for path in files for p in Path(path).parents})
        for folder in folders or ["."]:
            info = tarfile.TarInfo("./" if folder == "." else f"./{folder}/")
            info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o755, mtime
            tar.addfile(info)
        for path, content in sorted(files.items()):
            info = tarfile.TarInfo(path)
            info.size, info.mtime = len(content), mtime
            info.mode = 0o755 if executable and path in executable else 0o644
            tar.addfile(info, io.BytesIO(content))
    return lzma.compress(out.getvalue())
