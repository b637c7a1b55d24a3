"""Target platforms and the names that Debian, Python and OCI give them."""

from __future__ import annotations

import platform as host
from dataclasses import dataclass

from rtbuild.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """One target: `name` as OCI spells it, `debian` as dpkg does, `machine` as `uname -m` and wheel tags do."""

    name: str
    debian: str
    machine: str

    @property
    def architecture(self) -> str:
        """The OCI `architecture` field (`amd64`)."""
        return self.name.split("/")[1]

    @property
    def slug(self) -> str:
        """The name as part of a file name (`linux-amd64`)."""
        return self.name.replace("/", "-")

    def __str__(self) -> str:
        return self.name


PLATFORMS = {
    p.name: p
    for p in (
        Platform(name="linux/amd64", debian="amd64", machine="x86_64"),
        Platform(name="linux/arm64", debian="arm64", machine="aarch64"),
    )
}


def parse_platform(name: str) -> Platform:
    """The platform called `name`; raises `UsageError` for one rtbuild does not know."""
    try:
        return PLATFORMS[name]
    except KeyError:
        known = ", ".join(PLATFORMS)
        raise UsageError(f"unknown platform {name!r}", hint=f"known platforms: {known}") from None


def host_platform() -> Platform:
    """The platform of this machine; raises `UsageError` on an architecture rtbuild does not know."""
    machine = {"AMD64": "x86_64", "arm64": "aarch64"}.get(host.machine(), host.machine())
    for candidate in PLATFORMS.values():
        if candidate.machine == machine:
            return candidate
    raise UsageError(f"this machine's architecture {machine!r} is not one rtbuild can build on")
