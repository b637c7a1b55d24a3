"""`--metadata-file` and `--iidfile`, as buildx writes them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.cli.metadata import write_image_id, write_metadata
from rtbuild.errors import RtbuildError
from tests.unit.cli.test_build import RESULT


def test_metadata_has_the_keys_of_buildx(tmp_path: Path) -> None:
    write_metadata(tmp_path / "metadata.json", [RESULT])
    assert json.loads((tmp_path / "metadata.json").read_text()) == {
        "containerimage.config.digest": RESULT.image_id,
        "containerimage.descriptor": {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": RESULT.manifest_digest,
            "size": 1200,
            "platform": {"architecture": "amd64", "os": "linux"},
        },
        "containerimage.digest": RESULT.manifest_digest,
        "image.name": "astro-runtime:8.0.0",
    }


def test_metadata_of_several_platforms_is_one_object_for_each(tmp_path: Path) -> None:
    write_metadata(tmp_path / "metadata.json", [RESULT, replace(RESULT, platform="linux/arm64")])
    document = json.loads((tmp_path / "metadata.json").read_text())
    assert list(document) == ["linux/amd64", "linux/arm64"]
    assert document["linux/arm64"]["containerimage.descriptor"]["platform"]["architecture"] == "arm64"


def test_the_image_id_has_no_line_end(tmp_path: Path) -> None:
    write_image_id(tmp_path / "id", RESULT)
    assert (tmp_path / "id").read_text() == RESULT.image_id


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RtbuildError, match=r"cannot write .*/file/id"):
        write_image_id(tmp_path / "file" / "id", RESULT)
