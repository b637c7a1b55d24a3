"""What the `verify` verb found, as a value and as text."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from rtbuild.digest import DiffId, Digest
from rtbuild.errors import StoreError
from rtbuild.formats.compression import MAGIC_SIZE, compression_of
from rtbuild.oci.compare import Difference
from rtbuild.text import size_text

_SHOWN = 20
"""Differences of one layer that the report shows as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedLayer:
    """One layer: the diff ID that is expected, and the one that was found.

    The expected one is that of the lock or, if an image was rebuilt, of the image. `differences` are named if the bytes
    of both are available; otherwise `note` says why they are not.
    """

    name: str
    expected: DiffId | None
    found: DiffId | None
    differences: tuple[Difference, ...] = ()
    note: str = ""

    @property
    def equal(self) -> bool:
        """Whether the bytes are the expected ones."""
        return self.expected == self.found


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFiles:
    """What was read of an image: the number of files, their bytes, and what is named but was not there.

    Attributes:
        files: How many files were read whole.
        size: Their size in bytes.
        findings: What is not what it says it is, one line each, with its place.
        notes: What could not be read because it is not there, such as the image for another platform, and what belongs
            to no image.
    """

    files: int
    size: int
    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What a verification found.

    The image ID of rtbuild is the digest of the image's config.

    Attributes:
        release: The version, such as `8.0.0`; empty if an image is too damaged to tell.
        platform: The platform, such as `linux/amd64`; empty likewise.
        reproducible: Whether the rebuild gave what is expected; None if nothing differs, but nothing was rebuilt.
        mismatches: Everything that differs, one line each, the image without ONBUILD triggers included.
        expected_image_id: The image ID that the lock (or the image that was read) has; None if it has no such image.
        image_id: The image ID that was rebuilt; None if nothing was.
        expected_manifest_digest: The manifest digest that the lock (or the image) has; None if it has none.
        manifest_digest: The manifest digest that was rebuilt; None if nothing was.
        manifest_equal: Whether the manifest is the expected one; None if that cannot be told, because another
            compressor wrote the layers.
        expected_base_image_id: The same as `expected_image_id` for the image without ONBUILD triggers.
        base_image_id: The ID of that image as it was rebuilt.
        layers: The layers, bottom first.
        seconds: How long the verification took.
        subject: What was verified: the lock, or where the image is.
        rebuilt: Whether the release was rebuilt.
        read: What was read of an image; None if a lock was verified.
    """

    release: str
    platform: str
    reproducible: bool | None
    mismatches: tuple[str, ...]
    expected_image_id: Digest | None
    image_id: Digest | None
    expected_manifest_digest: Digest | None
    manifest_digest: Digest | None
    manifest_equal: bool | None
    expected_base_image_id: Digest | None
    base_image_id: Digest | None
    layers: tuple[VerifiedLayer, ...]
    seconds: float
    subject: str = "the lock"
    rebuilt: bool = True
    read: ReadFiles | None = None


def describe_verification(report: VerifyReport, *, limit: int | None = _SHOWN) -> str:
    """Return the report as text: each layer, and for one that differs its files, at most `limit` of them."""
    lines = [_heading(report)]
    if report.read is not None:
        lines += _reading(report.read)
    for layer in report.layers:
        lines += _layer_lines(layer, limit)
    if report.image_id is not None:
        lines += _digest_lines(report)
    if report.read is not None and not report.rebuilt:
        lines += _read_digest_lines(report)
    if not report.rebuilt:
        lines.append(
            "nothing was rebuilt: the bytes were read and compared, but whether the recipes and the lock give them was "
            "not tried"
        )
    if report.mismatches:
        lines += ["NOT REPRODUCIBLE:", *(f"  {mismatch}" for mismatch in report.mismatches)]
    elif report.rebuilt:
        lines.append("reproducible")
    return "\n".join(lines)


def write_report(report: VerifyReport, folder: Path, blobs: Mapping[str, Path]) -> None:
    """Write `report.txt`, `report.json` and the rebuilt layers in `blobs` (`<name>.tar.zst`) into `folder`.

    Raises:
        StoreError: if the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.txt").write_text(describe_verification(report, limit=None) + "\n", encoding="utf-8")
        (folder / "report.json").write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")
        for name, blob in blobs.items():
            with blob.open("rb") as stream:
                compression = compression_of(stream.read(MAGIC_SIZE))
            shutil.copyfile(blob, folder / f"{name}{compression.suffix}")
    except OSError as error:
        raise StoreError(f"cannot write the report into {folder}", details=str(error)) from None


def _heading(report: VerifyReport) -> str:
    what = f"{report.release} for {report.platform}" if report.release else "an image of no known release"
    where = "" if report.read is None else f" in {report.subject}"
    how = "rebuilt from nothing" if report.rebuilt else "read"
    return f"{what}{where}, {how} in {report.seconds:.1f} s"


def _reading(read: ReadFiles) -> list[str]:
    outcome = (
        f"{len(read.findings)} are not what they say" if read.findings else "every digest, size and diff ID is right"
    )
    return [f"read {read.files} files, {size_text(read.size)}: {outcome}", *(f"  {note}" for note in read.notes)]


def _layer_lines(layer: VerifiedLayer, limit: int | None) -> list[str]:
    lines = [f"  {'equal  ' if layer.equal else 'DIFFERS'} {layer.name}  {layer.found}"]
    if layer.equal:
        return lines
    lines.append(f"          expected {layer.expected}")
    if layer.note:
        lines.append(f"          {layer.note}")
    shown = layer.differences if limit is None else layer.differences[:limit]
    lines += [f"          {_difference_text(difference)}" for difference in shown]
    if len(shown) < len(layer.differences):
        lines.append(f"          and {len(layer.differences) - len(shown)} more")
    return lines


def _digest_lines(report: VerifyReport) -> list[str]:
    """The digests of a rebuild; an image that was read may be only one of the two."""
    lines = []
    only_base = report.expected_image_id is None
    if not only_base:
        lines.append(f"config digest       {_digest_text(report.image_id, report.expected_image_id)}")
    if report.base_image_id is not None and (report.read is None or report.expected_base_image_id is not None):
        lines.append(f"base config digest  {_digest_text(report.base_image_id, report.expected_base_image_id)}")
    if report.expected_manifest_digest is not None:
        manifest = _digest_text(report.manifest_digest, report.expected_manifest_digest)
        if report.manifest_equal is None:
            manifest += " (not comparable: written by another compressor)"
        lines.append(f"{'base ' if only_base else ''}manifest digest     {manifest}")
    return lines


def _read_digest_lines(report: VerifyReport) -> list[str]:
    rows = (
        ("config digest", report.expected_image_id),
        ("base config digest", report.expected_base_image_id),
        ("manifest digest", report.expected_manifest_digest),
    )
    return [f"{name:<19} {digest}" for name, digest in rows if digest is not None]


def _difference_text(difference: Difference) -> str:
    change = f": {difference.before} -> {difference.after}" if difference.before or difference.after else ""
    return f"{difference.path}  {difference.what}{change}"


def _digest_text(found: Digest | None, expected: Digest | None) -> str:
    return f"{found} = expected" if found == expected else f"{found}, expected {expected}"
