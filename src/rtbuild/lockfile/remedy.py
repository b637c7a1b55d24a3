"""What to do about a lock that is missing, stale or malformed: the hints of all errors about locks."""

from __future__ import annotations

from dataclasses import dataclass

from rtbuild.platform import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """The commands that fix a lock, and the hints that name them.

    Attributes:
        update: The command that creates the lock or updates it.
        regenerate: The command that creates it from scratch, whatever is in its place.
    """

    update: str
    regenerate: str

    @property
    def missing(self) -> str:
        """The hint for a lock that does not exist."""
        return f"create it with: {self.update}"

    @property
    def stale(self) -> str:
        """The hint for a lock that no longer fits its recipes."""
        return f"update it with: {self.update}"

    @property
    def malformed(self) -> str:
        """The hint for a lock that was damaged or edited by hand."""
        return f"restore the lockfile from version control, or regenerate it with: {self.regenerate}"


def lock_remedy(version: str | None = None, platform: Platform | None = None) -> Remedy:
    """Return the remedy for the lock of a release; without a version or platform, for the locks of all of them."""
    command = "rtbuild lock" + (f" {version}" if version else "") + (f" --platform {platform}" if platform else "")
    return Remedy(update=command, regenerate=f"{command} --refresh")


def engine_lock_remedy(name: str, platform: Platform) -> Remedy:
    """Return the remedy for the lock of a private engine, which is always made from scratch."""
    command = f"rtbuild engine lock --name {name} --platform {platform}"
    return Remedy(update=command, regenerate=command)
