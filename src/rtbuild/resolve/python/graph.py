"""Work out which of the chosen packages need which, and the layer that each belongs to.

Pure: no index, no pip. Every requirement is followed again, independently of the resolver, so that packages that do not
fit each other are found here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from rtbuild.errors import ResolutionError
from rtbuild.recipe.model import PythonLayer

PackageExtra = tuple[str, str]
"""A package's name and one of its extras, or an empty string for the package itself."""

_RECIPE = "the recipe"


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonPackage:
    """A chosen package. `extras` are the extras that it provides, normalized."""

    name: str
    version: Version
    requires: tuple[Requirement, ...]
    extras: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """How the packages depend on each other."""

    needs: Mapping[str, tuple[str, ...]]
    """The packages that each package needs, with all extras that are asked of it."""
    layers: Mapping[str, str]
    """Each package's layer."""
    missing_extras: tuple[str, ...]
    """One line for each extra that a package asks for and that does not exist; pip ignores those too."""


def build_graph(
    packages: Mapping[str, PythonPackage],
    *,
    requirements: Sequence[str],
    layers: Sequence[PythonLayer],
    environment: Mapping[str, str],
) -> Graph:
    """Follow `requirements` through `packages`.

    Args:
        packages: The chosen packages, by name.
        requirements: The direct requirements of the release.
        layers: The Python layers, bottom first.
        environment: The target's environment markers (PEP 508).

    Raises:
        ResolutionError: if a requirement is not met, nothing leads to a package, the recipe asks for an extra that
            does not exist, or a package is in no layer.
    """
    walk = _Walk(packages, environment)
    reached = walk.closure(requirements, where=_RECIPE)
    if walk.problems:
        raise ResolutionError(
            "the resolved packages do not fit each other", details="\n".join(sorted(set(walk.problems)))
        )
    if walk.recipe_extras:
        raise ResolutionError(
            walk.recipe_extras[0],
            details="\n".join(walk.recipe_extras),
            hint="remove the extra from the recipe, or choose a version that provides it",
        )
    needless = sorted(set(packages) - {name for name, _ in reached})
    if needless:
        raise ResolutionError("nothing needs some of the resolved packages", details="\n".join(needless))
    needs: dict[str, set[str]] = {name: set() for name, _ in reached}
    for name, extra in reached:
        needs[name] |= {other for other, _ in walk.edges((name, extra))} - {name}
    return Graph(
        needs={name: tuple(sorted(needs[name])) for name in sorted(needs)},
        layers=_assign(walk, set(needs), requirements, layers),
        missing_extras=tuple(walk.other_extras),
    )


def _assign(walk: _Walk, names: set[str], requirements: Sequence[str], layers: Sequence[PythonLayer]) -> dict[str, str]:
    """Assign each package to a layer.

    Up to the layer without roots, which takes the rest, a package is in the first layer whose roots lead to it. Layers
    above that one hold their roots and the packages that nothing else leads to: what they share with other layers stays
    below, so that adding such a layer does not change the layers below it.
    """
    reached = {layer.name: {name for name, _ in _closure(walk, layer)} for layer in layers}
    rest = next((index for index, layer in enumerate(layers) if not layer.roots), len(layers))
    above = layers[rest + 1 :]
    tops = {name for layer in above for name in _names(layer.roots)}
    others = [text for text in requirements if not tops.intersection(_names([text]))]
    shared = {name for name, _ in walk.closure(others, where=_RECIPE)} - tops if above else set()
    assigned = {name: layer.name for layer in reversed(above) for name in _names(layer.roots)}
    for layer in (*layers[:rest], *above):
        for name in sorted(reached[layer.name]):
            if layer not in above or name not in shared:
                assigned.setdefault(name, layer.name)
    homeless = sorted(names - set(assigned))
    if homeless and rest == len(layers):
        raise ResolutionError(
            f"{homeless[0]} belongs to no layer",
            details="\n".join(homeless),
            hint="give one Python layer no roots: it takes the packages of no other layer",
        )
    return {name: assigned[name] if name in assigned else layers[rest].name for name in names}


def _closure(walk: _Walk, layer: PythonLayer) -> set[PackageExtra]:
    reached = walk.closure(layer.roots, where=f"the recipe of layer {layer.name}")
    if walk.problems or walk.recipe_extras:
        problems = [*walk.problems, *walk.recipe_extras]
        raise ResolutionError(
            f"the roots of layer {layer.name} are not among the packages of the release",
            details="\n".join(problems),
            hint="name packages that the release's requirements lead to",
        )
    return reached


def _names(requirements: Iterable[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


class _Walk:
    """Follows requirements and collects every problem instead of stopping at the first."""

    def __init__(self, packages: Mapping[str, PythonPackage], environment: Mapping[str, str]) -> None:
        self._packages = packages
        self._environment = environment
        self._edges: dict[PackageExtra, tuple[PackageExtra, ...]] = {}
        self.problems: list[str] = []
        self.recipe_extras: list[str] = []
        self.other_extras: list[str] = []

    def closure(self, requirements: Iterable[str], *, where: str) -> set[PackageExtra]:
        """Return everything that the requirements lead to."""
        reached: set[PackageExtra] = set()
        waiting: list[PackageExtra] = []
        for line in requirements:
            requirement = Requirement(line)
            if self._applies(requirement, ""):
                waiting += self._nodes(requirement, where)
        while waiting:
            node = waiting.pop()
            if node not in reached:
                reached.add(node)
                waiting += self.edges(node)
        return reached

    def edges(self, node: PackageExtra) -> tuple[PackageExtra, ...]:
        """Return what a package, or one extra of it, requires."""
        if node not in self._edges:
            name, extra = node
            package = self._packages[name]
            nodes: list[PackageExtra] = [(name, "")] if extra else []
            for requirement in package.requires:
                # PEP 508: requirements without an extra in their marker are the package's own.
                if self._applies(requirement, extra):
                    nodes += self._nodes(requirement, f"{name} {package.version}")
            self._edges[node] = tuple(dict.fromkeys(nodes))
        return self._edges[node]

    def _nodes(self, requirement: Requirement, by: str) -> list[PackageExtra]:
        name = canonicalize_name(requirement.name)
        package = self._packages.get(name)
        if package is None:
            self.problems.append(f"{by} needs {requirement}, which was not chosen")
            return []
        if not requirement.specifier.contains(package.version, prereleases=True):
            self.problems.append(f"{by} needs {requirement}, but {package.version} was chosen")
        nodes: list[PackageExtra] = [(name, "")]
        for extra in sorted(map(canonicalize_name, requirement.extras)):
            if extra in package.extras:
                nodes.append((name, extra))
            else:
                known = ", ".join(sorted(package.extras)) or "none"
                line = f"{name} {package.version} does not provide the extra {extra!r} that {by} asks for"
                if by.startswith(_RECIPE):
                    self.recipe_extras.append(f"{line} (it has: {known})")
                else:
                    self.other_extras.append(line)
        return nodes

    def _applies(self, requirement: Requirement, extra: str) -> bool:
        if requirement.marker is None:
            return True
        return requirement.marker.evaluate({**self._environment, "extra": extra})
