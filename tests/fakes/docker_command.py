"""A `docker` command with the answers of a test: a shell script in a folder for the PATH."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtbuild.platform import host_platform

_SCRIPT = """#!/bin/sh
answers={answers}
while :; do
    case "$1" in
        --config|--host|--tlscacert|--tlscert|--tlskey) shift 2 ;;
        --tlsverify) shift ;;
        *) break ;;
    esac
done
echo "$DOCKER_HOST $*" >> "$answers/calls"
file="$answers/$1"
if [ "$1" = buildx ] || [ "$1" = context ]; then file="$answers/$1-$2"; fi
if [ ! -e "$file" ]; then echo "docker: unknown command: docker $*" >&2; exit 1; fi
cat "$file"
if [ -e "$file.stderr" ]; then cat "$file.stderr" >&2; exit 1; fi
"""


@dataclass
class FakeDocker:
    """The machine's Docker. Everything is new enough by default."""

    folder: Path
    server: str = "28.3.0"
    store: str = "io.containerd.snapshotter.v1"
    buildx: str | None = "v0.25.0"
    buildkit: str = "v0.23.0"
    driver: str = "docker"
    platforms: str = "linux/amd64, linux/amd64/v2, linux/arm64*, linux/amd64"
    host: str = "unix:///var/run/docker.sock"

    def install(self) -> Path:
        """Write the command and return the folder for the PATH."""
        answers = self.folder / "answers"
        answers.mkdir(parents=True, exist_ok=True)
        plugins = [{"Name": "buildx", "Version": self.buildx}] if self.buildx else []
        info: dict[str, Any] = {
            "ServerVersion": self.server,
            "Architecture": host_platform().machine,
            "DriverStatus": [["driver-type", self.store]] if self.store else [["Backing Filesystem", "extfs"]],
            "ClientInfo": {"Version": "28.3.0", "Plugins": plugins},
        }
        (answers / "info").write_text(json.dumps(info))
        if not self.server:
            (answers / "info.stderr").write_text(f"Cannot connect to the Docker daemon at {self.host}.\n")
        context = [{"Name": "default", "Endpoints": {"docker": {"Host": self.host}}, "TLSMaterial": {}, "Storage": {}}]
        (answers / "context-inspect").write_text(json.dumps(context))
        if self.buildx:
            (answers / "buildx-version").write_text(f"github.com/docker/buildx {self.buildx} 0123abc\n")
            (answers / "buildx-inspect").write_text(
                f"Name:          one\nDriver:        {self.driver}\n\nNodes:\nName:      one\nEndpoint:  default\n"
                f"Status:    running\nBuildKit version: {self.buildkit}\nPlatforms: {self.platforms}\n"
            )
        programs = self.folder / "bin"
        programs.mkdir(exist_ok=True)
        command = programs / "docker"
        command.write_text(_SCRIPT.format(answers=answers))
        command.chmod(0o755)
        return programs

    def calls(self) -> list[str]:
        """Return the commands that were called, in order, each with DOCKER_HOST and a space before it."""
        return (self.folder / "answers/calls").read_text().splitlines()
