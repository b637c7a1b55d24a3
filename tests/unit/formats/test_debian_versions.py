from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbuild.formats.debian_versions import OPERATORS, version_key, version_satisfies

UPSTREAM = st.from_regex(r"[0-9][A-Za-z0-9.+~]{0,8}", fullmatch=True)
VERSIONS = st.builds(
    lambda epoch, upstream, revision: epoch + upstream + revision,
    st.sampled_from(["", "0:", "1:", "2:"]),
    UPSTREAM,
    st.from_regex(r"(-[A-Za-z0-9+.~]{1,6})?", fullmatch=True),
)


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg is the oracle, and this machine has none")
@settings(max_examples=120, deadline=None)
@given(VERSIONS, VERSIONS)
def test_versions_stand_in_the_relations_that_dpkg_says(left: str, right: str) -> None:
    spelling = {"<<": "lt", "<=": "le", "=": "eq", ">=": "ge", ">>": "gt"}
    # Three questions settle the other two.
    for operator in ("<<", "=", ">>"):
        told = subprocess.run(["dpkg", "--compare-versions", left, spelling[operator], right], check=False).returncode
        assert version_satisfies(left, operator, right) == (told == 0), (left, operator, right)


@given(VERSIONS, VERSIONS)
def test_the_five_relations_agree_with_each_other(left: str, right: str) -> None:
    holds = {operator: version_satisfies(left, operator, right) for operator in OPERATORS}
    assert holds["<<"] + holds["="] + holds[">>"] == 1
    assert holds["<="] == (holds["<<"] or holds["="])
    assert holds[">="] == (holds[">>"] or holds["="])


def test_versions_sort_as_policy_says() -> None:
    ordered = [
        "1.0~rc1",
        "1.0",
        "1.0-1~bpo11+1",
        "1.0-1",
        "1.0-1+b1",
        "1.0-1+deb11u9",
        "1.0-1+deb11u10",
        "1.0.1",
        "1:0.1",
    ]
    shuffled = ordered[::2] + ordered[1::2]
    assert sorted(shuffled, key=version_key) == ordered


@pytest.mark.parametrize("text", ["", "1.0_2", "a b"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        version_key(text)


def test_an_unknown_relation_is_refused() -> None:
    with pytest.raises(ValueError, match="'<>' is no relation"):
        version_satisfies("1", "<>", "2")
