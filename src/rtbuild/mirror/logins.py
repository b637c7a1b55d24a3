"""The user's logins in `~/.netrc`, as curl and pip read them."""

from __future__ import annotations

import netrc
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from rtbuild.files import read_regular

_LARGEST = 1 << 20


def netrc_logins(environment: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return the user name and password for each host in the netrc file of `environment` (`NETRC`, `HOME`).

    The entry `default` is left out: it would send a password to every host that a page links to. A file that cannot be
    read counts as empty, as for pip.
    """
    home = environment.get("HOME")
    named = environment.get("NETRC")
    candidates = [Path(named)] if named else [Path(home, name) for name in (".netrc", "_netrc")] if home else []
    for path in candidates:
        with suppress(OSError, netrc.NetrcParseError, UnicodeDecodeError):
            read_regular(path, _LARGEST)  # not a pipe, which would block
            hosts = netrc.netrc(str(path)).hosts
            return {host: (login, password or "") for host, (login, _, password) in hosts.items() if host != "default"}
    return {}
