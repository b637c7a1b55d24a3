"""Where indexes and files come from: the seam between rtbuild and the world's mirrors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from rtbuild.formats.project_page import ProjectPage
from rtbuild.recipe.model import Suite


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one mirror said. `mirror` names it for messages (as the user's settings or apt sources spell it)."""

    mirror: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A file that a mirror of `suite` should have at `path` with `size` bytes."""

    suite: Suite
    path: str
    size: int


class Sources(Protocol):
    """Indexes and first bytes of files, from every mirror that the machine or the settings name."""

    def debian_index(self, suite: Suite, path: str) -> Iterator[Answer]:
        """The answers for `dists/<suite>/<path>` (`InRelease`, `main/binary-amd64/Packages.xz`, a `by-hash` path).

        Mirror by mirror, lazily, the preferred first. A mirror that has none is passed over; may be empty.
        """

    def debian_heads(self, wanted: Sequence[Wanted], length: int) -> dict[str, bytes]:
        """The first `length` bytes of each wanted file, by path, from the first mirror that has it with the right size.

        A path that no mirror has is absent. Parallel.
        """

    def python_index_url(self) -> str:
        """The address of the Simple API that pip-tools is to use."""

    def python_project(self, name: str) -> ProjectPage:
        """The project's page in the Simple API, file addresses made absolute. Raises `MirrorError`."""

    def python_metadata(self, url: str, sha256: str | None) -> bytes | None:
        """The core metadata file of a wheel (PEP 658) at `url` + `.metadata`; None where the index offers none."""

    def python_file(self, url: str, sha256: str) -> bytes:
        """A wheel or sdist at `url`, to read what it needs where the index offers no metadata for it.

        Raises `MirrorError`, or `IntegrityError` where its sha256 is another one.
        """

    def python_part(self, url: str, offset: int, length: int) -> bytes | None:
        """`length` bytes of the wheel at `url` from `offset` on, so that its metadata can be read without the rest.

        None where its host does not give parts. Raises `MirrorError`.
        """
