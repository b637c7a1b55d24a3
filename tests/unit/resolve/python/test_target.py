"""Whatever Python and machine run rtbuild, the target is another one."""

from __future__ import annotations

import pytest
from packaging.markers import Marker

from rtbuild.errors import UsageError
from rtbuild.platform import PLATFORMS
from rtbuild.resolve.python.target import target_for

AMD64, ARM64 = PLATFORMS["linux/amd64"], PLATFORMS["linux/arm64"]


def test_all_older_manylinux_tags_are_listed_newest_first() -> None:
    tags = target_for(AMD64, "3.9.2", (2, 31)).platform_tags
    assert tags[0] == "manylinux_2_31_x86_64"
    assert tags[-3:] == ("manylinux_2_5_x86_64", "manylinux1_x86_64", "linux_x86_64")
    assert tags.index("manylinux2014_x86_64") == tags.index("manylinux_2_17_x86_64") + 1
    assert not any("2_32" in tag for tag in tags)


def test_arm_starts_with_glibc_2_17() -> None:
    tags = target_for(ARM64, "3.9.2", (2, 31)).platform_tags
    assert tags[-3:] == ("manylinux_2_17_aarch64", "manylinux2014_aarch64", "linux_aarch64")


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("cp39-cp39-manylinux_2_17_x86_64", "cp39-abi3-manylinux_2_17_x86_64"),
        ("cp39-abi3-manylinux_2_17_x86_64", "cp36-abi3-manylinux_2_17_x86_64"),
        ("cp36-abi3-manylinux_2_17_x86_64", "py3-none-manylinux_2_17_x86_64"),
        ("py3-none-manylinux_2_17_x86_64", "py3-none-any"),
    ],
)
def test_a_more_specific_wheel_is_better(better: str, worse: str) -> None:
    ranks = target_for(AMD64, "3.9.2", (2, 31)).ranks
    assert ranks[better] < ranks[worse]


@pytest.mark.parametrize(
    "tag", ["cp310-cp310-manylinux_2_17_x86_64", "cp39-cp39-manylinux_2_17_aarch64", "py2-none-any"]
)
def test_wheels_for_other_targets_have_no_rank(tag: str) -> None:
    assert tag not in target_for(AMD64, "3.9.2", (2, 31)).ranks


@pytest.mark.parametrize(
    ("marker", "holds"),
    [
        ("python_version < '3.10'", True),
        ("python_full_version >= '3.9.3'", False),
        ("platform_machine == 'aarch64'", True),
        ("sys_platform == 'win32'", False),
        ("implementation_name == 'cpython' and os_name == 'posix'", True),
    ],
)
def test_markers_describe_the_target(marker: str, holds: bool) -> None:
    environment = dict(target_for(ARM64, "3.9.2", (2, 31)).environment)
    assert Marker(marker).evaluate(environment) is holds


@pytest.mark.parametrize("version", ["3", "2.7.18", "3.9.2rc1", "python3.9", ""])
def test_a_malformed_version_is_an_error(version: str) -> None:
    with pytest.raises(UsageError, match="is not a version"):
        target_for(AMD64, version, (2, 31))


def test_a_glibc_older_than_any_wheel_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"glibc 2\.4 on x86_64"):
        target_for(AMD64, "3.9.2", (2, 4))
