"""Run ahead of the resolver: read in parallel what it will most likely ask for one by one.

A wrong guess costs one request. The resolver asks for whatever was not foreseen, so nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from threading import Lock
from types import TracebackType
from typing import Any

from packaging.markers import UndefinedEnvironmentName
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from rtbuild.errors import RtbuildError
from rtbuild.resolve.python.index import Index
from rtbuild.resolve.python.pages import DistributionFile, TargetPage

_THREADS = 16
_AHEAD = 8


class Prefetch:
    """A walk along the requirements and the newest versions that they allow, in threads. A context manager."""

    def __init__(
        self,
        index: Index,
        *,
        requirements: Iterable[Requirement],
        constraints: Iterable[Requirement],
        preferences: Mapping[str, str],
    ) -> None:
        self._index = index
        self._preferences = preferences
        self._lock = Lock()
        self._specifiers: dict[str, SpecifierSet] = {}
        self._seen: set[tuple[str, str]] = set()
        self._wanted_by: dict[str, str] = {}
        self._looks: dict[str, int] = {}
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="prefetch")
        roots = list(requirements)
        for requirement in [*roots, *constraints]:
            self._narrow(requirement)
        for requirement in roots:
            self._follow(requirement, "the recipe")

    def __enter__(self) -> Prefetch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Wait for running requests, so that nothing happens after the verb has returned, except after an error.
        self._pool.shutdown(wait=error is None, cancel_futures=True)

    def passed_over(self, page: TargetPage, file: DistributionFile) -> None:
        """Note that the resolver asks for `file`. If it is not the first of its project, older files will be next."""
        with self._lock:
            looks = self._looks[page.name] = self._looks.get(page.name, 0) + 1
            specifier = self._specifiers.get(page.name, SpecifierSet())
        if looks < 2:
            return
        older = (
            candidate
            for candidate in reversed(page.files)
            if candidate.version < file.version and candidate.version in specifier
        )
        for candidate in islice(older, min(looks, _AHEAD)):
            self._submit(self._read, candidate)

    def wanted_by(self, name: str) -> str:
        """Return who asked for a package first, for a message; empty if only the resolver knows."""
        return self._wanted_by.get(name, "")

    def _read(self, file: DistributionFile) -> None:
        with suppress(RtbuildError):
            self._index.text(file)

    def _submit(self, work: Callable[..., None], *arguments: Any) -> None:
        # The pool accepts no work once the resolver is done.
        with suppress(RuntimeError):
            self._pool.submit(work, *arguments)

    def _narrow(self, requirement: Requirement) -> None:
        name = canonicalize_name(requirement.name)
        self._specifiers[name] = self._specifiers.get(name, SpecifierSet()) & requirement.specifier

    def _follow(self, requirement: Requirement, by: str) -> None:
        name = canonicalize_name(requirement.name)
        with self._lock:
            self._wanted_by.setdefault(name, f"{by} asks for {requirement}")
            nodes = {(name, extra) for extra in ("", *map(canonicalize_name, requirement.extras))} - self._seen
            self._seen |= nodes
        if nodes:
            self._submit(self._look, name, [extra for _, extra in nodes])

    def _look(self, name: str, extras: list[str]) -> None:
        try:
            file = self._guess(self._index.page(name))
            requires = self._index.metadata(file).requires if file is not None else ()
        except RtbuildError:
            # If the resolver needs this page or file, it asks again and reports the error.
            return
        wanted = [requirement for requirement in requires if self._applies(requirement, extras)]
        with self._lock:
            for requirement in wanted:
                self._narrow(requirement)
        for requirement in wanted:
            self._follow(requirement, name)

    def _guess(self, page: TargetPage) -> DistributionFile | None:
        with self._lock:
            specifier = self._specifiers.get(page.name, SpecifierSet())
        preferred = self._preferences.get(page.name)
        admitted = set(specifier.filter([file.version for file in page.files]))
        files = [file for file in page.files if file.version in admitted]
        return max(
            files,
            key=lambda file: (str(file.version) == preferred, file.yanked is None, file.is_wheel, file.version),
            default=None,
        )

    def _applies(self, requirement: Requirement, extras: list[str]) -> bool:
        if requirement.marker is None:
            return True
        environment = dict(self._index.target.environment)
        try:
            return any(requirement.marker.evaluate({**environment, "extra": extra}) for extra in extras)
        except UndefinedEnvironmentName:
            return False
