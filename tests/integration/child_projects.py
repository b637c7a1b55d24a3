"""Users' projects, built on an image by BuildKit as `docker build` does it."""

from __future__ import annotations

import base64
import ssl
import subprocess
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from rtbuild.engine.engine import Engine
from rtbuild.mirror.find import find_mirrors
from rtbuild.recipe.model import Release
from rtbuild.settings import Settings
from tests.fakes.serving import serving

AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildBuild:
    """How a build of a project ended, and all that it wrote."""

    reference: str
    code: int
    log: str

    def succeeded(self) -> ChildBuild:
        assert self.code == 0, self.log
        return self


@dataclass(slots=True, kw_only=True)
class Builder:
    """Builds projects in `engine`; `references` are the images that came out."""

    engine: Engine
    folder: Path
    references: list[str] = field(default_factory=list)
    _count: int = 0

    def build(
        self,
        parent: str,
        files: Mapping[str, bytes | str] | None = None,
        *,
        dockerfile: str = "",
        secrets: Mapping[str, Path] | None = None,
        network: str = "none",
    ) -> ChildBuild:
        """Build a project of `files` whose Dockerfile is `FROM parent` and then `dockerfile`."""
        self._count += 1
        project = self.folder / f"project-{self._count}"
        for name, content in {"Dockerfile": f"FROM {parent}\n{dockerfile}", **(files or {})}.items():
            path = project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        reference = f"rtbuild-tests/project:{self._count}"
        command = [
            *self.engine.endpoint.command(),
            "buildx",
            "build",
            "--progress",
            "plain",
            "--no-cache",
            "--provenance",
            "false",
        ]
        command += ["--network", network, "--load", "--tag", reference]
        for name, path in (secrets or {}).items():
            command += ["--secret", f"id={name},src={path}"]
        done = subprocess.run(
            [*command, str(project)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if done.returncode == 0:
            self.references.append(reference)
        return ChildBuild(reference=reference, code=done.returncode, log=done.stdout.decode(errors="replace"))

    def see(self, build: ChildBuild, *command: str, user: str | None = None) -> str:
        """What a command says in a container of the project's image."""
        outcome = self.engine.run(build.reference, command, user=user, timeout=120)
        assert outcome.exit_code == 0, outcome.stdout.decode() + outcome.stderr.decode()
        return outcome.text

    def clear(self) -> None:
        """Remove what was built."""
        for reference in self.references:
            self.engine.remove_image(reference)


def connect(builder: Builder, parent: str, release: Release, settings: Settings) -> str:
    """Return the image `parent`, that of `release` without triggers, with the triggers and this machine's network.

    Its apt and pip know the archives, the index and the authorities that this machine knows.
    """
    mirrors = find_mirrors(settings)
    suites = release.debian_layers[0].suites
    files: dict[str, str | bytes] = {
        "sources.list": "".join(
            f"deb {next(iter(mirrors.debian_for(suite.archive))).address} {suite.suite} main\n" for suite in suites
        ),
        "pip.conf": f"[global]\nindex-url = {mirrors.python[0].address}\ncert = {AUTHORITIES}\n",
        "authorities.pem": Path(ssl.get_default_verify_paths().cafile or AUTHORITIES).read_bytes(),
    }
    lines = [
        "USER root",
        "COPY sources.list /etc/apt/sources.list",
        "COPY pip.conf /etc/pip.conf",
        f"COPY authorities.pem {AUTHORITIES}",
        "USER astro",
        *(f"ONBUILD {trigger}" for trigger in release.image.on_build),
    ]
    return builder.build(parent, files, dockerfile="\n".join(lines)).succeeded().reference


def wheel(
    folder: Path, name: str, version: str, *, requires: Sequence[str] = (), files: Mapping[str, str] | None = None
) -> Path:
    """A wheel in `folder` that pip takes; it has a module `<name>.py` unless `files` says what it has."""
    info = f"{name}-{version}.dist-info"
    needed = "".join(f"Requires-Dist: {one}\n" for one in requires)
    members = {
        **({f"{name}.py": f"version = {version!r}\n"} if files is None else files),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needed}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    members[f"{info}/RECORD"] = "".join(f"{member},,\n" for member in (*members, f"{info}/RECORD"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return path


@contextmanager
def private_index(wheels: Path, user: str, password: str) -> Iterator[str]:
    """Serve the wheels of a folder as a package index on 127.0.0.1, to this user alone; gives its host and port."""
    wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") != wanted:
                self.answer(401, b"who are you?")
            elif self.path.startswith("/files/"):
                self.answer(200, (wheels / Path(self.path).name).read_bytes())
            else:
                name = self.path.rstrip("/").rpartition("/")[2].replace("-", "_")
                links = [f'<a href="/files/{one.name}">{one.name}</a>' for one in wheels.glob(f"{name}-*.whl")]
                self.answer(200 if links else 404, "\n".join(links).encode(), "text/html")

        def answer(self, status: int, content: bytes, kind: str = "application/octet-stream") -> None:
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="wheels"')
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with serving(server):
        yield f"127.0.0.1:{server.server_port}"
