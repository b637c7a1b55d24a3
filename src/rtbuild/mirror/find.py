"""Finding mirrors: those that the settings name, then those that this machine's own apt and pip use.

rtbuild knows no address by itself. Mirrors are not trusted: signatures, sizes and digests decide what is used.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import urlsplit

from pip._internal.models.index import PyPI

from rtbuild.files import read_regular
from rtbuild.mirror.apt import apt_mirrors
from rtbuild.mirror.site import MOMENT, Mirror, trimmed
from rtbuild.settings import Settings

_LARGEST = 1 << 20

SETTINGS = "settings"
"""The origin of a mirror that the settings name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrors:
    """Every known mirror, the preferred first.

    Attributes:
        debian: Mirrors of Debian archives.
        python: Package indexes.
        folders: Folders that may hold files of both kinds under their bare names.
        unused: Sources of apt that rtbuild cannot read, each with a note.
        private: Patterns of the Python packages that only the first index is asked for.
    """

    debian: tuple[Mirror, ...] = ()
    python: tuple[Mirror, ...] = ()
    folders: tuple[Mirror, ...] = ()
    unused: tuple[Mirror, ...] = ()
    private: tuple[str, ...] = ()

    @property
    def indexes(self) -> tuple[Mirror, ...]:
        """The package indexes that say which versions there are.

        If the settings name any, pip's own is not asked: a name missing from a company's index must not be looked up in
        a public one (dependency confusion).
        """
        chosen = tuple(mirror for mirror in self.python if mirror.origin == SETTINGS and mirror.folder is None)
        return chosen or tuple(mirror for mirror in self.python if mirror.origin != SETTINGS) or self.python

    def indexes_for(self, name: str) -> tuple[Mirror, ...]:
        """Return the package indexes that may be asked for the project `name`, a normalized name.

        A private package is asked for at the first index of the settings only, and nowhere if they name none: who
        reads the name at a public index can register it there.
        """
        if not any(fnmatchcase(name, pattern) for pattern in self.private):
            return self.indexes
        chosen = [mirror for mirror in self.python if mirror.origin == SETTINGS and mirror.folder is None]
        return tuple(chosen[:1])

    def debian_for(self, archive: str) -> tuple[Mirror, ...]:
        """Return the Debian mirrors: the settings' in their order, then those whose address ends with `archive`."""

        def elsewhere(mirror: Mirror) -> bool:
            segments = [segment for segment in urlsplit(mirror.address).path.split("/") if segment]
            if segments and MOMENT.match(segments[-1]):
                segments.pop()
            return not segments or segments[-1] != archive

        def rank(mirror: Mirror) -> tuple[bool, bool]:
            chosen = mirror.origin == SETTINGS
            return not chosen, not chosen and elsewhere(mirror)

        return tuple(sorted(self.debian, key=rank))


def find_mirrors(settings: Settings, *, root: Path = Path("/"), prefix: Path | None = None) -> Mirrors:
    """Return the mirrors that the settings name, followed by those that apt and pip use.

    Args:
        settings: They also hold the variables that pip is configured with.
        root: The root folder of the system whose apt sources and pip configuration are read.
        prefix: The prefix of the Python whose pip configuration is read; that of the running Python by default.
    """
    debian = [Mirror(address=trimmed(address), origin=SETTINGS) for address in settings.debian_mirrors]
    python = [Mirror(address=trimmed(address), origin=SETTINGS) for address in settings.python_indexes]
    folders = [mirror for mirror in (*debian, *python) if mirror.folder is not None]
    from_apt, unused = apt_mirrors(root)
    debian += from_apt
    python.append(pip_index(dict(settings.pip_environment), root=root, prefix=prefix or Path(sys.prefix)))
    return Mirrors(
        debian=distinct(debian),
        python=distinct(python),
        folders=distinct(folders),
        unused=distinct(unused),
        private=settings.private_packages,
    )


def pip_index(environment: Mapping[str, str], *, root: Path, prefix: Path) -> Mirror:
    """Return the index that pip itself would use: from PIP_INDEX_URL, its configuration files, or its own default.

    Extra indexes and find-links folders are left out on purpose: with one index a name means one project.
    """
    if environment.get("PIP_INDEX_URL"):
        return Mirror(address=trimmed(environment["PIP_INDEX_URL"].split()[0]), origin="PIP_INDEX_URL")
    for path in reversed(_pip_files(environment, root, prefix)):
        address = _pip_setting(path)
        if address:
            return Mirror(address=trimmed(address), origin=str(path))
    return Mirror(address=trimmed(PyPI.simple_url), origin="pip's default")


def distinct(mirrors: Iterable[Mirror]) -> tuple[Mirror, ...]:
    """Return `mirrors` without those whose address came before."""
    by_address: dict[str, Mirror] = {}
    for mirror in mirrors:
        by_address.setdefault(mirror.address, mirror)
    return tuple(by_address.values())


def _pip_files(environment: Mapping[str, str], root: Path, prefix: Path) -> list[Path]:
    """Return pip's configuration files; a later one wins (pip documentation, "Configuration")."""
    chosen = environment.get("PIP_CONFIG_FILE")
    if chosen == os.devnull:
        return []
    shared = environment.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    files = [root / folder.lstrip("/") / "pip" / "pip.conf" for folder in shared.split(":") if folder]
    files.append(root / "etc" / "pip.conf")
    home = environment.get("HOME")
    if not (chosen and Path(chosen).exists()):
        if home:
            files.append(Path(home) / ".pip" / "pip.conf")
        if environment.get("XDG_CONFIG_HOME"):
            files.append(Path(environment["XDG_CONFIG_HOME"]) / "pip" / "pip.conf")
        elif home:
            files.append(Path(home) / ".config" / "pip" / "pip.conf")
    files.append(prefix / "pip.conf")
    if chosen:
        files.append(Path(chosen))
    return files


def _pip_setting(path: Path) -> str | None:
    """Return the index-url in one of pip's configuration files."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(_text(path))
    except configparser.Error:
        return None
    for section in ("install", "global"):
        if parser.has_section(section):
            for name, value in parser.items(section):
                if name.replace("_", "-").removeprefix("--") == "index-url" and value.strip():
                    return value.split()[0]
    return None


def _text(path: Path) -> str:
    try:
        return read_regular(path, _LARGEST).decode("utf-8", "replace")
    except OSError:
        return ""
