"""Requirements that today's parser refuses, and what installers of their time made of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from rtbuild.errors import ResolutionError
from rtbuild.recipe.model import MetadataRepair
from rtbuild.resolve.python import legacy
from rtbuild.resolve.python.legacy import read_as_then

FILE = "celery-5.1.2-py3-none-any.whl"


def header(*requirements: str) -> str:
    lines = "".join(f"Requires-Dist: {requirement}\n" for requirement in requirements)
    return f"Metadata-Version: 2.1\nName: celery\nVersion: 5.1.2\n{lines}Requires-Python: >=3.6\n"


def repair(requirement: str, replacement: str | None) -> MetadataRepair:
    return MetadataRepair(file=FILE, requirement=requirement, replacement=replacement, reason="")


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ("pytz (>dev)", "pytz"),
        ("pytz >dev", "pytz"),
        ("pytz (>=dev)", "pytz"),
        ("pytz (!=dev)", "pytz"),
        ("pytz (>dev) ; extra == 'old'", "pytz ; extra == 'old'"),
        ("pytz[a, b] (>dev,>=2020)", "pytz[a, b] (>=2020)"),
        ("pytz (>=2018.*)", "pytz (>=2018)"),
        ("pytz >= 2018.*, < 2022.*", "pytz (>=2018,<2022)"),
        ("pytz (>=2018.*,!=2019.*) ; python_version < '3'", "pytz (>=2018,!=2019.*) ; python_version < '3'"),
    ],
)
def test_legacy_versions(then: str, now: str) -> None:
    assert read_as_then(FILE, header("kombu", then, "vine"), ()) == header("kombu", now, "vine")
    Requirement(now)


@pytest.mark.parametrize(
    "requirement",
    [
        "pytz",
        "pytz (>=2018)",
        "pytz[a] !=2018.*,==2019.*; extra == 'x'",
        "pytz @ https://index.invalid/pytz.whl",
        "pytz ; python_version<'3' and extra == 'y'",
    ],
)
def test_what_can_be_read_stays_as_it_is(requirement: str) -> None:
    assert read_as_then(FILE, header(requirement), ()) == header(requirement)


@pytest.mark.parametrize(
    "requirement",
    [
        "pytz (=1)",
        "pytz (==dev)",
        "pytz (<dev)",
        "pytz (~=2018.*)",
        "pytz (>1",
        "pytz (>1) or so",
        "(>1)",
        "a b",
        "a ; b",
    ],
)
def test_what_nobody_could_read_is_named_with_its_line(requirement: str) -> None:
    with pytest.raises(ResolutionError) as caught:
        read_as_then(FILE, header("kombu", requirement), ())
    assert caught.value.brief == f"{FILE}: line 5 of its metadata is not a valid requirement: {requirement!r}"
    assert caught.value.details is None
    assert "pip" not in f"{caught.value.hint}"


@pytest.mark.parametrize(
    "requirement",
    [
        "pytz",
        "zope.interface>=5",
        "attrs (>=17.4.0)",
        "boto3[crt,s3] (<2.0dev,>=1.15.0)",
        "emcache (>=1) ; (python_version >= \"3.11\") and extra == 'async-memcached'",
        'mypy==1.0.* ; extra == "dev"',
        "typing-extensions~=4.1; python_version < '3.8' and extra == 'all'",
    ],
)
def test_usual_requirements_need_no_parser(requirement: str) -> None:
    assert legacy._USUAL.fullmatch(requirement)


@given(st.from_regex(legacy._USUAL, fullmatch=True))
def test_the_parser_reads_all_that_is_usual(requirement: str) -> None:
    Requirement(requirement)


def test_a_requirement_on_several_lines() -> None:
    assert read_as_then(FILE, header("pytz\n  (>=2018.*)", "vine"), ()) == header("pytz (>=2018)", "vine")
    assert read_as_then(FILE, header("pytz\n  (>=2018)", "vine"), ()) == header("pytz\n  (>=2018)", "vine")


def test_a_repair_of_the_recipe() -> None:
    text = header("pytz  (~=2018.*)", "vine")
    assert read_as_then(FILE, text, [repair("pytz (~=2018.*)", "pytz ~=2018.0")]) == header("pytz ~=2018.0", "vine")
    assert read_as_then(FILE, text, [repair("pytz (~=2018.*)", None)]) == header("vine")
    # The recipe wins over the rules, and over what can be read.
    assert read_as_then(FILE, header("a (>dev)", "b"), [repair("a (>dev)", "a<2"), repair("b", "b<3")]) == header(
        "a<2", "b<3"
    )


def test_a_repair_of_a_requirement_that_is_not_there() -> None:
    with pytest.raises(ResolutionError) as caught:
        read_as_then(FILE, header("vine"), [repair("pytz (>dev)", "pytz")])
    assert caught.value.brief == f"{FILE}: its metadata has no requirement 'pytz (>dev)', which the recipe replaces"
