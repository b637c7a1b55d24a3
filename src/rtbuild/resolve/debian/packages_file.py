"""Packages indexes, fetched by hash and parsed lazily.

An index has tens of thousands of stanzas, of which a resolution needs a few hundred. So loading an index only finds
where stanzas begin and which virtual packages there are (0.2 s for Debian 11's main, after 0.7 s of unpacking), and a
stanza is parsed when its package is first asked for.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field

from rtbuild.digest import Sha256, parse_sha256, sha256_bytes
from rtbuild.errors import IntegrityError, MirrorError, ResolutionError
from rtbuild.formats.deb822 import parse_stanza, source_package
from rtbuild.formats.debian_relations import Alternatives, Relation, parse_relations
from rtbuild.formats.streams import SUFFIXES, decompressed
from rtbuild.mirror.sources import Sources
from rtbuild.platform import Platform
from rtbuild.progress import Progress
from rtbuild.recipe.model import Suite
from rtbuild.resolve.debian.release_file import IndexFile, ReleaseFile

PRIORITIES = ("required", "important", "standard", "optional", "extra")
"""Package priorities (Debian Policy 2.5), highest first."""

# In the order in which apt reads them.
_RELATIONS = (
    b"Pre-Depends",
    b"Depends",
    b"Conflicts",
    b"Breaks",
    b"Recommends",
    b"Suggests",
    b"Replaces",
    b"Enhances",
    b"Provides",
)
_HINT_UPDATE = "try again in a few minutes, in case the mirror is being updated; otherwise use another mirror"

_LARGEST = 512 << 20
"""Bytes of a Packages index; that of Debian's main has 60 MB."""

_BEFORE_NAME = (b" ", b",", b"|", b"\t", b":")
_AFTER_NAME = (b" ", b",", b"|", b"\t", b"(", b"\n")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DebianPackage:
    """One version of a binary package, as an index describes it.

    Packages are compared by identity: an index makes one value for each stanza.
    """

    name: str
    version: str
    architecture: str
    suite: Suite
    path: str
    """The path of its file below the archive's root."""
    size: int
    """The size of its file in bytes."""
    sha256: Sha256
    essential: bool = False
    multi_arch: str = "no"
    priority: str = "optional"
    depends: tuple[Alternatives, ...] = field(default=(), repr=False)
    """Pre-Depends, then Depends, in the order of the fields."""
    conflicts: tuple[Relation, ...] = field(default=(), repr=False)
    """Conflicts and Breaks."""
    provides: tuple[Relation, ...] = field(default=(), repr=False)
    source: str = ""
    """The source package, if it has another name."""
    source_version: str = ""
    """The version of the source package, if it is another one."""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def read_index(
    release: ReleaseFile, component: str, platform: Platform, sources: Sources, *, progress: Progress
) -> PackagesIndex:
    """Read the Packages index of one component, from the first mirror that serves the bytes InRelease promises.

    Raises:
        ResolutionError: if the suite has no such component.
        MirrorError: if no mirror has the index.
        IntegrityError: if all mirrors serve other bytes, or the index is malformed.
    """
    folder = f"{component}/binary-{platform.debian}"
    suite = release.suite
    paths = (f"{folder}/Packages{suffix}" for suffix in (".xz", ".gz", ""))
    index = next((release.files[path] for path in paths if path in release.files), None)
    if index is None:
        components = sorted({path.split("/")[0] for path in release.files if path.endswith("/Packages")})
        raise ResolutionError(
            f"suite {suite.suite} of the archive {suite.archive} has no component {component} for {platform.debian}",
            hint=f"use a component that it has: {', '.join(components) or 'none'}",
        )
    content = _download(release, index, sources, progress)
    where = f"dists/{suite.suite}/{index.path}"
    try:
        return PackagesIndex(_unpack(index.path, content), suite, priority=release.priority, where=where)
    except ValueError as error:
        raise IntegrityError(f"{where}: malformed, although the archive signed it: {error}") from None


def _download(release: ReleaseFile, index: IndexFile, sources: Sources, progress: Progress) -> bytes:
    # By hash first: while a mirror is being updated, the plain path may already serve the next index.
    by_hash = f"{index.path.rpartition('/')[0]}/by-hash/SHA256/{index.sha256}"
    rejected = []
    for path in (by_hash, index.path) if release.by_hash else (index.path,):
        for answer in sources.debian_index(release.suite, path):
            if len(answer.content) == index.size and sha256_bytes(answer.content) == index.sha256:
                return answer.content
            problem = (
                f"{len(answer.content)} bytes instead of {index.size}"
                if len(answer.content) != index.size
                else f"sha256 {sha256_bytes(answer.content)} instead of {index.sha256}"
            )
            rejected.append(f"{answer.mirror}: dists/{release.suite.suite}/{path}: {problem}")
            progress.note(f"rejected: {rejected[-1]}")
    where = f"dists/{release.suite.suite}/{index.path}"
    if rejected:
        raise IntegrityError(
            f"{where}: every mirror of the archive {release.suite.archive} serves other bytes than InRelease promises",
            details="\n".join(rejected),
            hint=_HINT_UPDATE,
        )
    raise MirrorError(
        f"{where}: no mirror of the archive {release.suite.archive} serves it",
        details=f"InRelease of {release.mirror} lists it",
        hint=_HINT_UPDATE,
    )


def _unpack(path: str, content: bytes) -> bytes:
    name = SUFFIXES.get(posixpath.splitext(path)[1])
    if name is None:
        return content
    try:
        return b"".join(decompressed((content,), name, limit=_LARGEST))
    except ValueError as error:
        raise ValueError(f"it {error}") from None


class PackagesIndex:
    """The stanzas of one Packages file, by package name. `where` names the file in messages.

    Relies on what archive software writes: fields in their usual spelling, `Package` first in each stanza.
    """

    def __init__(self, content: bytes, suite: Suite, *, priority: int, where: str) -> None:
        self.suite = suite
        self.priority = priority
        self.where = where
        self._content = content
        self._places: dict[str, list[int]] = {}
        self._parsed: dict[int, DebianPackage] = {}
        self._providers: dict[str, list[int]] = {}
        position = 0
        while position < len(content):
            if content.startswith(b"\n", position):
                position += 1
                continue
            if not content.startswith(b"Package: ", position):
                raise ValueError(f"the stanza at byte {position} does not begin with the field Package")
            end_of_name = content.find(b"\n", position)
            name = content[position + 9 : end_of_name if end_of_name >= 0 else None].strip().decode()
            if not name:  # it would be found everywhere, for ever
                raise ValueError(f"the stanza at byte {position} has an empty field Package")
            self._places.setdefault(name, []).append(position)
            position = _end_of_stanza(content, position)
        for place, text in self._lines(b"Provides: "):
            for alternatives in parse_relations(text):
                providers = self._providers.setdefault(alternatives[0].name, [])
                if place not in providers:
                    providers.append(place)
        self.essential = frozenset(self._name(place) for place, text in self._lines(b"Essential: ") if text == "yes")
        """Names of the essential packages (Debian Policy 3.8)."""

    @property
    def names(self) -> frozenset[str]:
        """The names of all packages in the index."""
        return frozenset(self._places)

    def versions(self, name: str) -> tuple[DebianPackage, ...]:
        """Return the packages called `name`.

        Raises:
            IntegrityError: if the stanza of one is malformed.
        """
        return tuple(self._package(place) for place in self._places.get(name, ()))

    def providers(self, name: str) -> tuple[DebianPackage, ...]:
        """Return the packages whose Provides names `name`."""
        return tuple(self._package(place) for place in self._providers.get(name, ()))

    def first_mention(self, name: str) -> tuple[int, int, int] | None:
        """Return a key that sorts names by their first mention in the index, even in a relation; None if there is none.

        apt numbers packages in this order, and compares the numbers if nothing else tells two providers apart.
        """
        content, wanted = self._content, name.encode()
        own = self._places.get(name)
        end = own[0] if own else len(content)
        best: tuple[int, int, int] | None = None
        position = content.find(wanted, 0, end)
        while position >= 0 and (best is None or position < _end_of_stanza(content, best[0])):
            after = position + len(wanted)
            if content[position - 1 : position] in _BEFORE_NAME and content[after : after + 1] in _AFTER_NAME:
                field_name = _field_of(content, position)
                if field_name in _RELATIONS:
                    mention = self._stanza_of(position), _RELATIONS.index(field_name), position
                    best = mention if best is None else min(best, mention)
            position = content.find(wanted, after, end)
        return best or ((own[0], -1, 0) if own else None)

    def _lines(self, field_name: bytes) -> Iterator[tuple[int, str]]:
        """Yield the place of each stanza with this field, and the field's value."""
        content = self._content
        position = content.find(b"\n" + field_name)
        while position >= 0:
            end = content.find(b"\n", position + 1)
            while content[end + 1 : end + 2] in (b" ", b"\t"):
                end = content.find(b"\n", end + 1)
            text = content[position + 1 + len(field_name) : end if end >= 0 else None].decode()
            yield self._stanza_of(position), text.strip()
            position = content.find(b"\n" + field_name, end if end >= 0 else len(content))

    def _stanza_of(self, position: int) -> int:
        blank = self._content.rfind(b"\n\n", 0, position + 1)
        return blank + 2 if blank >= 0 else 0

    def _name(self, place: int) -> str:
        return self._content[place + 9 : self._content.index(b"\n", place)].strip().decode()

    def _package(self, place: int) -> DebianPackage:
        if place not in self._parsed:
            try:
                text = self._content[place : _end_of_stanza(self._content, place)].decode()
                self._parsed[place] = package_of(parse_stanza(text), self.suite)
            except (ValueError, KeyError) as error:
                raise IntegrityError(f"{self.where}: package {self._name(place)}: {error}") from None
        return self._parsed[place]


def package_of(fields: dict[str, str], suite: Suite) -> DebianPackage:
    """Return the package that a stanza of Packages describes.

    Raises:
        ValueError: if a field is missing or malformed.
    """
    if missing := {"package", "version", "architecture", "filename", "size", "sha256"} - fields.keys():
        raise ValueError(f"its stanza has no field {min(missing).title()}")
    path = fields["filename"].removeprefix("./")
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"its Filename {path!r} points outside the archive")
    if not (fields["size"].isdecimal() and len(fields["size"]) < 16):
        raise ValueError(f"its Size {fields['size']!r} is not a number of bytes")
    source, source_version = source_package(fields)
    return DebianPackage(
        name=fields["package"],
        version=fields["version"],
        architecture=fields["architecture"],
        suite=suite,
        path=path,
        size=int(fields["size"]),
        sha256=parse_sha256(fields["sha256"]),
        essential=fields.get("essential") == "yes",
        multi_arch=fields.get("multi-arch", "no"),
        priority=fields.get("priority", "optional"),
        depends=parse_relations(fields.get("pre-depends", "")) + parse_relations(fields.get("depends", "")),
        conflicts=tuple(
            relation
            for name in ("conflicts", "breaks")
            for alternatives in parse_relations(fields.get(name, ""))
            for relation in alternatives
        ),
        provides=tuple(group[0] for group in parse_relations(fields.get("provides", ""))),
        source="" if source == fields["package"] else source,
        source_version="" if source_version == fields["version"] else source_version,
    )


def _end_of_stanza(content: bytes, start: int) -> int:
    end = content.find(b"\n\n", start)
    return len(content) if end < 0 else end + 1


def _field_of(content: bytes, position: int) -> bytes:
    """Return the name of the field that `position` is in."""
    start = content.rfind(b"\n", 0, position) + 1
    while start and content[start : start + 1] in (b" ", b"\t"):
        start = content.rfind(b"\n", 0, start - 1) + 1
    return content[start : content.find(b":", start)]
