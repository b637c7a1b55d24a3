"""Why a lock holds a package: its dependencies, read backwards."""

from __future__ import annotations

import difflib
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rtbuild.errors import UsageError
from rtbuild.lockfile.model import DebArtifact, Lock, PythonArtifact
from rtbuild.recipe.model import Release

_NO_ORIGIN = "nothing in the recipes names it or what needs it"


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedPatch:
    """A patch of a locked package; `kind` and `title` are empty if the recipes no longer have it."""

    id: str
    kind: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why the lock holds a package.

    Attributes:
        kind: `deb`, `python` or `python-build`.
        name: The package.
        version: Its locked version.
        layer: The recipe layer that holds it, or for `python-build` the package whose sdist needs it.
        origin: Why the first package of `chain` is in the lock.
        chain: The shortest way to this package from one that the recipes name.
        needed_by: The packages that depend on this one directly.
        patches: The patches applied to it, in order.
    """

    kind: str
    name: str
    version: str
    layer: str
    origin: str
    chain: tuple[str, ...]
    needed_by: tuple[str, ...]
    patches: tuple[AppliedPatch, ...] = ()


def reasons_for(release: Release, lock: Lock, package: str) -> tuple[Reason, ...]:
    """Return why `lock` holds `package`: a Debian one, a Python one and one that sdists are built with, if it has them.

    A version behind the name is ignored: the answer says which one is locked.

    Raises:
        UsageError: if the lock has no package of that name.
    """
    # As a recipe or a requirement spells it: `tini=0.19.0-1`, `celery==5.2.7`.
    package = package.partition("=")[0].strip()
    normalized = canonicalize_name(package)
    debs, pythons = _Dependencies.of_debs(release, lock), _Dependencies.of_pythons(release, lock)
    reasons = [
        *(debs.reason("deb", deb) for deb in lock.debs if deb.name == package),
        *(
            pythons.reason("python", python, _applied(release, python))
            for python in lock.pythons
            if python.name == normalized
        ),
        *(_build_reason(python) for python in lock.build_pythons if python.name == normalized),
    ]
    if not reasons:
        names = {deb.name for deb in lock.debs} | {python.name for python in (*lock.pythons, *lock.build_pythons)}
        near = difflib.get_close_matches(normalized, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "see the lockfile for the names of all locked packages"
        raise UsageError(f"the lock of {lock.release} for {lock.platform} has no package {package!r}", hint=hint)
    return tuple(reasons)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dependencies:
    """The dependencies of one side of a lock: who needs each package, and why those that recipes name are there."""

    needed_by: Mapping[str, set[str]]
    origins: Mapping[str, str]

    @classmethod
    def of_debs(cls, release: Release, lock: Lock) -> _Dependencies:
        origins = {deb.name: f"essential in {deb.suite}" for deb in lock.debs if deb.essential}
        for layer in release.debian_layers:
            origins |= {request.partition("=")[0]: f"recipe layer {layer.name}" for request in layer.packages}
        return cls(needed_by=_reversed((deb.name, deb.depends) for deb in lock.debs), origins=origins)

    @classmethod
    def of_pythons(cls, release: Release, lock: Lock) -> _Dependencies:
        required = (canonicalize_name(Requirement(text).name) for text in release.requirements)
        origins: dict[str, str] = dict.fromkeys(required, "the release's requirements")
        origins |= {python.name: f"local package {python.path}" for python in lock.pythons if python.local}
        return cls(needed_by=_reversed((python.name, python.requires) for python in lock.pythons), origins=origins)

    def reason(
        self, kind: str, artifact: DebArtifact | PythonArtifact, patches: tuple[AppliedPatch, ...] = ()
    ) -> Reason:
        chain = self._chain(artifact.name)
        return Reason(
            kind=kind,
            name=artifact.name,
            version=artifact.version,
            layer=artifact.layer,
            origin=self.origins.get(chain[0], _NO_ORIGIN),
            chain=chain,
            needed_by=tuple(sorted(self.needed_by.get(artifact.name, set()) - {artifact.name})),
            patches=patches,
        )

    def _chain(self, package: str) -> tuple[str, ...]:
        """The shortest way from a package with an origin to `package`; the first by name if several are as short."""
        waiting: deque[tuple[str, ...]] = deque([(package,)])
        seen = {package}
        while waiting:
            chain = waiting.popleft()
            if chain[0] in self.origins:
                return chain
            for dependent in sorted(self.needed_by.get(chain[0], set()) - seen):
                seen.add(dependent)
                waiting.append((dependent, *chain))
        return (package,)


def _reversed(dependencies: Iterable[tuple[str, Iterable[str]]]) -> dict[str, set[str]]:
    needed_by: dict[str, set[str]] = {}
    for package, needed in dependencies:
        for name in needed:
            needed_by.setdefault(name, set()).add(package)
    return needed_by


def _applied(release: Release, python: PythonArtifact) -> tuple[AppliedPatch, ...]:
    patches = {patch.id: patch for patch in release.patches}
    return tuple(
        AppliedPatch(id=patch.id, kind=patch.kind, title=patch.title)
        if (patch := patches.get(locked.id)) is not None
        else AppliedPatch(id=locked.id, kind="", title="")
        for locked in python.patches
    )


def _build_reason(python: PythonArtifact) -> Reason:
    return Reason(
        kind="python-build",
        name=python.name,
        version=python.version,
        layer=python.layer,
        origin=f"building {python.layer} from source" if python.layer else "building sdists",
        chain=(python.name,),
        needed_by=(python.layer,) if python.layer else (),
    )
