"""What a verification found, as a value, as text and as files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from rtbuild.digest import DiffId, Digest
from rtbuild.errors import StoreError
from rtbuild.oci.compare import Difference

_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedLayer:
    """One layer: what the lock (or the image compared with) says, and what came out.

    `differences` are told where the expected layer's bytes are at hand; else `note` says that they are not.
    """

    name: str
    expected: DiffId | None
    found: DiffId | None
    differences: tuple[Difference, ...] = ()
    note: str = ""

    @property
    def equal(self) -> bool:
        """True if the bytes are the expected ones."""
        return self.expected == self.found


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What rebuilding gave. `manifest_equal` is None where another compressor wrote the expected blobs; `mismatches`
    says all that differs, a line each, the image without ONBUILD triggers included. Of that one `base_image_id` is the
    ID; None where there is none, or where an image layout was compared with."""

    release: str
    platform: str
    reproducible: bool
    mismatches: tuple[str, ...]
    expected_image_id: Digest
    image_id: Digest
    expected_manifest_digest: Digest | None
    manifest_digest: Digest
    manifest_equal: bool | None
    expected_base_image_id: Digest | None
    base_image_id: Digest | None
    layers: tuple[VerifiedLayer, ...]
    seconds: float


def describe_verification(report: VerifyReport, *, most: int | None = _SHOWN) -> str:
    """The report as lines of text: each layer, and for one that differs its files, `most` of them at most."""
    lines = [f"{report.release} for {report.platform}, rebuilt from nothing in {report.seconds:.1f} s"]
    for layer in report.layers:
        lines.append(f"  {'equal  ' if layer.equal else 'DIFFERS'} {layer.name}  {layer.found}")
        if layer.equal:
            continue
        lines.append(f"          expected {layer.expected}")
        if layer.note:
            lines.append(f"          {layer.note}")
        shown = layer.differences if most is None else layer.differences[:most]
        lines += [f"          {_line(difference)}" for difference in shown]
        if len(shown) < len(layer.differences):
            lines.append(f"          and {len(layer.differences) - len(shown)} more")
    lines.append(f"image ID         {_pair(report.image_id, report.expected_image_id)}")
    manifest = _pair(report.manifest_digest, report.expected_manifest_digest)
    if report.manifest_equal is None:
        manifest += " (another compressor wrote the one that is expected, so this does not count)"
    lines.append(f"manifest digest  {manifest}")
    if report.base_image_id is not None:
        lines.append(f"base image ID    {_pair(report.base_image_id, report.expected_base_image_id)}")
    if report.reproducible:
        lines.append("reproducible")
    else:
        lines += ["NOT REPRODUCIBLE:", *(f"  {mismatch}" for mismatch in report.mismatches)]
    return "\n".join(lines)


def write_report(report: VerifyReport, folder: Path, blobs: Mapping[str, Path]) -> None:
    """Write `report.txt`, `report.json` and the layers in `blobs` (`<name>.tar.zst`, as rebuilt) into `folder`; raises
    `StoreError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.txt").write_text(describe_verification(report, most=None) + "\n", encoding="utf-8")
        (folder / "report.json").write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")
        for name, blob in blobs.items():
            with blob.open("rb") as stream:
                suffix = "gz" if stream.read(2) == b"\x1f\x8b" else "zst"
            shutil.copyfile(blob, folder / f"{name}.tar.{suffix}")
    except OSError as error:
        raise StoreError(f"cannot write the report into {folder}", details=str(error)) from None


def _line(difference: Difference) -> str:
    change = f": {difference.before} -> {difference.after}" if difference.before or difference.after else ""
    return f"{difference.path}  {difference.what}{change}"


def _pair(found: Digest, expected: Digest | None) -> str:
    return f"{found} = expected" if found == expected else f"{found}, expected {expected}"
