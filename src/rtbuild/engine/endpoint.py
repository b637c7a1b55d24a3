"""Where an engine answers and how its command line is called."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtbuild.engine.ping import answers
from rtbuild.errors import EngineError

if TYPE_CHECKING:
    from docker import DockerClient

CLEARED = (
    "SOURCE_DATE_EPOCH",  # buildx forwards it by itself; a layer's time comes from the lock
    "BUILDX_BUILDER",
    "BUILDX_GIT_LABELS",  # would put labels about the caller's checkout into the image config
    "DOCKER_CONTEXT",
    "DOCKER_HOST",
    "DOCKER_DEFAULT_PLATFORM",
)
"""Variables of the caller that must not reach docker: what they say is given as options, or must not count."""

_PROBE_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A docker command line and the daemon it speaks to.

    `host` is the daemon's address as `docker --host` takes it, None for docker's own default. `tls` is a folder with
    `ca.pem`, `cert.pem` and `key.pem`. `config` is the folder that DOCKER_CONFIG would name, None for the user's own.
    `builder` is a buildx builder, None for the current one. `title` names the engine in messages.
    """

    docker: Path
    host: str | None = None
    tls: Path | None = None
    config: Path | None = None
    builder: str | None = None
    title: str = "Docker"

    def command(self) -> list[str]:
        """The docker command with everything that says where the daemon is."""
        options = ["--config", str(self.config)] if self.config else []
        if self.host:
            options += ["--host", self.host]
        if self.tls:
            options.append("--tlsverify")
            for option, file in (("--tlscacert", "ca.pem"), ("--tlscert", "cert.pem"), ("--tlskey", "key.pem")):
                options += [option, str(self.tls / file)]
        return [str(self.docker), *options]

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a short docker command and return what it said, whatever its exit code. Raises `EngineError`."""
        return ask([*self.command(), *arguments], title=self.title)

    def client(self, *, timeout: float = 600) -> DockerClient:
        """A Docker SDK client of the daemon; raises `EngineError` where it does not answer. `timeout` is in seconds."""
        import docker
        from docker.errors import DockerException

        socket = Path((self.host or "").removeprefix("unix://"))
        if self.host and self.host.startswith("unix://") and not answers(socket):
            raise EngineError(f"{self.title} does not answer", details=f"nobody answers at {socket}")
        tls = None
        if self.tls:
            pair = (str(self.tls / "cert.pem"), str(self.tls / "key.pem"))
            tls = docker.tls.TLSConfig(client_cert=pair, ca_cert=str(self.tls / "ca.pem"), verify=True)
        ssh = (self.host or "").startswith("ssh://")
        try:
            return docker.DockerClient(base_url=self.host, tls=tls, use_ssh_client=ssh, timeout=timeout, version="auto")
        except DockerException as error:
            raise EngineError(f"{self.title} does not answer", details=str(error)) from error


def environment() -> list[str]:
    """The `env` call that keeps the caller's variables away from docker."""
    words = ["env"]
    for name in CLEARED:
        words += ["-u", name]
    # Provenance is off: asking git about the context only costs time
    return [*words, "BUILDX_GIT_INFO=false"]


def ask(command: list[str], *, title: str) -> subprocess.CompletedProcess[str]:
    """Run a short command of docker's; raises `EngineError` where it cannot run or takes too long."""
    try:
        return subprocess.run(
            [*environment(), *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except OSError as error:
        raise EngineError(f"{title}: {command[0]} cannot be run", details=str(error)) from error
    except subprocess.TimeoutExpired as error:
        raise EngineError(
            f"{title} gave no answer in {_PROBE_SECONDS} s", details=" ".join(command), hint="restart the Docker daemon"
        ) from error


def as_mapping(text: str) -> dict[str, Any]:
    """The JSON object in what a docker command said; empty where it is none."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
