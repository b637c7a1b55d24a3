"""What in a lock follows from the rest of it and from the recipes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from rtbuild.errors import ResolutionError
from rtbuild.lockfile.derived import debian_question, newest_input, python_question, target_glibc
from rtbuild.lockfile.model import DebArtifact
from rtbuild.platform import PLATFORMS
from rtbuild.recipe.model import DebianLayer, LocalPackage, MetadataRepair, PythonLayer, Suite
from tests.fakes import locks, releases

AMD64, ARM64 = PLATFORMS["linux/amd64"], PLATFORMS["linux/arm64"]
SUITE = Suite(archive="debian", suite="bullseye")
BASE = DebianLayer(name="base-os", title="Base", parent=None, suites=(SUITE,), packages=("tini", "bash"))
PACKAGE = LocalPackage(
    name="gate",
    version="1.0",
    folder="recipes/layers/gate",
    requires_python=None,
    dependencies=(),
    extras=(),
    build_requires=("setuptools",),
    files=(),
)
PYTHON = PythonLayer(name="providers", title="The rest", roots=("pip",), packages=(PACKAGE,))
RELEASE = releases.release(layers=(BASE, PYTHON), requirements=("b", "a"))
REPAIR = MetadataRepair(file="a-1-py3-none-any.whl", requirement="pytz (>dev)", replacement=None, reason="old")


def debian(layer: DebianLayer) -> str:
    return debian_question(replace(RELEASE, layers=(layer,)), AMD64)


def test_the_debian_question_is_known() -> None:
    """Another digest makes `rtbuild lock` choose the Debian packages of every release from scratch."""
    assert debian(BASE) == "944a59fecc9812f2da0ae391b339f757ede2203a70015caacf8ce6a97f64415d"


def test_what_the_choice_of_debian_packages_depends_on() -> None:
    other_suite = replace(SUITE, suite="bookworm")
    assert debian(replace(BASE, packages=("bash", "tini"))) == debian(BASE)
    assert debian(replace(BASE, title="Other", files=(), removals=())) == debian(BASE)
    assert debian(replace(BASE, suites=(SUITE, replace(other_suite, architectures=("arm64",))))) == debian(BASE)
    assert debian(replace(BASE, suites=(SUITE, other_suite))) != debian(BASE)
    assert debian(replace(BASE, packages=("bash",))) != debian(BASE)
    assert debian_question(RELEASE, ARM64) != debian_question(RELEASE, AMD64)


def python(**changes: object) -> str:
    release = replace(RELEASE, **changes)  # type: ignore[arg-type]
    return python_question(release, AMD64, "3.9.2", (2, 31), "pip 1")


def test_the_python_question_is_known() -> None:
    """Another digest makes `rtbuild lock` choose the Python packages of every release from scratch."""
    assert python() == "327db9e71ca882596eb83eab56e92c2a1a1a5cd1c6c1632e79c2c5669f30b46f"


def test_what_the_choice_of_python_packages_depends_on() -> None:
    assert python(requirements=("a", "b")) == python()
    assert python(os="Debian 12", layers=(PYTHON,)) == python()
    for changed in (
        python(requirements=("a",)),
        python(constraints=("a==1",)),
        python(metadata=(REPAIR,)),
        python(metadata=(replace(REPAIR, replacement="pytz"),)),
        python(build_constraints=("a==1",)),
        python(as_of=datetime(2023, 5, 3, tzinfo=UTC)),
        python(layers=(replace(PYTHON, roots=()),)),
        python(layers=(replace(PYTHON, packages=(replace(PACKAGE, dependencies=("a",)),)),)),
        python_question(RELEASE, AMD64, "3.9.3", (2, 31), "pip 1"),
        python_question(RELEASE, AMD64, "3.9.2", (2, 36), "pip 1"),
        python_question(RELEASE, AMD64, "3.9.2", (2, 31), "pip 2"),
    ):
        assert changed != python()
    assert python(metadata=(REPAIR,)) != python(metadata=(replace(REPAIR, replacement="pytz"),))
    assert python(metadata=(REPAIR,)) == python(metadata=(replace(REPAIR, reason="another"),))


def test_the_c_library() -> None:
    assert target_glibc((locks.deb("bash"), locks.deb("libc6", "2.31-13+deb11u1"))) == (2, 31)


@pytest.mark.parametrize(
    ("debs", "brief"),
    [
        ((locks.deb("bash"),), "no Debian package installs the C library"),
        ((locks.deb("libc6", "new-1"),), "libc6 new-1 is not a version of the GNU C library"),
    ],
)
def test_an_unknown_c_library(debs: tuple[DebArtifact, ...], brief: str) -> None:
    with pytest.raises(ResolutionError) as caught:
        target_glibc(debs)
    assert caught.value.brief == brief


def test_the_newest_input() -> None:
    wheel = locks.wheel("demo")
    uploaded = int(wheel.uploaded.timestamp())
    assert newest_input((locks.deb("apt"),), (wheel,)) == uploaded
    assert newest_input((replace(locks.deb("apt"), built=uploaded + 1),), (wheel,)) == uploaded + 1
