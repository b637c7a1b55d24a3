"""Python layers: the folders and files around the trees of their wheels."""

from __future__ import annotations

import io
import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.derivations.derivation import derive
from rtbuild.derivations.plan import PlannedLayer
from rtbuild.digest import Key, sha256_bytes
from rtbuild.errors import RecipeError
from rtbuild.formats.frames import open_uncompressed
from rtbuild.layers.python import realise_python
from rtbuild.lockfile.model import LockedPatch
from rtbuild.oci.layer import LayerDigest
from rtbuild.recipe.model import FilesLayer, InstalledFile, Layer, Patch, PythonLayer
from rtbuild.store.collect import Roots
from tests.fakes import releases
from tests.fakes.environments import Notes
from tests.fakes.patches import diff, patch
from tests.fakes.wheel_bench import PYTHON, UPLOADED, WheelBench

LIBRARY = f"usr/local/lib/python{PYTHON}/dist-packages"
LOWER = PythonLayer(name="lower", title="Lower", roots=())
UPPER = PythonLayer(name="upper", title="Upper", roots=())


class Bench(WheelBench):
    def realise(
        self, *layers: Layer, notes: Notes | None = None, patches: tuple[Patch, ...] = ()
    ) -> dict[str, LayerDigest]:
        """Build `layers` of a release that has just these; return what was built by name."""
        release = releases.release(python_series=PYTHON, as_of=UPLOADED, layers=layers, patches=patches)
        planned = [
            PlannedLayer(
                name=layer.name,
                state="build",
                reason="",
                layer=layer,
                derivation=derive(release, self.lock, layer, {}),
                realisation=None,
            )
            for layer in layers
        ]
        built_in = replace(self.environment(), progress=notes or Notes())
        digests = realise_python(release, self.lock, planned, built_in)
        return {derivation.layer.name: digest for derivation, digest in digests}

    def key(self, layer: Layer, *, patches: tuple[Patch, ...]) -> Key:
        """Return the key of `layer`."""
        release = releases.release(python_series=PYTHON, as_of=UPLOADED, layers=(layer,), patches=patches)
        derivation = derive(release, self.lock, layer, {})
        assert derivation is not None  # a Python layer has no parent
        return derivation.key

    def members(self, digest: LayerDigest) -> dict[str, tarfile.TarInfo]:
        """Return the members of a layer in the store by path; fails if a path is there twice."""
        blob = self.environment().layout.blob_path(digest.blob)
        with open_uncompressed(blob) as stream, tarfile.open(fileobj=io.BytesIO(stream.read())) as archive:
            names = archive.getnames()
            assert len(names) == len(set(names))
            return {member.name: member for member in archive}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.add("alpha", {"alpha/__init__.py": "x = 1\n", "alpha-1.0.data/data/etc/alpha/conf": ""})
    bench.add("beta", {"beta.py": "import alpha\n"})
    return bench


def test_a_layer_has_its_files_and_every_folder_above_them(bench: Bench) -> None:
    members = bench.members(bench.realise(LOWER)["lower"])
    assert {name for name, member in members.items() if member.isdir()} == {
        "usr",
        "usr/local",
        "usr/local/etc",
        "usr/local/lib",
        f"usr/local/lib/python{PYTHON}",
        LIBRARY,
        f"{LIBRARY}/__pycache__",
        f"{LIBRARY}/alpha",
        f"{LIBRARY}/alpha/__pycache__",
        f"{LIBRARY}/alpha-1.0.dist-info",
        f"{LIBRARY}/beta-1.0.dist-info",
        "usr/local/etc/alpha",
    }
    assert {f"{LIBRARY}/alpha/__init__.py", f"{LIBRARY}/beta.py", "usr/local/etc/alpha/conf"} <= set(members)
    assert {member.mtime for member in members.values()} == {int(UPLOADED.timestamp())}


def test_folders_come_first_and_wheels_follow_by_name(bench: Bench) -> None:
    members = bench.members(bench.realise(LOWER)["lower"])
    kinds = [member.isdir() for member in members.values()]
    assert kinds == sorted(kinds, reverse=True)
    names = list(members)
    assert names.index(f"{LIBRARY}/alpha-1.0.dist-info/RECORD") < names.index(f"{LIBRARY}/beta.py")


def test_files_of_the_recipe_are_added(bench: Bench) -> None:
    files = (
        InstalledFile(path="/usr/local/airflow", mode=0o775),
        InstalledFile(path="/usr/local/airflow/conf", content="a", sha256=sha256_bytes(b"a")),
        InstalledFile(path="/usr/local/etc/alpha", mode=0o700),
    )
    members = bench.members(bench.realise(replace(LOWER, files=files))["lower"])
    assert members["usr/local/airflow"].mode == 0o775
    assert members["usr/local/airflow/conf"].size == 1
    # The recipe decides the mode of a folder that wheels need as well.
    assert members["usr/local/etc/alpha"].mode == 0o700


def test_folders_that_a_layer_below_declares_are_repeated_as_they_are_there(bench: Bench) -> None:
    base = FilesLayer(name="base", title="Base", files=(InstalledFile(path="/usr/local/etc", mode=0o770, uid=7),))
    members = bench.members(bench.realise(base, LOWER)["lower"])
    assert (members["usr/local/etc"].mode, members["usr/local/etc"].uid) == (0o770, 7)
    assert (members["usr/local"].mode, members["usr/local"].uid) == (0o755, 0)


def test_each_layer_has_its_own_wheels(bench: Bench) -> None:
    bench.add("able", {"able.py": ""}, layer="upper")
    digests = bench.realise(LOWER, UPPER)
    assert list(digests) == ["lower", "upper"]
    upper = bench.members(digests["upper"])
    assert f"{LIBRARY}/able.py" in upper
    assert f"{LIBRARY}/beta.py" not in upper
    assert bench.engine.builds == ["compiling wheels"]


def test_a_file_that_a_wheel_installs_too_is_an_error(bench: Bench) -> None:
    file = InstalledFile(path=f"/{LIBRARY}/beta.py", content="a", sha256=sha256_bytes(b"a"))
    with pytest.raises(RecipeError) as caught:
        bench.realise(replace(LOWER, files=(file,)))
    assert caught.value.brief == f"recipes/layers/lower.toml: /{LIBRARY}/beta.py is also installed by a wheel"


def test_a_repaired_tree_is_reported(bench: Bench) -> None:
    digest = bench.realise(LOWER)["lower"]
    for frames in bench.store.trees.glob("*.tar.zst"):
        frames.write_bytes(b"")
    notes = Notes()
    assert bench.realise(LOWER, notes=notes)["lower"] == digest
    assert [text for text in notes.texts if text.startswith("the tree")] == [
        f"the tree of {name} in the store was damaged and has been rebuilt" for name in ("alpha", "beta")
    ]


def test_a_layer_records_what_it_is_made_of_for_garbage_collection(bench: Bench) -> None:
    bench.add("able", {"able.py": ""}, layer="upper")
    alpha = next(artifact for artifact in bench.pythons if artifact.name == "alpha")
    mend = patch(diff("alpha/__init__.py", "x = 1\n", "x = 2\n"), package="alpha")
    bench.pythons.remove(alpha)
    bench.pythons.append(replace(alpha, version="1.0+own.1", patches=(LockedPatch(id="mend", sha256=mend.sha256),)))
    bench.realise(LOWER, UPPER, patches=(mend,))
    lower, upper = bench.key(LOWER, patches=(mend,)), bench.key(UPPER, patches=(mend,))
    suffixes = Counter(path.suffix for path in bench.store.trees.iterdir())
    assert suffixes == {".zst": 3, ".whl": 1, ".json": 4}
    assert "tree" not in dict(bench.store.gc(lambda: Roots(keys=frozenset({lower, upper}))).removed)
    report = bench.store.gc(lambda: Roots(keys=frozenset({lower})))
    assert dict(report.removed)["tree"] == 2, "the frames and the record of able"
    assert Counter(path.suffix for path in bench.store.trees.iterdir()) == {".zst": 2, ".whl": 1, ".json": 3}
    assert dict(bench.store.gc(Roots).removed)["tree"] == 6
