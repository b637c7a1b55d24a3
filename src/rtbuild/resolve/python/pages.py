"""What the index has of one project that the target could use: one file per version, before the recipe's moment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from rtbuild.digest import Sha256, parse_sha256
from rtbuild.errors import ResolutionError
from rtbuild.recipe.sdist import LocalSdist
from rtbuild.resolve.python.target import Target

_SDISTS = (".tar.gz", ".zip", ".tgz", ".tar.xz", ".tar.bz2")


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributionFile:
    """A wheel or sdist that the index offers. `yanked` is the reason for PEP 592's yanking, None where it was not."""

    name: str
    version: Version
    filename: str
    url: str
    size: int
    sha256: Sha256
    uploaded: datetime
    requires_python: str | None
    yanked: str | None
    has_metadata: bool
    metadata_sha256: str | None
    rank: int
    build: tuple[int, str]

    @property
    def is_wheel(self) -> bool:
        """False for an sdist."""
        return self.filename.endswith(".whl")

    @property
    def path(self) -> str:
        """Its place on its file host, whichever host that is."""
        return unquote(urlsplit(self.url).path).lstrip("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A project's usable files, best version last. The `other_` versions exist, but not for this target and moment.

    `pre_releases` could be used, but only if the recipe says so.
    """

    name: str
    files: tuple[DistributionFile, ...]
    other_later: tuple[str, ...] = ()
    other_platform: tuple[str, ...] = ()
    other_python: tuple[str, ...] = ()
    pre_releases: tuple[str, ...] = ()

    def file(self, version: Version) -> DistributionFile | None:
        """The one file of a version."""
        return next((file for file in self.files if file.version == version), None)

    def explain(self) -> str:
        """Why there is no more than this, for an error message."""
        usable = tuple(str(file.version) for file in self.files)
        parts = [f"{len(usable)} can be used ({_some(usable)})" if usable else "no version can be used"]
        reasons = (
            ("uploaded too late", self.other_later),
            ("for other platforms only", self.other_platform),
            ("for other Pythons only", self.other_python),
            ("pre-releases, which the recipe would have to pin", self.pre_releases),
        )
        parts += [f"{len(versions)} {text} ({_some(versions)})" for text, versions in reasons if versions]
        return f"{self.name}: {', '.join(parts)}"


def read_page(
    name: str,
    content: Mapping[str, Any],
    *,
    target: Target,
    as_of: datetime,
    base: str,
    pre_releases: bool = False,
) -> Page:
    """The page of project `name` (PEP 691, PEP 700), reduced to one file per version: the best wheel by the target's
    tag order, else the sdist. `base` is the page's own address, for relative ones in it.

    Pre-releases count if `pre_releases` says so or there is nothing else. To pip, a `<4.0.0dev` deep in somebody's
    requirements is leave to take them, and Google's libraries are full of those.

    Raises `ResolutionError` where a file has no upload time, size or sha256: they are what makes a lock a lock.
    """
    best: dict[Version, DistributionFile] = {}
    others: dict[str, set[str]] = {"later": set(), "platform": set(), "python": set()}
    files = content.get("files")
    if not isinstance(files, list):
        raise ResolutionError(f"the index's page of {name} lists no files", hint=_HINT_INDEX)
    for entry in files:
        file, reason = _read_file(name, entry, target, as_of, base)
        if file is not None:
            held = best.get(file.version)
            if held is None or _order(file) < _order(held):
                best[file.version] = file
        elif reason is not None:
            others[reason[0]].add(reason[1])
    usable = {str(version) for version in best}
    early = {version for version in best if version.is_prerelease}
    if pre_releases or len(early) == len(best):
        early = set()
    return Page(
        name=name,
        files=tuple(best[version] for version in sorted(set(best) - early)),
        other_later=_sorted(others["later"] - usable),
        other_platform=_sorted(others["platform"] - usable),
        other_python=_sorted(others["python"] - usable),
        pre_releases=_sorted({str(version) for version in early}),
    )


def local_page(sdist: LocalSdist, target: Target) -> Page:
    """The page of a package whose source lies in the recipes: one version, which no index has a say in."""
    package = sdist.package
    if package.requires_python is not None and not _admits(package.requires_python, target.version):
        return Page(name=package.name, files=(), other_python=(package.version,))
    file = DistributionFile(
        name=package.name,
        version=Version(package.version),
        filename=sdist.filename,
        url=f"/{quote(package.folder)}",
        size=sdist.size,
        sha256=sdist.sha256,
        uploaded=sdist.uploaded,
        requires_python=package.requires_python,
        yanked=None,
        has_metadata=False,
        metadata_sha256=None,
        rank=len(target.ranks),
        build=(-1, ""),
    )
    return Page(name=package.name, files=(file,))


_HINT_INDEX = "use an index that offers the Simple API as JSON with upload times and sizes (PEP 691, PEP 700)"


def _read_file(
    name: str, entry: Mapping[str, Any], target: Target, as_of: datetime, base: str
) -> tuple[DistributionFile | None, tuple[str, str] | None]:
    """The file of one entry, or else what kind of version it is that cannot be used (None: no file of Python's)."""
    filename = str(entry.get("filename", ""))
    split = _split(filename, name)
    if split is None:
        return None, None
    version, build, tags = split
    text = str(version)
    uploaded = _required(name, filename, entry, "upload-time")
    try:
        moment = datetime.fromisoformat(str(uploaded))
    except ValueError:
        raise ResolutionError(f"{filename}: the index's upload-time {uploaded!r} is not a time") from None
    if moment.tzinfo is None:
        raise ResolutionError(f"{filename}: the index's upload-time {uploaded!r} has no time zone", hint=_HINT_INDEX)
    if moment >= as_of:
        return None, ("later", text)
    rank = len(target.ranks) if tags is None else _rank(tags, target)
    if rank is None:
        return None, ("platform", text)
    requires_python = entry.get("requires-python") or None
    if requires_python is not None and not _admits(str(requires_python), target.version):
        return None, ("python", text)
    hashes = _required(name, filename, entry, "hashes")
    try:
        sha256 = parse_sha256(hashes.get("sha256"))
    except (ValueError, AttributeError):
        raise ResolutionError(f"the index gives no sha256 for {filename}", hint=_HINT_INDEX) from None
    size = _required(name, filename, entry, "size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ResolutionError(f"{filename}: the index's size {size!r} is not a number of bytes", hint=_HINT_INDEX)
    yanked = entry.get("yanked", False)
    core_metadata = entry.get("core-metadata", entry.get("dist-info-metadata", False))
    return (
        DistributionFile(
            name=name,
            version=version,
            filename=filename,
            url=urljoin(base, str(_required(name, filename, entry, "url"))),
            size=size,
            sha256=sha256,
            uploaded=moment,
            requires_python=requires_python,
            yanked=(yanked if isinstance(yanked, str) else "") if yanked not in (False, None) else None,
            has_metadata=bool(core_metadata),
            metadata_sha256=core_metadata.get("sha256") if isinstance(core_metadata, dict) else None,
            rank=rank,
            build=build,
        ),
        None,
    )


def _required(name: str, filename: str, entry: Mapping[str, Any], field: str) -> Any:
    value = entry.get(field)
    if value is None:
        raise ResolutionError(f"the index gives no {field} for {filename} (project {name})", hint=_HINT_INDEX)
    return value


def _order(file: DistributionFile) -> tuple[bool, int, tuple[int, ...], str, int, str]:
    """Sorts the files of one version, best first; among equals the usual sdist form, then the name."""
    number, letters = file.build
    extension = next((i for i, suffix in enumerate(_SDISTS) if file.filename.endswith(suffix)), 0)
    return (file.yanked is not None, file.rank, (-number,), _descending(letters), extension, file.filename)


def _descending(text: str) -> str:
    return "".join(chr(0x10FFFF - ord(character)) for character in text)


def _split(filename: str, name: str) -> tuple[Version, tuple[int, str], str | None] | None:
    """(version, build number, tags or None for an sdist) of a file name; None for no wheel or sdist of `name`."""
    if filename.endswith(".whl"):
        parts = filename.removesuffix(".whl").split("-")
        if len(parts) not in (5, 6) or canonicalize_name(parts[0]) != name:
            return None
        number = re.match(r"(\d+)(.*)", parts[2]) if len(parts) == 6 else None
        version = _version(parts[1].replace("_", "-"))
        if version is None:
            return None
        return version, (int(number[1]), number[2]) if number else (-1, ""), "-".join(parts[-3:])
    suffix = next((suffix for suffix in _SDISTS if filename.endswith(suffix)), None)
    if suffix is None:
        return None
    stem = filename.removesuffix(suffix)
    # Names of old sdists hold hyphens, and so may their versions: the project's name decides where the version starts.
    for position, character in enumerate(stem):
        if character == "-" and canonicalize_name(stem[:position]) == name:
            version = _version(stem[position + 1 :])
            return None if version is None else (version, (-1, ""), None)
    return None


@lru_cache(maxsize=65536)
def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


def _rank(tags: str, target: Target) -> int | None:
    """The place of the best of a wheel's tags in the target's order; None where it fits none."""
    pythons, abis, platforms = tags.split("-")
    ranks = [
        rank
        for python in pythons.split(".")
        for abi in abis.split(".")
        for platform in platforms.split(".")
        if (rank := target.ranks.get(f"{python}-{abi}-{platform}")) is not None
    ]
    return min(ranks, default=None)


@lru_cache(maxsize=4096)
def _admits(requires_python: str, version: str) -> bool:
    try:
        return SpecifierSet(requires_python).contains(version, prereleases=True)
    except InvalidSpecifier:
        # As pip does: a requires-python that nobody can read rules nothing out.
        return True


def _sorted(versions: set[str]) -> tuple[str, ...]:
    return tuple(sorted(versions, key=Version))


def _some(versions: tuple[str, ...]) -> str:
    return ", ".join(versions[-3:]) if len(versions) <= 3 else f"..., {', '.join(versions[-3:])}"
