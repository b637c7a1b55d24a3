"""A package index on 127.0.0.1 that serves what a test publishes, and misbehaves on request.

    with PackageIndex() as index:
        index.publish(make_wheel("spam", "1.0", requires=["eggs>=2; python_version<'3.10'"]))
        index.publish(make_sdist("eggs", "2.0"), uploaded="2023-01-02T00:00:00Z")
        index.url              # http://127.0.0.1:<port>/simple, for a client of the Simple API
        index.requested        # the requested paths, in order

It serves the Simple API as JSON (PEP 691, with the sizes and upload times of PEP 700 and the metadata files of
PEP 658), or as HTML (PEP 503) to clients that do not accept JSON. Files are below `/files/` on the same server, with
ranges.

With `index.login = "user:password"`, requests without that login get 401.

Misbehaviour: `index.without_upload_times`, `.without_sizes`, `.without_hashes`, `.without_metadata`, `.html_only` and
`.relative_urls` are switches; `index.fail(path, status=503, times=2)`, `index.delay(path, seconds)`,
`index.replace(path, content)` (other bytes than promised) and `index.truncate(path, length)` affect requests whose path
ends with `path`; `publish(..., sha256=...)` promises a wrong digest.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import io
import json
import re
import tarfile
import threading
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

JSON_TYPE = "application/vnd.pypi.simple.v1+json"
HTML_TYPE = "text/html; charset=utf-8"
UPLOADED = "2023-01-01T12:00:00.000000Z"
_ZIP_TIME = (2023, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """A wheel or sdist of a test. `metadata` is its core metadata file."""

    name: str
    version: str
    filename: str
    content: bytes
    metadata: bytes
    requires_python: str | None = None

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def make_wheel(
    name: str,
    version: str,
    *,
    requires: Sequence[str] = (),
    extras: Sequence[str] = (),
    tag: str = "py3-none-any",
    build: str | None = None,
    requires_python: str | None = None,
    files: Mapping[str, bytes] | None = None,
) -> Distribution:
    """Return a wheel that pip can install: one module (or `files`), METADATA, WHEEL and RECORD.

    The bytes are reproducible. The keywords are the parts of a wheel that tests vary.
    """
    stem = f"{_escaped(name)}-{version}"
    metadata = _metadata(name, version, requires, extras, requires_python)
    content = dict(files) if files is not None else {f"{_escaped(name)}.py": f"version = {version!r}\n".encode()}
    tags = "".join(f"Tag: {expanded}\n" for expanded in _expanded(tag))
    content[f"{stem}.dist-info/METADATA"] = metadata
    content[f"{stem}.dist-info/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\n{tags}".encode()
    record = "".join(f"{path},sha256={_record_hash(data)},{len(data)}\n" for path, data in content.items())
    content[f"{stem}.dist-info/RECORD"] = f"{record}{stem}.dist-info/RECORD,,\n".encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in content.items():
            archive.writestr(zipfile.ZipInfo(path, _ZIP_TIME), data)
    number = f"-{build}" if build else ""
    return Distribution(
        name=name,
        version=version,
        filename=f"{stem}{number}-{tag}.whl",
        content=buffer.getvalue(),
        metadata=metadata,
        requires_python=requires_python,
    )


def make_sdist(
    name: str,
    version: str,
    *,
    requires: Sequence[str] = (),
    extras: Mapping[str, Sequence[str]] | None = None,
    setup_requires: Sequence[str] = (),
    pyproject: str | None = None,
    egg_info: bool = True,
    requires_python: str | None = None,
    metadata_version: str = "2.1",
    dynamic: Sequence[str] = (),
    files: Mapping[str, bytes] | None = None,
) -> Distribution:
    """Return a .tar.gz as setuptools makes it: with setup.py, PKG-INFO and, if `egg_info` is true, requires.txt.

    If `egg_info` is false, the requirements are in PKG-INFO, where other build backends write them. The keywords are
    the parts of an sdist that tests vary.
    """
    stem = f"{name}-{version}"
    optional = dict(extras or {})
    in_header = () if egg_info else tuple(requires)
    pkg_info = _metadata(name, version, in_header, tuple(optional), requires_python, metadata_version, dynamic)
    options = (
        f"install_requires={list(requires)!r}, extras_require={optional!r}, setup_requires={list(setup_requires)!r}"
    )
    setup = (
        "from setuptools import setup\n"
        f"setup(name={name!r}, version={version!r}, py_modules=[{_escaped(name)!r}], {options})\n"
    )
    content = {
        "PKG-INFO": pkg_info,
        "setup.py": setup.encode(),
        f"{_escaped(name)}.py": f"version = {version!r}\n".encode(),
        **(files or {}),
    }
    if pyproject is not None:
        content["pyproject.toml"] = pyproject.encode()
    if egg_info:
        folder = f"{_escaped(name)}.egg-info"
        lines = [*requires]
        for extra, needed in optional.items():
            lines += ["", f"[{extra}]", *needed]
        content[f"{folder}/PKG-INFO"] = pkg_info
        content[f"{folder}/SOURCES.txt"] = b"setup.py\n"
        if lines:
            content[f"{folder}/requires.txt"] = ("\n".join(lines) + "\n").encode()
        if setup_requires:
            content[f"{folder}/setup_requires.txt"] = ("\n".join(setup_requires) + "\n").encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, data in content.items():
            member = tarfile.TarInfo(f"{stem}/{path}")
            member.size = len(data)
            member.mtime = 1672531200
            archive.addfile(member, io.BytesIO(data))
    return Distribution(
        name=name,
        version=version,
        filename=f"{stem}.tar.gz",
        content=gzip.compress(buffer.getvalue(), mtime=0),
        metadata=pkg_info,
        requires_python=requires_python,
    )


@dataclass(slots=True, kw_only=True)
class _Published:
    distribution: Distribution
    uploaded: str | None
    yanked: bool | str
    sha256: str
    metadata: bool

    @property
    def path(self) -> str:
        digest = self.distribution.sha256
        return f"/files/{digest[:2]}/{digest[2:10]}/{self.distribution.filename}"


@dataclass(slots=True, kw_only=True)
class _Trouble:
    suffix: str
    status: int | None = None
    times: int = 0
    seconds: float = 0.0
    content: bytes | None = None
    length: int | None = None


class PackageIndex:
    """The server, a context manager. Every attribute may be changed while it runs."""

    def __init__(self) -> None:
        self.without_upload_times = False
        self.without_sizes = False
        self.without_hashes = False
        self.without_metadata = False
        self.html_only = False
        self.relative_urls = False
        self.login: str | None = None
        self.requested: list[str] = []
        self._projects: dict[str, list[_Published]] = {}
        self._troubles: list[_Trouble] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def base(self) -> str:
        """The address of the server, without a path."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        """The address of the Simple API."""
        return f"{self.base}/simple"

    def publish(
        self,
        distribution: Distribution,
        *,
        uploaded: str | datetime | None = UPLOADED,
        yanked: bool | str = False,
        sha256: str | None = None,
        metadata: bool = True,
    ) -> Distribution:
        """Put a file on the index. `sha256` is a wrong digest to promise; `metadata` serves its metadata (PEP 658)."""
        moment = uploaded.isoformat() if isinstance(uploaded, datetime) else uploaded
        published = _Published(
            distribution=distribution,
            uploaded=moment,
            yanked=yanked,
            sha256=sha256 or distribution.sha256,
            metadata=metadata and distribution.filename.endswith(".whl"),
        )
        with self._lock:
            self._projects.setdefault(_normalized(distribution.name), []).append(published)
        return distribution

    def path_of(self, filename: str) -> str:
        """Return the path of a published file on the server, with a leading slash."""
        return next(p.path for files in self._projects.values() for p in files if p.distribution.filename == filename)

    def fail(self, path: str, *, status: int, times: int = 1_000_000) -> None:
        """Answer the next `times` requests for `path` with `status`."""
        self._troubles.append(_Trouble(suffix=path, status=status, times=times))

    def delay(self, path: str, seconds: float) -> None:
        """Delay every answer for `path`."""
        self._troubles.append(_Trouble(suffix=path, seconds=seconds))

    def replace(self, path: str, content: bytes) -> None:
        """Answer requests for `path` with `content`."""
        self._troubles.append(_Trouble(suffix=path, content=content))

    def truncate(self, path: str, length: int) -> None:
        """Break off answers for `path` after `length` bytes, although their header promises all."""
        self._troubles.append(_Trouble(suffix=path, length=length))

    def __enter__(self) -> PackageIndex:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, path: str, accepts: str) -> tuple[int, str, bytes]:
        """Return (status, content type, body) for a GET of `path`."""
        if path.startswith("/simple/"):
            name = path.removeprefix("/simple/").strip("/")
            files = self._projects.get(name)
            if files is None:
                return 404, HTML_TYPE, b"<h1>404</h1>"
            if self.html_only or "json" not in accepts:
                return 200, HTML_TYPE, self._html_page(name, files)
            return 200, JSON_TYPE, json.dumps(self._json_page(name, files)).encode()
        for files in self._projects.values():
            for published in files:
                if path == published.path:
                    return 200, "application/octet-stream", published.distribution.content
                if path == f"{published.path}.metadata" and self._has_metadata(published):
                    return 200, "text/plain", published.distribution.metadata
        return 404, HTML_TYPE, b"<h1>404</h1>"

    def _has_metadata(self, published: _Published) -> bool:
        return published.metadata and not self.without_metadata

    def _file_url(self, published: _Published) -> str:
        return f"../..{published.path}" if self.relative_urls else f"{self.base}{published.path}"

    def _json_page(self, name: str, files: Sequence[_Published]) -> dict[str, Any]:
        entries = []
        for published in files:
            distribution = published.distribution
            entry: dict[str, Any] = {
                "filename": distribution.filename,
                "url": self._file_url(published),
                "hashes": {} if self.without_hashes else {"sha256": published.sha256},
                "requires-python": distribution.requires_python,
                "yanked": published.yanked,
                "core-metadata": False,
            }
            if self._has_metadata(published):
                entry["core-metadata"] = {"sha256": hashlib.sha256(distribution.metadata).hexdigest()}
            if not self.without_sizes:
                entry["size"] = len(distribution.content)
            if published.uploaded is not None and not self.without_upload_times:
                entry["upload-time"] = published.uploaded
            entries.append(entry)
        versions = sorted({published.distribution.version for published in files})
        return {"meta": {"api-version": "1.1"}, "name": name, "versions": versions, "files": entries}

    def _html_page(self, name: str, files: Sequence[_Published]) -> bytes:
        lines = ["<!DOCTYPE html><html><body>", f"<h1>Links for {name}</h1>"]
        for published in files:
            distribution = published.distribution
            requires = distribution.requires_python
            attribute = f' data-requires-python="{html.escape(requires)}"' if requires else ""
            fragment = "" if self.without_hashes else f"#sha256={published.sha256}"
            address = f"{self._file_url(published)}{fragment}"
            lines.append(f'<a href="{address}"{attribute}>{html.escape(distribution.filename)}</a><br/>')
        return "\n".join([*lines, "</body></html>"]).encode()

    def _troubles_of(self, path: str) -> list[_Trouble]:
        with self._lock:
            self.requested.append(path)
            found = []
            for trouble in self._troubles:
                if not path.rstrip("/").endswith(trouble.suffix.rstrip("/")):
                    continue
                if trouble.status is not None:
                    if trouble.times <= 0:
                        continue
                    trouble.times -= 1
                found.append(trouble)
            return found


def _handler(index: PackageIndex) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            troubles = index._troubles_of(path)
            login = f"Basic {base64.b64encode(index.login.encode()).decode()}" if index.login else None
            if login is not None and self.headers.get("Authorization") != login:
                self._send(401, HTML_TYPE, b"<h1>401</h1>")
                return
            time.sleep(sum(trouble.seconds for trouble in troubles))
            status = next((trouble.status for trouble in troubles if trouble.status is not None), None)
            if status is not None:
                self._send(status, HTML_TYPE, f"<h1>{status}</h1>".encode())
                return
            code, kind, body = index._answer(path, self.headers.get("Accept", ""))
            body = next((trouble.content for trouble in troubles if trouble.content is not None), body)
            etag = f'"{hashlib.sha256(body).hexdigest()}"'
            if code == 200 and self.headers.get("If-None-Match") == etag:
                self._send(304, kind, b"", {"ETag": etag})
                return
            headers = {"ETag": etag, "Accept-Ranges": "bytes"}
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if code == 200 and wanted:
                first, last = int(wanted[1]), min(int(wanted[2] or len(body)), len(body) - 1)
                if first >= len(body):
                    self._send(416, kind, b"", {"Content-Range": f"bytes */{len(body)}"})
                    return
                headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
                code, body = 206, body[first : last + 1]
            cut = next((trouble.length for trouble in troubles if trouble.length is not None), None)
            self._send(code, kind, body, headers, cut)

        def _send(
            self,
            status: int,
            kind: str,
            body: bytes,
            headers: Mapping[str, str] | None = None,
            cut: int | None = None,
        ) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[:cut])
            if cut is not None and cut < len(body):
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            """Do nothing: `PackageIndex.requested` is the log."""

    return Handler


def _metadata(
    name: str,
    version: str,
    requires: Sequence[str],
    extras: Sequence[str],
    requires_python: str | None,
    metadata_version: str = "2.1",
    dynamic: Sequence[str] = (),
) -> bytes:
    lines = [f"Metadata-Version: {metadata_version}", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Python: {requires_python}"] if requires_python else []
    lines += [f"Provides-Extra: {extra}" for extra in extras]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    lines += [f"Dynamic: {field}" for field in dynamic]
    return ("\n".join(lines) + "\n").encode()


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _escaped(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name)


def _expanded(tag: str) -> list[str]:
    pythons, abis, platforms = tag.split("-")
    return [f"{p}-{a}-{m}" for p in pythons.split(".") for a in abis.split(".") for m in platforms.split(".")]


def _record_hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
