"""What a new lock moves against the one before it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rtbuild.errors import LockError
from rtbuild.lockfile.model import DebArtifact, Lock, LockedPatch, PythonArtifact
from rtbuild.lockfile.read import read_lock


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A package whose version, file or patches moved; `before` is None for a new one, `after` for one that went.

    `patched` says that only its patches did.
    """

    kind: str
    name: str
    before: str | None
    after: str | None
    patched: bool = False

    def __str__(self) -> str:
        if self.before is None:
            return f"+ {self.name} {self.after} ({self.kind})"
        if self.after is None:
            return f"- {self.name} {self.before} ({self.kind})"
        if self.before == self.after:
            what = "other patches" if self.patched else "another file"
            return f"~ {self.name} {self.after}: {what} ({self.kind})"
        return f"~ {self.name} {self.before} -> {self.after} ({self.kind})"


def locked_before(path: Path) -> Lock | None:
    """The lock at `path`; None where there is none that can be read."""
    try:
        return read_lock(path) if path.exists() else None
    except LockError:
        return None


def moved_packages(before: Lock | None, after: Lock) -> tuple[Move, ...]:
    """Every package that `after` adds, drops or moves against `before`, sorted by kind and name."""
    moves: list[Move] = []
    for kind in ("deb", "python", "python-build"):
        old = _artifacts(before, kind) if before else {}
        new = _artifacts(after, kind)
        for name in sorted(old.keys() | new.keys()):
            one, other = old.get(name), new.get(name)
            if one is None or other is None or one.sha256 != other.sha256 or _patches(one) != _patches(other):
                title = name[0]
                moves.append(
                    Move(
                        kind=kind,
                        name=title,
                        before=one.version if one else None,
                        after=other.version if other else None,
                        patched=one is not None and other is not None and one.sha256 == other.sha256,
                    )
                )
    return tuple(moves)


def _patches(artifact: DebArtifact | PythonArtifact) -> tuple[LockedPatch, ...]:
    return artifact.patches if isinstance(artifact, PythonArtifact) else ()


def _artifacts(lock: Lock, kind: str) -> dict[tuple[str, str], DebArtifact | PythonArtifact]:
    """By name and, because several sdists may be built with different versions of one package, layer."""
    chosen: Iterable[DebArtifact | PythonArtifact]
    match kind:
        case "deb":
            return {(one.name, ""): one for one in lock.debs}
        case "python":
            chosen = lock.pythons
        case _:
            chosen = lock.build_pythons
    return {(one.name, one.layer if kind == "python-build" else ""): one for one in chosen}
