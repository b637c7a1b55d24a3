"""Target platforms and the names that OCI, Debian and Python give them.

| | OCI (`name`) | Debian (`debian`) | `uname -m`, wheel tags (`machine`) |
|---|---|---|---|
| x86, 64 bit | `linux/amd64` | `amd64` | `x86_64` |
| Arm, 64 bit | `linux/arm64` | `arm64` | `aarch64` |

Files (recipes, lockfiles) hold the OCI name and nothing else; `platform_named` reads those. What a person types may be
any of the names; `parse_platform` reads that.
"""

from __future__ import annotations

import platform as host
from dataclasses import dataclass

from rtbuild.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """A target platform: `name` as OCI spells it, `debian` as dpkg does, `machine` as `uname -m` and wheel tags do."""

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
    platform.name: platform
    for platform in (
        Platform(name="linux/amd64", debian="amd64", machine="x86_64"),
        Platform(name="linux/arm64", debian="arm64", machine="aarch64"),
    )
}
"""Every platform that rtbuild builds for, by its OCI name."""

# The same names mean the same in `docker build --platform`; v8 and v1 are the variants that every such machine has.
_BY_ALIAS = {
    alias: platform
    for platform, aliases in (
        (PLATFORMS["linux/amd64"], ("amd64", "amd64/v1", "x86_64", "x86-64")),
        (PLATFORMS["linux/arm64"], ("arm64", "arm64/v8", "aarch64")),
    )
    for alias in aliases
}


def platform_named(name: str) -> Platform:
    """Return the platform whose OCI name is exactly `name`, as files spell it.

    Raises:
        UsageError: if there is no such platform.
    """
    try:
        return PLATFORMS[name]
    except KeyError:
        raise _unknown(name) from None


def parse_platform(text: str) -> Platform:
    """Return the platform that a person means: `linux/amd64`, `amd64`, `x86_64`, `linux/arm64/v8`, in any case.

    Raises:
        UsageError: if rtbuild does not build for such a platform.
    """
    platform = _BY_ALIAS.get(text.strip().lower().removeprefix("linux/"))
    if platform is None:
        raise _unknown(text)
    return platform


def parse_platforms(text: str) -> tuple[Platform, ...]:
    """Return the platforms of a comma-separated list (`linux/amd64,arm64`) in its order, without duplicates.

    Raises:
        UsageError: if the list has an empty item or a platform that rtbuild does not build for.
    """
    return tuple(dict.fromkeys(parse_platform(name) for name in text.split(",")))


def host_platform() -> Platform:
    """Return the platform of this machine.

    Raises:
        UsageError: if rtbuild does not build for this machine's architecture.
    """
    platform = _BY_ALIAS.get(host.machine().lower())
    if platform is None:
        raise UsageError(
            f"unsupported architecture {host.machine()!r}", hint="name a platform to build for with --platform"
        )
    return platform


def _unknown(name: str) -> UsageError:
    return UsageError(f"unknown platform {name!r}", hint=f"known platforms: {', '.join(PLATFORMS)}")
