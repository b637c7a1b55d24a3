"""The Python that packages are resolved for: its wheel tags and its environment markers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from packaging.tags import compatible_tags, cpython_tags

from rtbuild.errors import UsageError
from rtbuild.platform import Platform

# PEP 600: the older aliases of manylinux_2_N.
_ALIASES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
# The first glibc 2.N that ran on the machine, so the oldest that a wheel for it can ask for.
_OLDEST_GLIBC = {"x86_64": 5, "aarch64": 17}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A CPython on Linux with a glibc. Nothing in it comes from the interpreter that runs rtbuild."""

    platform: Platform
    python: tuple[int, ...]
    """The target's full version, such as (3, 9, 2)."""
    platform_tags: tuple[str, ...]
    """The wheel platform tags that it can load, most specific first."""
    ranks: Mapping[str, int]
    """Each wheel tag that it can load (`cp39-abi3-manylinux_2_17_x86_64`) and its place in the order of preference."""
    environment: Mapping[str, str]
    """Its environment markers (PEP 508)."""

    def __str__(self) -> str:
        return f"Python {self.version} on {self.platform}"

    @property
    def version(self) -> str:
        """The full version, such as `3.9.2`."""
        return ".".join(map(str, self.python))


def target_for(platform: Platform, python_version: str, glibc: tuple[int, int]) -> Target:
    """Return the target with a full Python version (`3.9.2`) and a glibc (`(2, 31)`) on a platform.

    Raises:
        UsageError: if the Python version is malformed or no wheel can be made for the glibc.
    """
    if not re.fullmatch(r"3\.\d+(\.\d+)?", python_version):
        raise UsageError(f"Python {python_version!r} is not a version such as 3.9.2")
    python = tuple(int(part) for part in python_version.split("."))
    platform_tags = tuple(_platform_tags(platform.machine, glibc))
    interpreter = f"cp{python[0]}{python[1]}"
    tags = [
        *cpython_tags(python[:2], [interpreter], platform_tags),
        *compatible_tags(python[:2], interpreter, platform_tags),
    ]
    return Target(
        platform=platform,
        python=python,
        platform_tags=platform_tags,
        ranks={str(tag): rank for rank, tag in reversed(list(enumerate(tags)))},
        environment={
            "implementation_name": "cpython",
            "implementation_version": python_version,
            "os_name": "posix",
            "platform_machine": platform.machine,
            # The kernel is that of the machine that runs the image, not the target's.
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": python_version,
            "platform_python_implementation": "CPython",
            "python_version": f"{python[0]}.{python[1]}",
            "sys_platform": "linux",
        },
    )


def _platform_tags(machine: str, glibc: tuple[int, int]) -> list[str]:
    """Every manylinux tag from the target's glibc down: neither pip nor wheel names spell out the older ones."""
    major, minor = glibc
    oldest = _OLDEST_GLIBC[machine]
    if major != 2 or minor < oldest:
        raise UsageError(
            f"wheels cannot be made for glibc {major}.{minor} on {machine}", hint=f"use glibc 2.{oldest} or newer"
        )
    tags = []
    for number in range(minor, oldest - 1, -1):
        tags.append(f"manylinux_2_{number}_{machine}")
        if number in _ALIASES:
            tags.append(f"{_ALIASES[number]}_{machine}")
    return [*tags, f"linux_{machine}"]
