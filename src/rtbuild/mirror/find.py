"""Finding mirrors: those that the settings name, then those that this machine's own apt and pip use.

rtbuild knows no address by itself. Mirrors are not trusted: signatures, sizes and digests decide what is used.
"""

from __future__ import annotations

import configparser
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from pip._internal.models.index import PyPI

from rtbuild.mirror.http import local_path, redacted
from rtbuild.settings import Settings

SETTINGS = "settings"
"""The origin of a mirror that the settings name."""

_MOMENT = re.compile(r"\d{8}T\d{6}Z\Z")
_SAFE = "/~+:@!$&'()*,;=%"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A place that may have files.

    Attributes:
        address: An address or a folder, without a slash at the end.
        origin: What names it: `SETTINGS`, a file such as `/etc/apt/sources.list`, or a variable.
    """

    address: str
    origin: str

    @property
    def name(self) -> str:
        """The address for messages: without a password."""
        return redacted(self.address)

    @property
    def folder(self) -> Path | None:
        """The folder on this machine that it is; None for any other address."""
        return local_path(self.address)

    def at(self, moment: str) -> Mirror:
        """Return the dated archive of `moment` (`20230501T000000Z`), which replaces a date in the address."""
        head, _, tail = self.address.rpartition("/")
        base = head if _MOMENT.match(tail) else self.address
        return Mirror(address=f"{base}/{moment}", origin=self.origin)

    def place(self, path: str) -> str:
        """Return the location of `path` on this mirror."""
        return f"{self.address}/{path if self.address.startswith('/') else quote(path, safe=_SAFE)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrors:
    """Every known mirror, the preferred first.

    Attributes:
        debian: Mirrors of Debian archives.
        python: Package indexes.
        folders: Folders that may hold files of both kinds under their bare names.
    """

    debian: tuple[Mirror, ...] = ()
    python: tuple[Mirror, ...] = ()
    folders: tuple[Mirror, ...] = ()

    @property
    def indexes(self) -> tuple[Mirror, ...]:
        """The package indexes that say which versions there are.

        If the settings name any, pip's own is not asked: a name missing from a company's index must not be looked up in
        a public one (dependency confusion).
        """
        chosen = tuple(mirror for mirror in self.python if mirror.origin == SETTINGS and mirror.folder is None)
        return chosen or tuple(mirror for mirror in self.python if mirror.origin != SETTINGS) or self.python

    def debian_for(self, archive: str) -> tuple[Mirror, ...]:
        """Return the Debian mirrors: the settings' in their order, then those whose address ends with `archive`."""

        def elsewhere(mirror: Mirror) -> bool:
            segments = [segment for segment in urlsplit(mirror.address).path.split("/") if segment]
            if segments and _MOMENT.match(segments[-1]):
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
    debian = [Mirror(address=_trimmed(address), origin=SETTINGS) for address in settings.debian_mirrors]
    python = [Mirror(address=_trimmed(address), origin=SETTINGS) for address in settings.python_indexes]
    folders = [mirror for mirror in (*debian, *python) if mirror.folder is not None]
    debian += apt_mirrors(root)
    python.append(pip_index(dict(settings.pip_environment), root=root, prefix=prefix or Path(sys.prefix)))
    return Mirrors(debian=distinct(debian), python=distinct(python), folders=distinct(folders))


def apt_mirrors(root: Path) -> list[Mirror]:
    """Return the addresses in the apt sources of the system in `root` (sources.list(5), both forms)."""
    folder = root / "etc" / "apt"
    files = [folder / "sources.list", *_listed(folder / "sources.list.d", ".list")]
    addresses = [(address, path) for path in files for address in _one_line(_text(path))]
    files = _listed(folder / "sources.list.d", ".sources")
    addresses += [(address, path) for path in files for address in _deb822(_text(path))]
    mirrors = []
    for address, path in addresses:
        address = address.removeprefix("copy:") if address.startswith("copy:/") else address
        if re.match(r"https?://|file:/|/", address):  # cdrom:, mirror:, mirror+file:, ssh: and the like are passed over
            mirrors.append(Mirror(address=_trimmed(address), origin=f"/{path.relative_to(root)}"))
    return mirrors


def pip_index(environment: Mapping[str, str], *, root: Path, prefix: Path) -> Mirror:
    """Return the index that pip itself would use: from PIP_INDEX_URL, its configuration files, or its own default.

    Extra indexes and find-links folders are left out on purpose: with one index a name means one project.
    """
    if environment.get("PIP_INDEX_URL"):
        return Mirror(address=_trimmed(environment["PIP_INDEX_URL"].split()[0]), origin="PIP_INDEX_URL")
    for path in reversed(_pip_files(environment, root, prefix)):
        address = _pip_setting(path)
        if address:
            return Mirror(address=_trimmed(address), origin=str(path))
    return Mirror(address=_trimmed(PyPI.simple_url), origin="pip's default")


def distinct(mirrors: Iterable[Mirror]) -> tuple[Mirror, ...]:
    """Return `mirrors` without those whose address came before."""
    by_address: dict[str, Mirror] = {}
    for mirror in mirrors:
        by_address.setdefault(mirror.address, mirror)
    return tuple(by_address.values())


def _one_line(text: str) -> Iterator[str]:
    """Yield the addresses in the one-line form."""
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        match = re.match(r"deb\s+(?:\[[^\]]*\]\s*)?(\S+)\s+\S", line)
        if match:
            yield match[1]


def _deb822(text: str) -> Iterator[str]:
    """Yield the addresses in the deb822 form."""
    for stanza in re.split(r"\n[ \t]*\n", "\n".join(line for line in text.splitlines() if not line.startswith("#"))):
        fields = {
            name.lower(): " ".join(value.split())
            for name, value in re.findall(r"^([A-Za-z0-9-]+):(.*(?:\n[ \t]+.*)*)", stanza, re.MULTILINE)
        }
        enabled = fields.get("enabled", "yes").lower() not in ("no", "false", "0", "off", "without", "disable")
        if enabled and "deb" in fields.get("types", "").split():
            yield from fields.get("uris", "").split()


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


def _listed(folder: Path, suffix: str) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == suffix)
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _trimmed(address: str) -> str:
    return address.rstrip("/") or "/"
