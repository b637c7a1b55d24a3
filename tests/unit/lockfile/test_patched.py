"""Patches in locks: versions, what is stale, what moved, what is exported, and that choosing knows nothing of them."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.pylock import Pylock

from rtbuild.digest import Sha256
from rtbuild.errors import LockError, RecipeError
from rtbuild.lockfile.changes import moved_packages
from rtbuild.lockfile.check import stale_parts
from rtbuild.lockfile.export import export_lock
from rtbuild.lockfile.model import Lock, LockedPatch
from rtbuild.lockfile.patched import as_patched, as_published
from rtbuild.lockfile.read import read_lock, write_lock
from rtbuild.lockfile.why import AppliedPatch, reasons_for
from rtbuild.recipe.model import Patch, PythonLayer, Release
from tests.fakes import locks, releases
from tests.fakes.patches import diff, patch

ONE = patch(diff("demo.py", "1\n", "2\n"), id="one")
TWO = patch(diff("demo.py", "2\n", "3\n"), id="two")
PYTHONS = (locks.wheel("demo"), locks.wheel("other", "2.0", requires=("demo",)))


def release(*patches: Patch) -> Release:
    layers = (PythonLayer(name="providers", title="", roots=()),)
    return releases.release(layers=layers, requirements=("demo==1.0", "other"), patches=patches)


def lock(*patches: Patch) -> Lock:
    """A lock of two packages, the first of which has those patches."""
    epoch = int(PYTHONS[0].uploaded.timestamp())
    pythons = as_patched(PYTHONS, release(*patches))
    return locks.lock(pythons=pythons, inputs=(), debs=(), source_date_epoch=epoch)


def test_patches_count_in_the_version_and_keep_their_order() -> None:
    demo, other = as_patched(PYTHONS, release(TWO, ONE))
    assert demo == replace(
        PYTHONS[0],
        version="1.0+astro.2",
        patches=(LockedPatch(id="two", sha256=TWO.sha256), LockedPatch(id="one", sha256=ONE.sha256)),
    )
    assert demo.published == "1.0"
    assert other == PYTHONS[1]


def test_choosing_never_sees_a_patched_version() -> None:
    assert as_published(as_patched(PYTHONS, release(ONE))) == PYTHONS


@pytest.mark.parametrize(
    ("change", "brief", "hint"),
    [
        ({"package": "gone"}, "is for gone, which the release does not have", "remove it, or require the package"),
        ({"version": "0.9"}, "is for demo 0.9, and the release has 1.0", "make another patch for that version"),
        (
            {"version": "0.9", "obsolete": "1.0"},
            "and the release has 1.0",
            "demo needs it no more since 1.0: remove it",
        ),
        ({"version": "1.1", "obsolete": "1.2"}, "is for demo 1.1, and the release has 1.0", "make another patch"),
    ],
)
def test_a_patch_without_its_package(change: dict[str, str], brief: str, hint: str) -> None:
    wrong = replace(TWO, **change)  # type: ignore[arg-type]
    with pytest.raises(RecipeError) as caught:
        as_patched(PYTHONS, release(ONE, wrong))
    assert caught.value.brief.startswith("recipes/releases/8.0.0.toml: patches[1]: two ")
    assert brief in caught.value.brief
    assert hint in (caught.value.hint or "")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "lock.toml"
    write_lock(path, lock(TWO, ONE))
    assert read_lock(path) == lock(TWO, ONE)
    text = path.read_text()
    write_lock(path, read_lock(path))
    assert path.read_text() == text
    assert f'[[python.patches]]\nid = "two"\nsha256 = "{TWO.sha256}"\n' in text
    assert text.index('"two"') < text.index('"one"')


def test_a_lock_without_patches_says_nothing_of_them(tmp_path: Path) -> None:
    write_lock(tmp_path / "lock.toml", lock())
    assert "patches" not in (tmp_path / "lock.toml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "brief"),
    [
        ('"1.0+astro.1"', '"1.0"', "python[0].version: 1.0 should be 1.0+astro.1, by"),
        ('"1.0+astro.1"', '"1.0+astro.2"', "python[0].version: 1.0+astro.2 should be 1.0+astro.1, by"),
        ('id = "one"', 'id = "One"', "python[0].patches[0].id: 'One'"),
        ('id = "one"', 'name = "one"', "python[0].patches[0].id: is missing"),
        (ONE.sha256, "12", "python[0].patches[0].sha256: '12': not a sha256"),
        (
            "[[python.patches]]",
            f'[[python.patches]]\nid = "one"\nsha256 = "{ONE.sha256}"\n[[python.patches]]',
            "python[0].patches[1].id: one is applied twice",
        ),
        ("[[python]]", "[[python-build]]", "python-build[0].patches: unknown field"),
    ],
)
def test_bad_patches(tmp_path: Path, old: str, new: str, brief: str) -> None:
    path = tmp_path / "lock.toml"
    write_lock(path, lock(ONE))
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new).replace("[[python.", "[[python-build." if "build" in new else "[[python."))
    with pytest.raises(LockError) as caught:
        read_lock(path)
    assert brief in f"{caught.value.brief}\n{caught.value.details}"


def test_what_is_stale() -> None:
    assert stale_parts(release(ONE), lock(ONE)) == ()
    assert stale_parts(release(), lock()) == ()
    edited = replace(ONE, sha256=Sha256("e" * 64))
    one, two = ONE.sha256[:12], TWO.sha256[:12]
    assert stale_parts(release(edited), lock(ONE)) == (
        f"demo: the recipes patch it with one (eeeeeeeeeeee), the lock with one ({one})",
    )
    assert stale_parts(release(), lock(ONE)) == (f"demo: the recipes patch it with nothing, the lock with one ({one})",)
    assert stale_parts(release(ONE, TWO), lock(TWO, ONE)) == (
        f"demo: the recipes patch it with one ({one}), two ({two}), the lock with two ({two}), one ({one})",
    )
    gone = replace(ONE, package="gone")
    assert stale_parts(release(gone), lock()) == (
        f"gone: the recipes patch it with one ({one}), the lock with nothing",
    )


def test_what_moved() -> None:
    def moved(before: Lock, after: Lock) -> list[str]:
        return [str(move) for move in moved_packages(before, after)]

    assert moved(lock(ONE), lock(ONE)) == []
    assert moved(lock(), lock(ONE)) == ["~ demo 1.0 -> 1.0+astro.1 (python)"]
    assert moved(lock(ONE), lock()) == ["~ demo 1.0+astro.1 -> 1.0 (python)"]
    assert moved(lock(ONE), lock(TWO)) == ["~ demo 1.0+astro.1: other patches (python)"]
    other_file = replace(lock(), pythons=(replace(PYTHONS[0], sha256=Sha256("f" * 64)), PYTHONS[1]))
    assert moved(lock(), other_file) == ["~ demo 1.0: another file (python)"]


def test_who_needs_it_is_told_of_its_patches() -> None:
    (need,) = reasons_for(release(ONE), lock(ONE), "demo")
    assert (need.version, need.patches) == ("1.0+astro.1", (AppliedPatch(id="one", kind="product", title="Mend it"),))
    (need,) = reasons_for(release(), lock(ONE), "demo")
    assert need.patches == (AppliedPatch(id="one", kind="", title=""),)
    (need,) = reasons_for(release(ONE), lock(ONE), "other")
    assert need.patches == ()


def test_other_tools_get_what_is_published() -> None:
    text = export_lock(lock(ONE, TWO), "requirements")
    assert "\n# the image has demo 1.0+astro.2, patched: one, two\ndemo==1.0 \\\n    --hash=sha256:bbbb" in text
    found = tomllib.loads(export_lock(lock(ONE, TWO), "pylock"))
    demo, other = found["packages"]
    assert demo["version"] == "1.0"
    assert demo["tool"] == {"rtbuild": {"version": "1.0+astro.2", "patches": ["one", "two"]}}
    assert "tool" not in other
    Pylock.from_dict(found)
