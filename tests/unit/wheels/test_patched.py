"""Patched wheels: they depend on wheel and patches alone, and differ from the wheel only where patched."""

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
from rtbuild.recipe.model import Patch
from rtbuild.recipe.patches import patched_version
from rtbuild.store.store import Store
from rtbuild.wheels.built import BuiltWheel
from rtbuild.wheels.patched import realise_patched
from rtbuild.wheels.scheme import debian_scheme
from rtbuild.wheels.wheel import open_wheel
from tests.fakes import locks
from tests.fakes.environments import Notes, environment
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


class Bench:
    """A store with one wheel, and a release that patches it."""

    def __init__(self, folder: Path, **options: object) -> None:
        self.folder = folder
        self.notes = Notes()
        self.store = Store.open(folder / "store")
        self.artifact = self.keep(**options)

    def keep(self, **options: object) -> PythonArtifact:
        """Put a wheel into the store and return its entry in a lock."""
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
            patches=tuple(LockedPatch(id=patch.id, sha256=patch.sha256) for patch in patches),
        )

    def realise(
        self, *patches: Patch, built: dict[str, BuiltWheel] | None = None, known: Sequence[Patch] | None = None
    ) -> dict[str, BuiltWheel]:
        lock = self.lock(self.locked(patches))
        recipes = release(patches=tuple(patches if known is None else known))
        return realise_patched(recipes, lock, built or {}, environment(self.store, progress=self.notes))

    def lock(self, artifact: PythonArtifact) -> Lock:
        return locks.lock(pythons=(artifact, locks.wheel("other", "2.0")))

    def error_of(self, *patches: Patch) -> BuildError:
        with pytest.raises(BuildError) as caught:
            self.realise(*patches)
        assert list((self.store.root / "tmp").iterdir()) == []
        return caught.value


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, modes={"demo-1.0.data/scripts/go": EXECUTABLE})


def contents(wheel: BuiltWheel) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel.path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_only_the_patched_files_change(bench: Bench) -> None:
    wheel = bench.realise(patch(MEND))["demo"]
    assert wheel.filename == "demo-1.0+astro.1-py3-none-any.whl"
    files = contents(wheel)
    record = files.pop(f"{INFO}/RECORD")
    assert record
    assert files == {
        "demo/__init__.py": b"x = 2\n",
        "demo/old.py": b"",
        "demo/data.bin": b"\0\r\n\xff",
        "demo-1.0+astro.1.data/scripts/go": b"#!python\n",
        f"{INFO}/METADATA": METADATA.replace("Version: 1.0\n", "Version: 1.0+astro.1\n", 1).encode(),
        f"{INFO}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{INFO}/entry_points.txt": ENTRY_POINTS.encode(),
    }


def test_the_record_lists_the_patched_files(bench: Bench) -> None:
    files = contents(bench.realise(patch(MEND))["demo"])
    assert list(files)[-1] == f"{INFO}/RECORD"
    rows = {row[0]: row[1:] for row in csv.reader(files[f"{INFO}/RECORD"].decode().splitlines())}
    assert rows.pop(f"{INFO}/RECORD") == ["", ""]
    assert rows == {
        name: [f"sha256={urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip('=')}", str(len(content))]
        for name, content in files.items()
        if not name.endswith("/RECORD")
    }


def test_it_installs_under_the_patched_version_with_its_scripts(bench: Bench) -> None:
    wheel = bench.realise(patch(MEND))["demo"]
    scheme = debian_scheme("3.9")
    with open_wheel(wheel.path, scheme) as opened:
        assert opened.record == f"{scheme.library}/{INFO}/RECORD"
        assert f"{scheme.library}/{INFO}/METADATA" in opened.parts
        assert b"demo" in opened.read(opened.parts["/usr/local/bin/demo"])
        assert opened.parts["/usr/local/bin/go"].executable
        assert not opened.parts[f"{scheme.library}/demo/__init__.py"].executable


def test_the_bytes_do_not_depend_on_how_the_wheel_was_packed(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    usual = Bench(tmp_path).realise(patch(MEND))["demo"]
    other = Bench(tmp_path / "other", compression=zipfile.ZIP_STORED, backwards=True).realise(patch(MEND))["demo"]
    assert usual.path.name != other.path.name
    assert usual.path.read_bytes() == other.path.read_bytes()


def test_a_patched_wheel_is_cached_and_rebuilt_if_damaged(bench: Bench) -> None:
    wheel = bench.realise(patch(MEND))["demo"]
    before = wheel.path.stat()
    assert bench.realise(patch(MEND))["demo"] == wheel
    assert wheel.path.stat().st_ino == before.st_ino
    assert bench.notes.texts == []
    whole = wheel.path.read_bytes()
    wheel.path.write_bytes(whole[:-1])
    assert bench.realise(patch(MEND))["demo"] == wheel
    assert wheel.path.read_bytes() == whole
    assert bench.notes.texts == ["the wheel of demo in the store is damaged and will be rebuilt"]


def test_a_different_patch_gives_a_different_wheel(bench: Bench) -> None:
    wheel = bench.realise(patch(MEND))["demo"]
    other = bench.realise(patch(MEND.replace("x = 2", "x = 3")))["demo"]
    assert wheel.path != other.path
    assert contents(other)["demo/__init__.py"] == b"x = 3\n"


def test_patches_are_applied_in_order(bench: Bench) -> None:
    first = patch(MEND + diff("demo/new.py", None, "a\n"), id="first")
    second = patch(diff("demo/__init__.py", "x = 2\n", "x = 3\n") + diff("demo/new.py", "a\n", "b\n"), id="second")
    wheel = bench.realise(first, second)["demo"]
    assert wheel.filename == "demo-1.0+astro.2-py3-none-any.whl"
    files = contents(wheel)
    assert (files["demo/__init__.py"], files["demo/new.py"]) == (b"x = 3\n", b"b\n")
    error = bench.error_of(second, first)
    assert error.brief == "patch second does not apply to demo 1.0: demo/__init__.py line 1"


def test_files_are_created_and_deleted(bench: Bench) -> None:
    text = (
        "diff --git a/demo/run.sh b/demo/run.sh\nnew file mode 100755\n"
        "--- /dev/null\n+++ b/demo/run.sh\n@@ -0,0 +1 @@\n+#!/bin/sh\n"
        "diff --git a/demo/old.py b/demo/old.py\ndeleted file mode 100644\nindex e69de29..0000000\n"
    )
    wheel = bench.realise(patch(text), patch(diff("demo/run.sh", "#!/bin/sh\n", "#!/bin/bash\n"), id="then"))["demo"]
    with zipfile.ZipFile(wheel.path) as archive:
        assert "demo/old.py" not in archive.namelist()
        assert stat.S_IMODE(archive.getinfo("demo/run.sh").external_attr >> 16) == 0o755
        assert archive.read("demo/run.sh") == b"#!/bin/bash\n"


def test_the_wheel_of_an_sdist_is_patched_too(bench: Bench) -> None:
    base = bench.store.artifact_path(bench.artifact.sha256)
    built = BuiltWheel(package="demo", filename="demo-1.0-cp39-x.whl", path=base, size=1, sha256=bench.artifact.sha256)
    bench.artifact = replace(bench.artifact, filename="demo-1.0.tar.gz", sha256=Sha256("d" * 64))
    wheel = bench.realise(patch(MEND), built={"demo": built})["demo"]
    assert wheel.filename == "demo-1.0+astro.1-cp39-x.whl"
    assert contents(wheel)["demo/__init__.py"] == b"x = 2\n"


def test_without_patches_nothing_is_built(bench: Bench) -> None:
    assert bench.realise() == {}
    assert list(bench.store.trees.iterdir()) == []


def test_signatures_of_the_old_record_are_removed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, metadata={"METADATA": METADATA, "RECORD.jws": "{}", "RECORD.p7s": "-"})
    assert [name for name in contents(bench.realise(patch(MEND))["demo"]) if "RECORD" in name] == [f"{INFO}/RECORD"]


def test_metadata_may_have_windows_line_endings(tmp_path: Path) -> None:
    metadata = METADATA.replace("\n", "\r\n")
    bench = Bench(tmp_path, metadata={"METADATA": metadata})
    files = contents(bench.realise(patch(MEND))["demo"])
    assert files[f"{INFO}/METADATA"] == metadata.replace("Version: 1.0\r", "Version: 1.0+astro.1\r", 1).encode()


def test_a_version_may_have_another_spelling(tmp_path: Path) -> None:
    bench = Bench(tmp_path, files={"demo/__init__.py": "x = 1\n"}, version="1.0.0")
    wheel = bench.realise(patch(MEND))["demo"]
    assert f"{INFO}/METADATA" in contents(wheel)


def test_a_patch_that_does_not_apply(bench: Bench) -> None:
    error = bench.error_of(patch(MEND.replace("x = 1", "y = 1")))
    assert error.brief == "patch mend does not apply to demo 1.0: demo/__init__.py line 1"
    assert list(bench.store.trees.iterdir()) == []


def test_a_patch_that_upstream_contains(tmp_path: Path) -> None:
    bench = Bench(tmp_path, files={"demo/__init__.py": "x = 2\n"})
    assert bench.error_of(patch(MEND)).brief == "patch mend: upstream already contains it in demo 1.0"


def test_a_patch_that_changed_since_the_lock(bench: Bench) -> None:
    with pytest.raises(StaleLockError, match="demo: patch mend has changed since the lock"):
        bench.realise(patch(MEND), known=[patch(MEND.replace("x = 2", "x = 3"))])
    with pytest.raises(StaleLockError, match="patch mend has changed"):
        bench.realise(patch(MEND), known=[])


@pytest.mark.parametrize(
    ("options", "brief"),
    [
        ({"metadata": {"METADATA": "Name: demo\n"}}, "its METADATA should have version 1.0"),
        ({"metadata": {"METADATA": "Name: demo\nVersion: 1.1\n"}}, "its METADATA should have version 1.0"),
        ({"metadata": {"METADATA": "Version: 1.0\nVersion: 1.0\n"}}, "its METADATA should have version 1.0"),
        ({"metadata": {"METADATA": None}}, "not a wheel: it has no METADATA"),
        ({"metadata": {"METADATA": "Name: demo\n".ljust(33 << 20)}}, "its METADATA has 34603008 bytes, more than"),
        ({"compression": zipfile.ZIP_BZIP2}, "is encrypted or has an unsupported compression method"),
        ({"name": "other"}, "not the wheel of demo 1.0"),
        ({"version": "1.1"}, "not the wheel of demo 1.0"),
        ({"files": {"demo/__init__.py": "x = 1\n", "more-1.0.dist-info/x": ""}}, "must have exactly one .dist-info"),
    ],
)
def test_a_wheel_that_cannot_be_patched(tmp_path: Path, options: dict[str, object], brief: str) -> None:
    error = Bench(tmp_path, **options).error_of(patch(MEND))
    assert error.brief.startswith("demo-1.0-py3-none-any.whl: ")
    assert brief in error.brief


def test_a_damaged_or_missing_wheel(bench: Bench) -> None:
    path = bench.store.artifact_path(bench.artifact.sha256)
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(IntegrityError, match="cannot be read as a wheel"):
            bench.realise(patch(MEND))
    path.unlink()
    with pytest.raises(BuildError, match="is not in the store"):
        bench.realise(patch(MEND))
