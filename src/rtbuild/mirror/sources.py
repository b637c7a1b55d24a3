"""The seam between locking and the world's mirrors: where indexes and files come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from rtbuild.formats.project_page import ProjectPage
from rtbuild.recipe.model import Suite


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one mirror answered.

    Attributes:
        mirror: The mirror's name for messages, as the settings or the apt sources spell it.
        content: The bytes of the answer.
    """

    mirror: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A file that a mirror of `suite` should have at `path`, with `size` bytes."""

    suite: Suite
    path: str
    size: int


class Sources(Protocol):
    """Indexes and first bytes of files, from every mirror that the machine or the settings name."""

    def debian_index(self, suite: Suite, path: str) -> Iterator[Answer]:
        """Yield the answers for `dists/<suite>/<path>`, such as `InRelease` or `main/binary-amd64/Packages.xz`.

        The mirrors are asked one by one, each when its answer is wanted, the preferred first. A mirror without the file
        is passed over, so there may be no answer at all.
        """

    def debian_heads(self, wanted: Sequence[Wanted], length: int) -> dict[str, bytes]:
        """Return the first `length` bytes of each wanted file, by path, read in parallel.

        They come from the first mirror that has the file with the right size. A path that no mirror has is absent.
        """

    def python_project(self, name: str) -> ProjectPage:
        """Return the project's page in the Simple API, file addresses made absolute.

        Raises:
            MirrorError: if no index has a usable page.
        """

    def python_metadata(self, url: str, sha256: str | None) -> bytes | None:
        """Return the core metadata file of the wheel at `url` (PEP 658); None if the index has none.

        Raises:
            MirrorError: if the index fails.
            IntegrityError: if the file has another sha256.
        """

    def python_file(self, url: str, sha256: str, size: int) -> BinaryIO:
        """Open the wheel or sdist at `url`, to read its metadata if the index offers none.

        Some have hundreds of megabytes, so they are never in memory as a whole.

        Raises:
            MirrorError: if it cannot be fetched, or has another size.
            IntegrityError: if it has another sha256.
        """

    def python_part(self, url: str, offset: int, length: int) -> bytes | None:
        """Return `length` bytes of the wheel at `url` from `offset` on, to read its metadata without the rest.

        None if its host does not serve parts.

        Raises:
            MirrorError: if it cannot be fetched.
        """
