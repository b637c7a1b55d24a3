"""A usable engine: one that was looked at and found new enough."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Unpack

from rtbuild.digest import Digest
from rtbuild.engine import containers, images
from rtbuild.engine.build import BuildOptions, BuildOutcome, Builds, build
from rtbuild.engine.containers import Container, ContainerOptions, RunOutcome
from rtbuild.engine.endpoint import Endpoint
from rtbuild.engine.images import ImageFacts
from rtbuild.engine.versions import EngineVersions
from rtbuild.errors import EngineError
from rtbuild.platform import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A daemon whose BuildKit rtbuild drives. `platforms` are those it can run programs of, as OCI spells them."""

    endpoint: Endpoint
    versions: EngineVersions
    driver: str
    """buildx's driver of the builder: `docker` for the daemon's own BuildKit."""
    platforms: tuple[str, ...]
    scratch: Path
    """Where builds have folders of their own while they run."""
    private: bool = False
    builds: Builds = field(default_factory=Builds, init=False, repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.endpoint.title} ({self.versions})"

    def require_platform(self, platform: Platform) -> None:
        """Raises `EngineError` with the command that mends it where the engine cannot run programs of `platform`."""
        if platform.name in self.platforms:
            return
        raise EngineError(
            f"{self.endpoint.title} cannot run programs of {platform}",
            details=f"it can run {', '.join(self.platforms) or 'nothing it tells of'}",
            hint="give the engine's machine an emulator: `apt-get install qemu-user-static binfmt-support`; where no "
            "systemd runs, also `mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc` and "
            f"`cat /usr/lib/binfmt.d/qemu-{platform.machine}.conf > /proc/sys/fs/binfmt_misc/register`",
        )

    def build(self, context: Path, *, log: Path, **options: Unpack[BuildOptions]) -> BuildOutcome:
        """See `rtbuild.engine.build.build`; raises `EngineError` for a platform that the engine cannot run."""
        if (platform := options.get("platform")) is not None:
            self.require_platform(platform)
        return build(self.endpoint, context, builds=self.builds, scratch=self.scratch, log=log, **options)

    def interrupt(self) -> int:
        """End the builds of this value, from any thread; it begins no more. See `rtbuild.engine.build.Builds`."""
        return self.builds.interrupt()

    def load(self, layout: Path, names: Sequence[str], *, manifest: Digest | None = None) -> Digest:
        """See `rtbuild.engine.images.load`."""
        return images.load(self.endpoint, layout, names, manifest=manifest)

    def inspect(self, reference: str) -> ImageFacts | None:
        """See `rtbuild.engine.images.inspect`."""
        return images.inspect(self.endpoint, reference)

    def remove_image(self, reference: str) -> None:
        """See `rtbuild.engine.images.remove_image`."""
        images.remove_image(self.endpoint, reference)

    def run(
        self,
        reference: str,
        command: Sequence[str] = (),
        *,
        timeout: float | None = None,
        **options: Unpack[ContainerOptions],
    ) -> RunOutcome:
        """See `rtbuild.engine.containers.run`."""
        return containers.run(self.endpoint, reference, command, timeout=timeout, **options)

    def running(
        self, reference: str, command: Sequence[str] = (), **options: Unpack[ContainerOptions]
    ) -> AbstractContextManager[Container]:
        """See `rtbuild.engine.containers.running`."""
        return containers.running(self.endpoint, reference, command, **options)
