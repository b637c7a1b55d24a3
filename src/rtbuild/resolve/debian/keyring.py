"""The OpenPGP keys that Debian's suites are signed with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from pysequoia import Cert, verify


@dataclass(frozen=True, slots=True)
class Keyring:
    """Certificates whose signatures count. `name` says in messages where they come from."""

    certificates: tuple[Cert, ...]
    name: str

    @classmethod
    def from_bytes(cls, content: bytes, *, name: str) -> Keyring:
        """The certificates of a (binary or armoured) key file."""
        return cls(tuple(Cert.split_bytes(content)), name)

    def signed_text(self, message: bytes) -> bytes:
        """What a signed message says, without anything that stands before or after the signed part.

        One good signature of a known key is enough, as for apt: Debian signs each suite with the keys of several
        releases. A signature counts that was made while its key was valid, even where the key has expired since. This
        is Sequoia's rule too, and rtbuild wants it: a suite that is signed for the last time must still verify in ten
        years, and whether an index is too old to trust is what Valid-Until is for. Revoked keys and broken hashes
        (SHA-1) do not count. Raises `ValueError` where there is no such signature.
        """
        try:
            text = verify(message, lambda _: list(self.certificates)).bytes
        except (
            Exception
        ) as error:  # pysequoia raises RuntimeError, ValueError and bare Exceptions, with Rust's stack inside
            raise ValueError(str(error).split("\n", 1)[0].rstrip(".")) from None
        if text is None:
            raise ValueError("the message is empty")
        return bytes(text)


@lru_cache(maxsize=1)
def debian_keyring() -> Keyring:
    """The vendored keys: every suite from Debian 11 to testing verifies with them (see `keyrings/README.md`)."""
    content = resources.files("rtbuild.resolve.debian").joinpath("keyrings/debian-archive-keyring.gpg").read_bytes()
    return Keyring.from_bytes(content, name="the Debian archive keys in rtbuild")
