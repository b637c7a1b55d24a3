"""Reduce a project's page to what a target can use: one file per version, uploaded before the recipe's `as_of`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from urllib.parse import quote, unquote, urlsplit

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from rtbuild.digest import Sha256
from rtbuild.errors import ResolutionError
from rtbuild.formats.distribution_names import SDIST_SUFFIXES, split_filename
from rtbuild.formats.project_page import (
    ProjectFile,
    ProjectPage,
    address,
    metadata_offer,
    requires_python,
    sha256,
    size,
    upload_time,
    yanked_reason,
)
from rtbuild.recipe.sdist import LocalSdist
from rtbuild.resolve.python.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributionFile:
    """A wheel or sdist that the index offers."""

    name: str
    version: Version
    filename: str
    url: str
    size: int
    sha256: Sha256
    uploaded: datetime
    requires_python: str | None
    yanked: str | None
    """Why it was yanked (PEP 592), possibly an empty string; None if it was not."""
    has_metadata: bool
    """The index serves its core metadata as a file of its own (PEP 658)."""
    metadata_sha256: str | None
    rank: int
    """The place of its best tag in the target's order of preference."""
    build: tuple[int, str]
    """A wheel's build number, split as wheels are sorted by it."""

    @property
    def is_wheel(self) -> bool:
        """False for an sdist."""
        return self.filename.endswith(".whl")

    @property
    def path(self) -> str:
        """The file's path on its file host, which is the same on every host."""
        return unquote(urlsplit(self.url).path).lstrip("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetPage:
    """A project's page as a target sees it: `files` has one file per version, oldest version first.

    The other fields are versions that exist but cannot be used, by reason.
    """

    name: str
    files: tuple[DistributionFile, ...]
    other_later: tuple[str, ...] = ()
    other_platform: tuple[str, ...] = ()
    other_python: tuple[str, ...] = ()
    pre_releases: tuple[str, ...] = ()
    """Versions that could be used if the recipe asked for them."""

    def file(self, version: Version) -> DistributionFile | None:
        """Return the file of a version; None if it cannot be used."""
        return next((file for file in self.files if file.version == version), None)

    def explain(self) -> str:
        """Return what can be used and why the rest cannot, for an error message."""
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
    name: str, content: ProjectPage, *, target: Target, as_of: datetime, pre_releases: bool = False
) -> TargetPage:
    """Reduce the page of project `name` to one file per version: the best wheel by the target's tags, else the sdist.

    Pre-releases count if `pre_releases` says so or if there are no other versions. pip takes a `<4.0.0dev` deep in
    somebody's requirements as permission to use them, and Google's libraries are full of those.

    Raises:
        ResolutionError: if a file has no upload time, size or sha256, which a lock is made of.
    """
    best: dict[Version, DistributionFile] = {}
    others: dict[str, set[str]] = {"later": set(), "platform": set(), "python": set()}
    for entry in content["files"]:
        file, reason = _read_file(name, entry, target, as_of)
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
    return TargetPage(
        name=name,
        files=tuple(best[version] for version in sorted(set(best) - early)),
        other_later=_sorted(others["later"] - usable),
        other_platform=_sorted(others["platform"] - usable),
        other_python=_sorted(others["python"] - usable),
        pre_releases=_sorted({str(version) for version in early}),
    )


def local_page(sdist: LocalSdist, target: Target) -> TargetPage:
    """Return the page of a package whose source is in the recipes: one version, and no index is asked."""
    package = sdist.package
    if package.requires_python is not None and not _admits(package.requires_python, target.version):
        return TargetPage(name=package.name, files=(), other_python=(package.version,))
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
    return TargetPage(name=package.name, files=(file,))


def _read_file(
    name: str, entry: ProjectFile, target: Target, as_of: datetime
) -> tuple[DistributionFile | None, tuple[str, str] | None]:
    """Return the file, or why its version cannot be used; (None, None) if it is no wheel or sdist of the project."""
    filename = str(entry.get("filename", ""))
    split = split_filename(filename, name)
    if split is None:
        return None, None
    text = str(split.version)
    try:
        uploaded = upload_time(entry)
        if uploaded >= as_of:
            return None, ("later", text)
        rank = len(target.ranks) if split.tags is None else _rank(split.tags, target)
        if rank is None:
            return None, ("platform", text)
        specifier = requires_python(entry)
        if specifier is not None and not _admits(specifier, target.version):
            return None, ("python", text)
        has_metadata, metadata_sha256 = metadata_offer(entry)
        file = DistributionFile(
            name=name,
            version=split.version,
            filename=filename,
            url=address(entry),
            size=size(entry),
            sha256=sha256(entry),
            uploaded=uploaded,
            requires_python=specifier,
            yanked=yanked_reason(entry),
            has_metadata=has_metadata,
            metadata_sha256=metadata_sha256,
            rank=rank,
            build=split.build,
        )
    except ValueError as error:
        hint = "use an index that offers the Simple API as JSON with upload times and sizes (PEP 691, PEP 700)"
        raise ResolutionError(f"{filename}: the package index {error}", hint=hint) from None
    return file, None


def _order(file: DistributionFile) -> tuple[bool, int, tuple[int, ...], str, int, str]:
    """Return a key that sorts the files of one version, best first; equal sdists by usual format, then by name."""
    number, letters = file.build
    extension = next((i for i, suffix in enumerate(SDIST_SUFFIXES) if file.filename.endswith(suffix)), 0)
    return (file.yanked is not None, file.rank, (-number,), _descending(letters), extension, file.filename)


def _descending(text: str) -> str:
    return "".join(chr(0x10FFFF - ord(character)) for character in text)


def _rank(tags: str, target: Target) -> int | None:
    """Return the place of a wheel's best tag in the target's order; None if the target cannot load the wheel."""
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
def _admits(specifier: str, version: str) -> bool:
    try:
        return SpecifierSet(specifier).contains(version, prereleases=True)
    except InvalidSpecifier:
        # As in pip, a malformed requires-python excludes nothing.
        return True


def _sorted(versions: set[str]) -> tuple[str, ...]:
    return tuple(sorted(versions, key=Version))


def _some(versions: tuple[str, ...]) -> str:
    return ", ".join(versions[-3:]) if len(versions) <= 3 else f"..., {', '.join(versions[-3:])}"
