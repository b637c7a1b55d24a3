"""Locking the Debian side: which packages make up the layers, and which file each of them is.

`resolve_debian` reads signed indexes, chooses as apt-get would (see `resolver`), and looks for every chosen file on
the mirrors.
"""

from __future__ import annotations

from rtbuild.lock.debian.keyring import Keyring, debian_keyring
from rtbuild.lock.debian.resolve import resolve_debian, resolve_engine

__all__ = ["Keyring", "debian_keyring", "resolve_debian", "resolve_engine"]
