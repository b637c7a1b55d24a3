"""The OpenPGP keys that Debian's suites are signed with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from pysequoia import Cert, verify


@dataclass(frozen=True, slots=True)
class Keyring:
    """The certificates whose signatures are accepted. `name` says in messages where they come from."""

    certificates: tuple[Cert, ...]
    name: str

    @classmethod
    def from_bytes(cls, content: bytes, *, name: str) -> Keyring:
        """Read the certificates of a key file, binary or armoured."""
        return cls(tuple(Cert.split_bytes(content)), name)

    def signed_text(self, message: bytes) -> bytes:
        """Verify a signed message and return its text, without anything before or after the signed part.

        As for apt, one good signature of a known key is enough: Debian signs each suite with the keys of several
        releases. A signature made while its key was valid is good even if the key has expired since. That is Sequoia's
        rule, and rtbuild needs it: a suite that was signed for the last time must still verify in ten years, and
        Valid-Until says whether an index is too old to trust. Revoked keys and broken hashes (SHA-1) are not accepted.

        Raises:
            ValueError: if there is no good signature.
        """
        try:
            text = verify(message, lambda _: list(self.certificates)).bytes
        except Exception as error:
            # pysequoia raises RuntimeError, ValueError and bare Exceptions, with Rust's stack in the text.
            raise ValueError(str(error).split("\n", 1)[0].rstrip(".")) from None
        if text is None:
            raise ValueError("the message is empty")
        return bytes(text)


@lru_cache(maxsize=1)
def debian_keyring() -> Keyring:
    """Return the archive keys that rtbuild ships, for every suite from Debian 11 to testing (`keyrings/README.md`)."""
    content = resources.files("rtbuild.resolve.debian").joinpath("keyrings/debian-archive-keyring.gpg").read_bytes()
    return Keyring.from_bytes(content, name="the Debian archive keys in rtbuild")
