"""What a user would do without rtbuild: mmdebstrap for the base, a Dockerfile with apt-get and pip on the same engine.

Its inputs are fetched beforehand, as rtbuild's are: the .debs lie in apt's own folder for downloads and the wheels in a
folder that pip looks into. What is left of the network are apt's indexes. Where they come from is asked of the machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from bench.ground import RELEASE, BenchError, Ground, run
from bench.measure import timed
from rtbuild.engine.endpoint import environment
from rtbuild.lockfile.export import export_lock
from rtbuild.lockfile.model import DebArtifact, Lock
from rtbuild.mirror.find import find_mirrors

_DOCKERFILE = """\
FROM scratch
ADD base.tar /
RUN --mount=type=bind,from=debs,target=/var/cache/apt/archives,rw \\
    apt-get -o Acquire::Check-Valid-Until=false update \\
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends {roots} \\
 && rm -rf /var/lib/apt/lists/*
RUN --mount=type=bind,from=wheels,target=/wheels \\
    --mount=type=bind,source=requirements.txt,target=/requirements.txt \\
    python3 /wheels/{pip}/pip install --no-index --find-links /wheels --no-cache-dir --requirement /requirements.txt
"""
_STEP = re.compile(r"#(\d+) \[(?:\S+ )?\d+/\d+\] (\w+)")
_DONE = re.compile(r"#(\d+) DONE ([\d.]+)s")


class Rival:
    """A Dockerfile of the same packages. Its layers stay in the engine's cache until the engine forgets them."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._folder = ground.folder / "rival"
        self._tag = f"rtbuild-bench/rival-{secrets.token_hex(4)}:latest"
        self._built = False
        self.steps: dict[str, float] = {}
        """Seconds of each instruction in the build before, by what it does."""

    # --- mmdebstrap --------------------------------------------------------------------------------------------------

    def bootstrap(self, variant: str, packages: tuple[str, ...], tar: Path) -> None:
        """Make `tar` with mmdebstrap: the packages of `variant`, and `packages`."""
        if shutil.which("mmdebstrap") is None:
            raise BenchError("mmdebstrap is not installed: apt-get install mmdebstrap")
        cache = '"$1"/var/cache/apt/archives/'
        include = [f"--include={','.join(packages)}"] if packages else []
        run(
            [
                "mmdebstrap",
                *(f"--variant={variant}", *include, "--skip=essential/unlink", "--mode=root"),
                '--aptopt=Acquire::Check-Valid-Until "false"',
                f"--setup-hook=mkdir -p {cache}partial && cp {self.debs}/*.deb {cache}",
                *(self._ground.lock.debs[0].suite, tar, self._sources),
            ]
        )

    # --- the Dockerfile ----------------------------------------------------------------------------------------------

    def cold(self) -> float:
        """Seconds for everything from nothing."""
        base = timed(lambda: self.bootstrap("apt", (), self._context / "base.tar"))
        image = timed(lambda: self._build("--no-cache"))
        self.steps = {"mmdebstrap": base, **self.steps}
        self._built = True
        return base + image

    def unchanged(self) -> float:
        """Seconds for a build of what is built."""
        self._ensure()
        return timed(self._build)

    def pip_layer(self, requirements: str | None = None) -> float:
        """Seconds for a build after a change of `requirements` (default: another comment in them)."""
        self._ensure()
        text = requirements or f"{self._requirements}# {secrets.token_hex(8)}\n"
        (self._context / "requirements.txt").write_text(text)
        return timed(self._build)

    def image(self) -> str:
        """The name of the image with the lock's packages in the engine."""
        self.pip_layer(self._requirements)
        return self._tag

    @contextlib.contextmanager
    def derived(self, dockerfile: str) -> Iterator[str]:
        """The name of another image, which goes when the block is left."""
        folder = self._folder / "derived"
        folder.mkdir(exist_ok=True)
        (folder / "Dockerfile").write_text(dockerfile)
        tag = f"{self._tag}-derived"
        self._buildx("--network", "none", "--load", "--tag", tag, folder)
        try:
            yield tag
        finally:
            self._ground.engine.remove_image(tag)

    def close(self) -> None:
        """Remove the image from the engine."""
        if self._built:
            self._ground.engine.remove_image(self._tag)

    def add_wheel(self, path: Path, filename: str) -> None:
        """One more file for pip to find."""
        if not (self._wheels / filename).exists():
            os.link(path, self._wheels / filename)

    def _ensure(self) -> None:
        if not self._built:
            self.cold()

    def _build(self, *options: str) -> None:
        output = self._buildx(
            *(*options, "--network", "host", "--load", "--tag", self._tag),
            *("--build-context", f"debs={self.debs}", "--build-context", f"wheels={self._wheels}", self._context),
        )
        names: dict[str, str] = dict(_STEP.findall(output))
        instructions = {"ADD": ["import of the base"], "RUN": ["apt-get install", "pip install"]}
        self.steps = {}
        for number, seconds in sorted(_DONE.findall(output), key=lambda step: int(step[0])):
            if number in names and instructions.get(names[number]):
                self.steps[instructions[names[number]].pop(0)] = float(seconds)
            elif f"#{number} exporting" in output:
                self.steps["export"] = float(seconds)

    def _buildx(self, *words: str | Path) -> str:
        """Run `buildx build` on rtbuild's engine; what it said."""
        endpoint = self._ground.engine.endpoint
        # A folder of its own for what buildx remembers of contexts: it compares them by size and time alone.
        own = dict(os.environ, BUILDX_CONFIG=str(self._folder / "buildx"))
        builder = ["--builder", endpoint.builder] if endpoint.builder else []
        build = (*environment(), *endpoint.command(), "buildx", "build", *builder)
        return run([*build, "--progress", "plain", "--provenance=false", *words], environment=own)

    # --- inputs ------------------------------------------------------------------------------------------------------

    @cached_property
    def debs(self) -> Path:
        """Every .deb of the lock, named as apt names its downloads."""
        return self._linked("debs", {_apt_name(deb): deb.sha256 for deb in self._ground.lock.debs})

    @cached_property
    def _wheels(self) -> Path:
        locked = (*self._ground.lock.pythons, *self._ground.lock.build_pythons)
        return self._linked("wheels", {python.filename: python.sha256 for python in locked if not python.local})

    def _linked(self, name: str, files: dict[str, str]) -> Path:
        folder = self._folder / name
        folder.mkdir(parents=True)
        for filename, sha256 in files.items():
            os.link(self._ground.artifacts / sha256, folder / filename)
        return folder

    @cached_property
    def _requirements(self) -> str:
        return requirements(self._ground.lock)

    @cached_property
    def _context(self) -> Path:
        context = self._folder / "context"
        context.mkdir(parents=True)
        (pip,) = (python.filename for python in self._ground.lock.pythons if python.name == "pip")
        roots = [name for layer in self._ground.release.debian_layers for name in layer.packages]
        (context / "Dockerfile").write_text(_DOCKERFILE.format(roots=" ".join(roots), pip=pip))
        (context / "requirements.txt").write_text(self._requirements)
        return context

    @cached_property
    def _sources(self) -> Path:
        """A sources.list of the suites that the recipe names, on the mirrors that this machine uses."""
        mirrors = find_mirrors(self._ground.settings)
        lines = []
        for suite in self._ground.release.debian_layers[0].suites:
            address = mirrors.debian_for(suite.archive)[0].address
            lines.append(f"deb {address} {suite.suite} main\n")
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / "sources.list"
        path.write_text("".join(lines))
        return path


def requirements(lock: Lock) -> str:
    """What pip is to install: all but the project's own packages, which no index has."""
    return export_lock(
        replace(lock, pythons=tuple(python for python in lock.pythons if not python.local)), "requirements"
    )


def _apt_name(deb: DebArtifact) -> str:
    return f"{deb.name}_{deb.version.replace(':', '%3a')}_{deb.architecture}.deb"


def versions(ground: Ground) -> dict[str, str]:
    """What took part, for the page."""
    programs = {"Python": ".".join(map(str, sys.version_info[:3])), "engine": str(ground.engine.versions)}
    for program in ("mmdebstrap", "curl", "uv"):
        if path := shutil.which(program):
            said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
            match = re.search(r"\d+\.\d+(\.\d+)?", said)
            programs[program] = match[0] if match else "?"
    (programs["pip in the rival"],) = (python.version for python in ground.lock.pythons if python.name == "pip")
    programs["release"] = RELEASE
    programs["sha256"] = f"{_sha256_speed():.1f} GB/s a core"
    return programs


def _sha256_speed() -> float:
    """How fast this machine hashes, which is much of what rtbuild does, and up to ten times slower on some machines."""
    content = bytes(1 << 26)
    return len(content) / 1e9 / min(timed(lambda: hashlib.sha256(content)) for _ in range(3))
