"""Whether an InRelease that some mirror served may be trusted, by the very rules that locking follows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from rtbuild.errors import IntegrityError
from rtbuild.mirror.sources import Answer, Sources
from rtbuild.progress import Silent
from rtbuild.recipe.model import Suite
from rtbuild.resolve.debian.keyring import debian_keyring
from rtbuild.resolve.debian.release_file import read_release_file

_MIRROR = "it"


def why_untrusted(suite: Suite, content: bytes) -> str | None:
    """What is wrong with `content` as the InRelease of `suite`: signature, name, date, form. None where nothing is."""
    try:
        read_release_file(suite, cast(Sources, _OneAnswer(content)), keyring=debian_keyring(), progress=Silent())
    except IntegrityError as error:
        return (error.details or error.brief).removeprefix(f"{_MIRROR}: ")
    return None


@dataclass(frozen=True, slots=True)
class _OneAnswer:
    """All that reading an InRelease asks of `Sources`."""

    content: bytes

    def debian_index(self, suite: Suite, path: str) -> Iterator[Answer]:
        yield Answer(mirror=_MIRROR, content=self.content)
