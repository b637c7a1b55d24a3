"""Read the machine's apt configuration as apt does: sources, proxies and logins.

| what | where | manual |
|---|---|---|
| sources | `sources.list`, `sources.list.d/*.list` and `*.sources`, lists of `mirror+file:` | sources.list(5) |
| proxies | `Acquire::http::Proxy` and `Acquire::https::Proxy`, both also `::<host>` | apt-transport-http(1) |
| logins | `auth.conf`, `auth.conf.d/*.conf` | apt_auth.conf(5) |

`apt-config dump` says where the files are and what the options are. Without apt there is no proxy and no login.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlsplit
from urllib.request import proxy_bypass

from rtbuild.files import read_regular
from rtbuild.mirror.addresses import redacted
from rtbuild.mirror.connections import DIRECT
from rtbuild.mirror.site import Mirror, trimmed

_LARGEST = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9_.-]+\Z")
_OPTION = re.compile(r'(\S+) "(.*)";')
_LISTS = "mirror+file:"

Options = Mapping[str, str]
"""apt's options by lower-case name (`acquire::http::proxy`)."""


def apt_mirrors(root: Path) -> tuple[list[Mirror], list[Mirror]]:
    """Return the mirrors in the apt sources of the system in `root`, and those that rtbuild cannot use, with a note."""
    options = apt_options(root)
    usable: list[Mirror] = []
    unusable: list[Mirror] = []
    logins = list(_logins(options, root))
    for address, path in _sources(options, root):
        origin = f"/{path.relative_to(root)}" if path.is_relative_to(root) else str(path)
        mirror = Mirror(address=trimmed(address.removeprefix("copy:")), origin=origin)
        if re.match(r"https?://", address) and not _is_valid(address):
            unusable.append(replace(mirror, note="not used: the address is not valid"))
        elif re.match(r"https?://[^/]", address):
            usable.append(_with_proxy(_with_login(mirror, logins), options))
        elif re.match(r"file:/|(copy:)?/", address):
            usable.append(mirror)
        else:
            note = f"not used: rtbuild cannot read {address.partition(':')[0]}: sources"
            unusable.append(replace(mirror, note=note))
    return usable, unusable


def _is_valid(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.hostname is not None and parts.port != 0
    except ValueError:
        return False


def apt_options(root: Path) -> Options:
    """Return the options of apt in the system in `root`; none if apt is not installed."""
    try:
        if root == Path("/"):
            text = _dump(None)
        else:
            with tempfile.NamedTemporaryFile("w", suffix=".conf", prefix="rtbuild-apt-") as file:
                file.write(f'Dir "{root}/";\n')
                file.flush()
                text = _dump(file.name)
    except (OSError, subprocess.SubprocessError):
        return {}
    # Of an option that is given several times, the last counts; lists have names that end with `::`.
    return {match[1].lower(): match[2] for line in text.splitlines() if (match := _OPTION.fullmatch(line))}


def _dump(configuration: str | None) -> str:
    environment = None if configuration is None else {"PATH": "/usr/bin:/bin", "APT_CONFIG": configuration}
    command = ["apt-config", "dump"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, errors="replace", timeout=10, check=True
    )
    return done.stdout


def _place(options: Options, name: str, default: str, root: Path) -> Path:
    """Return the path that an option below `Dir::Etc` stands for."""
    path = Path(options.get("dir", f"{root}/"), options.get("dir::etc", "etc/apt"), options.get(name, default))
    return path if path.is_absolute() else root / path


# --- sources ---------------------------------------------------------------------------------------------------------


def _sources(options: Options, root: Path) -> Iterator[tuple[str, Path]]:
    """Yield the address of each source of binary packages, and the file that names it."""
    parts = _place(options, "dir::etc::sourceparts", "sources.list.d", root)
    lists = [_place(options, "dir::etc::sourcelist", "sources.list", root), *_listed(parts, ".list")]
    found = [(address, path) for path in lists for address in _one_line(_text(path))]
    found += [(address, path) for path in _listed(parts, ".sources") for address in _deb822(_text(path))]
    for address, path in found:
        if address.startswith(_LISTS):
            file = root / address.removeprefix(_LISTS).lstrip("/")
            yield from ((line, file) for line in _mirror_list(_text(file)))
        else:
            yield address, path


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


def _mirror_list(text: str) -> Iterator[str]:
    """Yield the addresses in a file of `mirror+file:`, one a line, with fields such as `priority:1` after a tab."""
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        if line:
            yield line.split()[0]


# --- proxies ---------------------------------------------------------------------------------------------------------


def _with_proxy(mirror: Mirror, options: Options) -> Mirror:
    """Return `mirror` with the proxy that apt would ask it through, unless that is the one of the environment."""
    parts = urlsplit(mirror.address)
    host = parts.hostname or ""
    schemes = ("https", "http") if parts.scheme == "https" else ("http",)
    for kind in (f"proxy::{host}", "proxy"):
        for scheme in schemes:
            proxy = options.get(f"acquire::{scheme}::{kind}", "")
            if proxy:
                return _through(mirror, proxy, bypassed=bool(proxy_bypass(host)))
    for name in ("proxy-auto-detect", "proxyautodetect"):
        if any(options.get(f"acquire::{scheme}::{name}") for scheme in schemes):
            note = (
                "apt asks a program for its proxy, which rtbuild does not run: set http_proxy and https_proxy instead"
            )
            return replace(mirror, note=note)
    return mirror


def _through(mirror: Mirror, proxy: str, *, bypassed: bool) -> Mirror:
    if proxy == DIRECT or bypassed:
        return replace(mirror, proxy=DIRECT)
    if re.match(r"https?://[^/]", proxy):
        return replace(mirror, proxy=proxy)
    variable = f"{urlsplit(mirror.address).scheme}_proxy"
    note = f"apt's proxy {redacted(proxy)} is not used: name one that speaks HTTP in apt's options or in {variable}"
    return replace(mirror, note=note)


# --- logins ----------------------------------------------------------------------------------------------------------


def _logins(options: Options, root: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (machine, user name, password) of each entry in apt's files of logins."""
    folder = _place(options, "dir::etc::netrcparts", "auth.conf.d", root)
    for path in (_place(options, "dir::etc::netrc", "auth.conf", root), *_listed(folder, ".conf")):
        words = [
            word for line in _text(path).splitlines() if not line.lstrip().startswith("#") for word in line.split()
        ]
        entry: dict[str, str] = {}
        for name, value in zip(words[::2], words[1::2], strict=False):
            if name == "machine" and entry:
                yield from _entry(entry)
                entry = {}
            entry[name] = value
        yield from _entry(entry)


def _entry(entry: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    if "machine" in entry and ("login" in entry or "password" in entry):
        yield entry["machine"], entry.get("login", ""), entry.get("password", "")


def _with_login(mirror: Mirror, logins: list[tuple[str, str, str]]) -> Mirror:
    """Return `mirror` with the login of the first entry for it in its address, if it has none."""
    parts = urlsplit(mirror.address)
    if "@" in parts.netloc:
        return mirror
    for machine, user, password in logins:
        scheme, slashes, rest = machine.partition("://")
        # Without a scheme an entry is for https alone.
        if (scheme if slashes else "https") == parts.scheme and _is_for(rest if slashes else machine, mirror):
            netloc = f"{quote(user, safe='')}:{quote(password, safe='')}@{parts.netloc}"
            return replace(mirror, address=parts._replace(netloc=netloc).geturl())
    return mirror


def _is_for(machine: str, mirror: Mirror) -> bool:
    """Return whether an entry for `machine`, a host with or without a port and a path, is for `mirror`."""
    parts = urlsplit(mirror.address)
    hosts = {parts.netloc, parts.netloc.partition(":")[0]}
    if "/" not in machine:
        return machine in hosts
    return any(f"{host}{parts.path}/".startswith(machine) for host in hosts)


# --- files -----------------------------------------------------------------------------------------------------------


def _listed(folder: Path, suffix: str) -> list[Path]:
    """Return the files of a folder that apt reads: those with the suffix and no other character in their name."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == suffix and _NAME.match(path.name))
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        return read_regular(path, _LARGEST).decode("utf-8", "replace")
    except OSError:
        return ""
