"""File names of wheels and sdists."""

from __future__ import annotations

import pytest
from packaging.version import Version

from rtbuild.formats.distribution_names import DistributionName, split_filename, version_of


@pytest.mark.parametrize(
    ("filename", "parts"),
    [
        ("a_b-1.0-py3-none-any.whl", DistributionName(version=Version("1.0"), tags="py3-none-any")),
        ("A.B-1.0-2x-py3-none-any.whl", DistributionName(version=Version("1.0"), build=(2, "x"), tags="py3-none-any")),
        ("a_b-1.0_1-py3-none-any.whl", DistributionName(version=Version("1.0.post1"), tags="py3-none-any")),
        ("a-b-1.0.tar.gz", DistributionName(version=Version("1.0"))),
        ("a-b-1.0-1.zip", DistributionName(version=Version("1.0.post1"))),
        ("b-1.0-py3-none-any.whl", None),
        ("a_b-1.0-py3.whl", None),
        ("a_b-x-py3-none-any.whl", None),
        ("a-b-x.tar.gz", None),
        ("a-1.0.tar.gz", None),
        ("a-b-1.0.tar", None),
        ("a-b", None),
    ],
)
def test_the_parts_of_a_file_name(filename: str, parts: DistributionName | None) -> None:
    assert split_filename(filename, "a-b") == parts


def test_a_version_in_the_name_of_a_wheel() -> None:
    assert version_of("1.0+x_1") == Version("1.0+x-1")
    assert version_of("latest") is None
