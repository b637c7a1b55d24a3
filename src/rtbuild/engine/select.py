"""Choose an engine: the one that the settings name, else the machine's Docker if usable, else a private engine.

Receiving and running images needs less of a Docker than building, so the two may differ: a machine's Docker with the
classic image store gets images that a private engine built.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rtbuild.engine.endpoint import Endpoint, as_mapping, ask, forbidden
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
from rtbuild.platform import PLATFORMS
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
    if _is_named(settings):
        endpoint = _named_endpoint(settings, status)
        return probe(endpoint, store=settings.store, private=endpoint.host == status.host)
    try:
        return probe(_machine_endpoint(_docker_command()), store=settings.store)
    except EngineError as error:
        return _instead(error, status, settings, start)


def find_docker(
    settings: Settings, *, name: str = DEFAULT_NAME, start: Callable[[], EngineStatus] | None = None
) -> Engine:
    """Return the Docker to load images into and to run them: any version, with any image store, without buildx.

    That is the host or context that `settings` name; else the machine's Docker, if it answers; else the private engine.
    The arguments are those of `find`. The result is not for builds.

    Raises:
        EngineError: if the named Docker does not answer, or there is none.
    """
    status = private_status(settings.engine_dir, name)
    if _is_named(settings):
        endpoint = _named_endpoint(settings, status)
        return probe_docker(endpoint, store=settings.store, private=endpoint.host == status.host)
    try:
        return probe_docker(_machine_endpoint(_docker_command()), store=settings.store)
    except EngineError as error:
        return _instead(error, status, settings, start)


def _instead(
    refusal: EngineError, status: EngineStatus, settings: Settings, start: Callable[[], EngineStatus] | None
) -> Engine:
    """Return the private engine, because the machine's Docker is not usable."""
    if status.running or start is not None:
        found = status if status.running or start is None else start()
        return replace(private_engine(found, store=settings.store), reason=refusal.brief)
    remedy = f"start a private engine with `{as_root('engine start')}`"
    if os.geteuid() != 0:
        remedy = f"run the command as root, which starts a private engine: `{as_root('...')}`"
    raise EngineError(
        "no usable engine found",
        details=f"{refusal.brief}\nthe private engine {status.name!r} in {settings.engine_dir} is not running",
        hint=f"{refusal.hint}, or {remedy}" if refusal.hint else remedy,
    ) from refusal


def private_engine(status: EngineStatus, *, store: Path) -> Engine:
    """Return the private engine of `status`. `store` is as for `probe`.

    Raises:
        EngineError: if it is not running, owned by another user, or not usable.
    """
    if not status.running:
        raise EngineError(f"the private engine {status.name!r} is not running", hint=f"run `{as_root('engine start')}`")
    if forbidden(Path(status.host.removeprefix("unix://"))):
        raise EngineError(
            f"the private engine {status.name!r} is owned by another user",
            hint=f"run the command with sudo: `{as_root('...')}`",
        )
    return probe(status.endpoint(), store=store, private=True)


def probe(endpoint: Endpoint, *, store: Path, private: bool = False) -> Engine:
    """Ask an engine for its versions and platforms. `store` is the store's folder, for temporary files of builds.

    Raises:
        EngineError: if it does not answer, or if a part is missing or too old.
    """
    info = _info(endpoint, needs_server=not endpoint.builder)
    server = str(info.get("ServerVersion") or "")
    buildx = _buildx(info)
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


def probe_docker(endpoint: Endpoint, *, store: Path, private: bool = False) -> Engine:
    """Ask a Docker for what is needed to load and run images: its version and platforms. It is not for builds.

    Raises:
        EngineError: if it does not answer.
    """
    endpoint = replace(endpoint, builder="default" if private else None)
    info = _info(endpoint, needs_server=True)
    platforms: tuple[str, ...] = tuple(
        platform.name for platform in PLATFORMS.values() if platform.machine == info.get("Architecture")
    )
    if _buildx(info) is not None:  # it knows of emulators too
        with contextlib.suppress(EngineError):
            platforms = _inspect_builder(endpoint).platforms
    versions = EngineVersions(docker=str(info["ServerVersion"]))
    scratch = store / TEMPORARY
    return Engine(
        endpoint=endpoint, versions=versions, driver="", platforms=platforms, scratch=scratch, private=private
    )


def as_root(arguments: str) -> str:
    """Return the command with which a user runs rtbuild as root: sudo has a PATH of its own."""
    program = shutil.which("rtbuild")
    command = str(Path(program).absolute()) if program else f"{sys.executable} -m rtbuild"
    if os.geteuid() == 0:
        return f"rtbuild {arguments}"
    return f"sudo {command} {arguments}"


def _info(endpoint: Endpoint, *, needs_server: bool) -> dict[str, Any]:
    """Return what the command and the daemon say about themselves; without a daemon only the command does."""
    answer = endpoint.ask("info", "--format", "{{json .}}")
    info = as_mapping(answer.stdout)
    if not info or (needs_server and not info.get("ServerVersion")):
        errors = info.get("ServerErrors") or ()
        raise endpoint.silence(answer.stderr.strip() or "\n".join(map(str, errors)))
    return info


def _buildx(info: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the docker command says about its buildx plugin; None if it has none."""
    plugins = (info.get("ClientInfo") or {}).get("Plugins") or ()
    return next((plugin for plugin in plugins if plugin.get("Name") == "buildx"), None)


def _docker_command() -> Path:
    program = shutil.which("docker")
    if program is None:
        needed = f"Docker (BuildKit {spell(MINIMUM_BUILDKIT)} or newer, and buildx)"
        raise EngineError("no `docker` command on the PATH", hint=f"install {needed}")
    return Path(program)


def _is_named(settings: Settings) -> bool:
    return bool(settings.docker_host or settings.docker_context or settings.builder)


def _named_endpoint(settings: Settings, status: EngineStatus) -> Endpoint:
    """Return the engine that the settings name; if it is not usable, nothing else is tried."""
    program = shutil.which("docker")
    if program is None and not status.docker.exists():
        raise EngineError(
            "no `docker` command on the PATH to reach the chosen engine", hint="install the docker-cli package"
        )
    docker = Path(program) if program else status.docker
    if settings.docker_host:
        host = settings.docker_host
        remedy = f"start the daemon at {host}, or change DOCKER_HOST or the setting `docker_host`"
        endpoint = Endpoint(
            docker=docker, host=host, builder=settings.builder, title=f"Docker at {host}", remedy=remedy
        )
        if not _has_buildx(endpoint) and status.docker.exists():
            # The private engine's docker command has buildx beside it
            endpoint = replace(endpoint, docker=status.docker, config=None if settings.builder else status.config)
        return endpoint
    context, builder = settings.docker_context, settings.builder
    if builder and not context:
        named = Endpoint(docker=docker, builder=builder, title=f"builder {builder!r}")
        if not _has_buildx(named):
            raise EngineError(f"{docker} has no buildx plugin, which builder {builder!r} needs", hint=_INSTALL_BUILDX)
        if _inspect_builder(named).driver == "docker":
            # buildx lists a builder of this driver for each Docker context, but accepts it only as a context
            context, builder = builder, None
    return _machine_endpoint(docker, context, builder)


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
    spelled = ("docker", *(["--context", context] if context else []))
    return Endpoint(docker=docker, host=host or None, tls=tls, builder=builder, title=title, spelled=spelled)


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
        raise endpoint.silence("")
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
