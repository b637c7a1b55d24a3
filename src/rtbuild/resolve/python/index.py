"""One view of the package index for a whole resolution: pages and metadata, each requested once, from any thread."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.parser import HeaderParser
from email.policy import compat32
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rtbuild.digest import sha256_bytes, sha256_stream
from rtbuild.errors import IntegrityError, ResolutionError
from rtbuild.files import write_atomically
from rtbuild.formats.distribution_names import version_of
from rtbuild.mirror.sources import Sources
from rtbuild.recipe.model import MetadataRepair
from rtbuild.recipe.sdist import LocalSdist
from rtbuild.resolve.python.legacy import read_as_then
from rtbuild.resolve.python.pages import DistributionFile, TargetPage, local_page, read_page
from rtbuild.resolve.python.sdist import read_sdist
from rtbuild.resolve.python.target import Target
from rtbuild.resolve.python.wheel import PartialFile, PartsRefused, wheel_metadata
from rtbuild.store.files import store_errors

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_CACHE_FORMAT = "1"
_HUGE_NUMBER = re.compile(r"\d{1001}")
_SMALL = 128 << 10
"""Bytes up to which a wheel is fetched whole: its metadata is checked with it, and parts would not be quicker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What a file needs."""

    text: str
    """The header of its core metadata."""
    requires: tuple[Requirement, ...]
    extras: frozenset[str]
    """The extras that it provides, normalized."""
    build_requires: tuple[str, ...] | None
    """What building it needs; None for a wheel."""


class Index:
    """The index as `target` sees it at the moment `as_of`.

    Args:
        cache: A folder for metadata, which never changes for a given sha256.
        pre_releases: The projects whose pre-releases count too.
        local: Packages whose source is in the recipes. The index is never asked for their names, so registering such a
            name there gains an attacker nothing.
        repairs: How to read the metadata of some files.
    """

    def __init__(  # noqa: PLR0913 (the keywords are what recipes say about an index, and few callers give all)
        self,
        sources: Sources,
        *,
        target: Target,
        as_of: datetime,
        cache: Path,
        pre_releases: frozenset[str] = frozenset(),
        local: Iterable[LocalSdist] = (),
        repairs: Sequence[MetadataRepair] = (),
    ) -> None:
        self.target = target
        self.as_of = as_of
        self._sources = sources
        self._pre_releases = pre_releases
        self._local = {sdist.package.name: sdist for sdist in local}
        self._repairs = repairs
        self._cache = cache / "metadata" / _CACHE_FORMAT
        self._pages: _Once[str, TargetPage] = _Once()
        self._texts: _Once[str, tuple[str, tuple[str, ...] | None]] = _Once()
        self._metadata: _Once[str, Metadata] = _Once()

    def page(self, name: str) -> TargetPage:
        """Return the page of a project by its normalized name.

        Raises:
            MirrorError: if no index serves the page.
            ResolutionError: if the page lacks what a lock needs.
        """
        return self._pages.get(name, lambda: self._read_page(name))

    def text(self, file: DistributionFile) -> str:
        """Return the header of the file's core metadata.

        Raises:
            MirrorError: if the file or its metadata is not served.
            IntegrityError: if the index serves other bytes than it promised.
            ResolutionError: if the file or its metadata is malformed.
        """
        return self._texts.get(file.sha256, lambda: self._read_text(file))[0]

    def metadata(self, file: DistributionFile) -> Metadata:
        """Return the file's metadata, parsed. Raises what `text` raises."""
        return self._metadata.get(file.sha256, lambda: self._parse(file))

    def _read_page(self, name: str) -> TargetPage:
        if name in self._local:
            return local_page(self._local[name], self.target)
        content = self._sources.python_project(name)
        return read_page(
            name,
            content,
            target=self.target,
            as_of=self.as_of,
            pre_releases=name in self._pre_releases,
        )

    def _read_text(self, file: DistributionFile) -> tuple[str, tuple[str, ...] | None]:
        place = self._cache / f"{file.sha256}.json"
        kept = _read_kept(place)
        if kept is None:
            kept = self._ask(file)
            _check_header(file, kept[0])
            _keep(place, kept)
        else:
            _check_header(file, kept[0])
        repairs = [repair for repair in self._repairs if repair.file == file.filename]
        return read_as_then(file.filename, kept[0], repairs), kept[1]

    def _ask(self, file: DistributionFile) -> tuple[str, tuple[str, ...] | None]:
        if file.name in self._local:
            sdist = read_sdist(file.filename, BytesIO(self._local[file.name].content))
            return _header(sdist.metadata), sdist.build_requires
        if file.is_wheel and file.has_metadata:
            content = self._sources.python_metadata(file.url, file.metadata_sha256)
            if content is not None:
                if file.metadata_sha256 is not None and sha256_bytes(content) != file.metadata_sha256:
                    raise IntegrityError(f"{file.filename}: its metadata does not have the sha256 that the index gives")
                return _header(content), None
        if file.is_wheel and file.size > _SMALL:
            part = PartialFile(lambda offset, length: self._sources.python_part(file.url, offset, length), file.size)
            with suppress(PartsRefused):
                return _header(wheel_metadata(file.filename, part)), None
        with self._sources.python_file(file.url, file.sha256, file.size) as stream:
            if sha256_stream(stream) != file.sha256:
                raise IntegrityError(f"{file.filename}: does not have the sha256 that the index gives")
            stream.seek(0)
            if file.is_wheel:
                return _header(wheel_metadata(file.filename, stream)), None
            sdist = read_sdist(file.filename, stream)
        return _header(sdist.metadata), sdist.build_requires

    def _parse(self, file: DistributionFile) -> Metadata:
        text, build_requires = self._texts.get(file.sha256, lambda: self._read_text(file))
        header = HeaderParser(policy=compat32).parsestr(text)
        requires = [Requirement(" ".join(line.split())) for line in header.get_all("Requires-Dist", [])]
        extras = frozenset(canonicalize_name(extra) for extra in header.get_all("Provides-Extra", []))
        return Metadata(text=text, requires=tuple(requires), extras=extras, build_requires=build_requires)


class _Once(Generic[K, V]):
    """A cache that makes each value once. Later callers wait for the thread that makes it, so no pool can starve.

    Failures propagate to current waiters and are not cached; later calls retry.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._made: dict[K, Future[V]] = {}

    def get(self, key: K, make: Callable[[], V]) -> V:
        with self._lock:
            future = self._made.get(key)
            ours = future is None
            if future is None:
                future = self._made[key] = Future()
        if ours:
            try:
                future.set_result(make())
            except BaseException as error:
                with self._lock:
                    del self._made[key]
                future.set_exception(error)
        return future.result()


def _header(content: bytes) -> str:
    """Core metadata without the description, which is most of it and not needed here."""
    text = content.decode("utf-8", "replace").replace("\r\n", "\n")
    return text.partition("\n\n")[0] + "\n"


def _check_header(file: DistributionFile, header: str) -> None:
    """Check that metadata is of the package and version that its file name promises."""
    if _HUGE_NUMBER.search(header):
        # Python refuses to read it, and versions are read in many places.
        raise ResolutionError(f"{file.filename}: its metadata has a number of more than 1,000 digits")
    found = [re.search(rf"^{field}: *(\S+)", header, re.MULTILINE) for field in ("Name", "Version")]
    name, version = (match[1] if match else "" for match in found)
    if not name or not version:
        raise ResolutionError(f"{file.filename}: its metadata has no name or no version")
    if canonicalize_name(name) != file.name or version_of(version) != file.version:
        raise ResolutionError(f"{file.filename}: its metadata is that of {name} {version}")


def _read_kept(place: Path) -> tuple[str, tuple[str, ...] | None] | None:
    """Read what an earlier run cached; None if there is nothing or it is damaged."""
    try:
        promised, _, body = place.read_bytes().partition(b"\n")
    except OSError:
        return None
    if sha256_bytes(body).encode() != promised:
        return None
    kept = json.loads(body)
    return kept["metadata"], None if kept["build_requires"] is None else tuple(kept["build_requires"])


def _keep(place: Path, kept: tuple[str, tuple[str, ...] | None]) -> None:
    body = json.dumps({"metadata": kept[0], "build_requires": kept[1]}).encode()
    with store_errors(f"write {place}"):
        write_atomically(place, sha256_bytes(body).encode() + b"\n" + body, durable=False)
