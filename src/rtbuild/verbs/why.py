"""The `why` verb: which recipe or package a locked package is there for."""

from __future__ import annotations

from rtbuild.lockfile.why import Reason, reasons_for
from rtbuild.platform import Platform
from rtbuild.workspace import Workspace


def why(workspace: Workspace, release: str, package: str, *, platform: Platform | None = None) -> tuple[Reason, ...]:
    """Return why the lock of a release holds a package.

    There is one reason for each side of the lock that has a package of this name: Debian packages, Python packages, and
    Python packages that sdists are built with.

    Args:
        workspace: The folder with recipes and locks.
        release: A version (`8.0.0`) or a series (`8.0`, its newest release).
        package: The name of a Debian or Python package; a Python name need not be normalised,
            and a version behind it (`tini=0.19.0-1`) is ignored.
        platform: The platform whose lock is asked; this machine's by default.

    Raises:
        RecipeError: if a recipe is missing or malformed, or the release has no image for the platform.
        LockError: if the lock is missing or malformed.
        UsageError: if the lock has no such package.
    """
    locked = workspace.read(release, platform)
    return reasons_for(locked.release, locked.lock, package)
