"""The packages that a resolution may choose from: several indexes seen as one."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from rtbuild.formats.debian_relations import Alternatives, Relation
from rtbuild.formats.debian_versions import version_key
from rtbuild.resolve.debian.packages_file import PRIORITIES, DebianPackage, PackagesIndex


class Universe:
    """The packages of several indexes, for one dpkg architecture.

    Args:
        indexes: The indexes, in the recipe's order of suites.
        preferred: Packages, by name, that are preferred to newer versions. They need not be in any index.
    """

    def __init__(
        self,
        indexes: Sequence[PackagesIndex],
        architecture: str,
        *,
        preferred: Mapping[str, DebianPackage] | None = None,
    ) -> None:
        self._indexes = tuple(indexes)
        self._architecture = architecture
        self._preferred = dict(preferred or {})
        self._versions: dict[str, tuple[DebianPackage, ...]] = {}
        self._satisfying: dict[Relation, tuple[DebianPackage, ...]] = {}
        self._options: dict[Alternatives, tuple[Option, ...]] = {}
        self._preferences: dict[Alternatives, Mapping[str, int]] = {}
        self._mentions: dict[str, tuple[int, tuple[int, int, int]]] = {}

    def versions(self, name: str) -> tuple[DebianPackage, ...]:
        """Return the packages called `name`, best first: the preferred one, then by suite priority and version.

        As in apt, a version that several suites have comes from the first of them.
        """
        if name not in self._versions:
            known: dict[str, tuple[int, DebianPackage]] = {}
            for index in self._indexes:
                for package in index.versions(name):
                    known.setdefault(package.version, (index.priority, package))
            ranked = sorted(known.values(), key=lambda pair: (pair[0], version_key(pair[1].version)), reverse=True)
            best = self._preferred.get(name)
            rest = tuple(package for _, package in ranked if best is None or package.version != best.version)
            self._versions[name] = rest if best is None else (best, *rest)
        return self._versions[name]

    def restrict(self, relation: Relation) -> bool:
        """Offer only versions that satisfy `relation` from now on; if there are none, only return False."""
        kept = tuple(package for package in self.versions(relation.name) if self._is(package, relation))
        if kept:
            self._versions[relation.name] = kept
        return bool(kept)

    def candidate(self, name: str) -> DebianPackage | None:
        """Return the version that is chosen unless something forbids it; None for an unknown or purely virtual name."""
        return next(iter(self.versions(name)), None)

    def essential(self) -> tuple[str, ...]:
        """Return the names of the essential packages (Debian Policy 3.8), sorted."""
        candidates = (self.candidate(name) for index in self._indexes for name in index.essential)
        return tuple(sorted({package.name for package in candidates if package is not None and package.essential}))

    def satisfying(self, relation: Relation) -> tuple[DebianPackage, ...]:
        """Return every package that satisfies `relation`: real ones, best first, then providers in no special order."""
        if relation not in self._satisfying:
            real = [package for package in self.versions(relation.name) if self._is(package, relation)]
            self._satisfying[relation] = (*real, *self._providers(relation))
        return self._satisfying[relation]

    def options(self, alternatives: Alternatives) -> tuple[Option, ...]:
        """Return the options of `a | b`: package names with the versions that fit, in no particular order."""
        if alternatives not in self._options:
            by_name: dict[str, list[DebianPackage]] = {}
            for relation in alternatives:
                for package in self.satisfying(relation):
                    by_name.setdefault(package.name, []).append(package)
            self._options[alternatives] = tuple(Option(name, frozenset(fitting)) for name, fitting in by_name.items())
        return self._options[alternatives]

    def preferences(self, alternatives: Alternatives) -> Mapping[str, int]:
        """Return the place of each option of `a | b` in apt's order of preference, by package name.

        The alternatives come in their order, and for each the real package before its providers. Providers are sorted
        as by apt's CompareProviders: essential ones, then by Priority, then the one that the indexes mention last. The
        last rule is arbitrary, and finding where a name is mentioned first takes milliseconds, so call this only when a
        choice has to be made.

        apt never considers a version other than the candidate. Here such versions are a last resort and come last.
        """

        def preference(package: DebianPackage, relation: Relation) -> tuple[bool, bool, bool, int]:
            passed_over = package is not self.candidate(package.name)
            return passed_over, package.name != relation.name, not package.essential, _rank(package)

        if alternatives not in self._preferences:
            order: dict[str, int] = {}
            for resort in (False, True):
                for relation in alternatives:
                    ranked = [(preference(package, relation), package.name) for package in self.satisfying(relation)]
                    ranked = [pair for pair in ranked if pair[0][0] is resort and pair[1] not in order]
                    if len({rank for rank, _ in ranked}) < len(ranked):
                        ranked.sort(key=lambda pair: self._first_mention(pair[1]), reverse=True)
                    for _, name in sorted(ranked, key=lambda pair: pair[0]):
                        order.setdefault(name, len(order))
            self._preferences[alternatives] = order
        return self._preferences[alternatives]

    def near(self, name: str) -> list[str]:
        """Return names of packages that look like `name`."""
        # The first letter is rarely the mistyped one, and comparing with all 60,000 names takes seconds.
        names = {known for index in self._indexes for known in index.names if known[:1] == name[:1]}
        return difflib.get_close_matches(name, sorted(names), n=3, cutoff=0.7)

    def _providers(self, relation: Relation) -> list[DebianPackage]:
        providing = {package.name: package for index in self._indexes for package in index.providers(relation.name)}
        providing |= {
            name: package
            for name, package in self._preferred.items()
            if any(provided.name == relation.name for provided in package.provides)
        }
        return [
            package
            for name in sorted(providing)
            for package in self.versions(name)
            if any(self._provides(package, provided, relation) for provided in package.provides)
            and not (name == relation.name and self._is(package, relation))
        ]

    def _first_mention(self, name: str) -> tuple[int, tuple[int, int, int]]:
        if name not in self._mentions:
            mentions = ((number, index.first_mention(name)) for number, index in enumerate(self._indexes))
            first = next(((number, mention) for number, mention in mentions if mention is not None), None)
            self._mentions[name] = first or (len(self._indexes), (0, 0, 0))
        return self._mentions[name]

    def _is(self, package: DebianPackage, relation: Relation) -> bool:
        return (
            package.name == relation.name
            and self._fits_qualifier(package, relation.qualifier)
            and relation.accepts(package.version)
        )

    def _provides(self, package: DebianPackage, provided: Relation, relation: Relation) -> bool:
        """Whether a Provides satisfies a relation: one with a version needs a Provides with a version (Policy 7.5)."""
        if provided.name != relation.name:
            return False
        if not self._fits_qualifier(package, relation.qualifier) and provided.qualifier != relation.qualifier:
            return False
        if not relation.operator:
            return True
        return provided.operator == "=" and relation.accepts(provided.version)

    def _fits_qualifier(self, package: DebianPackage, qualifier: str) -> bool:
        """Whether a qualifier admits a package: `name:any` needs `Multi-Arch: allowed`, `name:amd64` that architecture.

        Packages of architecture `all` count as the universe's own architecture.
        """
        match qualifier:
            case "" | "native":
                return True
            case "any":
                return package.multi_arch == "allowed"
            case _:
                return qualifier == self._architecture


class Option:
    """One way to satisfy alternatives: a package name with the versions that fit. Compared by identity."""

    __slots__ = ("name", "packages")

    def __init__(self, name: str, packages: frozenset[DebianPackage]) -> None:
        self.name = name
        self.packages = packages


def _rank(package: DebianPackage) -> int:
    return PRIORITIES.index(package.priority) if package.priority in PRIORITIES else len(PRIORITIES)
