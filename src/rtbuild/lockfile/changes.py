"""What changed from one lock to another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rtbuild.lockfile.model import DebArtifact, Lock, LockedPatch, PythonArtifact


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageChange:
    """A package that was added, removed or changed.

    Attributes:
        kind: `deb`, `python` or `python-build`.
        name: The package.
        before: Its version in the older lock; None if the package was added.
        after: Its version in the newer lock; None if the package was removed.
        patched: Whether only its patches differ, not its file.
    """

    kind: str
    name: str
    before: str | None
    after: str | None
    patched: bool = False

    def __str__(self) -> str:
        """One line, such as `~ celery 5.2.6 -> 5.2.7 (python)`."""
        if self.before is None:
            return f"+ {self.name} {self.after} ({self.kind})"
        if self.after is None:
            return f"- {self.name} {self.before} ({self.kind})"
        if self.before == self.after:
            what = "other patches" if self.patched else "another file"
            return f"~ {self.name} {self.after}: {what} ({self.kind})"
        return f"~ {self.name} {self.before} -> {self.after} ({self.kind})"


def compare_locks(before: Lock | None, after: Lock) -> tuple[PackageChange, ...]:
    """Return every package that differs between two locks, sorted by kind and name; without `before`, all of `after`'s.

    A package differs if its version, file or patches do.
    """
    changes: list[PackageChange] = []
    for kind in ("deb", "python", "python-build"):
        older, newer = _artifacts(before, kind) if before else {}, _artifacts(after, kind)
        for key in sorted(older.keys() | newer.keys()):
            old, new = older.get(key), newer.get(key)
            same_file = old is not None and new is not None and old.sha256 == new.sha256
            if not same_file or _patches(old) != _patches(new):
                change = PackageChange(
                    kind=kind,
                    name=key[0],
                    before=old.version if old else None,
                    after=new.version if new else None,
                    patched=same_file,
                )
                changes.append(change)
    return tuple(changes)


def _patches(artifact: DebArtifact | PythonArtifact | None) -> tuple[LockedPatch, ...]:
    return artifact.patches if isinstance(artifact, PythonArtifact) else ()


def _artifacts(lock: Lock, kind: str) -> Mapping[tuple[str, str], DebArtifact | PythonArtifact]:
    """The artifacts by name and layer; the layer counts only where sdists may be built with different versions."""
    artifacts: Iterable[DebArtifact | PythonArtifact]
    match kind:
        case "deb":
            artifacts = lock.debs
        case "python":
            artifacts = lock.pythons
        case _:
            return {(artifact.name, artifact.layer): artifact for artifact in lock.build_pythons}
    return {(artifact.name, ""): artifact for artifact in artifacts}
