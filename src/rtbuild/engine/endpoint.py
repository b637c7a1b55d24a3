"""The address of an engine, and how its command line is called."""

from __future__ import annotations

import json
import logging
import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtbuild.engine.ping import answers
from rtbuild.errors import EngineError

if TYPE_CHECKING:
    from docker import DockerClient

_LOG = logging.getLogger(__name__)

CLEARED = (
    "SOURCE_DATE_EPOCH",  # buildx forwards it; a layer's time comes from the lock
    "BUILDX_BUILDER",
    "BUILDX_GIT_LABELS",  # would put labels about the user's checkout into the image config
    "DOCKER_CONTEXT",
    "DOCKER_HOST",
    "DOCKER_DEFAULT_PLATFORM",
)
"""Variables of the user that must not reach docker: options replace them, or they must not count."""

_ASK_SECONDS = 60
_PERMISSION = "run the command with sudo, or add your user to the group `docker` and log in again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A docker command and the daemon that it talks to."""

    docker: Path
    """The docker command."""
    host: str | None = None
    """The daemon's address as for `docker --host`; None for docker's own default."""
    tls: Path | None = None
    """A folder with `ca.pem`, `cert.pem` and `key.pem`."""
    config: Path | None = None
    """The folder for DOCKER_CONFIG; None for the user's own."""
    builder: str | None = None
    """A buildx builder; None for the current one."""
    title: str = "Docker"
    """The engine's name in messages."""
    spelled: tuple[str, ...] = ()
    """The docker command as a user would write it; empty for `command`."""
    remedy: str = "start the Docker daemon"
    """What to do if the daemon does not answer."""

    def command(self) -> list[str]:
        """Return the docker command with the options that select the daemon."""
        options = ["--config", str(self.config)] if self.config else []
        if self.host:
            options += ["--host", self.host]
        if self.tls:
            options.append("--tlsverify")
            for option, file in (("--tlscacert", "ca.pem"), ("--tlscert", "cert.pem"), ("--tlskey", "key.pem")):
                options += [option, str(self.tls / file)]
        return [str(self.docker), *options]

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a short docker command and return what it wrote, whatever its exit code; see `ask`."""
        return ask([*self.command(), *arguments], title=self.title)

    def client(self, *, timeout: float = 600) -> DockerClient:
        """Return a Docker SDK client of the daemon. `timeout` is in seconds.

        Raises:
            EngineError: if the daemon does not answer.
        """
        import docker
        from docker.errors import DockerException

        socket = Path((self.host or "").removeprefix("unix://"))
        if self.host and self.host.startswith("unix://") and not answers(socket):
            raise self.silence("permission denied" if forbidden(socket) else f"no answer at {socket}")
        tls = None
        if self.tls:
            pair = (str(self.tls / "cert.pem"), str(self.tls / "key.pem"))
            tls = docker.tls.TLSConfig(client_cert=pair, ca_cert=str(self.tls / "ca.pem"), verify=True)
        ssh = (self.host or "").startswith("ssh://")
        try:
            return docker.DockerClient(base_url=self.host, tls=tls, use_ssh_client=ssh, timeout=timeout, version="auto")
        except DockerException as error:
            raise self.silence(str(error)) from error

    def silence(self, details: str) -> EngineError:
        """Return the error for a daemon that gave no answer; `details` is what was met instead."""
        if "permission denied" in details.lower():
            return EngineError(f"{self.title}: no permission to use it", details=details, hint=_PERMISSION)
        return EngineError(f"{self.title} does not answer", details=details, hint=self.remedy)


def forbidden(socket: Path) -> bool:
    """Return whether there is such a socket, but the user may not write to it."""
    try:
        return socket.exists() and not os.access(socket, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
    except PermissionError:  # from a folder above it
        return True


def environment() -> list[str]:
    """Return the `env` command that keeps the user's variables away from docker."""
    words = ["env"]
    for name in CLEARED:
        words += ["-u", name]
    # Provenance is off: asking git about the context only costs time
    return [*words, "BUILDX_GIT_INFO=false"]


def ask(command: list[str], *, title: str) -> subprocess.CompletedProcess[str]:
    """Run a short docker command and return what it wrote, whatever its exit code. `title` is the engine's name.

    Raises:
        EngineError: if the command cannot run or takes too long.
    """
    _LOG.debug("run %s", shlex.join(command))
    try:
        return subprocess.run(
            [*environment(), *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ASK_SECONDS,
            check=False,
        )
    except OSError as error:
        raise EngineError(f"{title}: cannot run {command[0]}", details=str(error)) from error
    except subprocess.TimeoutExpired as error:
        raise EngineError(
            f"{title} did not answer within {_ASK_SECONDS} s",
            details=" ".join(command),
            hint="restart the Docker daemon",
        ) from error


def as_mapping(text: str) -> dict[str, Any]:
    """Return the JSON object in the output of a docker command; empty if it holds none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
