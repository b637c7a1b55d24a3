"""Why a lock holds a package: the shortest way to it from what the recipes name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtbuild.errors import UsageError
from rtbuild.lockfile.model import Lock, LockedPatch
from rtbuild.lockfile.why import AppliedPatch, Reason, reasons_for
from rtbuild.recipe.model import DebianLayer
from tests.fakes import locks, releases
from tests.fakes.patches import diff, patch

RELEASE = releases.release(
    layers=(
        DebianLayer(name="base-os", title="Base", parent=None, suites=(), packages=("tini", "bash=5.1-2")),
        DebianLayer(name="python", title="Python", parent="base-os", suites=(), packages=("python3.9",)),
    ),
    requirements=("apache-airflow[celery]==2.6.0", "Requests==2.29.0"),
)


def lock(**changes: object) -> Lock:
    """A lock in which `libc6` and `urllib3` are needed by several packages, and `python-build` packages are shared."""
    return locks.lock(
        **{
            "debs": (
                replace(locks.deb("apt", depends=("libc6",)), essential=True),
                locks.deb("bash", "5.1-2", depends=("libc6",)),
                locks.deb("libc6", "2.31-1"),
                locks.deb("python3.9", layer="python", depends=("python3.9-minimal", "libc6")),
                locks.deb("python3.9-minimal", layer="python", depends=("libc6",)),
                locks.deb("stray"),
                locks.deb("tini", depends=("libc6",)),
            ),
            "pythons": (
                locks.wheel("apache-airflow", layer="airflow", requires=("connexion", "requests")),
                locks.wheel("connexion", requires=("urllib3", "connexion")),
                locks.wheel("requests", requires=("urllib3",)),
                locks.wheel("urllib3"),
            ),
            "build_pythons": (
                replace(locks.wheel("setuptools", "67"), layer="connexion"),
                replace(locks.wheel("setuptools", "68"), layer=""),
            ),
            **changes,
        }
    )


def reason(package: str) -> Reason:
    """The only reason for `package`."""
    (only,) = reasons_for(RELEASE, lock(), package)
    return only


@pytest.mark.parametrize(
    ("package", "origin", "chain"),
    [
        ("tini", "recipe layer base-os", ("tini",)),
        ("bash", "recipe layer base-os", ("bash",)),
        ("apt", "essential in bullseye", ("apt",)),
        ("python3.9-minimal", "recipe layer python", ("python3.9", "python3.9-minimal")),
        ("stray", "nothing in the recipes names it or what needs it", ("stray",)),
    ],
)
def test_a_debian_package(package: str, origin: str, chain: tuple[str, ...]) -> None:
    found = reason(package)
    assert (found.kind, found.origin, found.chain) == ("deb", origin, chain)


@pytest.mark.parametrize("package", ["bash", "bash=5.1-2", "bash=4", "bash = 5.1-2"])
def test_a_package_that_a_recipe_names_with_a_version(package: str) -> None:
    found = reason(package)
    assert (found.name, found.version, found.origin) == ("bash", "5.1-2", "recipe layer base-os")


def test_a_python_package_with_a_version() -> None:
    assert reason("Requests==2.29.0").name == "requests"


def test_the_first_by_name_of_the_shortest_ways_is_shown() -> None:
    found = reason("libc6")
    assert found.chain == ("apt", "libc6")
    assert found.needed_by == ("apt", "bash", "python3.9", "python3.9-minimal", "tini")


@pytest.mark.parametrize(
    ("package", "chain"),
    [
        ("Apache.Airflow", ("apache-airflow",)),
        ("requests", ("requests",)),
        ("connexion", ("apache-airflow", "connexion")),
        ("urllib3", ("requests", "urllib3")),
    ],
)
def test_a_python_package(package: str, chain: tuple[str, ...]) -> None:
    found = reason(package)
    assert (found.kind, found.origin, found.chain) == ("python", "the release's requirements", chain)


def test_a_package_that_needs_itself_is_not_among_those_that_need_it() -> None:
    assert reason("connexion").needed_by == ("apache-airflow",)


def test_packages_that_sdists_are_built_with() -> None:
    one, shared = reasons_for(RELEASE, lock(), "setuptools")
    assert (one.kind, one.version, one.layer, one.needed_by) == ("python-build", "67", "connexion", ("connexion",))
    assert one.origin == "building connexion from source"
    assert (shared.layer, shared.needed_by, shared.origin) == ("", (), "building sdists")


def test_a_name_on_both_sides_has_two_reasons() -> None:
    both = lock(debs=(locks.deb("urllib3"),))
    assert [reason.kind for reason in reasons_for(RELEASE, both, "urllib3")] == ["deb", "python"]


def test_local_packages_are_there_by_themselves() -> None:
    local = replace(locks.wheel("gate", requires=("lantern",)), local=True, path="recipes/layers/gate/package")
    found = lock(pythons=(local, locks.wheel("lantern")))
    release = replace(RELEASE, requirements=("gate==1.0",))
    for package, chain in (("gate", ("gate",)), ("lantern", ("gate", "lantern"))):
        (only,) = reasons_for(release, found, package)
        assert (only.origin, only.chain) == ("local package recipes/layers/gate/package", chain)


def test_the_patches_of_a_package() -> None:
    one = patch(diff("demo.py", "1\n", "2\n"), id="one")
    locked = LockedPatch(id="one", sha256=one.sha256)
    found = lock(pythons=(replace(locks.wheel("demo"), version="1.0+astro.1", patches=(locked,)),))
    (only,) = reasons_for(replace(RELEASE, patches=(one,)), found, "demo")
    assert only.version == "1.0+astro.1"
    assert only.patches == (AppliedPatch(id="one", kind="product", title="Mend it"),)
    (only,) = reasons_for(RELEASE, found, "demo")
    assert only.patches == (AppliedPatch(id="one", kind="", title=""),)


@pytest.mark.parametrize(
    ("package", "hint"),
    [
        ("urlib3", "did you mean 'urllib3'?"),
        ("emacs", "see the lockfile for the names of all locked packages"),
    ],
)
def test_a_package_that_is_not_locked(package: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        reasons_for(RELEASE, lock(), package)
    assert caught.value.brief == f"the lock of 8.0.0 for linux/amd64 has no package {package!r}"
    assert caught.value.hint == hint
