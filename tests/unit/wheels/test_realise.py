"""Trees of a lock: only what is missing is made, whatever is damaged is made again, and other packages do not show."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard

from rtbuild.digest import sha256_file
from rtbuild.errors import BuildError, IntegrityError, LockError
from rtbuild.lockfile.model import DebArtifact, Lock, LockedPatch, PythonArtifact
from rtbuild.platform import parse_platform
from rtbuild.recipe.model import PythonLayer, Release, Removal
from rtbuild.store.store import Store
from rtbuild.wheels.realise import WheelTree, realise_trees
from tests.fakes import releases
from tests.fakes.environments import environment
from tests.fakes.local_engine import LocalEngine, as_engine
from tests.fakes.patches import diff, patch
from tests.fakes.wheels import folder, make_deb, make_wheel

PYTHON = "3.11"
LIBRARY = f"/usr/local/lib/python{PYTHON}/dist-packages"
UPLOADED = datetime(2023, 4, 1, tzinfo=UTC)


class Desk:
    """A store with the artifacts of a small lock, and an engine to build with."""

    def __init__(self, tmp_path: Path) -> None:
        self.downloads = tmp_path / "downloads"
        self.downloads.mkdir(exist_ok=True)
        self.store = Store.open(tmp_path / "store")
        self.engine = LocalEngine()
        self.pythons: list[PythonArtifact] = []
        deb = make_deb(self.downloads / "python.deb", [folder("./"), ("./usr/bin/python", b"")])
        self.deb = DebArtifact(
            filename=deb.name,
            path=deb.name,
            size=deb.stat().st_size,
            sha256=sha256_file(deb),
            name=f"python{PYTHON}-minimal",
            version="3.11.2-6+b1",
            architecture="amd64",
            archive="debian",
            suite="suite",
            built=0,
            layer="python",
        )
        self.keep(deb, self.deb)

    def keep(self, path: Path, artifact: DebArtifact | PythonArtifact) -> None:
        target = self.store.artifact_path(artifact.sha256)
        if not target.exists():
            os.link(path, target)

    def add(self, name: str, files: Mapping[str, str], *, layer: str = "lower", version: str = "1.0") -> None:
        wheel = make_wheel(self.downloads / f"{name}-{version}-py3-none-any.whl", files, name=name, version=version)
        self.pythons = [one for one in self.pythons if one.name != name]
        self.pythons.append(
            PythonArtifact(
                filename=wheel.name,
                path=wheel.name,
                size=wheel.stat().st_size,
                sha256=sha256_file(wheel),
                name=name,
                version=version,
                uploaded=UPLOADED,
                layer=layer,
            )
        )
        self.keep(wheel, self.pythons[-1])

    @property
    def lock(self) -> Lock:
        return Lock(
            release="8.0.0",
            platform=parse_platform("linux/amd64"),
            python_version="3.11.2",
            as_of=UPLOADED,
            source_date_epoch=0,
            inputs=(),
            debs=(self.deb,),
            pythons=tuple(sorted(self.pythons, key=lambda one: one.name)),
            build_pythons=(),
        )

    def realise(
        self, release: Release | None = None, *, compression: str = "zstd", **options: object
    ) -> tuple[WheelTree, ...]:
        made_in = environment(self.store, as_engine(self.engine), compression=compression)
        return realise_trees(release or RELEASE, self.lock, made_in, **options)  # type: ignore[arg-type]


def layer(name: str, **options: object) -> PythonLayer:
    return PythonLayer(name=name, title=name, roots=(), **options)  # type: ignore[arg-type]


def release(*layers: PythonLayer) -> Release:
    return releases.release(python_series=PYTHON, as_of=UPLOADED, layers=layers)


RELEASE = release(layer("lower"), layer("upper"))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.add("alpha", {"alpha/__init__.py": "x = 1\n"})
    desk.add("beta", {"beta.py": "import alpha\n"})
    desk.add("able", {"able.py": "y = 2\n"}, layer="upper")
    return desk


def paths(tree: WheelTree) -> set[str]:
    return {f"/{file.path}" for file in tree.index.files}


def states(trees: tuple[WheelTree, ...]) -> dict[str, str]:
    return {tree.package: tree.state for tree in trees}


def test_trees_come_by_layer_and_name_compiled(desk: Desk) -> None:
    trees = desk.realise()
    assert [(tree.layer, tree.package) for tree in trees] == [("lower", "alpha"), ("lower", "beta"), ("upper", "able")]
    assert f"{LIBRARY}/alpha/__pycache__/__init__.cpython-311.pyc" in paths(trees[0])
    with trees[1].frames.open("rb") as stream:
        assert b"import alpha" in zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True).read()
    assert desk.engine.builds == ["compiling wheels"]


def test_what_is_there_is_not_made_again(desk: Desk) -> None:
    first = desk.realise()
    again = desk.realise()
    assert set(states(again).values()) == {"cached"}
    assert [tree.stored for tree in again] == [tree.stored for tree in first]
    assert len(desk.engine.builds) == 1


def test_only_the_tree_of_a_changed_wheel_is_made(desk: Desk) -> None:
    before = {tree.package: tree.key for tree in desk.realise()}
    desk.add("beta", {"beta.py": "import alpha as a\n"}, version="1.1")
    after = desk.realise()
    assert states(after) == {"alpha": "cached", "beta": "built", "able": "cached"}
    assert {tree.package for tree in after if tree.key != before[tree.package]} == {"beta"}


def test_other_packages_do_not_show_in_a_tree(desk: Desk, tmp_path: Path) -> None:
    trees = {tree.package: tree for tree in desk.realise()}
    (tmp_path / "lonely").mkdir()
    lonely = Desk(tmp_path / "lonely")
    lonely.add("beta", {"beta.py": "import alpha\n"})
    (alone,) = lonely.realise()
    assert alone.key == trees["beta"].key
    assert alone.frames.read_bytes() == trees["beta"].frames.read_bytes()


def test_layers_may_be_asked_for_one_by_one(desk: Desk) -> None:
    (tree,) = desk.realise(layers=[RELEASE.python_layers[1]])
    assert tree.package == "able"
    assert states(desk.realise()) == {"alpha": "built", "beta": "built", "able": "cached"}


def test_a_damaged_tree_is_made_again(desk: Desk) -> None:
    tree = desk.realise()[0]
    whole = tree.frames.read_bytes()
    tree.frames.write_bytes(whole[:-1])
    again = desk.realise()
    assert states(again) == {"alpha": "built", "beta": "cached", "able": "cached"}
    assert [tree.stored.repaired for tree in again] == [True, False, False]
    assert again[0].frames.read_bytes() == whole


def test_a_build_that_fails_leaves_a_store_that_the_next_one_uses(desk: Desk) -> None:
    desk.engine.fail = True
    with pytest.raises(BuildError, match="failed on request"):
        desk.realise()
    assert list(desk.store.trees.iterdir()) == []
    assert list((desk.store.root / "tmp").iterdir()) == []
    desk.engine.fail = False
    assert set(states(desk.realise()).values()) == {"built"}


def test_a_container_that_leaves_something_out_is_an_error(desk: Desk) -> None:
    desk.engine.spoil = lambda out: (out / "000001").unlink()
    with pytest.raises(BuildError, match="left out 1 of 3 parts"):
        desk.realise()


def test_removals_and_shared_files_are_left_out_and_change_only_what_they_touch(desk: Desk) -> None:
    before = {tree.package: tree.key for tree in desk.realise()}
    desk.add("gamma", {"alpha/__init__.py": "x = 1\n", "gamma/tests/t.py": "", "gamma/m.py": ""})
    lower = layer("lower", removals=(Removal(pattern="*/tests", reason="not needed"),))
    trees = {tree.package: tree for tree in desk.realise(release(lower, layer("upper")))}
    assert {name for name in before if trees[name].key == before[name]} == {"alpha", "beta", "able"}
    modules = {path for path in paths(trees["gamma"]) if path.endswith((".py", ".pyc"))}
    assert modules == {f"{LIBRARY}/gamma/m.py", f"{LIBRARY}/gamma/__pycache__/m.cpython-311.pyc"}


def test_a_path_with_two_contents_needs_a_decision(desk: Desk) -> None:
    desk.add("gamma", {"beta.py": "other\n"})
    with pytest.raises(BuildError, match="1 path that several packages install"):
        desk.realise()
    decided = release(layer("lower", preferred=((f"{LIBRARY}/beta.py", "gamma"),)), layer("upper"))
    trees = {tree.package: tree for tree in desk.realise(decided)}
    assert f"{LIBRARY}/beta.py" in paths(trees["gamma"])
    assert not {path for path in paths(trees["beta"]) if path.endswith((".py", ".pyc"))}


def test_another_compressor_makes_other_frames_of_the_same_tree(desk: Desk) -> None:
    plain, zipped = desk.realise()[0], desk.realise(compression="gzip")[0]
    assert zipped.key != plain.key
    assert zipped.index == plain.index
    assert zipped.frames.read_bytes()[:2] == b"\x1f\x8b"


def test_an_artifact_that_is_not_there_is_an_error(desk: Desk) -> None:
    desk.store.artifact_path(desk.pythons[0].sha256).unlink()
    with pytest.raises(BuildError, match="not in the store"):
        desk.realise()


def test_a_damaged_artifact_is_an_error(desk: Desk) -> None:
    path = desk.store.artifact_path(desk.pythons[0].sha256)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-30])
    with pytest.raises(IntegrityError, match="alpha"):
        desk.realise()


def test_a_package_of_no_python_layer_is_an_error(desk: Desk) -> None:
    desk.add("stray", {"stray.py": ""}, layer="elsewhere")
    with pytest.raises(LockError, match="elsewhere"):
        desk.realise()


def test_tools_of_another_python_are_refused(desk: Desk) -> None:
    other = replace(desk.lock, debs=(replace(desk.deb, version="3.11.4-1"),))
    with pytest.raises(LockError, match=r"3\.11\.4-1"):
        desk.realise(tools=other)


def test_tools_of_a_rebuild_of_the_same_source_will_do(desk: Desk) -> None:
    other = replace(desk.lock, debs=(replace(desk.deb, version="3.11.2-6"),))
    assert set(states(desk.realise(tools=other)).values()) == {"built"}
    assert set(states(desk.realise()).values()) == {"cached"}


def test_the_tree_of_a_patched_wheel_is_compiled_and_named_anew(desk: Desk) -> None:
    before = {tree.package: tree.key for tree in desk.realise()}
    mend = patch(diff("alpha/__init__.py", "x = 1\n", "x = 2\n"), package="alpha")
    alpha = next(one for one in desk.pythons if one.name == "alpha")
    patched = replace(alpha, version="1.0+astro.1", patches=(LockedPatch(id="mend", sha256=mend.sha256),))
    desk.pythons = [one if one is not alpha else patched for one in desk.pythons]
    trees = desk.realise(replace(RELEASE, patches=(mend,)))
    assert states(trees) == {"alpha": "built", "beta": "cached", "able": "cached"}
    assert {tree.package for tree in trees if tree.key != before[tree.package]} == {"alpha"}
    tree = trees[0]
    assert f"{LIBRARY}/alpha-1.0+astro.1.dist-info/METADATA" in paths(tree)
    assert not any("alpha-1.0.dist-info" in path for path in paths(tree))
    assert f"{LIBRARY}/alpha/__pycache__/__init__.cpython-311.pyc" in paths(tree)
    with tree.frames.open("rb") as stream:
        content = zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True).read()
    assert b"x = 2\n" in content
    assert b"x = 1\n" not in content
    # Without its patch it is what it was.
    desk.pythons = [one if one is not patched else alpha for one in desk.pythons]
    assert {tree.package: tree.key for tree in desk.realise()} == before
