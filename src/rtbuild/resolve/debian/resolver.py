"""Choosing packages: resolvelib with Debian's relations, in the order in which apt chooses.

What apt-get does (2.6, `--no-install-recommends`, nothing installed) and this resolver follows:

- everything that is asked for by name is taken first, so that it satisfies alternatives of all the others;
- then dependencies are followed depth first, Pre-Depends before Depends, in the order of their fields;
- of alternatives, one that is taken already is enough; else the first one that can be had; a real package before
  those that provide its name; of providers, an essential one, then the one with the highest Priority.

Where apt gives up (a conflict several choices back, a version that is not the newest), resolvelib goes back and tries
on.

How the relations become resolvelib's requirements: a package name is an identifier whose candidates are its versions
and "absent"; a dependency with one possible package is a `Dependency` on it; one with several is an identifier of its
own (`Choice`) whose candidates are the options; Conflicts and Breaks are `Exclusion`s, for which absent will do.
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

# A resolution takes about four rounds a package; this many mean that it does not end.
_MAX_ROUNDS = 50_000

Position = tuple[int, ...]
"""Where in the depth-first walk something is asked for: the position in its parent's fields, after the parent's
place."""


@dataclass(frozen=True, slots=True, eq=False)
class Dependency:
    """`name` must be there, in one of these versions. `chain` says who needs it, the root first; `text` is the
    relation."""

    name: str
    packages: frozenset[DebianPackage]
    place: Position
    chain: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """One of several packages must be there."""

    alternatives: Alternatives
    place: Position
    chain: tuple[str, ...]

    @property
    def text(self) -> str:
        """The relation as control files write it."""
        return " | ".join(map(str, self.alternatives))


@dataclass(frozen=True, slots=True, eq=False)
class Exclusion:
    """`name` must not be there in one of these versions."""

    name: str
    packages: frozenset[DebianPackage]
    place: Position
    chain: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Absent:
    """The candidate that stands for a package that is not there."""

    name: str


@dataclass(frozen=True, slots=True)
class Taken:
    """The candidate that satisfies a choice: the option that was taken."""

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
    """The packages that satisfy `roots` beside the `installed` ones, by name.

    Installed packages stay as they are; what they need is taken as satisfied, what they refuse is heeded. Of options,
    those named in `locked` are preferred. Raises `ResolutionError` saying who needs what.
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
            hint="ask for fewer packages at a time to find those that exclude each other",
        ) from None
    chosen = (candidate for candidate in result.mapping.values() if isinstance(candidate, DebianPackage))
    return {package.name: package for package in chosen if package.name not in installed}


class _Watch(BaseReporter[Requirement, Candidate, Identifier]):
    """Knows what is pinned at the moment, which resolvelib tells its provider only in passing."""

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
        """The foremost requirement of each identifier: it gives what is pinned for it a place in the walk."""

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
        foremost = {}
        for identifier in identifiers:
            # What nothing asks for any more (resolvelib keeps it after a change of mind) must not take part in the
            # choice.
            if asked := [known.requirement for known in information[identifier]]:
                foremost[identifier] = self._asked[identifier] = min(asked, key=_turn)
        return [min(foremost, key=lambda identifier: _turn(foremost[identifier]))] if foremost else identifiers

    def get_preference(self, identifier: Identifier, *_args: Any, **_kwargs: Any) -> int:
        return 0  # never has a choice: narrow_requirement_selection leaves one identifier

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
            return _Options([t for t in taken if t not in bad], self._universe, self._watch, self._locked)
        known: Iterable[Candidate]
        if not any(isinstance(requirement, Dependency) for requirement in wanted):
            known = [_absent(identifier)]
        elif identifier in self._installed:
            known = [self._installed[identifier]]
        else:
            known = self._universe.versions(identifier)
        return [c for c in known if c not in bad and all(self.is_satisfied_by(r, c) for r in wanted)]

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
        yield from self._refusals(candidate, asked.place, chain)

    def _positive(self, alternatives: Alternatives, place: Position, chain: tuple[str, ...]) -> Requirement:
        options = self._universe.options(alternatives)
        if len(options) > 1:
            return Choice(alternatives, place, chain)
        text = " | ".join(map(str, alternatives))
        if not options:
            return Dependency(alternatives[0].name, frozenset(), place, chain, text)
        return Dependency(options[0].name, options[0].packages, place, chain, text)

    def _refusals(self, package: DebianPackage, place: Position, chain: tuple[str, ...]) -> Iterator[Exclusion]:
        for relation in package.conflicts:
            refused: dict[str, set[DebianPackage]] = {}
            for other in self._universe.satisfying(relation):
                # A package never conflicts with itself or with what it provides (Policy 7.4).
                if other.name != package.name:
                    refused.setdefault(other.name, set()).add(other)
            for name, packages in refused.items():
                yield Exclusion(name, frozenset(packages), place, chain, str(relation))


class _Options(Sequence[Taken]):
    """The options of a choice. Their order is settled when the choice is made: those already there come first.

    A sequence, because resolvelib keeps the order that an iterator or a function gave when the choice came up.
    """

    def __init__(self, taken: Sequence[Taken], universe: Universe, watch: _Watch, locked: frozenset[str]) -> None:
        self._taken = taken
        self._universe = universe
        self._watch = watch
        self._locked = locked

    def __iter__(self) -> Iterator[Taken]:
        pinned = self._watch.pinned
        there = [taken for taken in self._taken if pinned.get(taken.option.name) in taken.option.packages]
        yield from there
        order = self._universe.preferences(self._taken[0].alternatives) if self._taken else {}
        rest = [taken for taken in self._taken if taken not in there]
        yield from sorted(rest, key=lambda t: (t.option.name not in self._locked, order[t.option.name]))

    def __len__(self) -> int:
        return len(self._taken)

    @overload
    def __getitem__(self, index: int) -> Taken: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Taken]: ...
    def __getitem__(self, index: int | slice) -> Taken | Sequence[Taken]:
        return list(self)[index]


def _turn(requirement: Requirement) -> tuple[int, Position]:
    """Sorts requirements into the order in which they are dealt with: installed packages and roots, then depth first;
    what is merely refused last, when it is clear that nothing needs it."""
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
            f"{' needs '.join((*first.chain, first.text))}, which no suite of the recipe has",
            details="\n".join(lines),
            hint="add the suite that has it to the layer's recipe, or leave out the package that needs it",
        )
    return ResolutionError(
        f"no set of Debian packages satisfies every relation to {_subject(first)}",
        details="\n".join(lines),
        hint="leave out one of the packages that exclude each other, or ask for versions that agree",
    )


def _sentence(requirement: Requirement, universe: Universe) -> str:
    who = " needs ".join(requirement.chain) or "the recipe"
    if isinstance(requirement, Exclusion):
        return f"{who} conflicts with {requirement.text}"
    sentence = f"{who} needs {requirement.text}"
    if isinstance(requirement, Dependency) and not requirement.packages:
        known = [f"{p.version} ({p.suite.suite})" for p in universe.versions(requirement.name)]
        sentence += f"; there is {', '.join(known)}" if known else f"; there is no package {requirement.name}"
    return sentence


def _subject(requirement: Requirement) -> str:
    return requirement.text if isinstance(requirement, Choice) else requirement.name
