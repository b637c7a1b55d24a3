"""Choosing an engine: what the user names, else the machine's Docker if it will do, else the private engine."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rtbuild.engine.endpoint import Endpoint, as_mapping, ask
from rtbuild.engine.engine import Engine
from rtbuild.engine.private import DEFAULT_NAME, EngineStatus, engine_status
from rtbuild.engine.versions import (
    MINIMUM_BUILDKIT,
    MINIMUM_BUILDX,
    MINIMUM_DOCKER,
    EngineVersions,
    parse_version,
    spell,
    too_old,
)
from rtbuild.errors import EngineError
from rtbuild.settings import Settings
from rtbuild.store.temporary import TEMPORARY

_CONTAINERD_STORE = "io.containerd.snapshotter.v1"


def find_engine(
    settings: Settings,
    *,
    name: str = DEFAULT_NAME,
    start: Callable[[], EngineStatus] | None = None,
    docker: str = "docker",
) -> Engine:
    """The engine to build with: the builder, host or context that `settings` name; else the machine's own Docker if it
    is new enough; else the private engine `name`, which `start` is called for if it does not run.

    `docker` is the command line to look for on the PATH. Raises `EngineError`, which says of everything that was looked
    at why it will not do.
    """
    status = engine_status(settings.engine_dir, name)
    command = shutil.which(docker)
    if settings.docker_host or settings.docker_context or settings.builder:
        return _named_engine(settings, command, status)
    if command is None:
        needed = f"Docker (BuildKit {spell(MINIMUM_BUILDKIT)} or newer, and buildx)"
        refusal = EngineError(f"there is no command {docker!r} on the PATH", hint=f"install {needed}")
    else:
        try:
            return look_at(_machine_endpoint(Path(command), None), store=settings.store)
        except EngineError as error:
            refusal = error
    if status.running:
        return private_engine(status, store=settings.store)
    if start is not None:
        return private_engine(start(), store=settings.store)
    reasons = [refusal.brief, f"the private engine {name!r} of {settings.engine_dir} is not running"]
    mend = "`rtbuild engine start` gives this machine an engine of its own"
    if os.geteuid() != 0:
        mend = "run the command as root, which starts an engine of its own"
    hint = f"{refusal.hint}; or {mend}" if refusal.hint else mend
    raise EngineError("there is no engine to build with", details="\n".join(reasons), hint=hint) from refusal


def private_engine(status: EngineStatus, *, store: Path) -> Engine:
    """The engine behind the status of a running private engine; `store` is as in `look_at`. Raises `EngineError`."""
    if not status.running:
        raise EngineError(f"the private engine {status.name!r} is not running", hint="start it: `rtbuild engine start`")
    socket = Path(status.host.removeprefix("unix://"))
    if socket.exists() and not os.access(socket, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise EngineError(f"the private engine {status.name!r} is another user's", hint="run the command with sudo")
    return look_at(status.endpoint(), store=store, private=True)


def look_at(endpoint: Endpoint, *, store: Path, private: bool = False) -> Engine:
    """Ask an engine what it is. Its builds have their temporary folders in the store that is the folder `store`.

    Raises `EngineError` where it does not answer or some part of it is missing or too old.
    """
    answer = endpoint.ask("info", "--format", "{{json .}}")
    facts = as_mapping(answer.stdout)
    server = str(facts.get("ServerVersion") or "")
    if not facts or (not server and not endpoint.builder):
        raise EngineError(f"{endpoint.title} does not answer", details=answer.stderr.strip(), hint="start its daemon")
    plugins = {plugin.get("Name"): plugin for plugin in (facts.get("ClientInfo") or {}).get("Plugins") or ()}
    buildx = plugins.get("buildx")
    if buildx is None:
        raise EngineError(
            f"{endpoint.docker} has no buildx",
            hint=f"install the buildx plugin {spell(MINIMUM_BUILDX)} or newer (docker-buildx or docker-buildx-plugin)",
        )
    buildx_version = str(buildx.get("Version", ""))
    _require("buildx", buildx_version, MINIMUM_BUILDX, endpoint, "upgrade the buildx plugin")
    builder = _inspect_builder(endpoint)
    if builder["driver"] == "docker":
        _require_server(endpoint, facts, server)
    buildkit = builder["buildkit"]
    if parse_version(buildkit):
        _require("BuildKit", buildkit, MINIMUM_BUILDKIT, endpoint, "upgrade Docker, or the builder's BuildKit image")
    elif builder["driver"] == "docker":
        _require("Docker", server, MINIMUM_DOCKER, endpoint, "upgrade Docker")
    return Engine(
        endpoint=endpoint,
        versions=EngineVersions(docker=server, buildkit=buildkit, buildx=buildx_version),
        driver=builder["driver"],
        platforms=tuple(builder["platforms"].split()),
        scratch=store / TEMPORARY,
        private=private,
    )


def _named_engine(settings: Settings, command: str | None, status: EngineStatus) -> Engine:
    """What the user asked for by name; nothing else is tried where it will not do."""
    if command is None and not status.docker.exists():
        raise EngineError(
            "there is no docker command on the PATH to reach the chosen engine", hint="install docker-cli"
        )
    docker = Path(command) if command else status.docker
    if settings.docker_host:
        host = settings.docker_host
        endpoint = Endpoint(docker=docker, host=host, builder=settings.builder, title=f"Docker at {host}")
        if not _has_buildx(endpoint) and status.docker.exists():
            # A bare docker command: the private engine's has buildx beside it
            config = status.config if not settings.builder else None
            endpoint = Endpoint(
                docker=status.docker, host=host, config=config, builder=settings.builder, title=f"Docker at {host}"
            )
        return look_at(endpoint, store=settings.store, private=host == status.host)
    context, builder = settings.docker_context, settings.builder
    if builder and not context:
        named = Endpoint(docker=docker, builder=builder, title=f"builder {builder!r}")
        if _inspect_builder(named)["driver"] == "docker":
            # buildx lists one of this driver for each Docker context, by its name, but takes it only as a context
            context, builder = builder, None
    return look_at(_machine_endpoint(docker, context, builder), store=settings.store)


def _machine_endpoint(docker: Path, context: str | None, builder: str | None = None) -> Endpoint:
    """The daemon of a docker context (None: the current one)."""
    title = f"Docker context {context!r}" if context else f"builder {builder!r}" if builder else "the machine's Docker"
    answer = ask([str(docker), "context", "inspect", *([context] if context else [])], title=title)
    try:
        (found,) = json.loads(answer.stdout)
        host = str(found["Endpoints"]["docker"]["Host"])
        has_tls = "docker" in (found.get("TLSMaterial") or {})
        tls = Path(found["Storage"]["TLSPath"]) / "docker" if has_tls else None
    except (ValueError, KeyError, TypeError) as error:
        if context:
            raise EngineError(f"there is no Docker context {context!r}", details=answer.stderr.strip()) from error
        host, tls = "", None
    return Endpoint(docker=docker, host=host or None, tls=tls, builder=builder, title=title)


def _has_buildx(endpoint: Endpoint) -> bool:
    return endpoint.ask("buildx", "version").returncode == 0


def _inspect_builder(endpoint: Endpoint) -> dict[str, str]:
    """Driver, BuildKit version and platforms (parted by spaces) of a builder, which is started if it does not run."""
    arguments = [endpoint.builder] if endpoint.builder else []
    answer = endpoint.ask("buildx", "inspect", "--bootstrap", *arguments)
    fields: dict[str, str] = {"driver": "", "buildkit": "", "platforms": ""}
    for line in answer.stdout.splitlines():
        label, _, value = line.partition(":")
        match label.strip().lower():
            case "driver":
                fields["driver"] = value.strip()
            case "buildkit" | "buildkit version":
                fields["buildkit"] = fields["buildkit"] or value.strip()
            case "platforms":
                # A star marks what the user, not the node, said
                names = [name.strip().rstrip("*") for name in value.split(",")]
                fields["platforms"] = " ".join(dict.fromkeys([*fields["platforms"].split(), *filter(None, names)]))
    if answer.returncode != 0 or not fields["driver"] or not fields["platforms"]:
        what = f"builder {endpoint.builder!r}" if endpoint.builder else endpoint.title
        details = (answer.stderr or answer.stdout).strip()
        raise EngineError(f"{what} does not answer", details=details, hint="see `docker buildx ls`")
    return fields


def _require_server(endpoint: Endpoint, facts: dict[str, Any], server: str) -> None:
    """A daemon that answers and exports OCI layouts."""
    if not server:
        raise EngineError(f"{endpoint.title} does not answer", hint="start its daemon")
    _require("Docker", server, MINIMUM_DOCKER, endpoint, "upgrade Docker")
    stores = [value for name, value in facts.get("DriverStatus") or () if name == "driver-type"]
    if _CONTAINERD_STORE not in stores:
        raise EngineError(
            f"{endpoint.title} keeps images in its classic store, which cannot export OCI layouts",
            hint='turn the containerd image store on ("features": {"containerd-snapshotter": true} in daemon.json)',
        )


def _require(part: str, version: str, minimum: tuple[int, int, int], endpoint: Endpoint, hint: str) -> None:
    if too_old(version, minimum):
        raise EngineError(
            f"{endpoint.title} is too old: {part} {version}, and {spell(minimum)} is the least",
            hint=f"{hint} to {spell(minimum)} or newer",
        )
