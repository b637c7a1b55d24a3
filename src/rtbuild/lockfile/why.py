"""Who needs a package: the lock's dependencies, read backwards."""

from __future__ import annotations

import difflib
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rtbuild.errors import RtbuildError
from rtbuild.lockfile.model import Lock
from rtbuild.recipe.model import Release


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedPatch:
    """A patch of a locked package; `kind` and `title` are empty where the recipes have it no more."""

    id: str
    kind: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why the lock holds a package. `kind` is `deb`, `python` or `python-build`.

    `chain` leads from a package that the recipes name to this one by the shortest way; `origin` says why its first is
    there. `needed_by` are those that need the package directly. `patches` are in the order in
    which they are applied.
    """

    kind: str
    name: str
    version: str
    layer: str
    origin: str
    chain: tuple[str, ...]
    needed_by: tuple[str, ...]
    patches: tuple[AppliedPatch, ...] = ()


def who_needs(release: Release, lock: Lock, name: str) -> tuple[Reason, ...]:
    """Every package called `name` in `lock`: a Debian one, a Python one, one that only building sdists needs.

    Raises `RtbuildError` where the lock has none.
    """
    asked = {package: f"recipe layer {layer.name}" for layer in release.debian_layers for package in layer.packages}
    debian = {deb.name: (f"essential in {deb.suite}" if deb.essential else None) for deb in lock.debs}
    debian_origin = {deb: asked.get(deb) or origin for deb, origin in debian.items()}
    required = {canonicalize_name(Requirement(text).name) for text in release.requirements}
    needs = [
        _need("deb", one.name, one.version, one.layer, debian_origin, {deb.name: deb.depends for deb in lock.debs})
        for one in lock.debs
        if one.name == name
    ]
    normal = canonicalize_name(name)
    python_origin = {one.name: "the release's requirements" if one.name in required else None for one in lock.pythons}
    python_origin |= {one.name: f"a package of the recipes, {one.path}" for one in lock.pythons if one.local}
    requires = {one.name: one.requires for one in lock.pythons}
    known = {patch.id: AppliedPatch(id=patch.id, kind=patch.kind, title=patch.title) for patch in release.patches}
    needs += [
        replace(
            _need("python", one.name, one.version, one.layer, python_origin, requires),
            patches=tuple(known.get(patch.id, AppliedPatch(id=patch.id, kind="", title="")) for patch in one.patches),
        )
        for one in lock.pythons
        if one.name == normal
    ]
    needs += [
        Reason(
            kind="python-build",
            name=one.name,
            version=one.version,
            layer=one.layer,
            origin=f"building {one.layer} from source" if one.layer else "building sdists",
            chain=(one.name,),
            needed_by=(one.layer,) if one.layer else (),
        )
        for one in lock.build_pythons
        if one.name == normal
    ]
    if not needs:
        names = {deb.name for deb in lock.debs} | {one.name for one in (*lock.pythons, *lock.build_pythons)}
        near = difflib.get_close_matches(normal, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "the lock file lists what there is, by name"
        raise RtbuildError(f"the lock of {lock.release} for {lock.platform} has no package {name!r}", hint=hint)
    return tuple(needs)


def _need(
    kind: str,
    name: str,
    version: str,
    layer: str,
    origins: Mapping[str, str | None],
    requires: Mapping[str, Iterable[str]],
) -> Reason:
    needed_by: dict[str, set[str]] = {}
    for one, names in requires.items():
        for other in names:
            needed_by.setdefault(other, set()).add(one)
    chain = _chain(name, origins, needed_by)
    return Reason(
        kind=kind,
        name=name,
        version=version,
        layer=layer,
        origin=origins.get(chain[0]) or "nothing in the recipes names it or what needs it",
        chain=chain,
        needed_by=tuple(sorted(needed_by.get(name, set()) - {name})),
    )


def _chain(name: str, origins: Mapping[str, str | None], needed_by: Mapping[str, set[str]]) -> tuple[str, ...]:
    """The shortest way from a package with an origin down to `name`; among equals the first by name."""
    waiting: deque[tuple[str, ...]] = deque([(name,)])
    seen = {name}
    while waiting:
        chain = waiting.popleft()
        if origins.get(chain[0]):
            return chain
        for one in sorted(needed_by.get(chain[0], set()) - seen):
            seen.add(one)
            waiting.append((one, *chain))
    return (name,)
