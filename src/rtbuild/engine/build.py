"""Run `buildx build` in the same way each time: no network, no cache, nothing left to a version's defaults."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from rtbuild.digest import Digest, parse_digest
from rtbuild.engine.endpoint import Endpoint, environment
from rtbuild.engine.processes import end_family
from rtbuild.engine.steps import own_steps
from rtbuild.errors import BuildError, CancelledError, EngineError
from rtbuild.oci.descriptor import MANIFEST, Descriptor, index_document
from rtbuild.oci.layout import LAYOUT_FILE
from rtbuild.oci.names import REFERENCE
from rtbuild.platform import Platform
from rtbuild.store.temporary import temporary_folder

_LOG = logging.getLogger(__name__)

if TYPE_CHECKING:
    import python_on_whales

TAIL_LINES = 200
"""How many of the last lines of its log the error of a failed build shows."""

_INTERRUPTED = "interrupted"
_NOT_EXECUTABLE, _NOT_FOUND = 126, 127
"""Exit codes of a shell that cannot run a program."""
_LOST = ("Cannot connect to the Docker daemon", "error reading from server: EOF", "error reading preface from server")
_BECOME_DOCKER = """
own=${1:-${BUILDX_CONFIG:-${DOCKER_CONFIG:-$HOME/.docker}/buildx}}; shift
for part in instances current defaults certs; do
    if [ -e "$own/$part" ]; then ln -s "$own/$part" "$0/buildx/$part"; fi
done
echo $$ > "$0/pid"
if [ -e "$0/ended" ]; then exit 1; fi
export BUILDX_CONFIG="$0/buildx"
exec "$@"
"""
"""python-on-whales does not report the pid of its child. This shell writes down its own, links the user's builders into
the buildx folder of this call, and becomes docker, unless the build was ended before its pid was known."""

_END_WITH_PARENT = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 15, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""
"""Have Linux send SIGTERM (15) to docker if rtbuild is killed: PR_SET_PDEATHSIG (1) of prctl(2), which survives exec.
The build would go on in the engine otherwise. If rtbuild died before, there is no signal to wait for."""


class BuildOptions(TypedDict, total=False):
    """How to build. Either `output` or `output_local` must be given; None is the same as leaving an option out."""

    title: str
    """The name of the build in errors."""
    dockerfile: Path | None
    """The Dockerfile; the context's own by default."""
    contexts: Mapping[str, Path | str] | None
    """Named build contexts: folders, or references from `layout_reference`."""
    output: Path | None
    """The folder of the OCI layout to write the image to."""
    output_local: Path | None
    """The folder to write the last stage's files to."""
    target: str | None
    platform: Platform | None
    build_args: Mapping[str, str] | None
    """They appear in logs, so they must not hold secrets."""
    timeout: float | None
    """In seconds."""
    on_line: Callable[[str], None] | None
    """Called with each line of the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOutcome:
    """The result of a build that succeeded."""

    manifest: Digest | None
    """The manifest in the layout's `index.json`; None if the output is plain files."""
    manifest_size: int
    """In bytes; 0 if the output is plain files."""
    seconds: float
    log: Path


@dataclass(slots=True, eq=False)
class _Running:
    """A build in progress. `pid_file` holds the docker command's pid once it runs; `ended` is why it was ended."""

    pid_file: Path
    ended: str | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def end(self, reason: str) -> None:
        with self.lock:
            self.ended = self.ended or reason
        with contextlib.suppress(OSError):  # its folder is gone when the build is over
            self.pid_file.with_name("ended").touch()
        if (pid := _read_pid(self.pid_file)) is not None:
            end_family(pid, grace=5.0)


class Builds:
    """The running and future builds of one engine. Any thread may use it."""

    def __init__(self) -> None:
        self._running: set[_Running] = set()
        self._interrupted = False
        self._lock = threading.Lock()

    def interrupt(self) -> int:
        """End all running builds and return their number. They and every later build raise `CancelledError`."""
        with self._lock:
            self._interrupted = True
            builds = tuple(self._running)
        for build in builds:
            build.end(_INTERRUPTED)
        return len(builds)

    @contextlib.contextmanager
    def registered(self, pid_file: Path, title: str) -> Iterator[_Running]:
        """Register a build until the block ends, so that `interrupt` can end it.

        Raises:
            CancelledError: if the builds were interrupted.
        """
        running = _Running(pid_file)
        with self._lock:
            if self._interrupted:
                raise CancelledError(f"{title}: interrupted")
            self._running.add(running)
        try:
            yield running
        finally:
            with self._lock:
                self._running.discard(running)


def build(
    endpoint: Endpoint,
    context: Path,
    *,
    builds: Builds,
    scratch: Path,
    log: Path,
    **options: Unpack[BuildOptions],
) -> BuildOutcome:
    """Build the folder `context`. All of it is sent to the engine, even if an earlier build sent the same files.

    Each step runs for this build alone, even if the same build runs at the same time on the same engine; the Dockerfile
    must be one that `own_steps` accepts.

    Args:
        endpoint: The engine.
        context: The build context.
        builds: The builds that this one is interrupted with.
        scratch: The store's folder for temporary folders, where the build creates one. If the process is killed, the
            next one that opens the store removes it.
        log: The file to write the whole log to.
        options: How to build.

    Raises:
        BuildError: if the build fails; the details are the end of its log.
        EngineError: if the engine fails.
        StoreError: if `scratch` is not writable.
    """
    output, output_local = options.get("output"), options.get("output_local")
    platform, title = options.get("platform"), options.get("title", "build")
    if (output is None) == (output_local is None):
        raise ValueError("either output or output_local must be given")
    destination = output or output_local
    assert destination is not None
    if "," in str(destination):
        # buildx reads the option as a list of comma-separated fields
        raise EngineError(f"{destination}: an output path must not contain a comma", hint="choose another folder")
    destination.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    with temporary_folder(scratch, "buildx") as own, builds.registered(own / "pid", title) as running:
        client = _client(endpoint, own)
        dockerfile = own / "Dockerfile"
        dockerfile.write_text(
            own_steps(
                (options.get("dockerfile") or context / "Dockerfile").read_text(encoding="utf-8"), secrets.token_hex(8)
            ),
            encoding="utf-8",
        )
        arguments: dict[str, Any] = {
            "builder": endpoint.builder,
            "build_contexts": {name: str(source) for name, source in (options.get("contexts") or {}).items()},
            "build_args": dict(options.get("build_args") or {}),
            "file": dockerfile,
            "target": options.get("target"),
            "platforms": [platform.name] if platform else None,
            "network": "none",
            "cache": False,
            "provenance": False,
            "sbom": False,
            "progress": "plain",
            "stream_logs": True,
            "output": _layout_output(output) if output else {"type": "local", "dest": str(output_local)},
        }
        command = _Command(endpoint=endpoint, running=running, title=title, log=log, on_line=options.get("on_line"))
        command.follow(lambda: client.buildx.build(context, **arguments), timeout=options.get("timeout"))
    manifest, size = _exported(output, title) if output else (None, 0)
    return BuildOutcome(manifest=manifest, manifest_size=size, seconds=time.monotonic() - begun, log=log)


def require_layout_path(folder: Path) -> None:
    """Require a path that can stand in a reference to an OCI layout.

    Raises:
        EngineError: if it contains a colon or an at sign, which begin a tag and a digest there.
    """
    for sign, name in ((":", "a colon"), ("@", "an at sign")):
        if sign in str(folder.resolve()):
            raise EngineError(
                f"{folder}: a store's path must not contain {name}, which buildx cannot read in the path of a layout",
                hint="choose another store with --store or RTBUILD_STORE",
            )


def layout_reference(folder: Path, *, blobs: Path, manifest: Digest, size: int) -> str:
    """Make `folder` an OCI layout with one image, and return the reference to it for the `contexts` of `build`.

    The image has a tag, because a reference by digest alone breaks in buildx 0.33 and newer.

    Args:
        folder: The folder; it is created if it is missing.
        blobs: The `blobs` folder of the layout that holds the image. It is linked, not copied.
        manifest: The image's manifest.
        size: The manifest's size in bytes.

    Raises:
        EngineError: if the path contains a colon or an at sign.
    """
    require_layout_path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "blobs"
    if link.is_symlink():
        link.unlink()
    link.symlink_to(blobs.resolve(), target_is_directory=True)
    parent = Descriptor(media_type=MANIFEST, digest=manifest, size=size, annotations=((REFERENCE, "parent"),))
    (folder / "oci-layout").write_bytes(LAYOUT_FILE)
    (folder / "index.json").write_bytes(index_document((parent,)))
    return f"oci-layout://{folder.resolve()}:parent"


def _layout_output(folder: Path) -> dict[str, str]:
    return {
        "type": "oci",
        "tar": "false",
        "dest": str(folder),
        "compression": "uncompressed",
        "oci-mediatypes": "true",
    }


def _client(endpoint: Endpoint, scratch: Path) -> python_on_whales.DockerClient:
    """Return a client whose buildx has a folder of its own for this one call.

    BuildKit remembers, per node name (`.buildNodeID`), what a context of a *name* last held, and asks only for files
    whose size or mtime differ, whatever folder they come from. Without a new node name, another derivation's file could
    be built in.
    """
    import python_on_whales

    folder = scratch / "buildx"
    folder.mkdir()
    (folder / ".buildNodeID").write_text(secrets.token_hex(8))
    own = str(endpoint.config / "buildx") if endpoint.config else ""
    call = [*environment(), *_ending_with_parent(), "sh", "-c", _BECOME_DOCKER, str(scratch), own, *endpoint.command()]
    return python_on_whales.DockerClient(client_call=call)


def _ending_with_parent() -> list[str]:
    """Return the start of a command that ends when this process does, however it ends."""
    if sys.platform != "linux" or not sys.executable:
        return []
    return [sys.executable, "-I", "-S", "-c", _END_WITH_PARENT, str(os.getpid())]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Command:
    """The docker command of one build: whom it talks to, what ends it, and who gets its output."""

    endpoint: Endpoint
    running: _Running
    title: str
    log: Path
    on_line: Callable[[str], None] | None

    def follow(self, start: Callable[[], Iterator[str]], *, timeout: float | None) -> None:
        """Run the command that `start` starts, copy its output to the log, and convert its failures."""
        from python_on_whales.client_config import ClientNotFoundError
        from python_on_whales.exceptions import DockerException

        _LOG.info("build %r with %s, log in %s", self.title, self.endpoint.title, self.log)
        running = self.running
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        timer = threading.Timer(timeout, running.end, args=(f"timed out after {timeout:g} s",)) if timeout else None
        lines: Iterator[str] = iter(())
        try:
            with self.log.open("w", encoding="utf-8", errors="replace", buffering=1) as file:
                if timer:
                    timer.daemon = True
                    timer.start()
                lines = start()
                for line in lines:
                    file.write(line)
                    tail.append(line.rstrip("\n"))
                    if self.on_line:
                        self.on_line(line.rstrip("\n"))
        except ClientNotFoundError as error:
            raise EngineError(f"{self.title}: no `env` command on the PATH", details=str(error)) from error
        except DockerException as error:
            raise self._failure(error.return_code, tail) from None
        except UnicodeDecodeError:
            # How python-on-whales fails to report a failed build whose log is not all UTF-8
            raise self._failure(1, tail) from None
        except BaseException:
            # Ctrl-C, or a listener that raised: dropping the generator would leave buildx running
            running.end(_INTERRUPTED)
            with contextlib.suppress(DockerException, UnicodeDecodeError):
                deque(lines, maxlen=0)
            raise
        finally:
            if timer:
                timer.cancel()
        if running.ended:
            raise self._failure(0, tail)

    def _failure(self, code: int, tail: deque[str]) -> BuildError | EngineError:
        title, endpoint = self.title, self.endpoint
        details = "\n".join(tail)
        hint = f"see the full log in {self.log}"
        if self.running.ended:
            kind = CancelledError if self.running.ended == _INTERRUPTED else BuildError
            return kind(f"{title}: {self.running.ended}", details=details, hint=hint)
        if code in (_NOT_EXECUTABLE, _NOT_FOUND):
            return EngineError(f"{title}: cannot run {endpoint.docker}", details=details)
        if any(mark in line for line in tail for mark in _LOST):
            return EngineError(f"{title}: lost the connection to {endpoint.title}", details=details, hint=hint)
        if "no space left on device" in details:
            hint = f"free disk space on the engine's machine; the full log is {self.log}"
            return BuildError(f"{title}: no space left on device", details=details, hint=hint)
        reasons = (line.removeprefix("ERROR: ") for line in reversed(tail) if line.startswith("ERROR: "))
        reason = next(reasons, f"docker exited with code {code}")
        return BuildError(f"{title}: {reason}", details=details, hint=hint)


def _exported(layout: Path, title: str) -> tuple[Digest, int]:
    """Return the digest and size of the manifest that the build has put into the index of `layout`."""
    try:
        manifests = json.loads((layout / "index.json").read_bytes())["manifests"]
        (descriptor,) = manifests
        return parse_digest(descriptor["digest"]), int(descriptor["size"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BuildError(
            f"{title}: the engine wrote no image to {layout}",
            details=f"{type(error).__name__}: {error}",
            hint="use a builder that can export OCI layouts, such as Docker with the containerd image store",
        ) from error


def _read_pid(file: Path) -> int | None:
    """Return the pid in `file`; wait up to 1 s for a child that is starting."""
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError):
            return int(file.read_text())
        if not file.parent.is_dir():
            return None
        time.sleep(0.01)
    return None
