"""Containers of an engine, through the Docker SDK: run a command to its end, or keep one running while it is used."""

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

from rtbuild.engine.client import connect, sdk_errors
from rtbuild.engine.endpoint import Endpoint
from rtbuild.errors import EngineError

_LONGEST_RUN = 86_400.0
"""Seconds that a command without a timeout may be silent."""
_POLL_SECONDS = 0.1
"""Seconds between two looks at whether a container still runs."""
_OUTPUT_SHOWN = 4000
"""Characters of a command's output in an error about it."""
_HEADER = struct.Struct(">BxxxL")
"""The header of each piece of output: its stream, and its size."""
_STDOUT, _STDERR = 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A folder or file of the engine's machine, or a volume, that a container sees at `target`."""

    source: Path | str
    """A string names a volume; a missing one is created, with what the image has at `target`."""
    target: str
    read_only: bool = True


class ContainerOptions(TypedDict, total=False):
    """How a container is created; an option that is left out or None is as in the image."""

    user: str | None
    env: Mapping[str, str] | None
    """Added to the image's environment."""
    mounts: Sequence[Mount]
    tmpfs: Mapping[str, str]
    """Empty folders in memory, with their mount options (`{"/tmp": "mode=1777"}`)."""
    network: str
    """`none`, the default, or `host`: a private engine has no bridge."""
    workdir: str | None
    entrypoint: Sequence[str] | None
    """An empty one removes the image's."""
    read_only: bool
    """Only mounts are writable."""
    platform: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """The outcome of a command: its exit code, and exactly the bytes it wrote."""

    exit_code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Its standard output as text, without whitespace at the ends."""
        return self.stdout.decode(errors="replace").strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A started container, until `running` removes it.

    Every method raises `EngineError` if the engine refuses or cannot be reached.
    """

    endpoint: Endpoint
    id: str
    reference: str
    """The image, as named when the container was started."""

    @property
    def exit_code(self) -> int | None:
        """The exit code of its command; None while it runs."""
        with connect(self.endpoint) as client:
            state = client.api.inspect_container(self.id)["State"]
        return None if state["Running"] else int(state["ExitCode"])

    def logs(self) -> str:
        """Return what its command has written to standard output and standard error, in the order of arrival."""
        with connect(self.endpoint) as client:
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
        """Run a second command in it and wait for its end; user, environment and folder are the container's by default.

        The engine cannot end a command that takes longer than `timeout` seconds: it runs on until the container ends.

        Raises:
            EngineError: if the command takes longer than `timeout` seconds, once it writes again or was silent for as
                long; or if it cannot start.
        """
        with connect(self.endpoint, patience=(timeout or _LONGEST_RUN) + 60) as client:
            process = client.api.exec_create(
                self.id, list(command), user=user or "", environment=dict(env or {}), workdir=workdir
            )["Id"]
            stdout, stderr = _exec(client, process, timeout, self.reference)
            exit_code = int(client.api.exec_inspect(process)["ExitCode"])
        return RunOutcome(exit_code=exit_code, stdout=stdout, stderr=stderr)

    def start(self) -> None:
        """Run its command again after it ended, with the files that it left."""
        with connect(self.endpoint) as client:
            client.api.start(self.id)

    def signal(self, name: str) -> None:
        """Send a signal, such as `SIGTERM`, to its first process."""
        with connect(self.endpoint) as client:
            client.api.kill(self.id, name)

    def wait(self, timeout: float) -> int:
        """Wait for its end and return its exit code.

        Raises:
            EngineError: if it still runs after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while (code := self.exit_code) is None:
            if time.monotonic() >= deadline:
                raise EngineError(
                    f"{self.reference}: the container did not end within {timeout:g} s",
                    details=self.logs()[-_OUTPUT_SHOWN:],
                )
            time.sleep(_POLL_SECONDS)
        return code

    def stop(self, grace: float = 10.0) -> int:
        """Stop it as `docker stop` does: the image's stop signal and, after `grace` seconds, SIGKILL.

        Return its exit code. A container that has ended stays as it is.
        """
        with connect(self.endpoint) as client:
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
    """Run `command` in a new container of an image that the engine has, wait for its end, and remove the container.

    Nothing is pulled. A command that fails is an outcome, not an error.

    Raises:
        EngineError: if the image is missing, the container cannot start, or it takes longer than `timeout` seconds.
    """
    with connect(endpoint, patience=(timeout or _LONGEST_RUN) + 60) as client:
        # The output is read from the stream; a log on disk would only be a second copy
        container = _create(client, endpoint, reference, command, log="none", **options)
        try:
            return _run_to_end(client, container, timeout, reference)
        finally:
            _remove(client, container)


@contextlib.contextmanager
def running(
    endpoint: Endpoint, reference: str, command: Sequence[str] = (), **options: Unpack[ContainerOptions]
) -> Iterator[Container]:
    """Start `command` in a new container of an image that the engine has; kill and remove it when the block ends.

    Nothing is pulled. Call `Container.stop` in the block to let the command end in order.

    Raises:
        EngineError: if the image is missing or the container cannot start.
    """
    with connect(endpoint) as client:
        container = _create(client, endpoint, reference, command, log="json-file", **options)
        try:
            client.api.start(container)
        except BaseException:
            _remove(client, container)
            raise
    try:
        yield Container(endpoint=endpoint, id=container, reference=reference)
    finally:
        with connect(endpoint) as client:
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
    """Create a container and return its ID; `log` is the engine's log driver."""
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
        raise EngineError(f"{endpoint.title} has no image {reference}", hint="load it there first") from error
    return str(answer["Id"])


def _remove(client: Any, container: str) -> None:
    """Remove a container in any state, with its anonymous volumes."""
    with contextlib.suppress(sdk_errors().APIError):
        client.api.remove_container(container, force=True, v=True)


def _run_to_end(client: Any, container: str, timeout: float | None, reference: str) -> RunOutcome:
    stdout, stderr = bytearray(), bytearray()
    late = threading.Event()

    def kill() -> None:
        late.set()
        with contextlib.suppress(sdk_errors().APIError):
            client.api.kill(container)

    # Attach before it starts, to miss no output
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
        # Its own close() shuts the connection down, but does not close it
        streams._response.close()
    if late.is_set():
        raise _took_too_long(reference, timeout, stdout + stderr)
    return RunOutcome(exit_code=exit_code, stdout=bytes(stdout), stderr=bytes(stderr))


def _exec(client: Any, process: str, timeout: float | None, reference: str) -> tuple[bytes, bytes]:
    """Start a second command in a container and return what it writes until it ends.

    The SDK's own function upgrades the connection, and loses what the command wrote before the headers were read. A
    plain answer that ends with the connection has no such gap.
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
            raise EngineError(f"{reference}: cannot start the command", details=answer.text)
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
        details=written.decode(errors="replace")[-_OUTPUT_SHOWN:],
    )
