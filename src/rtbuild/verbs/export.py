"""The `export` verb: the Python packages of a lock in a format that other tools read."""

from __future__ import annotations

from rtbuild.lockfile.export import ExportFormat, export_lock
from rtbuild.platform import Platform
from rtbuild.workspace import Workspace


def export(
    workspace: Workspace, release: str, *, platform: Platform | None = None, format: ExportFormat = "requirements"
) -> str:
    """Return the Python packages of a release's lock in a format that other tools read.

    Packages that the release patches are exported as published, since no index has the patched ones.

    Args:
        workspace: The folder with recipes and locks.
        release: A version (`8.0.0`) or a series (`8.0`, its newest release).
        platform: The platform whose lock is exported; this machine's by default.
        format: `requirements` for `pip install --require-hashes`, or `pylock` for a `pylock.toml` (PEP 751).

    Raises:
        UsageError: if there is no such format.
        RecipeError: if there is no such release.
        LockError: if the lock is missing or malformed.
    """
    return export_lock(workspace.read(release, platform).lock, format)
