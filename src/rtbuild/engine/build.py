"""One `buildx build`, the same way every time: no network, no cache, nothing that a version's defaults decide."""

from __future__ import annotations

import contextlib
import json
import secrets
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
from rtbuild.errors import BuildError, EngineError
from rtbuild.oci.descriptor import MANIFEST, Descriptor, index_document
from rtbuild.oci.layout import LAYOUT_FILE
from rtbuild.oci.names import REFERENCE
from rtbuild.platform import Platform
from rtbuild.store.temporary import temporary_folder

if TYPE_CHECKING:
    import python_on_whales

TAIL_LINES = 200
"""How many of a failed build's last lines its error shows."""

_NOT_EXECUTABLE, _NOT_FOUND = 126, 127
"""What a shell ends with for a program that it cannot run."""
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
"""python-on-whales does not tell its child's pid: this shell notes its own, brings the user's builders (if any) into
the buildx folder of this call, and becomes docker, unless the build was ended before it could know the pid."""


class BuildOptions(TypedDict, total=False):
    """How something is built; one of `output` and `output_local` must be given. None is as what is left out."""

    title: str
    """What errors call the build."""
    dockerfile: Path | None
    """The context's own Dockerfile, where nothing is said."""
    contexts: Mapping[str, Path | str] | None
    """Named build contexts: folders, or references from `layout_reference`."""
    output: Path | None
    """The folder of an OCI layout that gets the image."""
    output_local: Path | None
    """The folder that gets the last stage's files."""
    target: str | None
    platform: Platform | None
    build_args: Mapping[str, str] | None
    """They appear in logs: no secrets there."""
    timeout: float | None
    """In seconds."""
    on_line: Callable[[str], None] | None
    """Called with each line of the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOutcome:
    """What a build gave. `manifest` and `manifest_size` are from the layout's `index.json`; None and 0 where the output
    is plain files. `seconds` is how long it took."""

    manifest: Digest | None
    manifest_size: int
    seconds: float
    log: Path


@dataclass(slots=True, eq=False)
class _Running:
    """A build in progress: `pid_file` holds the docker command's pid once it runs, `ended` says who ended it early."""

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
    """The builds that belong together, running and to come: those of one engine. May be used from many threads."""

    def __init__(self) -> None:
        self._running: set[_Running] = set()
        self._interrupted = False
        self._lock = threading.Lock()

    def interrupt(self) -> int:
        """End every build that is running, and return how many there were. Each then raises `BuildError`, and so does
        whatever would begin later."""
        with self._lock:
            self._interrupted = True
            builds = tuple(self._running)
        for one in builds:
            one.end("interrupted")
        return len(builds)

    @contextlib.contextmanager
    def registered(self, pid_file: Path, title: str) -> Iterator[_Running]:
        """A build that `interrupt` ends until the block does; raises `BuildError` after an interrupt."""
        running = _Running(pid_file)
        with self._lock:
            if self._interrupted:
                raise BuildError(f"{title}: interrupted")
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
    """Build `context`, all of which is sent to the engine anew, whatever it was sent before. `log` gets the whole log,
    and `builds` can end it.

    In `scratch`, where a store has its temporary folders, the build has one of its own; the next who opens the store
    removes what a killed process left.

    Raises `BuildError` with the log's end when the build fails, `EngineError` when the engine does, `StoreError`.
    """
    output, output_local = options.get("output"), options.get("output_local")
    platform, title = options.get("platform"), options.get("title", "build")
    if (output is None) == (output_local is None):
        raise ValueError("one of output and output_local must be given")
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
        arguments: dict[str, Any] = {
            "builder": endpoint.builder,
            "build_contexts": {name: str(where) for name, where in (options.get("contexts") or {}).items()},
            "build_args": dict(options.get("build_args") or {}),
            "file": options.get("dockerfile"),
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
        _follow(
            endpoint,
            lambda: client.buildx.build(context, **arguments),
            running,
            log,
            title,
            options.get("timeout"),
            options.get("on_line"),
        )
    manifest, size = _exported(output, title) if output else (None, 0)
    return BuildOutcome(manifest=manifest, manifest_size=size, seconds=time.monotonic() - begun, log=log)


def layout_reference(folder: Path, *, blobs: Path, manifest: Digest, size: int) -> str:
    """Make `folder` an OCI layout with the one image `manifest` (of `size` bytes) and return the reference that
    `contexts` of `build` takes.

    `blobs` is the `blobs` folder of the layout that holds the bytes; it is linked, not copied. The image gets a tag
    because a reference by digest alone breaks in buildx 0.33 and newer.
    """
    if ":" in str(folder):
        raise EngineError(f"{folder}: a layout's path must not contain a colon", hint="choose another folder")
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
    """A client whose buildx has a folder of its own for this one call.

    BuildKit keeps what a context's *name* last held per node name (`.buildNodeID`) and asks only for files whose size
    or mtime differ, from whatever folder: without a new name, another derivation's file could be built in.
    """
    import python_on_whales

    folder = scratch / "buildx"
    folder.mkdir()
    (folder / ".buildNodeID").write_text(secrets.token_hex(8))
    own = str(endpoint.config / "buildx") if endpoint.config else ""
    call = [*environment(), "sh", "-c", _BECOME_DOCKER, str(scratch), own, *endpoint.command()]
    return python_on_whales.DockerClient(client_call=call)


def _follow(
    endpoint: Endpoint,
    call: Callable[[], Iterator[str]],
    running: _Running,
    log: Path,
    title: str,
    timeout: float | None,
    on_line: Callable[[str], None] | None,
) -> None:
    """Run the build, copy its lines to `log`, and turn its failure into ours."""
    from python_on_whales.client_config import ClientNotFoundError
    from python_on_whales.exceptions import DockerException

    tail: deque[str] = deque(maxlen=TAIL_LINES)
    timer = threading.Timer(timeout, running.end, args=(f"gave up after {timeout:g} s",)) if timeout else None
    lines: Iterator[str] = iter(())
    try:
        with log.open("w", encoding="utf-8", errors="replace", buffering=1) as file:
            if timer:
                timer.daemon = True
                timer.start()
            lines = call()
            for line in lines:
                file.write(line)
                tail.append(line.rstrip("\n"))
                if on_line:
                    on_line(line.rstrip("\n"))
    except ClientNotFoundError as error:
        raise EngineError(f"{title}: `env` is not on the PATH", details=str(error)) from error
    except DockerException as error:
        raise _failure(endpoint, error.return_code, running, tail, log, title) from None
    except UnicodeDecodeError:
        # How python-on-whales fails to report a failed build whose log is not all UTF-8
        raise _failure(endpoint, 1, running, tail, log, title) from None
    except BaseException:
        # Ctrl-C, or a listener that raised: dropping the generator would leave buildx running
        running.end("interrupted")
        with contextlib.suppress(DockerException, UnicodeDecodeError):
            deque(lines, maxlen=0)
        raise
    finally:
        if timer:
            timer.cancel()
    if running.ended:
        raise _failure(endpoint, 0, running, tail, log, title)


def _failure(
    endpoint: Endpoint, code: int, running: _Running, tail: deque[str], log: Path, title: str
) -> BuildError | EngineError:
    details = "\n".join(tail)
    where = f"the full log is {log}"
    if running.ended:
        return BuildError(f"{title}: {running.ended}", details=details, hint=where)
    if code in (_NOT_EXECUTABLE, _NOT_FOUND):
        return EngineError(f"{title}: {endpoint.docker} cannot be run", details=details)
    if any(mark in line for line in tail for mark in _LOST):
        return EngineError(f"{title}: {endpoint.title} went away during the build", details=details, hint=where)
    if "no space left on device" in details:
        return BuildError(f"{title}: no space left on device", details=details, hint=f"free some space; {where}")
    reasons = (line.removeprefix("ERROR: ") for line in reversed(tail) if line.startswith("ERROR: "))
    reason = next(reasons, f"docker ended with exit code {code}")
    return BuildError(f"{title}: {reason}", details=details, hint=where)


def _exported(layout: Path, title: str) -> tuple[Digest, int]:
    """The image that the build has just put into `layout`'s index."""
    try:
        manifests = json.loads((layout / "index.json").read_bytes())["manifests"]
        (descriptor,) = manifests
        return parse_digest(descriptor["digest"]), int(descriptor["size"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BuildError(
            f"{title}: the engine left no image in {layout}",
            details=f"{type(error).__name__}: {error}",
            hint="the builder must be able to export OCI layouts (containerd image store on)",
        ) from error


def _read_pid(file: Path) -> int | None:
    """The pid in `file`, waiting shortly for a child that is just starting."""
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError):
            return int(file.read_text())
        if not file.parent.is_dir():
            return None
        time.sleep(0.01)
    return None
