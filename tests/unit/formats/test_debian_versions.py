"""The order of Debian versions, compared with dpkg."""

from __future__ import annotations

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


@settings(max_examples=120, deadline=None)
@given(VERSIONS, VERSIONS)
def test_orders_versions_as_dpkg_does(left: str, right: str) -> None:
    by_dpkg = "<<" if dpkg_says(left, "lt", right) else "=" if dpkg_says(left, "eq", right) else ">>"
    assert [name for name in ("<<", "=", ">>") if version_satisfies(left, name, right)] == [by_dpkg]


def dpkg_says(left: str, operator: str, right: str) -> bool:
    answer = subprocess.run(["dpkg", "--compare-versions", left, operator, right], capture_output=True, check=False)
    assert answer.returncode in (0, 1), answer.stderr
    return answer.returncode == 0


@given(VERSIONS, VERSIONS)
def test_the_five_operators_are_consistent(left: str, right: str) -> None:
    holds = {operator: version_satisfies(left, operator, right) for operator in OPERATORS}
    assert holds["<<"] + holds["="] + holds[">>"] == 1
    assert holds["<="] == (holds["<<"] or holds["="])
    assert holds[">="] == (holds[">>"] or holds["="])


def test_sorts_versions_as_policy_says() -> None:
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
def test_rejects_what_is_not_a_version(text: str) -> None:
    with pytest.raises(ValueError):
        version_key(text)


def test_rejects_an_unknown_operator() -> None:
    with pytest.raises(ValueError, match="'<>' is not a relation"):
        version_satisfies("1", "<>", "2")
