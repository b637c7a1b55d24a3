"""Where an artifact may be on each mirror."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from packaging.utils import canonicalize_name

from rtbuild.lockfile.model import Artifact, DebArtifact, PythonArtifact
from rtbuild.mirror.cache import AnswerCache
from rtbuild.mirror.failure import FetchFailure
from rtbuild.mirror.find import Mirrors, distinct
from rtbuild.mirror.simple_api import file_addresses
from rtbuild.mirror.site import Mirror
from rtbuild.recipe.model import Suite


class Locations:
    """Which mirrors to ask for an artifact, and at which locations. Thread-safe.

    It learns from the first page of a package index where that index keeps its files.

    Args:
        mirrors: The mirrors to choose from.
        cache: Where pages of package indexes are read.
        suites: The suites of the recipes. A .deb of a dated suite may be in the dated archive only.
    """

    def __init__(self, mirrors: Mirrors, cache: AnswerCache, *, suites: Sequence[Suite] = ()) -> None:
        self._mirrors = mirrors
        self._cache = cache
        self._suites = suites
        self._hosts: dict[Mirror, str | None] = {}
        """The address that each index has its files below; None if its first page did not show one."""
        self._learning = threading.Lock()

    def mirrors_for(self, artifact: Artifact) -> tuple[Mirror, ...]:
        """Return the mirrors that may have `artifact`, the most likely first."""
        if isinstance(artifact, DebArtifact):
            plain = self._mirrors.debian_for(artifact.archive)
            dated = [mirror.at(moment) for moment in self._moments(artifact) for mirror in plain]
            return distinct([*plain, *self._mirrors.folders, *dated])
        # Not pip's own index if the settings name one: the name of a private package must not be asked for there.
        indexes = self._mirrors.python
        if isinstance(artifact, PythonArtifact):
            indexes = self._mirrors.indexes_for(canonicalize_name(artifact.name))
        return distinct([*indexes, *self._mirrors.folders])

    def locations(self, mirror: Mirror, artifact: Artifact) -> Iterator[str]:
        """Yield the locations where `mirror` may have `artifact`.

        Raises:
            FetchFailure: if the page of a package index cannot be read, or does not list the artifact.
        """
        if mirror.folder is not None:
            yield from (str(mirror.folder / name) for name in _names(artifact))
        elif isinstance(artifact, PythonArtifact):
            yield from self._python_locations(mirror, artifact)
        else:
            yield mirror.place(artifact.path)

    def _moments(self, deb: DebArtifact) -> list[str]:
        # The lock names archive and suite; the moment at which the suite was read is in the recipe.
        return [
            suite.snapshot
            for suite in self._suites
            if (suite.archive, suite.suite) == (deb.archive, deb.suite) and suite.snapshot is not None
        ]

    def _python_locations(self, mirror: Mirror, artifact: PythonArtifact) -> Iterator[str]:
        # An index keeps its files on another host, which only its own pages name.
        address = None
        if mirror not in self._hosts:
            with self._learning:  # other threads wait for the first page, which may say where all files are
                if mirror not in self._hosts:
                    address = self._learn(mirror, artifact)
        guess = None
        host = self._hosts[mirror]
        if host is not None:
            guess = host + quote(artifact.path.lstrip("/"))
            yield guess
        if address is None:
            address = self._ask(mirror, artifact)
        if address != guess:
            yield address

    def _learn(self, mirror: Mirror, artifact: PythonArtifact) -> str:
        """Return the address of `artifact`, and remember the part before its path."""
        host = None
        try:
            address = self._ask(mirror, artifact)
            parts = urlsplit(address)
            path = unquote(parts.path)
            if path.endswith("/" + artifact.path.lstrip("/")):
                prefix = path.removesuffix(artifact.path.lstrip("/"))
                host = parts._replace(path=quote(prefix), query="").geturl()
        finally:
            self._hosts[mirror] = host
        return address

    def _ask(self, mirror: Mirror, artifact: PythonArtifact) -> str:
        name = canonicalize_name(artifact.name)
        try:
            return file_addresses(mirror, name, self._cache)[artifact.filename]
        except KeyError:
            raise FetchFailure(f"its page of {name} does not list the file", missing=True) from None


def _names(artifact: Artifact) -> list[Path]:
    """Return the names under which a folder may hold `artifact`."""
    names = [artifact.path.lstrip("/"), artifact.filename]
    if isinstance(artifact, DebArtifact):  # as apt names the files in its own cache, the epoch included
        version = artifact.version.replace(":", "%3a")
        names.append(f"{artifact.name}_{version}_{artifact.architecture}.deb")
    elif isinstance(artifact, PythonArtifact):
        names.append(f"{canonicalize_name(artifact.name)}/{artifact.filename}")
    return [Path(name) for name in dict.fromkeys(names) if ".." not in Path(name).parts]
