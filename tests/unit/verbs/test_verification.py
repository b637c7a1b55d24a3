"""The report of a verification as text and as files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.digest import DiffId, Digest
from rtbuild.errors import StoreError
from rtbuild.oci.compare import Difference
from rtbuild.verbs.verification import VerifiedLayer, VerifyReport, describe_verification, write_report

SAME = VerifiedLayer(name="base-os", expected=DiffId(Digest("sha256:1")), found=DiffId(Digest("sha256:1")))
OTHER = VerifiedLayer(
    name="python",
    expected=DiffId(Digest("sha256:2")),
    found=DiffId(Digest("sha256:3")),
    differences=tuple(
        Difference(path=f"/etc/{number}", what="mode", before="0644", after="0600") for number in range(30)
    ),
)
REPORT = VerifyReport(
    release="8.0.0",
    platform="linux/amd64",
    reproducible=False,
    mismatches=("layer python: sha256:3, expected sha256:2",),
    expected_image_id=Digest("sha256:a"),
    image_id=Digest("sha256:b"),
    expected_manifest_digest=Digest("sha256:c"),
    manifest_digest=Digest("sha256:d"),
    manifest_equal=None,
    expected_base_image_id=Digest("sha256:e"),
    base_image_id=Digest("sha256:e"),
    layers=(SAME, OTHER),
    seconds=1.0,
)


def test_differences_are_named_by_file_and_cut_with_a_count() -> None:
    text = describe_verification(REPORT)
    assert "  DIFFERS python  sha256:3\n          expected sha256:2\n          /etc/0  mode: 0644 -> 0600\n" in text
    assert "/etc/19 " in text
    assert "/etc/20 " not in text
    assert "and 10 more" in text
    assert text.endswith("NOT REPRODUCIBLE:\n  layer python: sha256:3, expected sha256:2")


def test_an_equal_rebuild_says_so() -> None:
    same = replace(
        REPORT,
        reproducible=True,
        mismatches=(),
        image_id=Digest("sha256:a"),
        manifest_digest=Digest("sha256:c"),
        layers=(SAME,),
    )
    text = describe_verification(same)
    assert "config digest       sha256:a = expected" in text
    assert "base config digest  sha256:e = expected" in text
    assert text.endswith("\nreproducible")


def test_the_report_folder_has_every_difference_and_the_layers(tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_bytes(b"\x28\xb5\x2f\xfd")
    write_report(REPORT, tmp_path / "report", {"python": blob})
    assert "/etc/29 " in (tmp_path / "report" / "report.txt").read_text()
    found = json.loads((tmp_path / "report" / "report.json").read_text())
    assert found["reproducible"] is False
    assert len(found["layers"][1]["differences"]) == 30
    assert (tmp_path / "report" / "python.tar.zst").read_bytes() == blob.read_bytes()


def test_a_report_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write the report into"):
        write_report(REPORT, tmp_path / "file" / "report", {})
