"""Where on each mirror one artifact should be."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from packaging.utils import canonicalize_name

from rtbuild.lockfile.model import Artifact, DebArtifact, PythonArtifact
from rtbuild.mirror.cache import AnswerCache
from rtbuild.mirror.find import Mirror, Mirrors, distinct
from rtbuild.mirror.http import FetchFailure
from rtbuild.mirror.simple_api import file_addresses
from rtbuild.recipe.model import Suite


class Locations:
    """What mirrors to ask for an artifact, and at which locations. Learns where an index keeps its files. Thread-safe.

    A .deb of one of `suites` that asks for a moment is looked for in the dated archives of that moment too.
    """

    def __init__(self, mirrors: Mirrors, cache: AnswerCache, *, suites: Sequence[Suite] = ()) -> None:
        self._mirrors = mirrors
        self._cache = cache
        self._suites = suites
        self._hosts: dict[Mirror, str | None] = {}  # None: not where the first page led us to think
        self._learning = threading.Lock()

    def mirrors_for(self, artifact: Artifact) -> tuple[Mirror, ...]:
        """The mirrors that may have `artifact`, the most likely first."""
        if isinstance(artifact, DebArtifact):
            plain = list(self._mirrors.debian_for(artifact.archive))
            found = [*plain, *self._mirrors.folders]
            found += [mirror.at(moment) for moment in self._moments(artifact) for mirror in plain]
        else:
            found = [*self._mirrors.python, *self._mirrors.folders]
        return distinct(found)

    def _moments(self, deb: DebArtifact) -> list[str]:
        # The lock names archive and suite; the moment at which the suite was read is the recipe's.
        read = [one for one in self._suites if (one.archive, one.suite) == (deb.archive, deb.suite)]
        return [one.snapshot for one in read if one.snapshot is not None]

    def locations(self, mirror: Mirror, artifact: Artifact) -> Iterator[str]:
        """Where `mirror` may have `artifact`, one by one. Raises `FetchFailure` where that cannot be found out."""
        if mirror.folder is not None:
            yield from (str(mirror.folder / name) for name in _names(artifact))
        elif isinstance(artifact, PythonArtifact):
            yield from self._python_locations(mirror, artifact)
        else:
            yield mirror.place(artifact.path)

    def _python_locations(self, mirror: Mirror, artifact: PythonArtifact) -> Iterator[str]:
        # The file host is another one than the index, and named nowhere but in the index's own pages.
        address = None
        if mirror not in self._hosts:
            with self._learning:  # others wait for the first page, which may say where all files are
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
    """The names under which a folder may hold `artifact`."""
    names = [artifact.path.lstrip("/"), artifact.filename]
    if isinstance(artifact, DebArtifact):  # as apt names the files in its own cache, the epoch included
        version = artifact.version.replace(":", "%3a")
        names.append(f"{artifact.name}_{version}_{artifact.architecture}.deb")
    elif isinstance(artifact, PythonArtifact):
        names.append(f"{canonicalize_name(artifact.name)}/{artifact.filename}")
    return [Path(name) for name in dict.fromkeys(names) if ".." not in Path(name).parts]
