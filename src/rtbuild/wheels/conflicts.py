"""Paths that several wheels install: which copy is kept, and which conflicts the recipe must decide.

| content | installed in | not listed in `preferred` | listed in `preferred` |
|---|---|---|---|
| equal | one layer | kept in the first package by name | kept in the named package |
| different | one layer | error | kept in the named package |
| equal | two layers | kept in both | the upper layer keeps it only in the named package |
| different | two layers | error | the upper layer keeps it only in the named package |

With two layers, `preferred` of the upper layer's recipe decides, and the lower layer always keeps its file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import groupby

from rtbuild.digest import Sha256
from rtbuild.errors import BuildError
from rtbuild.recipe.model import PythonLayer


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelFiles:
    """The absolute paths that the wheel of a package installs; `digest` returns the sha256 of the file at a path."""

    package: str
    layer: str
    files: Collection[str]
    digest: Callable[[str], Sha256]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A package that installs a path, and the sha256 of its content."""

    package: str
    layer: str
    sha256: Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A path that several packages install. `claims` are ordered by layer, bottom first, then by package name."""

    path: str
    claims: tuple[Claim, ...]

    @property
    def equal(self) -> bool:
        """Whether all packages install the same content."""
        return len({claim.sha256 for claim in self.claims}) == 1

    def __str__(self) -> str:
        return f"{self.path}: {', '.join(claim.package for claim in self.claims)}"


def find_conflicts(wheels: Sequence[WheelFiles]) -> tuple[Conflict, ...]:
    """Return the conflicts among `wheels` (ordered by layer, bottom first), sorted by path.

    Compiled modules are not considered: they are kept or dropped with their sources.

    Raises:
        BuildError: if a path is a file in one wheel and a folder in another.
    """
    owners: dict[str, WheelFiles] = {}
    shared: dict[str, list[WheelFiles]] = {}
    folders: dict[str, WheelFiles] = {}
    for wheel in wheels:
        for path in wheel.files:
            if path in owners:
                shared.setdefault(path, [owners[path]]).append(wheel)
                continue
            owners[path] = wheel
            folder = path.rpartition("/")[0]
            while folder and folder not in folders:
                folders[folder] = wheel
                folder = folder.rpartition("/")[0]
    for path in sorted(owners.keys() & folders.keys()):
        raise BuildError(
            f"{path} is a file in {owners[path].package} and a folder in {folders[path].package}",
            hint="remove one of the packages from the requirements, or the path under `removals` in the layer's recipe",
        )
    return tuple(_conflict(path, claimants) for path, claimants in sorted(shared.items()))


def dropped_paths(conflicts: Sequence[Conflict], layers: Sequence[PythonLayer]) -> dict[str, frozenset[str]]:
    """Return the paths that each package leaves to another one, by package.

    Equal files in two layers are kept in both, so that each layer depends on its own wheels alone.

    Args:
        conflicts: The result of `find_conflicts`.
        layers: All Python layers, bottom first.

    Raises:
        BuildError: if the recipes do not decide every conflict; its details list the paths.
    """
    preferred = {layer.name: dict(layer.preferred) for layer in layers}
    dropped: defaultdict[str, set[str]] = defaultdict(set)
    undecided: list[str] = []
    for conflict in conflicts:
        below: list[Claim] = []
        for layer, group in groupby(conflict.claims, key=lambda claim: claim.layer):
            claims = list(group)
            winner = preferred[layer].get(conflict.path)
            if winner is not None and winner not in {claim.package for claim in below + claims}:
                undecided.append(f"{conflict}; the recipe prefers {winner}, which does not install it")
            elif winner is None and len({claim.sha256 for claim in below + claims}) > 1:
                undecided.append(str(conflict))
            keep = winner or claims[0].package
            for claim in claims:
                if claim.package != keep:
                    dropped[claim.package].add(conflict.path)
            below += claims
    if undecided:
        undecided = sorted(set(undecided))
        count = len(undecided)
        raise BuildError(
            f"several packages install {count} path{'s' if count > 1 else ''} with different content",
            details="\n".join(undecided),
            hint="name the package whose file to keep under `preferred` in the recipe of the upper layer",
        )
    return {package: frozenset(paths) for package, paths in dropped.items()}


def _conflict(path: str, claimants: Sequence[WheelFiles]) -> Conflict:
    return Conflict(
        path=path,
        claims=tuple(Claim(package=wheel.package, layer=wheel.layer, sha256=wheel.digest(path)) for wheel in claimants),
    )
