"""Choose packages: Debian's relations as requirements of resolvelib, in the order in which apt chooses.

What apt-get does (2.6, `--no-install-recommends`, nothing installed), and so does this resolver:

- Packages that are asked for by name are taken first, so that they satisfy alternatives of all the others.
- Then dependencies are followed depth first, Pre-Depends before Depends, in the order of the fields.
- Of alternatives, one that is taken already is enough. Otherwise the first that is available is taken: a real package
  before those that provide its name; of providers, an essential one, then the one with the highest Priority.

Where apt gives up (a conflict several choices back, a version that is not the newest), resolvelib backtracks.

resolvelib pins one candidate for each identifier, so that all requirements on the identifier are satisfied:

| relation                         | requirement  | identifier       | candidates                                     |
|----------------------------------|--------------|------------------|------------------------------------------------|
| a package asked for by name      | `Dependency` | the package name | the versions that fit, best first              |
| Depends with one possible option | `Dependency` | the package name | the versions that fit, best first              |
| Depends with several options     | `Choice`     | the alternatives | a `Taken` for each option, which depends on it |
| Conflicts, Breaks                | `Exclusion`  | the package name | `Absent`, if nothing depends on the package    |

An example: the recipe asks for `a` of these packages, all in version 1.

    Package: a         Depends: b, mail | c
    Package: b         Conflicts: c
    Package: c
    Package: exim      Provides: mail
    Package: postfix   Provides: mail, and has a higher Priority than exim

| step | requirement             | place     | pinned          | adds                                                |
|------|-------------------------|-----------|-----------------|-----------------------------------------------------|
| 1    | `Dependency` on a       | (0,)      | a 1             | `Dependency` on b, `Choice` of mail or c            |
| 2    | `Dependency` on b       | (0, 0)    | b 1             | `Exclusion` of c                                    |
| 3    | `Choice` of mail or c   | (0, 1)    | `Taken` postfix | `Dependency` on postfix                             |
| 4    | `Dependency` on postfix | (0, 1, 0) | postfix 1       |                                                     |
| 5    | `Exclusion` of c        | (0, 0)    | `Absent`        |                                                     |

If a conflicted with postfix, step 3 would take exim. If the recipe asked for c too, c would be pinned after a, and the
`Exclusion` of step 2 would leave no candidate for it: an error that says which packages exclude each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, overload

from resolvelib import AbstractProvider, BaseReporter, ResolutionImpossible, ResolutionTooDeep, Resolver
from resolvelib.structs import RequirementInformation, State

from rtbuild.errors import ResolutionError
from rtbuild.formats.debian_relations import Alternatives
from rtbuild.resolve.debian.packages_file import DebianPackage
from rtbuild.resolve.debian.universe import Option, Universe

# A resolution takes about four rounds per package; one that takes this many will not end.
_MAX_ROUNDS = 50_000

Position = tuple[int, ...]
"""Where the depth-first walk comes upon a requirement: the place of the package that has it, then its position in that
package's fields."""


@dataclass(frozen=True, slots=True, eq=False)
class Dependency:
    """`name` must be installed, in one of these versions.

    `chain` says which packages lead to it, the root first; `text` is the relation.
    """

    name: str
    packages: frozenset[DebianPackage]
    place: Position
    chain: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """One of several packages must be installed."""

    alternatives: Alternatives
    place: Position
    chain: tuple[str, ...]

    @property
    def text(self) -> str:
        """The relation as control files write it."""
        return " | ".join(map(str, self.alternatives))


@dataclass(frozen=True, slots=True, eq=False)
class Exclusion:
    """`name` must not be installed in any of these versions."""

    name: str
    packages: frozenset[DebianPackage]
    place: Position
    chain: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Absent:
    """The candidate for a package that is not installed."""

    name: str


@dataclass(frozen=True, slots=True)
class Taken:
    """The candidate for a choice: the option that is taken."""

    alternatives: Alternatives
    option: Option


Requirement = Dependency | Choice | Exclusion
Candidate = DebianPackage | Absent | Taken
Identifier = str | Alternatives


def choose(
    roots: Sequence[Dependency],
    universe: Universe,
    *,
    installed: Mapping[str, DebianPackage],
    locked: Collection[str] = (),
) -> dict[str, DebianPackage]:
    """Return the packages to install so that `roots` are satisfied, by name.

    Args:
        installed: Packages that stay as they are. Their dependencies count as satisfied, their conflicts are respected.
        locked: Names of packages that are preferred among alternatives.

    Raises:
        ResolutionError: if no set of packages satisfies every relation; it says which packages need what.
    """
    watch = _Watch()
    provider = _Provider(universe, installed, frozenset(locked), watch)
    present = [
        Dependency(name, frozenset([package]), (-1, position), (), name)
        for position, (name, package) in enumerate(installed.items())
    ]
    try:
        result = Resolver(provider, watch).resolve([*present, *roots], max_rounds=_MAX_ROUNDS)
    except ResolutionImpossible as error:
        raise _explained([cause.requirement for cause in error.causes], universe) from None
    except ResolutionTooDeep:
        raise ResolutionError(
            f"no set of Debian packages was found in {_MAX_ROUNDS} steps",
            hint="ask for fewer packages to find those that exclude each other",
        ) from None
    chosen = (candidate for candidate in result.mapping.values() if isinstance(candidate, DebianPackage))
    return {package.name: package for package in chosen if package.name not in installed}


class _Watch(BaseReporter[Requirement, Candidate, Identifier]):
    """Remembers what is pinned: resolvelib does not tell its provider when it asks for candidates."""

    def __init__(self) -> None:
        self.pinned: Mapping[Identifier, Candidate] = {}

    def ending_round(self, index: int, state: State[Requirement, Candidate, Identifier]) -> None:
        self.pinned = state.mapping


class _Provider(AbstractProvider[Requirement, Candidate, Identifier]):
    def __init__(
        self, universe: Universe, installed: Mapping[str, DebianPackage], locked: frozenset[str], watch: _Watch
    ) -> None:
        self._universe = universe
        self._installed = installed
        self._locked = locked
        self._watch = watch
        self._asked: dict[Identifier, Requirement] = {}
        """The first requirement on each identifier in the walk: it gives the pinned candidate its place."""

    def identify(self, requirement_or_candidate: Requirement | Candidate) -> Identifier:
        if isinstance(requirement_or_candidate, (Choice, Taken)):
            return requirement_or_candidate.alternatives
        return requirement_or_candidate.name

    def narrow_requirement_selection(
        self,
        identifiers: Iterable[Identifier],
        resolutions: Mapping[Identifier, Candidate],
        candidates: Mapping[Identifier, Iterator[Candidate]],
        information: Mapping[Identifier, Iterator[RequirementInformation[Requirement, Candidate]]],
        backtrack_causes: Sequence[RequirementInformation[Requirement, Candidate]],
    ) -> Iterable[Identifier]:
        first = {}
        for identifier in identifiers:
            # After backtracking, resolvelib keeps identifiers that nothing requires anymore; they must not have a turn.
            if asked := [known.requirement for known in information[identifier]]:
                first[identifier] = self._asked[identifier] = min(asked, key=_turn)
        return [min(first, key=lambda identifier: _turn(first[identifier]))] if first else identifiers

    def get_preference(self, identifier: Identifier, *_args: Any, **_kwargs: Any) -> int:
        return 0  # does not matter: `narrow_requirement_selection` leaves one identifier

    def find_matches(
        self,
        identifier: Identifier,
        requirements: Mapping[Identifier, Iterator[Requirement]],
        incompatibilities: Mapping[Identifier, Iterator[Candidate]],
    ) -> Sequence[Candidate]:
        wanted = list(requirements[identifier])
        if wanted:
            self._asked[identifier] = min(wanted, key=_turn)
        bad = set(incompatibilities[identifier])
        if not isinstance(identifier, str):
            taken = [Taken(identifier, option) for option in self._universe.options(identifier)]
            left = [candidate for candidate in taken if candidate not in bad]
            return _Options(left, self._universe, self._watch, self._locked)
        known: Iterable[Candidate]
        if not any(isinstance(requirement, Dependency) for requirement in wanted):
            known = [_absent(identifier)]
        elif identifier in self._installed:
            known = [self._installed[identifier]]
        else:
            known = self._universe.versions(identifier)
        return [
            candidate
            for candidate in known
            if candidate not in bad and all(self.is_satisfied_by(requirement, candidate) for requirement in wanted)
        ]

    def is_satisfied_by(self, requirement: Requirement, candidate: Candidate) -> bool:
        if isinstance(requirement, Dependency):
            return candidate in requirement.packages
        return isinstance(requirement, Choice) or candidate not in requirement.packages

    def get_dependencies(self, candidate: Candidate) -> Iterable[Requirement]:
        if isinstance(candidate, Absent):
            return
        asked = self._asked[self.identify(candidate)]
        if isinstance(candidate, Taken):
            name, packages = candidate.option.name, candidate.option.packages
            yield Dependency(name, packages, (*asked.place, 0), asked.chain, asked.text)
            return
        chain = (*asked.chain, candidate.name)
        if candidate.name not in self._installed:
            for position, alternatives in enumerate(candidate.depends):
                yield self._positive(alternatives, (*asked.place, position), chain)
        yield from self._exclusions(candidate, asked.place, chain)

    def _positive(self, alternatives: Alternatives, place: Position, chain: tuple[str, ...]) -> Requirement:
        options = self._universe.options(alternatives)
        if len(options) > 1:
            return Choice(alternatives, place, chain)
        text = " | ".join(map(str, alternatives))
        if not options:
            return Dependency(alternatives[0].name, frozenset(), place, chain, text)
        return Dependency(options[0].name, options[0].packages, place, chain, text)

    def _exclusions(self, package: DebianPackage, place: Position, chain: tuple[str, ...]) -> Iterator[Exclusion]:
        for relation in package.conflicts:
            refused: dict[str, set[DebianPackage]] = {}
            for other in self._universe.satisfying(relation):
                # A package never conflicts with itself or with what it provides (Debian Policy 7.4).
                if other.name != package.name:
                    refused.setdefault(other.name, set()).add(other)
            for name, packages in refused.items():
                yield Exclusion(name, frozenset(packages), place, chain, str(relation))


class _Options(Sequence[Taken]):
    """The options of a choice. They are sorted when the choice is made: those that are pinned by then come first.

    A sequence, because resolvelib would keep the order that an iterator or a function had when the choice came up.
    """

    def __init__(self, taken: Sequence[Taken], universe: Universe, watch: _Watch, locked: frozenset[str]) -> None:
        self._taken = taken
        self._universe = universe
        self._watch = watch
        self._locked = locked

    def __iter__(self) -> Iterator[Taken]:
        pinned = self._watch.pinned
        satisfied = [taken for taken in self._taken if pinned.get(taken.option.name) in taken.option.packages]
        yield from satisfied
        order = self._universe.preferences(self._taken[0].alternatives) if self._taken else {}
        rest = [taken for taken in self._taken if taken not in satisfied]
        yield from sorted(rest, key=lambda taken: (taken.option.name not in self._locked, order[taken.option.name]))

    def __len__(self) -> int:
        return len(self._taken)

    @overload
    def __getitem__(self, index: int) -> Taken: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Taken]: ...
    def __getitem__(self, index: int | slice) -> Taken | Sequence[Taken]:
        return list(self)[index]


def _turn(requirement: Requirement) -> tuple[int, Position]:
    """Return a key that sorts requirements into the order of the walk: installed packages and roots, then depth first.

    Exclusions come last, when it is clear whether anything needs the package.
    """
    if isinstance(requirement, Exclusion):
        return 2, requirement.place
    return (1 if requirement.chain else 0), requirement.place


@lru_cache(maxsize=65536)
def _absent(name: str) -> Absent:
    return Absent(name)


def _explained(causes: Sequence[Requirement], universe: Universe) -> ResolutionError:
    unsatisfiable = [cause for cause in causes if isinstance(cause, Dependency) and not cause.packages]
    lines = dict.fromkeys(_sentence(cause, universe) for cause in unsatisfiable or causes)
    first = [*unsatisfiable, *causes][0]
    if unsatisfiable:
        return ResolutionError(
            f"{_need(first)}, which no suite of the recipe has",
            details="\n".join(lines),
            hint="add a suite that has it to the layer's recipe, or leave out the package that needs it",
        )
    return ResolutionError(
        f"no set of Debian packages satisfies every relation to {_subject(first)}",
        details="\n".join(lines),
        hint="leave out one of the packages that exclude each other, or ask for versions that agree",
    )


def _sentence(requirement: Requirement, universe: Universe) -> str:
    sentence = _need(requirement)
    if isinstance(requirement, Dependency) and not requirement.packages:
        known = [f"{package.version} ({package.suite.suite})" for package in universe.versions(requirement.name)]
        sentence += f"; available: {', '.join(known)}" if known else f"; there is no package {requirement.name}"
    return sentence


def _need(requirement: Requirement) -> str:
    """Tell a chain of packages: `a needs b, which needs c`."""
    verb = "conflicts with" if isinstance(requirement, Exclusion) else "needs"
    first, *rest = requirement.chain or ("the recipe",)
    links = [*(f"needs {name}" for name in rest), f"{verb} {requirement.text}"]
    return f"{first} {', which '.join(links)}"


def _subject(requirement: Requirement) -> str:
    return requirement.text if isinstance(requirement, Choice) else requirement.name
