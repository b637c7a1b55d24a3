"""Patched wheels: a function of wheel and patches, and still the wheel that it was."""

from __future__ import annotations

import csv
import hashlib
import os
import stat
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.digest import Sha256, sha256_file
from rtbuild.errors import BuildError, IntegrityError, StaleLockError
from rtbuild.lockfile.model import Lock, LockedPatch, PythonArtifact
from rtbuild.progress import Silent
from rtbuild.recipe.model import Patch
from rtbuild.recipe.patches import patched_version
from rtbuild.store.store import Store
from rtbuild.wheels.made import MadeWheel
from rtbuild.wheels.patched import realise_patched
from rtbuild.wheels.scheme import debian_scheme
from rtbuild.wheels.wheel import open_wheel
from tests.fakes import locks
from tests.fakes.environments import environment
from tests.fakes.patches import diff, patch
from tests.fakes.releases import release
from tests.fakes.wheels import EXECUTABLE, make_wheel

FILES = {
    "demo/__init__.py": "x = 1\n",
    "demo/old.py": "",
    "demo/data.bin": b"\0\r\n\xff",
    "demo-1.0.data/scripts/go": "#!python\n",
}
ENTRY_POINTS = "[console_scripts]\ndemo = demo:main\n"
METADATA = (
    "Metadata-Version: 2.1\nName: Demo\nVersion: 1.0\nRequires-Dist: other (>=2)\n\nVersion: 1.0\n\nIt is at 1.0 now.\n"
)
MEND = diff("demo/__init__.py", "x = 1\n", "x = 2\n")
INFO = "demo-1.0+astro.1.dist-info"


class Notes(Silent):
    """Keeps what it is told that belongs to no task."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


class Desk:
    """A store with one wheel, and a release that patches it."""

    def __init__(self, folder: Path, **options: object) -> None:
        self.folder = folder
        self.notes = Notes()
        self.store = Store.open(folder / "store")
        self.artifact = self.keep(**options)

    def keep(self, **options: object) -> PythonArtifact:
        """Put a wheel into the store."""
        settings = {"entry_points": ENTRY_POINTS, "metadata": {"METADATA": METADATA}, **options}
        files = settings.pop("files", FILES)
        wheel = make_wheel(self.folder / "demo-1.0-py3-none-any.whl", files, **settings)  # type: ignore[arg-type]
        digest = sha256_file(wheel)
        target = self.store.artifact_path(digest)
        if not target.exists():
            os.link(wheel, target)
        wheel.unlink()
        return replace(locks.wheel("demo", "1.0"), sha256=digest, size=target.stat().st_size)

    def locked(self, patches: Sequence[Patch]) -> PythonArtifact:
        return replace(
            self.artifact,
            version=patched_version(self.artifact.version, len(patches)),
            patches=tuple(LockedPatch(id=one.id, sha256=one.sha256) for one in patches),
        )

    def realise(
        self, *patches: Patch, made: dict[str, MadeWheel] | None = None, known: Sequence[Patch] | None = None
    ) -> dict[str, MadeWheel]:
        lock = self.lock(self.locked(patches))
        recipes = release(patches=tuple(patches if known is None else known))
        return realise_patched(recipes, lock, made or {}, environment(self.store, progress=self.notes))

    def lock(self, artifact: PythonArtifact) -> Lock:
        return locks.lock(pythons=(artifact, locks.wheel("other", "2.0")))

    def refusal(self, *patches: Patch) -> BuildError:
        with pytest.raises(BuildError) as caught:
            self.realise(*patches)
        assert list((self.store.root / "tmp").iterdir()) == []
        return caught.value


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, modes={"demo-1.0.data/scripts/go": EXECUTABLE})


def contents(wheel: MadeWheel) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel.path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_only_what_the_patch_says_is_changed(desk: Desk) -> None:
    wheel = desk.realise(patch(MEND))["demo"]
    assert wheel.filename == "demo-1.0+astro.1-py3-none-any.whl"
    found = contents(wheel)
    record = found.pop(f"{INFO}/RECORD")
    assert record
    assert found == {
        "demo/__init__.py": b"x = 2\n",
        "demo/old.py": b"",
        "demo/data.bin": b"\0\r\n\xff",
        "demo-1.0+astro.1.data/scripts/go": b"#!python\n",
        f"{INFO}/METADATA": METADATA.replace("Version: 1.0\n", "Version: 1.0+astro.1\n", 1).encode(),
        f"{INFO}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{INFO}/entry_points.txt": ENTRY_POINTS.encode(),
    }


def test_the_record_is_of_what_is_there(desk: Desk) -> None:
    found = contents(desk.realise(patch(MEND))["demo"])
    assert list(found)[-1] == f"{INFO}/RECORD"
    rows = {row[0]: row[1:] for row in csv.reader(found[f"{INFO}/RECORD"].decode().splitlines())}
    assert rows.pop(f"{INFO}/RECORD") == ["", ""]
    assert rows == {
        name: [f"sha256={urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip('=')}", str(len(content))]
        for name, content in found.items()
        if not name.endswith("/RECORD")
    }


def test_it_installs_under_its_new_name_with_its_scripts(desk: Desk) -> None:
    wheel = desk.realise(patch(MEND))["demo"]
    scheme = debian_scheme("3.9")
    with open_wheel(wheel.path, scheme) as opened:
        assert opened.record == f"{scheme.library}/{INFO}/RECORD"
        assert f"{scheme.library}/{INFO}/METADATA" in opened.parts
        assert b"demo" in opened.read(opened.parts["/usr/local/bin/demo"])
        assert opened.parts["/usr/local/bin/go"].executable
        assert not opened.parts[f"{scheme.library}/demo/__init__.py"].executable


def test_the_same_bytes_whatever_the_wheel_is_packed_like(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    one = Desk(tmp_path).realise(patch(MEND))["demo"]
    other = Desk(tmp_path / "other", compression=zipfile.ZIP_STORED, backwards=True).realise(patch(MEND))["demo"]
    assert one.path.name != other.path.name
    assert one.path.read_bytes() == other.path.read_bytes()


def test_what_is_made_is_kept_and_made_again_where_it_is_damaged(desk: Desk) -> None:
    wheel = desk.realise(patch(MEND))["demo"]
    before = wheel.path.stat()
    assert desk.realise(patch(MEND))["demo"] == wheel
    assert wheel.path.stat().st_ino == before.st_ino
    assert desk.notes.texts == []
    whole = wheel.path.read_bytes()
    wheel.path.write_bytes(whole[:-1])
    assert desk.realise(patch(MEND))["demo"] == wheel
    assert wheel.path.read_bytes() == whole
    assert desk.notes.texts == ["the wheel of demo in the store was damaged and is made again"]


def test_another_patch_makes_another_wheel(desk: Desk) -> None:
    one = desk.realise(patch(MEND))["demo"]
    other = desk.realise(patch(MEND.replace("x = 2", "x = 3")))["demo"]
    assert one.path != other.path
    assert contents(other)["demo/__init__.py"] == b"x = 3\n"


def test_patches_are_applied_one_on_the_other(desk: Desk) -> None:
    first = patch(MEND + diff("demo/new.py", None, "a\n"), id="first")
    second = patch(diff("demo/__init__.py", "x = 2\n", "x = 3\n") + diff("demo/new.py", "a\n", "b\n"), id="second")
    wheel = desk.realise(first, second)["demo"]
    assert wheel.filename == "demo-1.0+astro.2-py3-none-any.whl"
    found = contents(wheel)
    assert (found["demo/__init__.py"], found["demo/new.py"]) == (b"x = 3\n", b"b\n")
    error = desk.refusal(second, first)
    assert error.brief == "patch second does not apply to demo 1.0: demo/__init__.py line 1"


def test_files_come_and_go(desk: Desk) -> None:
    text = (
        "diff --git a/demo/run.sh b/demo/run.sh\nnew file mode 100755\n"
        "--- /dev/null\n+++ b/demo/run.sh\n@@ -0,0 +1 @@\n+#!/bin/sh\n"
        "diff --git a/demo/old.py b/demo/old.py\ndeleted file mode 100644\nindex e69de29..0000000\n"
    )
    wheel = desk.realise(patch(text), patch(diff("demo/run.sh", "#!/bin/sh\n", "#!/bin/bash\n"), id="then"))["demo"]
    with zipfile.ZipFile(wheel.path) as archive:
        assert "demo/old.py" not in archive.namelist()
        assert stat.S_IMODE(archive.getinfo("demo/run.sh").external_attr >> 16) == 0o755
        assert archive.read("demo/run.sh") == b"#!/bin/bash\n"


def test_the_wheel_of_an_sdist_is_patched_too(desk: Desk) -> None:
    base = desk.store.artifact_path(desk.artifact.sha256)
    made = MadeWheel(package="demo", filename="demo-1.0-cp39-x.whl", path=base, size=1, sha256=desk.artifact.sha256)
    desk.artifact = replace(desk.artifact, filename="demo-1.0.tar.gz", sha256=Sha256("d" * 64))
    wheel = desk.realise(patch(MEND), made={"demo": made})["demo"]
    assert wheel.filename == "demo-1.0+astro.1-cp39-x.whl"
    assert contents(wheel)["demo/__init__.py"] == b"x = 2\n"


def test_without_patches_nothing_is_made(desk: Desk) -> None:
    assert desk.realise() == {}
    assert list(desk.store.trees.iterdir()) == []


def test_signatures_of_the_old_record_go(tmp_path: Path) -> None:
    desk = Desk(tmp_path, metadata={"METADATA": METADATA, "RECORD.jws": "{}", "RECORD.p7s": "-"})
    assert [name for name in contents(desk.realise(patch(MEND))["demo"]) if "RECORD" in name] == [f"{INFO}/RECORD"]


def test_lines_of_metadata_may_end_as_on_windows(tmp_path: Path) -> None:
    metadata = METADATA.replace("\n", "\r\n")
    desk = Desk(tmp_path, metadata={"METADATA": metadata})
    found = contents(desk.realise(patch(MEND))["demo"])
    assert found[f"{INFO}/METADATA"] == metadata.replace("Version: 1.0\r", "Version: 1.0+astro.1\r", 1).encode()


def test_a_version_may_be_spelled_in_another_way(tmp_path: Path) -> None:
    desk = Desk(tmp_path, files={"demo/__init__.py": "x = 1\n"}, version="1.0.0")
    wheel = desk.realise(patch(MEND))["demo"]
    assert f"{INFO}/METADATA" in contents(wheel)


def test_a_patch_that_does_not_apply(desk: Desk) -> None:
    error = desk.refusal(patch(MEND.replace("x = 1", "y = 1")))
    assert error.brief == "patch mend does not apply to demo 1.0: demo/__init__.py line 1"
    assert list(desk.store.trees.iterdir()) == []


def test_a_patch_that_upstream_has(tmp_path: Path) -> None:
    desk = Desk(tmp_path, files={"demo/__init__.py": "x = 2\n"})
    assert desk.refusal(patch(MEND)).brief == "patch mend: upstream already contains it in demo 1.0"


def test_a_patch_that_changed_since_the_lock(desk: Desk) -> None:
    with pytest.raises(StaleLockError, match="demo: its patch mend is not what the lock"):
        desk.realise(patch(MEND), known=[patch(MEND.replace("x = 2", "x = 3"))])
    with pytest.raises(StaleLockError, match="its patch mend is not"):
        desk.realise(patch(MEND), known=[])


@pytest.mark.parametrize(
    ("options", "brief"),
    [
        ({"metadata": {"METADATA": "Name: demo\n"}}, "its METADATA should have version 1.0"),
        ({"metadata": {"METADATA": "Name: demo\nVersion: 1.1\n"}}, "its METADATA should have version 1.0"),
        ({"metadata": {"METADATA": "Version: 1.0\nVersion: 1.0\n"}}, "its METADATA should have version 1.0"),
        ({"metadata": {"METADATA": None}}, "not a wheel: it has no METADATA"),
        ({"name": "other"}, "is not the wheel of demo 1.0"),
        ({"version": "1.1"}, "is not the wheel of demo 1.0"),
        ({"files": {"demo/__init__.py": "x = 1\n", "more-1.0.dist-info/x": ""}}, "must have exactly one .dist-info"),
    ],
)
def test_what_is_not_that_wheel(tmp_path: Path, options: dict[str, object], brief: str) -> None:
    error = Desk(tmp_path, **options).refusal(patch(MEND))
    assert error.brief.startswith("demo-1.0-py3-none-any.whl: ")
    assert brief in error.brief


def test_a_damaged_wheel(desk: Desk) -> None:
    path = desk.store.artifact_path(desk.artifact.sha256)
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(IntegrityError, match="not a wheel that can be read"):
            desk.realise(patch(MEND))
    path.unlink()
    with pytest.raises(BuildError, match="is not in the store"):
        desk.realise(patch(MEND))
