"""Choose an engine: the one that the settings name, else the machine's Docker if usable, else a private engine."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rtbuild.engine.endpoint import Endpoint, as_mapping, ask
from rtbuild.engine.engine import Engine
from rtbuild.engine.private import DEFAULT_NAME, EngineStatus
from rtbuild.engine.private import status as private_status
from rtbuild.engine.versions import (
    MINIMUM_BUILDKIT,
    MINIMUM_BUILDX,
    MINIMUM_DOCKER,
    EngineVersions,
    Version,
    parse_version,
    spell,
    too_old,
)
from rtbuild.errors import EngineError
from rtbuild.settings import Settings
from rtbuild.store.temporary import TEMPORARY

_CONTAINERD_STORE = "io.containerd.snapshotter.v1"

_INSTALL_BUILDX = f"install docker-buildx or docker-buildx-plugin, version {spell(MINIMUM_BUILDX)} or newer"


def find(settings: Settings, *, name: str = DEFAULT_NAME, start: Callable[[], EngineStatus] | None = None) -> Engine:
    """Return the engine to build with.

    That is the builder, host or context that `settings` name; else the machine's Docker, if it is new enough; else the
    private engine.

    Args:
        settings: Name the engine, and say where the store and private engines are.
        name: The private engine.
        start: Starts the private engine if it is needed and does not run.

    Raises:
        EngineError: if the named engine is not usable, or none is; the details say why for each.
    """
    status = private_status(settings.engine_dir, name)
    program = shutil.which("docker")
    docker = Path(program) if program else None
    if settings.docker_host or settings.docker_context or settings.builder:
        return _named_engine(settings, docker, status)
    try:
        if docker is None:
            needed = f"Docker (BuildKit {spell(MINIMUM_BUILDKIT)} or newer, and buildx)"
            raise EngineError("no `docker` command on the PATH", hint=f"install {needed}")
        return probe(_machine_endpoint(docker), store=settings.store)
    except EngineError as error:
        refusal = error
    if status.running:
        return private_engine(status, store=settings.store)
    if start is not None:
        return private_engine(start(), store=settings.store)
    remedy = "start a private engine with `rtbuild engine start`"
    if os.geteuid() != 0:
        remedy = "run the command as root, which starts a private engine"
    raise EngineError(
        "no usable engine found",
        details=f"{refusal.brief}\nthe private engine {name!r} in {settings.engine_dir} is not running",
        hint=f"{refusal.hint}, or {remedy}" if refusal.hint else remedy,
    ) from refusal


def private_engine(status: EngineStatus, *, store: Path) -> Engine:
    """Return the private engine of `status`. `store` is as for `probe`.

    Raises:
        EngineError: if it is not running, owned by another user, or not usable.
    """
    if not status.running:
        raise EngineError(f"the private engine {status.name!r} is not running", hint="run `rtbuild engine start`")
    socket = Path(status.host.removeprefix("unix://"))
    if socket.exists() and not os.access(socket, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise EngineError(
            f"the private engine {status.name!r} is owned by another user", hint="run the command with sudo"
        )
    return probe(status.endpoint(), store=store, private=True)


def probe(endpoint: Endpoint, *, store: Path, private: bool = False) -> Engine:
    """Ask an engine for its versions and platforms. `store` is the store's folder, for temporary files of builds.

    Raises:
        EngineError: if it does not answer, or if a part is missing or too old.
    """
    answer = endpoint.ask("info", "--format", "{{json .}}")
    info = as_mapping(answer.stdout)
    server = str(info.get("ServerVersion") or "")
    if not info or (not server and not endpoint.builder):
        raise EngineError(
            f"{endpoint.title} does not answer", details=answer.stderr.strip(), hint="start the Docker daemon"
        )
    plugins = {plugin.get("Name"): plugin for plugin in (info.get("ClientInfo") or {}).get("Plugins") or ()}
    buildx = plugins.get("buildx")
    if buildx is None:
        raise EngineError(
            f"{endpoint.docker} has no buildx plugin",
            hint=_INSTALL_BUILDX,
        )
    buildx_version = str(buildx.get("Version", ""))
    _require(endpoint, "buildx", buildx_version, MINIMUM_BUILDX, hint="upgrade the buildx plugin")
    builder = _inspect_builder(endpoint)
    if builder.driver == "docker":
        _require_server(endpoint, info, server)
    if parse_version(builder.buildkit):
        hint = "upgrade Docker, or the builder's BuildKit image"
        _require(endpoint, "BuildKit", builder.buildkit, MINIMUM_BUILDKIT, hint=hint)
    return Engine(
        endpoint=endpoint,
        versions=EngineVersions(docker=server, buildkit=builder.buildkit, buildx=buildx_version),
        driver=builder.driver,
        platforms=builder.platforms,
        scratch=store / TEMPORARY,
        private=private,
    )


def _named_engine(settings: Settings, docker: Path | None, status: EngineStatus) -> Engine:
    """Return the engine that the settings name; if it is not usable, nothing else is tried."""
    if docker is None and not status.docker.exists():
        raise EngineError(
            "no `docker` command on the PATH to reach the chosen engine", hint="install the docker-cli package"
        )
    docker = docker or status.docker
    if settings.docker_host:
        host = settings.docker_host
        endpoint = Endpoint(docker=docker, host=host, builder=settings.builder, title=f"Docker at {host}")
        if not _has_buildx(endpoint) and status.docker.exists():
            # The private engine's docker command has buildx beside it
            endpoint = replace(endpoint, docker=status.docker, config=None if settings.builder else status.config)
        return probe(endpoint, store=settings.store, private=host == status.host)
    context, builder = settings.docker_context, settings.builder
    if builder and not context:
        named = Endpoint(docker=docker, builder=builder, title=f"builder {builder!r}")
        if not _has_buildx(named):
            raise EngineError(f"{docker} has no buildx plugin, which builder {builder!r} needs", hint=_INSTALL_BUILDX)
        if _inspect_builder(named).driver == "docker":
            # buildx lists a builder of this driver for each Docker context, but accepts it only as a context
            context, builder = builder, None
    return probe(_machine_endpoint(docker, context, builder), store=settings.store)


def _machine_endpoint(docker: Path, context: str | None = None, builder: str | None = None) -> Endpoint:
    """Return the daemon of a Docker context; of the current one by default."""
    title = f"Docker context {context!r}" if context else f"builder {builder!r}" if builder else "the machine's Docker"
    answer = ask([str(docker), "context", "inspect", *([context] if context else [])], title=title)
    try:
        (inspected,) = json.loads(answer.stdout)
        host = str(inspected["Endpoints"]["docker"]["Host"])
        has_tls = "docker" in (inspected.get("TLSMaterial") or {})
        tls = Path(inspected["Storage"]["TLSPath"]) / "docker" if has_tls else None
    except (ValueError, KeyError, TypeError) as error:
        if context:
            raise EngineError(
                f"unknown Docker context {context!r}", details=answer.stderr.strip(), hint="see `docker context ls`"
            ) from error
        host, tls = "", None
    return Endpoint(docker=docker, host=host or None, tls=tls, builder=builder, title=title)


def _has_buildx(endpoint: Endpoint) -> bool:
    return endpoint.ask("buildx", "version").returncode == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Builder:
    driver: str
    buildkit: str
    platforms: tuple[str, ...]


def _inspect_builder(endpoint: Endpoint) -> _Builder:
    """Return what buildx reports about the endpoint's builder, which is started if it does not run."""
    arguments = [endpoint.builder] if endpoint.builder else []
    answer = endpoint.ask("buildx", "inspect", "--bootstrap", *arguments)
    driver, buildkit = "", ""
    platforms: dict[str, None] = {}
    for line in answer.stdout.splitlines():
        label, _, value = line.partition(":")
        match label.strip().lower():
            case "driver":
                driver = value.strip()
            case "buildkit" | "buildkit version":
                buildkit = buildkit or value.strip()
            case "platforms":
                # A star marks a platform that the user, not the node, has named
                names = (name.strip().rstrip("*") for name in value.split(","))
                platforms |= dict.fromkeys(name for name in names if name)
    if answer.returncode != 0 or not driver or not platforms:
        title = f"builder {endpoint.builder!r}" if endpoint.builder else endpoint.title
        details = (answer.stderr or answer.stdout).strip()
        raise EngineError(f"{title} does not answer", details=details, hint="see `docker buildx ls`")
    return _Builder(driver=driver, buildkit=buildkit, platforms=tuple(platforms))


def _require_server(endpoint: Endpoint, info: dict[str, Any], server: str) -> None:
    """Check that the daemon answers, is new enough and can export OCI layouts."""
    if not server:
        raise EngineError(f"{endpoint.title} does not answer", hint="start the Docker daemon")
    _require(endpoint, "Docker", server, MINIMUM_DOCKER, hint="upgrade Docker")
    stores = [value for name, value in info.get("DriverStatus") or () if name == "driver-type"]
    if _CONTAINERD_STORE not in stores:
        raise EngineError(
            f"{endpoint.title} uses the classic image store, which cannot export OCI layouts",
            hint='turn on the containerd image store ("features": {"containerd-snapshotter": true} in daemon.json)',
        )


def _require(endpoint: Endpoint, part: str, version: str, minimum: Version, *, hint: str) -> None:
    if too_old(version, minimum):
        raise EngineError(
            f"{endpoint.title}: {part} {version} is too old; {spell(minimum)} or newer is required", hint=hint
        )
