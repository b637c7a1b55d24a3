"""Read the JSON documents of an image's archive: its index, manifests and configs.

Go's JSON, with which engines read them, ignores case in the names of fields and takes the last one. A document that has
a field in two spellings, such as `layers` and `Layers`, may therefore be another image to an engine than to a reader
that minds case: it is a finding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rtbuild.documents import parse_json
from rtbuild.errors import IntegrityError
from rtbuild.oci.archive import DOCUMENT_LIMIT, ArchivedFile

# The fields that describe an image. Labels and annotations, whose names are anybody's, may differ in case alone.
_FIELDS = {"annotations", "architecture", "config", "diff_ids", "digest", "history", "layers", "manifests", "mediatype"}
_FIELDS |= {"onbuild", "os", "platform", "repotags", "rootfs", "schemaversion", "size", "type", "urls", "variant"}


_READ_LIMIT = 256 << 20
"""Bytes of documents that are read, however often: four indexes of 1,000 entries, which all name the next one, are 5 KB
of tar and 10^12 images. A thousand real images have 50 MB."""
_OVERHEAD = 4 << 10
"""What a document counts whatever its size, in bytes."""


@dataclass(slots=True, kw_only=True)
class ArchivedDocuments:
    """The JSON documents among the `files` of an archive; `findings` gets a line for each field with two spellings."""

    files: Mapping[str, ArchivedFile]
    findings: list[str]
    _left: int = field(default_factory=lambda: _READ_LIMIT, init=False)

    def read_object(self, path: str) -> dict[str, Any]:
        """Return the JSON object in a file.

        Raises:
            IntegrityError: if it is something else, or has more than 4 MiB.
        """
        value = self._read(path)
        if not isinstance(value, dict):
            raise IntegrityError(f"{path}: not a JSON object")
        return value

    def read_list(self, path: str) -> list[Any]:
        """Return the JSON list in a file.

        Raises:
            IntegrityError: if it is something else, or has more than 4 MiB.
        """
        value = self._read(path)
        if not isinstance(value, list):
            raise IntegrityError(f"{path}: not a JSON list")
        return value

    def _read(self, path: str) -> Any:
        content = self.files[path].content
        if content is None:
            raise IntegrityError(f"{path}: not JSON of at most {DOCUMENT_LIMIT >> 20} MiB")
        self._left -= len(content) + _OVERHEAD
        if self._left < 0:
            raise IntegrityError(f"too much is named too often: stopped after {_READ_LIMIT >> 20} MiB of documents")
        try:
            value = parse_json(content)
        except ValueError as error:
            raise IntegrityError(f"{path}: {error}") from None
        for fields in _objects(value):
            names = Counter(name.casefold() for name in fields if name.casefold() in _FIELDS)
            self.findings.extend(f"{path}: {name!r} is there twice" for name, number in names.items() if number > 1)
        return value


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in a JSON value, whose depth `parse_json` has limited."""
    if isinstance(value, dict):
        yield value
    if isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _objects(inner)
