"""The folder that holds the lockfiles of a workspace."""

from __future__ import annotations

from pathlib import Path

from rtbuild.platform import Platform

LOCK_FOLDER = "runtime.lock"
"""The name of the folder, in the top folder of a workspace."""


def release_lock(version: str, platform: Platform) -> str:
    """Return the path of the lock of a release in its workspace."""
    return f"{LOCK_FOLDER}/{version}/{platform.slug}.toml"


def lock_name(path: Path) -> str:
    """Return the lockfile `path` as messages name it: its path in the workspace, if it is in one."""
    parts = path.parts
    return "/".join(parts[parts.index(LOCK_FOLDER) :]) if LOCK_FOLDER in parts else str(path)
