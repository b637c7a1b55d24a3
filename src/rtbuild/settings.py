"""Settings: what depends on the machine or the user. Options win over the environment, `rtbuild.toml` and defaults.

Recipes say what an image is. Settings say where things are stored, where files come from and how much to do at once. No
setting changes the uncompressed bytes of an image.
"""

from __future__ import annotations

import math
import os
import re
import shlex
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

from rtbuild.documents import LARGEST_TOML, parse_toml
from rtbuild.errors import UsageError
from rtbuild.files import read_regular
from rtbuild.text import name_hint

SETTINGS_FILE = "rtbuild.toml"
"""The name of settings files."""

VARIABLE_PREFIX = "RTBUILD_"
"""What the names of all environment variables for rtbuild begin with."""

_HELP = "see docs/reference/settings.md for the values of settings"
_CI_PREFIX = "RTBUILD_CI_"  # for the scripts that run rtbuild in CI, not for rtbuild


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What depends on the machine or the user. `load_settings` makes one by the rules of the command line."""

    store: Path
    """The folder of the store: artifacts, layers, images and caches."""
    engine_dir: Path
    """The folder of private engines: their programs, sockets and data."""
    debian_mirrors: tuple[str, ...] = ()
    """URLs or folders of Debian mirrors, in order of preference. If empty, the machine's apt sources are used."""
    python_indexes: tuple[str, ...] = ()
    """URLs or folders of Python indexes, in order of preference. If empty, the index that pip is configured for is
    used."""
    private_packages: tuple[str, ...] = ()
    """Names of Python packages, or patterns of names (`acme-*`), that only the first of `python_indexes` is asked
    for."""
    jobs: int = 1
    """How many processor-bound jobs to run at once."""
    connections: int = 16
    """How many files to download at once."""
    timeout: float = 30.0
    """How many seconds to wait for the next byte of a mirror."""
    retries: int = 4
    """How often to retry after a temporary failure, such as status 503 or a broken connection."""
    builder: str | None = None
    """The buildx builder to use. By default the machine's Docker is used, or a private engine."""
    docker_host: str | None = None
    """The address of the Docker daemon to use. By default it is Docker's own choice."""
    docker_context: str | None = None
    """The Docker context to use. By default it is Docker's own choice."""
    compression: str = "zstd"
    """How to compress layers: `zstd`, or `gzip` for old registries."""
    repository: str = "astro-runtime"
    """The name of built images, without a tag."""
    pip_environment: tuple[tuple[str, str], ...] = ()
    """(name, value) pairs of the environment variables that decide which index and which login pip uses."""


def load_settings(environment: Mapping[str, str], start: Path, **overrides: object) -> Settings:
    """Return the settings for work in the folder `start`.

    Args:
        environment: The environment variables, such as `os.environ`.
        start: The folder in which, and above which, `rtbuild.toml` is looked for. Relative folders in the environment
            and in `overrides` are relative to it; those in `rtbuild.toml` are relative to that file.
        overrides: Fields of `Settings` that win over everything else; None is not given.

    Raises:
        UsageError: if a setting is unknown or invalid, or `rtbuild.toml` cannot be read.
    """
    start = start.absolute()
    values: dict[str, object] = {
        "store": platformdirs.user_cache_path("rtbuild"),
        "engine_dir": platformdirs.user_data_path("rtbuild") / "engine",
        "jobs": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "pip_environment": tuple((name, environment[name]) for name in _PIP_VARIABLES if name in environment),
    }
    file = _find_file(start)
    if file is not None:
        _require_trusted(file, environment)
        values |= _from_file(file)
    values |= _from_environment(environment, start)
    given = {name: value for name, value in overrides.items() if value is not None}
    for name, value in given.items():
        values[name] = _parse(name, value, start, f"option {name!r}", list(_KINDS))
    return Settings(**values)  # type: ignore[arg-type]


TRUSTED_VARIABLE = "RTBUILD_TRUSTED_FOLDERS"
"""Folders whose `rtbuild.toml` is obeyed whoever owns it, separated by colons; `*` for all."""

_PIP_VARIABLES = (
    "PIP_INDEX_URL",
    "PIP_CONFIG_FILE",
    "HOME",
    "NETRC",
    "XDG_CONFIG_HOME",
    "XDG_CONFIG_DIRS",
    "VIRTUAL_ENV",
)

_FOREIGN = {"DOCKER_HOST": "docker_host", "DOCKER_CONTEXT": "docker_context", "BUILDX_BUILDER": "builder"}
"""Docker's own variables, which are used if rtbuild's are not set."""


def _find_file(start: Path) -> Path | None:
    for folder in (start, *start.parents):
        candidate = folder / SETTINGS_FILE
        if candidate.is_file():
            return candidate
    return None


def _require_trusted(file: Path, environment: Mapping[str, str]) -> None:
    """Check that the user, root or the caller of sudo owns the settings, as git does with safe.directory.

    They name programs and daemons, so whoever can write into a folder above could have their own run.
    """
    if not hasattr(os, "geteuid"):
        return
    trusted = {0, os.geteuid()}
    if os.geteuid() == 0 and environment.get("SUDO_UID", "").isdecimal():
        trusted.add(int(environment["SUDO_UID"]))
    allowed = environment.get(TRUSTED_VARIABLE, "").split(os.pathsep)
    if allowed != [""] and {"*", str(file.parent)} & set(allowed):
        return
    try:
        status = file.stat()
    except OSError:
        return  # reading it says why
    hint = f"if you trust it, set {TRUSTED_VARIABLE}={file.parent}"
    if status.st_uid not in trusted:
        raise UsageError(f"{file}: owned by another user, so it is not obeyed", hint=hint)
    if status.st_mode & stat.S_IWOTH:
        raise UsageError(f"{file}: every user can write to it, so it is not obeyed", hint=hint)


def _from_file(file: Path) -> dict[str, object]:
    try:
        content = parse_toml(read_regular(file, LARGEST_TOML))
    except OSError as error:
        hint = "check the file's permissions"
        raise UsageError(f"{file}: cannot be read: {error.strerror}", hint=hint) from None
    except ValueError as error:
        raise UsageError(f"{file}: {error}", hint=_HELP) from None
    return {key: _parse(key, value, file.parent, f"{file}: {key}", list(_KINDS)) for key, value in content.items()}


def _from_environment(environment: Mapping[str, str], start: Path) -> dict[str, object]:
    values: dict[str, object] = {}
    for foreign, name in _FOREIGN.items():
        if environment.get(foreign):
            values[name] = _parse(name, environment[foreign], start, foreign, [])
    known = [VARIABLE_PREFIX + name.upper() for name in _KINDS]
    for variable in sorted(environment):
        if variable == TRUSTED_VARIABLE:
            continue
        if not variable.startswith(VARIABLE_PREFIX) or variable.startswith(_CI_PREFIX) or not environment[variable]:
            continue
        name = variable.removeprefix(VARIABLE_PREFIX).lower() if variable in known else variable
        values[name] = _parse(name, environment[variable], start, f"environment variable {variable}", known)
    return values


def _parse(name: str, value: object, folder: Path, where: str, known: list[str]) -> object:
    if name not in _KINDS:
        raise UsageError(f"{where}: unknown setting", hint=name_hint(name, known, "settings"))
    try:
        return _KINDS[name](value, folder)
    except ValueError as error:
        raise UsageError(f"{where}: {error}", hint=_HELP) from None


def _path(value: object, folder: Path) -> Path:
    if not isinstance(value, (str, Path)) or not str(value):
        raise ValueError("must be a folder")
    try:
        expanded = Path(value).expanduser()
    except RuntimeError as error:
        raise ValueError(f"must be a folder, not {str(value)!r}: the home of that user is unknown") from error
    return Path(os.path.normpath(folder / expanded))


def _text(value: object, folder: Path) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a non-empty string")
    return value.strip()


def _count(lowest: int) -> Callable[[object, Path], int]:
    def parse(value: object, folder: Path) -> int:
        if isinstance(value, str) and re.fullmatch(r"\d{1,6}", value.strip(), re.ASCII):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
            raise ValueError(f"must be a whole number, {lowest} or more, not {value!r}")
        return value

    return parse


def _seconds(value: object, folder: Path) -> float:
    try:
        number = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else math.nan
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError(f"must be a positive number of seconds, not {value!r}")
    return number


def _compression(value: object, folder: Path) -> str:
    if value not in ("zstd", "gzip"):
        raise ValueError(f"must be 'zstd' or 'gzip', not {value!r}")
    return str(value)


def _repository(value: object, folder: Path) -> str:
    # The name grammar of the OCI distribution specification, with an optional registry host and port before it.
    if not isinstance(value, str) or not re.fullmatch(
        r"(?:[A-Za-z0-9.-]+(?::\d+)?/)?[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*",
        value,
    ):
        raise ValueError(f"must be an image name in lower case, without a tag, not {value!r}")
    return value


def _words(value: object, what: str) -> list[str]:
    """A list of strings: in the environment one string, which is split as a shell does."""
    if isinstance(value, str):
        try:
            value = shlex.split(value)
        except ValueError:
            shown = "" if "@" in value else f": {value!r}"
            raise ValueError(f"has a quote that is not closed{shown}") from None
    if not isinstance(value, (list, tuple)) or not all(isinstance(part, str) and part.strip() for part in value):
        raise ValueError(f"must be a list of {what}")
    return [part.strip() for part in value]


def _locations(value: object, folder: Path) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_location(part, folder) for part in _words(value, "URLs or folders")))


def _packages(value: object, folder: Path) -> tuple[str, ...]:
    """Names or patterns of Python packages, normalized as PEP 503 does."""
    patterns = _words(value, "package names")
    for pattern in patterns:
        if not re.fullmatch(r"[A-Za-z0-9*?._-]+", pattern):
            raise ValueError(f"{pattern!r} is not a package name, nor a pattern of names such as 'acme-*'")
    return tuple(dict.fromkeys(re.sub(r"[-_.]+", "-", pattern).lower() for pattern in patterns))


def _location(location: str, folder: Path) -> str:
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", location)
    if scheme is None:
        return str(_path(location, folder))
    shown = "the address with a password" if "@" in location else repr(location)
    if not re.match(r"https?://[^/]|file:/", location):
        raise ValueError(f"{shown} is neither a folder nor an http, https or file URL")
    try:
        parts = urlsplit(location)
        valid = parts.scheme == "file" or (parts.hostname is not None and parts.port != 0)
    except ValueError:
        valid = False
    if not valid:
        raise ValueError(f"{shown} is not a valid URL; special characters in a password have to be percent-encoded")
    return location


_KINDS: dict[str, Callable[[object, Path], object]] = {
    "store": _path,
    "engine_dir": _path,
    "debian_mirrors": _locations,
    "python_indexes": _locations,
    "private_packages": _packages,
    "jobs": _count(1),
    "connections": _count(1),
    "timeout": _seconds,
    "retries": _count(0),
    "builder": _text,
    "docker_host": _text,
    "docker_context": _text,
    "compression": _compression,
    "repository": _repository,
}
