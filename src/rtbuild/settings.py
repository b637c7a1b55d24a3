"""Settings: what a machine or a user may decide, from options, environment, `rtbuild.toml` and defaults, in that order.

Recipes say what an image is; settings only say where things are kept, where files come from and how much to do at once.
No setting changes the uncompressed bytes of an image.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import shlex
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from rtbuild.errors import UsageError

FILE_NAME = "rtbuild.toml"
PREFIX = "RTBUILD_"
_HELP = "docs/reference/settings.md says what each setting takes"
_CI_PREFIX = "RTBUILD_CI_"  # for the scripts that run rtbuild in CI, not for rtbuild


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that is not in a recipe.

    Mirrors are addresses or folders, most wanted first; more are found on the machine.
    """

    store: Path
    """The folder that holds everything rtbuild keeps."""
    engine_dir: Path
    """Where a private engine lives: its programs, socket and data."""
    debian_mirrors: tuple[str, ...] = ()
    python_indexes: tuple[str, ...] = ()
    jobs: int = 1
    """How many processor-bound pieces of work run at once."""
    connections: int = 16
    """How many downloads run at once."""
    timeout: float = 30.0
    """Seconds without a byte after which a mirror counts as silent."""
    retries: int = 4
    """How often a passing fault (503, a broken connection) is tried again."""
    builder: str | None = None
    docker_host: str | None = None
    docker_context: str | None = None
    compression: str = "zstd"
    repository: str = "astro-runtime"
    pip_environment: tuple[tuple[str, str], ...] = ()
    """The variables that decide which index pip itself would use."""


def load_settings(environment: Mapping[str, str], start: Path, **overrides: object) -> Settings:
    """The settings for work that starts in folder `start`.

    `rtbuild.toml` is looked for in `start` and the folders above it. `overrides` are options by field name; None means
    not given. Relative folders are relative to the file that names them, otherwise to `start`.
    Raises `UsageError` for a key that does not exist or a value that cannot be meant.
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
        values |= _from_file(file)
    values |= _from_environment(environment, start)
    given = {name: value for name, value in overrides.items() if value is not None}
    for name, value in given.items():
        values[name] = _parse(name, value, start, f"option {name!r}", list(_KINDS))
    return Settings(**values)  # type: ignore[arg-type]


_PIP_VARIABLES = ("PIP_INDEX_URL", "PIP_CONFIG_FILE", "HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "VIRTUAL_ENV")

_FOREIGN = {"DOCKER_HOST": "docker_host", "DOCKER_CONTEXT": "docker_context", "BUILDX_BUILDER": "builder"}
"""Docker's own variables count where rtbuild's are not set."""


def _find_file(start: Path) -> Path | None:
    for folder in (start, *start.parents):
        candidate = folder / FILE_NAME
        if candidate.is_file():
            return candidate
    return None


def _from_file(file: Path) -> dict[str, object]:
    try:
        with file.open("rb") as stream:
            content = tomllib.load(stream)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: not a TOML file", details=str(error), hint=_HELP) from None
    except OSError as error:
        hint = "settings are read from the nearest rtbuild.toml upwards"
        raise UsageError(f"{file}: cannot be read: {error.strerror}", hint=hint) from None
    return {key: _parse(key, value, file.parent, f"{file}: {key}", list(_KINDS)) for key, value in content.items()}


def _from_environment(environment: Mapping[str, str], start: Path) -> dict[str, object]:
    values: dict[str, object] = {}
    for foreign, name in _FOREIGN.items():
        if environment.get(foreign):
            values[name] = _parse(name, environment[foreign], start, foreign, [])
    known = [PREFIX + name.upper() for name in _KINDS]
    for variable in sorted(environment):
        if not variable.startswith(PREFIX) or variable.startswith(_CI_PREFIX) or not environment[variable]:
            continue
        name = variable.removeprefix(PREFIX).lower() if variable in known else variable
        values[name] = _parse(name, environment[variable], start, f"environment variable {variable}", known)
    return values


def _parse(name: str, value: object, folder: Path, where: str, known: list[str]) -> object:
    if name not in _KINDS:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "known settings: " + ", ".join(known)
        raise UsageError(f"{where}: there is no such setting", hint=hint)
    try:
        return _KINDS[name](value, folder)
    except ValueError as error:
        raise UsageError(f"{where}: {error}", hint=_HELP) from None


def _path(value: object, folder: Path) -> Path:
    if not isinstance(value, (str, Path)) or not str(value):
        raise ValueError("must be the name of a folder")
    try:
        expanded = Path(value).expanduser()
    except RuntimeError as error:
        raise ValueError(f"must be the name of a folder, not {str(value)!r}: no home of that user is known") from error
    return Path(os.path.normpath(folder / expanded))


def _text(value: object, folder: Path) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text that is not empty")
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
        raise ValueError(f"must be a number of seconds above 0, not {value!r}")
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
        raise ValueError(f"must be the name of an image repository in lower case, without a tag, not {value!r}")
    return value


def _places(value: object, folder: Path) -> tuple[str, ...]:
    """Addresses or folders: a TOML list, or in the environment a text split at spaces as a shell does."""
    if isinstance(value, str):
        value = shlex.split(value)
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) and item.strip() for item in value):
        raise ValueError("must be a list of addresses or folders")
    return tuple(dict.fromkeys(_place(item.strip(), folder) for item in value))


def _place(item: str, folder: Path) -> str:
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", item)
    if scheme is None:
        return str(_path(item, folder))
    if not re.match(r"https?://[^/]|file:/", item):
        raise ValueError(f"{item!r} is neither a folder nor an http, https or file address")
    return item


_KINDS: dict[str, Callable[[object, Path], object]] = {
    "store": _path,
    "engine_dir": _path,
    "debian_mirrors": _places,
    "python_indexes": _places,
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
