"""The trees of a lock: only missing and damaged ones are built, and they do not depend on other packages."""

from __future__ import annotations

import io
import json
import struct
import tarfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import zstandard

from rtbuild.errors import BuildError, IntegrityError, LockError
from rtbuild.lockfile.model import LockedPatch
from rtbuild.recipe.model import PythonLayer, Release, Removal
from rtbuild.wheels.realise import WheelTree, realise_trees
from tests.fakes import releases
from tests.fakes.patches import diff, patch
from tests.fakes.wheel_bench import PYTHON, UPLOADED, WheelBench

LIBRARY = f"/usr/local/lib/python{PYTHON}/dist-packages"


class Bench(WheelBench):
    def realise(
        self, release: Release | None = None, *, compression: str = "zstd", **options: object
    ) -> tuple[WheelTree, ...]:
        """Return the trees of the lock."""
        return realise_trees(release or RELEASE, self.lock, self.environment(compression), **options)  # type: ignore[arg-type]


def layer(name: str, **options: object) -> PythonLayer:
    return PythonLayer(name=name, title=name, roots=(), **options)  # type: ignore[arg-type]


def release(*layers: PythonLayer) -> Release:
    return releases.release(python_series=PYTHON, as_of=UPLOADED, layers=layers)


RELEASE = release(layer("lower"), layer("upper"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.add("alpha", {"alpha/__init__.py": "x = 1\n"})
    bench.add("beta", {"beta.py": "import alpha\n"})
    bench.add("able", {"able.py": "y = 2\n"}, layer="upper")
    return bench


def paths(tree: WheelTree) -> set[str]:
    return {f"/{file.path}" for file in tree.index.files}


def states(trees: tuple[WheelTree, ...]) -> dict[str, str]:
    return {tree.package: tree.state for tree in trees}


def test_trees_are_ordered_by_layer_and_name_and_compiled(bench: Bench) -> None:
    trees = bench.realise()
    assert [(tree.layer, tree.package) for tree in trees] == [("lower", "alpha"), ("lower", "beta"), ("upper", "able")]
    assert f"{LIBRARY}/alpha/__pycache__/__init__.cpython-311.pyc" in paths(trees[0])
    with trees[1].frames.open("rb") as stream:
        assert b"import alpha" in zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True).read()
    assert bench.engine.builds == ["compiling wheels"]


def test_compiled_modules_hold_the_time_and_size_that_their_sources_have_in_the_layer(bench: Bench) -> None:
    bench.pythons = [replace(one, uploaded=UPLOADED + timedelta(days=len(one.name))) for one in bench.pythons]
    for tree in bench.realise():
        with tree.frames.open("rb") as stream:
            content = zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True).read()
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            members = {f"/{member.name}": member for member in archive.getmembers()}
            (pyc,) = (path for path in members if path.endswith(".pyc"))
            source = members[f"{pyc.partition('/__pycache__/')[0]}/{pyc.rpartition('/')[2].partition('.')[0]}.py"]
            stored = archive.extractfile(members[pyc])
            assert stored is not None
            assert struct.unpack("<3I", stored.read(16)[4:]) == (0, source.mtime, source.size)


def test_trees_in_the_store_are_reused(bench: Bench) -> None:
    first = bench.realise()
    again = bench.realise()
    assert set(states(again).values()) == {"cached"}
    assert [tree.stored for tree in again] == [tree.stored for tree in first]
    assert len(bench.engine.builds) == 1


def test_only_the_tree_of_a_changed_wheel_is_built(bench: Bench) -> None:
    before = {tree.package: tree.key for tree in bench.realise()}
    bench.add("beta", {"beta.py": "import alpha as a\n"}, version="1.1")
    after = bench.realise()
    assert states(after) == {"alpha": "cached", "beta": "built", "able": "cached"}
    assert {tree.package for tree in after if tree.key != before[tree.package]} == {"beta"}


def test_a_tree_does_not_depend_on_other_packages(bench: Bench, tmp_path: Path) -> None:
    trees = {tree.package: tree for tree in bench.realise()}
    (tmp_path / "lonely").mkdir()
    lonely = Bench(tmp_path / "lonely")
    lonely.add("beta", {"beta.py": "import alpha\n"})
    (alone,) = lonely.realise()
    assert alone.key == trees["beta"].key
    assert alone.frames.read_bytes() == trees["beta"].frames.read_bytes()


def test_the_trees_of_a_single_layer(bench: Bench) -> None:
    (tree,) = bench.realise(layers=[RELEASE.python_layers[1]])
    assert tree.package == "able"
    assert states(bench.realise()) == {"alpha": "built", "beta": "built", "able": "cached"}


def test_a_damaged_tree_is_rebuilt(bench: Bench) -> None:
    tree = bench.realise()[0]
    whole = tree.frames.read_bytes()
    tree.frames.write_bytes(whole[:-1])
    again = bench.realise()
    assert states(again) == {"alpha": "built", "beta": "cached", "able": "cached"}
    assert [tree.stored.repaired for tree in again] == [True, False, False]
    assert again[0].frames.read_bytes() == whole


def test_a_failed_build_leaves_a_usable_store(bench: Bench) -> None:
    bench.engine.fail = True
    with pytest.raises(BuildError, match="failed on request"):
        bench.realise()
    assert list(bench.store.trees.iterdir()) == []
    assert list((bench.store.root / "tmp").iterdir()) == []
    bench.engine.fail = False
    assert set(states(bench.realise()).values()) == {"built"}


def test_a_container_that_does_not_return_every_archive_is_an_error(bench: Bench) -> None:
    bench.engine.spoil = lambda out: (out / "000001").unlink()
    with pytest.raises(BuildError, match="did not return 1 of 3 archives"):
        bench.realise()


def test_removals_and_shared_files_change_only_the_trees_that_have_them(bench: Bench) -> None:
    before = {tree.package: tree.key for tree in bench.realise()}
    bench.add("gamma", {"alpha/__init__.py": "x = 1\n", "gamma/tests/t.py": "", "gamma/m.py": ""})
    lower = layer("lower", removals=(Removal(pattern="*/tests", reason="not needed"),))
    trees = {tree.package: tree for tree in bench.realise(release(lower, layer("upper")))}
    assert {name for name in before if trees[name].key == before[name]} == {"alpha", "beta", "able"}
    modules = {path for path in paths(trees["gamma"]) if path.endswith((".py", ".pyc"))}
    assert modules == {f"{LIBRARY}/gamma/m.py", f"{LIBRARY}/gamma/__pycache__/m.cpython-311.pyc"}


def test_what_a_tree_leaves_out_is_not_compiled(bench: Bench) -> None:
    bench.add("gamma", {"alpha/__init__.py": "x = 1\n", "gamma/tests/t.py": "", "gamma/m.py": ""})
    compiled: list[str] = []

    def read_tasks(out: Path) -> None:
        for task in (out.parent / "context/work/tasks").iterdir():
            compiled.extend(module[0] for module in json.loads(task.read_text())["modules"])

    bench.engine.spoil = read_tasks
    lower = layer("lower", removals=(Removal(pattern="*/tests", reason="not needed"),))
    bench.realise(release(lower, layer("upper")))
    assert sorted(compiled) == [f"{LIBRARY}/{name}.py" for name in ("able", "alpha/__init__", "beta", "gamma/m")]


def test_a_path_with_different_content_needs_a_decision(bench: Bench) -> None:
    bench.add("gamma", {"beta.py": "other\n"})
    with pytest.raises(BuildError, match="several packages install 1 path with different content"):
        bench.realise()
    decided = release(layer("lower", preferred=((f"{LIBRARY}/beta.py", "gamma"),)), layer("upper"))
    trees = {tree.package: tree for tree in bench.realise(decided)}
    assert f"{LIBRARY}/beta.py" in paths(trees["gamma"])
    assert not {path for path in paths(trees["beta"]) if path.endswith((".py", ".pyc"))}


def test_another_compressor_gives_other_frames_of_the_same_tree(bench: Bench) -> None:
    plain, zipped = bench.realise()[0], bench.realise(compression="gzip")[0]
    assert zipped.key != plain.key
    assert zipped.index == plain.index
    assert zipped.frames.read_bytes()[:2] == b"\x1f\x8b"


def test_a_missing_artifact_is_an_error(bench: Bench) -> None:
    bench.store.artifact_path(bench.pythons[0].sha256).unlink()
    with pytest.raises(BuildError, match="not in the store"):
        bench.realise()


def test_a_damaged_artifact_is_an_error(bench: Bench) -> None:
    path = bench.store.artifact_path(bench.pythons[0].sha256)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-30])
    with pytest.raises(IntegrityError, match="alpha"):
        bench.realise()


def test_a_package_outside_of_any_python_layer_is_an_error(bench: Bench) -> None:
    bench.add("stray", {"stray.py": ""}, layer="elsewhere")
    with pytest.raises(LockError, match="elsewhere"):
        bench.realise()


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"name": "gamma"}, "name: is 'gamma', but alpha-1.0.dist-info in alpha-1.0-py3-none-any.whl says 'alpha'"),
        (
            {"version": "1.1"},
            "version: is '1.1', but alpha-1.0.dist-info in alpha-1.0-py3-none-any.whl says '1.0'",
        ),
        (
            {"filename": "alpha-1.1-py3-none-any.whl"},
            "version: is '1.0', but the file name alpha-1.1-py3-none-any.whl says '1.1'",
        ),
        ({"filename": "alpha.whl"}, "name: is 'alpha', but its file name says 'alpha.whl'"),
    ],
)
def test_a_wheel_with_another_name_or_version_than_the_lock(bench: Bench, fields: dict[str, str], problem: str) -> None:
    bench.pythons[0] = replace(bench.pythons[0], **fields)  # type: ignore[arg-type]
    with pytest.raises(LockError) as caught:
        bench.realise()
    position = [artifact.sha256 for artifact in bench.lock.pythons].index(bench.pythons[0].sha256)
    lines = [caught.value.brief, *str(caught.value.details).splitlines()]
    assert f"runtime.lock/8.0.0/linux-amd64.toml: python[{position}].{problem}" in lines
    assert "rtbuild lock 8.0.0 --platform linux/amd64 --refresh" in str(caught.value.hint)


def test_tools_of_another_python_are_refused(bench: Bench) -> None:
    other = replace(bench.lock, debs=(replace(bench.deb, version="3.11.4-1"),))
    with pytest.raises(LockError, match=r"3\.11\.4-1"):
        bench.realise(tools=other)


def test_tools_may_be_a_binary_rebuild_of_the_same_source(bench: Bench) -> None:
    other = replace(bench.lock, debs=(replace(bench.deb, version="3.11.2-6"),))
    assert set(states(bench.realise(tools=other)).values()) == {"built"}
    assert set(states(bench.realise()).values()) == {"cached"}


def test_the_tree_of_a_patched_wheel_is_compiled_and_has_the_patched_version(bench: Bench) -> None:
    before = {tree.package: tree.key for tree in bench.realise()}
    mend = patch(diff("alpha/__init__.py", "x = 1\n", "x = 2\n"), package="alpha")
    alpha = next(artifact for artifact in bench.pythons if artifact.name == "alpha")
    patched = replace(alpha, version="1.0+astro.1", patches=(LockedPatch(id="mend", sha256=mend.sha256),))
    bench.pythons = [patched if artifact is alpha else artifact for artifact in bench.pythons]
    trees = bench.realise(replace(RELEASE, patches=(mend,)))
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
    # Without the patch, the key is the old one.
    bench.pythons = [alpha if artifact is patched else artifact for artifact in bench.pythons]
    assert {tree.package: tree.key for tree in bench.realise()} == before
