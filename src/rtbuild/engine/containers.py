"""Containers of an engine, through the Docker SDK: one that runs to its end, and one that runs on while it is used."""

from __future__ import annotations

import contextlib
import math
import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

from rtbuild.engine.client import sdk_errors, talk
from rtbuild.engine.endpoint import Endpoint
from rtbuild.errors import EngineError

_LONGEST_RUN = 86_400.0
"""Seconds that a command without a timeout may be silent for."""
_GLANCE = 0.1
"""Seconds between two looks at whether a container still runs."""
_TOLD = 4000
"""Characters of its output that an error about a command tells."""
_HEADER = struct.Struct(">BxxxL")
"""What stands before each piece of output: which stream it is of, and its size."""
_STDOUT, _STDERR = 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A folder or file of the engine's machine that a container sees at `target`."""

    source: Path | str
    """A text names a volume of the engine, which it makes where there is none, of what the image has at `target`."""
    target: str
    read_only: bool = True


class ContainerOptions(TypedDict, total=False):
    """How a container is made; what is left out, or None, is as the image has it."""

    user: str | None
    env: Mapping[str, str] | None
    """Added to the image's environment."""
    mounts: Sequence[Mount]
    tmpfs: Mapping[str, str]
    """Empty folders in memory, with their mount options (`{"/tmp": "mode=1777"}`)."""
    network: str
    """`none`, where nothing is said, or `host`: a private engine has no bridge."""
    workdir: str | None
    entrypoint: Sequence[str] | None
    """An empty one takes the image's away."""
    read_only: bool
    """Nothing but mounts can be written to."""
    platform: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """How a command ended; the bytes are exactly what it wrote."""

    exit_code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Its standard output as text, without the white space at its ends."""
        return self.stdout.decode(errors="replace").strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container that was started, until `running` removes it. Every method raises `EngineError` where the engine
    refuses or is gone."""

    endpoint: Endpoint
    id: str
    reference: str
    """The image, as whoever started the container named it."""

    @property
    def exit_code(self) -> int | None:
        """How its command ended; None while it runs."""
        with talk(self.endpoint) as client:
            state = client.api.inspect_container(self.id)["State"]
        return None if state["Running"] else int(state["ExitCode"])

    def logs(self) -> str:
        """What its command wrote so far to standard output and standard error, in the order in which it arrived."""
        with talk(self.endpoint) as client:
            written: bytes = client.api.logs(self.id, stdout=True, stderr=True)
        return written.decode(errors="replace")

    def exec(
        self,
        command: Sequence[str],
        *,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        workdir: str | None = None,
        timeout: float | None = None,
    ) -> RunOutcome:
        """Run a second command in it and wait for its end; user, environment and folder are the container's where they
        are not given.

        A command that takes longer than `timeout` seconds is an `EngineError`, raised when it next writes or has been
        silent for as long; the engine has no way to end it, so it runs on until the container ends.
        """
        with talk(self.endpoint, patience=(timeout or _LONGEST_RUN) + 60) as client:
            process = client.api.exec_create(
                self.id, list(command), user=user or "", environment=dict(env or {}), workdir=workdir
            )["Id"]
            stdout, stderr = _exec(client, process, timeout, self.reference)
            exit_code = int(client.api.exec_inspect(process)["ExitCode"])
        return RunOutcome(exit_code=exit_code, stdout=stdout, stderr=stderr)

    def start(self) -> None:
        """Run its command once more, after it ended, with the files that it left."""
        with talk(self.endpoint) as client:
            client.api.start(self.id)

    def signal(self, name: str) -> None:
        """Send its first process a signal, such as `SIGTERM`."""
        with talk(self.endpoint) as client:
            client.api.kill(self.id, name)

    def wait(self, timeout: float) -> int:
        """Wait for its end and return its exit code; `EngineError` where it still runs after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while (code := self.exit_code) is None:
            if time.monotonic() >= deadline:
                raise EngineError(
                    f"{self.reference}: the container did not end within {timeout:g} s", details=self.logs()[-_TOLD:]
                )
            time.sleep(_GLANCE)
        return code

    def stop(self, grace: float = 10.0) -> int:
        """End it as `docker stop` does, with the image's stop signal and, `grace` seconds later, SIGKILL; returns its
        exit code. One that ended already stays as it is."""
        with talk(self.endpoint) as client:
            # The engine counts in whole seconds
            client.api.stop(self.id, timeout=math.ceil(grace))
        return self.wait(grace + 10)


def run(
    endpoint: Endpoint,
    reference: str,
    command: Sequence[str] = (),
    *,
    timeout: float | None = None,
    **options: Unpack[ContainerOptions],
) -> RunOutcome:
    """Run `command` in a container of an image the engine has, wait for its end, and remove it.

    `timeout` is in seconds. Nothing is pulled. Raises `EngineError` where the image is missing, the container cannot
    start, or it takes longer than `timeout`; a command that fails is an outcome, not an error.
    """
    with talk(endpoint, patience=(timeout or _LONGEST_RUN) + 60) as client:
        # What it writes is read from the stream; a log on disk would only be a second copy
        container = _create(client, endpoint, reference, command, log="none", **options)
        try:
            return _run_to_end(client, container, timeout, reference)
        finally:
            _remove(client, container)


@contextlib.contextmanager
def running(
    endpoint: Endpoint, reference: str, command: Sequence[str] = (), **options: Unpack[ContainerOptions]
) -> Iterator[Container]:
    """Start `command` in a container of an image the engine has; leaving the block kills and removes it. Whoever wants
    it to end in order calls `Container.stop` first.

    Nothing is pulled. Raises `EngineError` where the image is missing or the container cannot start; how the command
    fares is the caller's to look at.
    """
    with talk(endpoint) as client:
        container = _create(client, endpoint, reference, command, log="json-file", **options)
        try:
            client.api.start(container)
        except BaseException:
            _remove(client, container)
            raise
    try:
        yield Container(endpoint=endpoint, id=container, reference=reference)
    finally:
        with talk(endpoint) as client:
            _remove(client, container)


def _create(
    client: Any,
    endpoint: Endpoint,
    reference: str,
    command: Sequence[str],
    *,
    log: str,
    **options: Unpack[ContainerOptions],
) -> str:
    """The id of a new container that is not started yet; `log` is the engine's driver for what it writes."""
    import docker.types

    entrypoint = options.get("entrypoint")
    settings = client.api.create_host_config(
        network_mode=options.get("network") or "none",
        read_only=options.get("read_only") or False,
        mounts=[
            docker.types.Mount(mount.target, mount.source, type="volume", read_only=mount.read_only)
            if isinstance(mount.source, str)
            else docker.types.Mount(mount.target, str(mount.source.resolve()), type="bind", read_only=mount.read_only)
            for mount in options.get("mounts") or ()
        ],
        tmpfs=dict(options.get("tmpfs") or {}),
        log_config={"type": log},
    )
    try:
        answer = client.api.create_container(
            reference,
            list(command) or None,
            user=options.get("user"),
            environment=dict(options.get("env") or {}),
            working_dir=options.get("workdir"),
            # The API takes a list with one empty string for "no entrypoint at all"
            entrypoint=(list(entrypoint) or [""]) if entrypoint is not None else None,
            host_config=settings,
            platform=options.get("platform"),
        )
    except sdk_errors().ImageNotFound as error:
        raise EngineError(f"{endpoint.title} has no image {reference}", hint="load it first") from error
    return str(answer["Id"])


def _remove(client: Any, container: str) -> None:
    """Remove a container in whatever state, with its anonymous volumes."""
    with contextlib.suppress(sdk_errors().APIError):
        client.api.remove_container(container, force=True, v=True)


def _run_to_end(client: Any, container: str, timeout: float | None, reference: str) -> RunOutcome:
    stdout, stderr = bytearray(), bytearray()
    late = threading.Event()

    def kill() -> None:
        late.set()
        with contextlib.suppress(sdk_errors().APIError):
            client.api.kill(container)

    # Attached before it starts, so that nothing it writes is missed
    streams = client.api.attach(container, stdout=True, stderr=True, stream=True, demux=True)
    timer = threading.Timer(timeout, kill) if timeout else None
    try:
        client.api.start(container)
        if timer:
            timer.daemon = True
            timer.start()
        for out, err in streams:
            stdout += out or b""
            stderr += err or b""
        exit_code = int(client.api.wait(container)["StatusCode"])
    finally:
        if timer:
            timer.cancel()
        # Its own close() only shuts the connection down, and leaves it open
        streams._response.close()
    if late.is_set():
        raise _took_too_long(reference, timeout, stdout + stderr)
    return RunOutcome(exit_code=exit_code, stdout=bytes(stdout), stderr=bytes(stderr))


def _exec(client: Any, process: str, timeout: float | None, reference: str) -> tuple[bytes, bytes]:
    """Start a second command in a container, and return what it writes until it ends.

    The SDK's own way takes the connection over with the answer's headers, and loses what the command wrote before they
    were read; a plain answer that ends with the connection has no such gap.
    """
    import urllib3.exceptions

    written: dict[int, bytearray] = {_STDOUT: bytearray(), _STDERR: bytearray()}
    late = False
    begun = time.monotonic()
    address = f"{client.api.base_url}/v{client.api.api_version}/exec/{process}/start"
    with client.api.post(
        address, json={"Detach": False, "Tty": False}, stream=True, timeout=timeout or _LONGEST_RUN
    ) as answer:
        if not answer.ok:
            raise EngineError(f"{reference}: the command cannot be started", details=answer.text)
        try:
            while not late and (header := answer.raw.read(_HEADER.size)):
                stream, size = _HEADER.unpack(header)
                written[stream] += answer.raw.read(size)
                late = timeout is not None and time.monotonic() > begun + timeout
        except urllib3.exceptions.TimeoutError:
            late = True
    stdout, stderr = bytes(written[_STDOUT]), bytes(written[_STDERR])
    if late:
        raise _took_too_long(reference, timeout, stdout + stderr)
    return stdout, stderr


def _took_too_long(reference: str, timeout: float | None, written: bytes | bytearray) -> EngineError:
    return EngineError(
        f"{reference}: the command did not end within {timeout:g} s",
        details=written.decode(errors="replace")[-_TOLD:],
    )
