"""Paths that several wheels install: what is kept, what is dropped, and what the recipe has to decide."""

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
    """The absolute paths of the files of one package's wheel; `digest` gives the sha256 of one of them."""

    package: str
    layer: str
    files: Collection[str]
    digest: Callable[[str], Sha256]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A package that installs a path, with what content."""

    package: str
    layer: str
    sha256: Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """`path` is installed by several packages, here in the order of their layers, bottom first, and then by name."""

    path: str
    claims: tuple[Claim, ...]

    @property
    def equal(self) -> bool:
        """Whether all have the same content."""
        return len({claim.sha256 for claim in self.claims}) == 1

    def __str__(self) -> str:
        return f"{self.path}: {', '.join(claim.package for claim in self.claims)}"


def find_conflicts(wheels: Sequence[WheelFiles]) -> tuple[Conflict, ...]:
    """The paths that more than one of `wheels` (in the order of their layers, bottom first) installs, by path.

    Compiled modules are no part of this: they come and go with their sources.
    Raises `BuildError` where one wheel has a file and another a folder of the same name.
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
            hint="leave one of them out of the requirements, or remove the path in the layer's recipe",
        )
    return tuple(_conflict(path, claimants) for path, claimants in sorted(shared.items()))


def dropped_paths(conflicts: Sequence[Conflict], layers: Sequence[PythonLayer]) -> dict[str, frozenset[str]]:
    """For each package, the paths that it leaves to another one. `layers` are all Python layers, bottom first.

    Within a layer equal files are kept once, in the first package by name. Equal files in two layers are kept in both:
    each layer is a function of its own wheels. Of different files the winner that the upper layer's `preferred` names
    is kept. Raises `BuildError` naming every path that nobody decided.
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
            f"{count} path{'s' if count > 1 else ''} that several packages install with different content",
            details="\n".join(undecided),
            hint="name the package whose file is to be kept under `preferred` in the recipe of the upper layer",
        )
    return {package: frozenset(paths) for package, paths in dropped.items()}


def _conflict(path: str, claimants: Sequence[WheelFiles]) -> Conflict:
    return Conflict(
        path=path,
        claims=tuple(Claim(package=one.package, layer=one.layer, sha256=one.digest(path)) for one in claimants),
    )
