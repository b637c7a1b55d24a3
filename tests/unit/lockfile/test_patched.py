"""Patches of locked packages: versions, their order, what is stale."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtbuild.digest import Sha256
from rtbuild.errors import RecipeError, StaleLockError
from rtbuild.lockfile.model import LockedPatch
from rtbuild.lockfile.patched import as_patched, as_published, patches_of, stale_patches
from rtbuild.recipe.model import Patch, Release
from tests.fakes import locks, releases
from tests.fakes.patches import diff, patch

ONE = patch(diff("demo.py", "1\n", "2\n"), id="one")
TWO = patch(diff("demo.py", "2\n", "3\n"), id="two")
PYTHONS = (locks.wheel("demo"), locks.wheel("other", "2.0", requires=("demo",)))


def release(*patches: Patch) -> Release:
    return releases.release(patches=patches)


def test_patches_count_in_the_version_and_keep_their_order() -> None:
    demo, other = as_patched(PYTHONS, release(TWO, ONE))
    assert demo == replace(
        PYTHONS[0],
        version="1.0+astro.2",
        patches=(LockedPatch(id="two", sha256=TWO.sha256), LockedPatch(id="one", sha256=ONE.sha256)),
    )
    assert demo.published == "1.0"
    assert other == PYTHONS[1]


def test_resolvers_never_see_a_patched_version() -> None:
    assert as_published(as_patched(PYTHONS, release(ONE))) == PYTHONS


@pytest.mark.parametrize(
    ("change", "brief", "hint"),
    [
        (
            {"package": "gone"},
            "is for gone, which the release does not have",
            "remove the patch, or require the package",
        ),
        ({"version": "0.9"}, "is for demo 0.9, but the release has 1.0", "make another patch for that version"),
        ({"version": "0.9", "obsolete": "1.0"}, "but the release has 1.0", "demo 1.0 no longer needs it"),
        ({"version": "1.1", "obsolete": "1.2"}, "is for demo 1.1, but the release has 1.0", "make another patch"),
    ],
)
def test_a_patch_that_does_not_apply(change: dict[str, str], brief: str, hint: str) -> None:
    wrong = replace(TWO, **change)  # type: ignore[arg-type]
    with pytest.raises(RecipeError) as caught:
        as_patched(PYTHONS, release(ONE, wrong))
    assert caught.value.brief.startswith("recipes/releases/8.0.0.toml: patches[1]: two ")
    assert brief in caught.value.brief
    assert hint in (caught.value.hint or "")


def test_stale_patches() -> None:
    locked = as_patched(PYTHONS, release(ONE))
    one, two = ONE.sha256[:12], TWO.sha256[:12]
    assert stale_patches(locked, release(ONE)) == []
    assert stale_patches(PYTHONS, release()) == []
    edited = replace(ONE, sha256=Sha256("e" * 64))
    assert stale_patches(locked, release(edited)) == [
        f"demo: the recipes patch it with one (eeeeeeeeeeee), the lock with one ({one})"
    ]
    assert stale_patches(locked, release()) == [f"demo: the recipes patch it with nothing, the lock with one ({one})"]
    assert stale_patches(as_patched(PYTHONS, release(TWO, ONE)), release(ONE, TWO)) == [
        f"demo: the recipes patch it with one ({one}), two ({two}), the lock with two ({two}), one ({one})"
    ]
    gone = replace(ONE, package="gone")
    assert stale_patches(PYTHONS, release(gone)) == [
        f"gone: the recipes patch it with one ({one}), the lock with nothing"
    ]


def test_the_patches_of_a_locked_package() -> None:
    demo, other = as_patched(PYTHONS, release(TWO, ONE))
    assert patches_of(demo, release(ONE, TWO)) == (TWO, ONE)
    assert patches_of(other, release(ONE, TWO)) == ()


@pytest.mark.parametrize(
    "patches",
    [(), (replace(ONE, sha256=Sha256("e" * 64)),), (replace(ONE, package="other"),)],
    ids=["removed", "edited", "for another package"],
)
def test_a_locked_patch_that_the_recipes_have_changed(patches: tuple[Patch, ...]) -> None:
    demo, _ = as_patched(PYTHONS, release(ONE))
    with pytest.raises(StaleLockError) as caught:
        patches_of(demo, release(*patches))
    assert caught.value.brief == "demo: patch one has changed since the lock of 8.0.0 was made"
    assert caught.value.hint == "update it with: rtbuild lock 8.0.0"
