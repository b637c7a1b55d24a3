"""A usable engine: probed, and found new enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Unpack

from rtbuild.digest import Digest
from rtbuild.engine import containers
from rtbuild.engine import images as images_of
from rtbuild.engine.build import BuildOptions, BuildOutcome, Builds, build
from rtbuild.engine.containers import Container, ContainerOptions, RunOutcome
from rtbuild.engine.endpoint import Endpoint
from rtbuild.engine.images import ImageFacts
from rtbuild.engine.versions import EngineVersions
from rtbuild.errors import EngineError
from rtbuild.platform import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A daemon with a BuildKit to build with, images, and containers of them."""

    endpoint: Endpoint
    versions: EngineVersions
    driver: str
    """buildx's driver of the builder: `docker` for the daemon's own BuildKit; empty if it is not for builds."""
    platforms: tuple[str, ...]
    """The platforms whose programs it can run, as OCI spells them."""
    scratch: Path
    """Where builds have their temporary folders."""
    private: bool = False
    """It is a private engine of rtbuild."""
    reason: str = field(default="", compare=False)
    """Why it is not the machine's Docker; empty if it is, or if the settings name it."""
    builds: Builds = field(default_factory=Builds, init=False, repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.endpoint.title} ({self.versions})"

    def require_platform(self, platform: Platform) -> None:
        """Check that the engine can run programs for `platform`.

        Raises:
            EngineError: if it cannot; the hint has the commands that install an emulator.
        """
        if platform.name in self.platforms:
            return
        supported = ", ".join(self.platforms)
        raise EngineError(
            f"{self.endpoint.title} cannot run programs for {platform}",
            details=f"it supports {supported}" if supported else "it reports no supported platforms",
            hint="install an emulator on the engine's machine: `apt-get install qemu-user-static binfmt-support`; "
            "without systemd, also `mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc` and "
            f"`cat /usr/lib/binfmt.d/qemu-{platform.machine}.conf > /proc/sys/fs/binfmt_misc/register`",
        )

    def build(self, context: Path, *, log: Path, **options: Unpack[BuildOptions]) -> BuildOutcome:
        """Build the folder `context`; see `rtbuild.engine.build.build`.

        Raises:
            EngineError: if the engine cannot run programs for the platform, or fails.
            BuildError: if the build fails.
        """
        if (platform := options.get("platform")) is not None:
            self.require_platform(platform)
        return build(self.endpoint, context, builds=self.builds, scratch=self.scratch, log=log, **options)

    def interrupt(self) -> int:
        """End the running builds and refuse new ones; return how many were running. Any thread may call it."""
        return self.builds.interrupt()

    def load(self, layout: Path, images: Mapping[str, Digest | None]) -> tuple[Digest, ...]:
        """Load images of an OCI layout and return the engine's ID of each; see `rtbuild.engine.images.load`."""
        return images_of.load(self.endpoint, layout, images)

    def inspect(self, reference: str) -> ImageFacts | None:
        """Return what the engine reports about an image by name or ID; None if it does not have it."""
        return images_of.inspect(self.endpoint, reference)

    def saved(self, reference: str) -> AbstractContextManager[BinaryIO]:
        """Provide what `docker save` writes of an image; see `rtbuild.engine.images.saved`."""
        return images_of.saved(self.endpoint, reference)

    def remove_image(self, reference: str) -> None:
        """Remove an image by name or ID; do nothing if the engine does not have it."""
        images_of.remove_image(self.endpoint, reference)

    def run(
        self,
        reference: str,
        command: Sequence[str] = (),
        *,
        timeout: float | None = None,
        **options: Unpack[ContainerOptions],
    ) -> RunOutcome:
        """Run `command` in a container of an image until it ends; see `rtbuild.engine.containers.run`."""
        return containers.run(self.endpoint, reference, command, timeout=timeout, **options)

    def running(
        self, reference: str, command: Sequence[str] = (), **options: Unpack[ContainerOptions]
    ) -> AbstractContextManager[Container]:
        """Run `command` in a container of an image until the block ends; see `rtbuild.engine.containers.running`."""
        return containers.running(self.endpoint, reference, command, **options)
