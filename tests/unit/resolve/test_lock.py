"""Resolve a small release with a small archive and a small index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rtbuild.digest import Sha256, sha256_file
from rtbuild.errors import RecipeError, ResolutionError, UsageError
from rtbuild.lockfile.check import stale_parts
from rtbuild.lockfile.derived import PYTHON_QUESTION
from rtbuild.lockfile.model import Lock
from rtbuild.lockfile.read import record_results, write_engine_lock, write_lock
from rtbuild.mirror.find import SETTINGS, Mirrors
from rtbuild.mirror.http import Web
from rtbuild.mirror.remote import MirrorSources
from rtbuild.mirror.site import Mirror
from rtbuild.platform import PLATFORMS
from rtbuild.resolve.debian.keyring import Keyring
from rtbuild.resolve.environment import LockEnvironment
from rtbuild.resolve.lock import resolve_engine_lock, resolve_lock
from rtbuild.resolve.python.process import PipProcess
from rtbuild.workspace import Workspace
from tests.fakes import locks
from tests.fakes.debian_archive import BUILT, PUBLISHED, DebianArchive, FakeDeb, MirrorServer
from tests.fakes.package_index import PackageIndex, make_sdist, make_wheel
from tests.fakes.packages import FOLDER, LAYER, MODULE, PYPROJECT, write_package
from tests.fakes.patches import PATCH, RECORD, write_patch
from tests.fakes.workspaces import put, write_workspace

AMD64 = PLATFORMS["linux/amd64"]
DEBS = (
    FakeDeb(name="apt", depends="libc6", architecture="amd64"),
    FakeDeb(name="libc6", version="2.31-13+deb11u14", architecture="amd64", essential=True),
    FakeDeb(name="tini", version="0.19-1", architecture="amd64", built=BUILT + 5),
    FakeDeb(name="python3.9", version="3.9.2-1", architecture="amd64", depends="libpython3.9-minimal"),
    FakeDeb(name="libpython3.9-minimal", version="3.9.2-1", architecture="amd64", depends="libc6"),
)


@dataclass
class World:
    """A workspace, and an archive and an index to resolve it with."""

    workspace: Workspace
    archive: DebianArchive
    server: MirrorServer
    index: PackageIndex
    web: Web
    pip: PipProcess
    folder: Path
    runs: int = 0

    def resolve(self, *, upgrade: Mapping[str, str | None] | None = None, refresh: bool = False) -> Lock:
        """Lock the release and write the lock."""
        self.server.requests.clear()
        self.index.requested.clear()
        path = self.workspace.lock_path("8.0.0", AMD64)
        lock = resolve_lock(
            self.workspace.release("8.0"),
            AMD64,
            self.environment(),
            locked=self.workspace.read_lock("8.0.0", AMD64) if path.exists() and not refresh else None,
            upgrade=upgrade,
        )
        write_lock(path, lock)
        return lock

    def environment(self) -> LockEnvironment:
        """What locking works with; the caches are new each time, so that requests show what was resolved."""
        self.runs += 1
        mirrors = Mirrors(
            debian=(Mirror(address=self.server.url, origin=SETTINGS),),
            python=(Mirror(address=self.index.url, origin=SETTINGS),),
        )
        return LockEnvironment(
            sources=MirrorSources(mirrors, self.folder / f"answers-{self.runs}", web=self.web),
            pip=self.pip,
            cache=self.folder / f"pip-{self.runs}",
            keyring=Keyring.from_bytes(self.archive.key.certificate, name="test"),
        )

    def change(self, layer: str, old: str, new: str) -> None:
        """Edit a recipe file."""
        path = self.workspace.root / "recipes" / f"{layer}.toml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def check(self) -> tuple[str, ...]:
        """What is stale."""
        return stale_parts(self.workspace.release("8.0"), self.workspace.read_lock("8.0.0", AMD64))


@contextmanager
def small_world(folder: Path, web: Web, pip: PipProcess) -> Iterator[World]:
    archive = DebianArchive(folder / "debian")
    archive.publish("bullseye", DEBS)
    with PackageIndex() as index, archive.serve() as server:
        requires = ["spam", "celery; extra == 'celery'"]
        index.publish(make_wheel("apache-airflow", "2.6.0", requires=requires, extras=["celery", "async"]))
        for name, version in (("http", "4.3.0"), ("amazon", "8.0.0"), ("amazon", "8.1.0")):
            index.publish(make_wheel(f"apache-airflow-providers-{name}", version))
        for name, version in (("celery", "5.2"), ("spam", "1.0"), ("pip", "23.1.2"), ("astro-sdk-python", "1.5.3")):
            index.publish(make_wheel(name, version))
        index.publish(make_wheel("pip", "23.2"), uploaded="2023-06-01T00:00:00Z")
        workspace = Workspace(root=write_workspace(folder / "workspace"))
        yield World(workspace=workspace, archive=archive, server=server, index=index, web=web, pip=pip, folder=folder)


@pytest.fixture
def world(tmp_path: Path, web: Web, pip: PipProcess) -> Iterator[World]:
    """A world without a lock."""
    with small_world(tmp_path, web, pip) as world:
        yield world


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, web: Web, pip: PipProcess) -> Lock:
    """The lock of a new world."""
    with small_world(tmp_path_factory.mktemp("first"), web, pip) as world:
        return world.resolve()


@pytest.fixture
def locked(world: World, first: Lock) -> World:
    """A world with that lock."""
    write_lock(world.workspace.lock_path("8.0.0", AMD64), first)
    return world


def versions(lock: Lock) -> dict[str, str]:
    versions = {deb.name: deb.version for deb in lock.debs}
    return versions | {artifact.name: artifact.version for artifact in lock.pythons}


def test_a_lock_joins_both_sides(first: Lock) -> None:
    assert {deb.name: deb.layer for deb in first.debs} == {
        "apt": "base-os",
        "libc6": "base-os",
        "libpython3.9-minimal": "python",
        "python3.9": "python",
        "tini": "base-os",
    }
    assert {artifact.name: artifact.layer for artifact in first.pythons} == {
        "apache-airflow": "airflow",
        "apache-airflow-providers-amazon": "providers",
        "apache-airflow-providers-http": "providers",
        "astro-sdk-python": "providers",
        "celery": "providers",
        "pip": "airflow",
        "spam": "airflow",
    }
    assert first.python_version == "3.9.2"
    assert first.as_of == datetime(2023, 5, 2, tzinfo=UTC)
    assert first.source_date_epoch == datetime(2023, 1, 1, 12, tzinfo=UTC).timestamp()
    assert set(dict(first.inputs)) > {"recipes/releases/8.0.0.toml", "recipes/layers/base-os.toml"}


def test_a_lock_survives_writing_and_reading(locked: World, first: Lock) -> None:
    assert locked.workspace.read_lock("8.0.0", AMD64) == first
    assert locked.check() == ()


def test_locking_again_changes_nothing_and_makes_no_request(locked: World) -> None:
    before = locked.workspace.lock_path("8.0.0", AMD64).read_bytes()
    locked.archive.publish("bullseye", (*DEBS, FakeDeb(name="tini", version="0.20-1", architecture="amd64")))
    locked.resolve()
    assert locked.workspace.lock_path("8.0.0", AMD64).read_bytes() == before
    assert locked.server.requests == []
    assert locked.index.requested == []


def test_without_a_lock_everything_is_the_newest(locked: World) -> None:
    locked.archive.publish("bullseye", (*DEBS, FakeDeb(name="tini", version="0.20-1", architecture="amd64")))
    assert versions(locked.resolve(refresh=True))["tini"] == "0.20-1"


def test_a_change_of_one_side_does_not_touch_the_other(locked: World, first: Lock) -> None:
    locked.change("releases/8.0.0", 'amazon = "8.0.0"', 'amazon = "8.1.0"')
    after = locked.resolve()
    assert after.debs == first.debs
    assert locked.server.requests == []
    moved = versions(after).items() ^ versions(first).items()
    assert moved == {("apache-airflow-providers-amazon", "8.0.0"), ("apache-airflow-providers-amazon", "8.1.0")}


def test_what_was_locked_stays_when_something_else_changes(locked: World) -> None:
    locked.index.publish(make_wheel("spam", "1.1"))
    locked.change("releases/8.0.0", 'amazon = "8.0.0"', 'amazon = "8.1.0"')
    assert versions(locked.resolve())["spam"] == "1.0"


def test_an_upgrade_moves_one_python_package(locked: World) -> None:
    for name in ("spam", "celery"):
        locked.index.publish(make_wheel(name, "6.0"))
    after = versions(locked.resolve(upgrade={"Spam": None}))
    assert (after["spam"], after["celery"]) == ("6.0", "5.2")
    assert locked.server.requests == []


def test_an_upgrade_moves_one_debian_package(locked: World) -> None:
    newer = (replace(deb, version="9-1") if deb.name in ("tini", "apt") else deb for deb in DEBS)
    locked.archive.publish("bullseye", tuple(newer))
    after = versions(locked.resolve(upgrade={"tini": None}))
    assert after["tini"] == "9-1"
    assert locked.index.requested == []


def test_an_upgrade_of_an_unknown_package(locked: World) -> None:
    with pytest.raises(UsageError, match="eggs is not locked, so it cannot be upgraded"):
        locked.resolve(upgrade={"eggs": None})


def test_recorded_results_are_kept_with_unchanged_inputs(locked: World, first: Lock) -> None:
    path = locked.workspace.lock_path("8.0.0", AMD64)
    record_results(path, locks.lock().layers, locks.lock().image, locks.lock().image)
    assert locked.resolve() == replace(
        first, layers=locks.lock().layers, image=locks.lock().image, image_base=locks.lock().image
    )
    with_results = replace(first, layers=locks.lock().layers, image=locks.lock().image)
    other = tuple((name, Sha256("0" * 64) if name == PYTHON_QUESTION else digest) for name, digest in first.inputs)
    write_lock(path, replace(with_results, inputs=other))
    assert locked.resolve() == with_results  # another version of pip chose the same
    locked.change("layers/base-os", '"C.UTF-8"', '"C"')
    after = locked.resolve()
    assert (after.layers, after.image, after.image_base) == ((), None, None)
    assert after.debs == first.debs


def test_a_lock_of_format_1_gets_what_it_lacks(locked: World, first: Lock) -> None:
    """Nothing moves, and what a build recorded stays."""
    results = {"layers": locks.lock().layers, "image": locks.lock().image, "image_base": locks.lock().image}
    old = replace(first, **results, suites=(), version=1)  # type: ignore[arg-type]
    write_lock(locked.workspace.lock_path("8.0.0", AMD64), old)
    locked.archive.publish("bullseye", [*DEBS, FakeDeb(name="tini", version="0.20-1", architecture="amd64")])
    after = locked.resolve()
    assert locked.index.requested == []
    assert after == replace(first, **results, suites=after.suites)  # type: ignore[arg-type]
    assert after.version == 2


def test_the_state_of_each_suite_is_locked(locked: World, first: Lock) -> None:
    (suite,) = first.suites
    in_release = locked.archive.root / "dists/bullseye/InRelease"
    assert (suite.archive, suite.suite, suite.date) == ("debian", "bullseye", PUBLISHED)
    later = PUBLISHED + timedelta(days=1)
    locked.archive.publish("bullseye", DEBS, date=later)
    assert locked.resolve().suites == (suite,)
    assert locked.resolve(upgrade={"tini": None}).suites == (
        replace(suite, date=later, sha256=sha256_file(in_release)),
    )


def test_the_source_of_each_package_is_locked(world: World) -> None:
    rebuilt = FakeDeb(name="tini", version="0.19-1+b3", architecture="amd64", fields={"Source": "tini-static (0.19-1)"})
    world.archive.publish("bullseye", [*(deb for deb in DEBS if deb.name != "tini"), rebuilt])
    lock = world.resolve()
    sources = {deb.name: (deb.source, deb.source_version) for deb in lock.debs}
    assert sources["tini"] == ("tini-static", "0.19-1")
    assert sources["apt"] == ("", "")
    assert {deb.name: deb.source_package for deb in lock.debs}["apt"] == ("apt", "1.0")


def test_build_requirements_of_an_sdist_are_locked(world: World) -> None:
    world.index.publish(make_sdist("astro-sdk-python", "1.5.4"))
    world.index.publish(make_wheel("setuptools", "67.7.2"))
    world.index.publish(make_wheel("wheel", "0.40"))
    world.change("releases/8.0.0", "astro-sdk-python==1.5.3", "astro-sdk-python==1.5.4")
    lock = world.resolve()
    assert "setuptools" in {artifact.name for artifact in lock.build_pythons}
    assert world.workspace.read_lock("8.0.0", AMD64) == lock


def test_a_release_without_python(world: World) -> None:
    world.change("layers/python", '"python3.9"', '"tini"')
    with pytest.raises(ResolutionError) as caught:
        world.resolve()
    assert caught.value.brief == "release 8.0.0: no Debian package brings Python 3.9"
    assert caught.value.hint == "add python3.9 to the packages of a Debian layer"


def test_an_engine_lock_names_each_package_of_its_recipe(world: World) -> None:
    world.archive.publish("trixie", [FakeDeb(name="docker.io", version="26.1-1", architecture="amd64")])
    world.archive.publish("bookworm", [FakeDeb(name="runc", version="1.1-1", architecture="amd64")])
    lock = resolve_engine_lock(world.workspace.engine("default"), AMD64, world.environment())
    assert [(deb.name, deb.version, deb.suite) for deb in lock.debs] == [
        ("docker.io", "26.1-1", "trixie"),
        ("runc", "1.1-1", "bookworm"),
    ]
    assert [(suite.suite, suite.date) for suite in lock.suites] == [("bookworm", PUBLISHED), ("trixie", PUBLISHED)]
    write_engine_lock(world.workspace.engine_lock_path("default", AMD64), lock)
    assert world.workspace.read_engine_lock("default", AMD64) == lock


# --- packages whose source lies in the recipes ------------------------------------------------------------------------


@pytest.fixture
def gated(world: World) -> World:
    """A world whose release has a layer `gate` above all others, with a package of its own."""
    put(world.workspace.root / "recipes/layers/gate.toml", LAYER)
    write_package(world.workspace.root / FOLDER)
    world.change("releases/8.0.0", '"providers"]', '"providers", "gate"]')
    for name, version in (("lantern", "1.0"), ("setuptools", "67.7.2"), ("wheel", "0.40")):
        world.index.publish(make_wheel(name, version))
    return world


def test_a_local_package_is_locked_with_what_it_needs(gated: World) -> None:
    lock = gated.resolve()
    (local,) = (artifact for artifact in lock.pythons if artifact.local)
    assert (local.name, local.version, local.layer) == ("gate-keeper", "1.0.0", "gate")
    assert (local.path, local.filename) == (FOLDER, "gate_keeper-1.0.0.tar")
    assert (local.uploaded, local.requires) == (datetime(2023, 5, 2, tzinfo=UTC), ("lantern", "spam"))
    layers = {artifact.name: artifact.layer for artifact in lock.pythons}
    assert (layers["spam"], layers["celery"], layers["lantern"]) == ("airflow", "providers", "gate")
    assert {artifact.name for artifact in lock.build_pythons} == {"setuptools", "wheel"}
    assert lock.source_date_epoch == datetime(2023, 5, 2, tzinfo=UTC).timestamp()
    assert gated.check() == ()


def test_no_index_is_asked_for_a_local_package(gated: World) -> None:
    """Whoever takes its name on a public index must not get into the image."""
    gated.index.publish(make_wheel("gate-keeper", "1.0.0"))
    gated.index.publish(make_wheel("gate-keeper", "9.0"))
    lock = gated.resolve()
    assert versions(lock)["gate-keeper"] == "1.0.0"
    assert [path for path in gated.index.requested if "gate" in path] == []
    assert [path for path in gated.index.requested if "lantern" in path] != []


def test_locking_a_local_package_again_changes_nothing(gated: World) -> None:
    gated.resolve()
    before = gated.workspace.lock_path("8.0.0", AMD64).read_bytes()
    gated.resolve()
    assert gated.index.requested == []
    gated.resolve(refresh=True)
    assert gated.workspace.lock_path("8.0.0", AMD64).read_bytes() == before


def test_changed_source_changes_the_sdist_without_an_index(gated: World) -> None:
    first = gated.resolve()
    put(gated.workspace.root / FOLDER / MODULE, "def knock() -> str:\n    return 'come in'\n")
    assert gated.check() == (
        f"{FOLDER}/{MODULE} has changed since the lock was made",
        f"gate-keeper: its source in {FOLDER} has changed since the lock was made",
    )
    after = gated.resolve()
    assert gated.index.requested == []
    assert gated.check() == ()
    (before,), (now,) = ([artifact for artifact in lock.pythons if artifact.local] for lock in (first, after))
    assert replace(now, sha256=before.sha256, size=before.size) == before
    assert now.sha256 != before.sha256
    assert [artifact for artifact in after.pythons if not artifact.local] == [
        artifact for artifact in first.pythons if not artifact.local
    ]


def test_changed_requirements_are_resolved(gated: World) -> None:
    gated.resolve()
    gated.index.publish(make_wheel("owl", "2.0"))
    put(gated.workspace.root / FOLDER / "pyproject.toml", PYPROJECT.replace('"lantern"', '"lantern", "owl"'))
    after = gated.resolve()
    assert (versions(after)["owl"], {artifact.name: artifact.layer for artifact in after.pythons}["owl"]) == (
        "2.0",
        "gate",
    )


def test_unsatisfiable_requirements_name_the_package(gated: World) -> None:
    put(gated.workspace.root / FOLDER / "pyproject.toml", PYPROJECT.replace("spam>=1", "spam>=2"))
    with pytest.raises(ResolutionError) as caught:
        gated.resolve()
    assert "gate-keeper 1.0.0 needs spam>=2" in str(caught.value.details)


def test_a_local_package_for_another_python(gated: World) -> None:
    put(gated.workspace.root / FOLDER / "pyproject.toml", PYPROJECT.replace(">=3.9", ">=3.10"))
    with pytest.raises(ResolutionError) as caught:
        gated.resolve()
    assert caught.value.brief == "gate-keeper: no file can be used for Python 3.9.2 on linux/amd64"
    assert "1 for other Pythons only (1.0.0)" in str(caught.value.details)


def test_no_index_moves_a_local_package(gated: World) -> None:
    gated.resolve()
    with pytest.raises(UsageError) as caught:
        gated.resolve(upgrade={"Gate.Keeper": "2.0"})
    assert caught.value.brief == "gate-keeper is a package of the recipes, so no index can move it"
    assert caught.value.hint == f"change its version in {FOLDER}/pyproject.toml"


def test_patches_apply_to_the_chosen_packages(locked: World, first: Lock) -> None:
    """Nothing is resolved for them, neither when they come nor when they go."""
    locked.change("releases/8.0.0", "extras =", 'patches = ["more"]\nextras =')
    write_patch(locked.workspace.root, "more")
    http = "apache-airflow-providers-http"
    assert any(line.startswith(f"{http}: the recipes patch it with more (") for line in locked.check())
    patched = locked.resolve()
    assert locked.index.requested == []
    assert versions(patched) == {**versions(first), http: "4.3.0+astro.1"}
    assert locked.check() == ()
    assert locked.resolve() == patched
    write_patch(locked.workspace.root, "more", text=PATCH.replace("LIMIT = 2", "LIMIT = 3"))
    assert any("recipes/patches/more.patch has changed" in line for line in locked.check())
    assert locked.resolve() != patched
    assert locked.check() == ()
    locked.change("releases/8.0.0", 'patches = ["more"]\n', "")
    assert locked.resolve() == first


def test_a_patched_package_is_resolved_with_its_published_version(locked: World) -> None:
    locked.change("releases/8.0.0", "extras =", 'patches = ["more"]\nextras =')
    write_patch(locked.workspace.root, "more")
    locked.resolve()
    moved = locked.resolve(upgrade={"spam": None})
    assert locked.index.requested
    assert versions(moved)["apache-airflow-providers-http"] == "4.3.0+astro.1"
    assert locked.check() == ()


def test_a_patch_for_another_version(locked: World) -> None:
    locked.change("releases/8.0.0", "extras =", 'patches = ["more"]\nextras =')
    write_patch(locked.workspace.root, "more", RECORD.replace("apache-airflow-providers-http", "spam"))
    before = locked.workspace.lock_path("8.0.0", AMD64).read_bytes()
    with pytest.raises(RecipeError, match=r"more is for spam 4\.3\.0, but the release has 1\.0"):
        locked.resolve()
    assert locked.workspace.lock_path("8.0.0", AMD64).read_bytes() == before


def test_a_release_of_debian_packages_alone(world: World) -> None:
    world.change("releases/8.0.0", '"python", "airflow", "providers"', '"python"')
    for line in (
        'airflow = "2.6.0"\n',
        'python = "3.9"\n',
        'extras = ["celery", "async"]\n',
        'packages = ["astro-sdk-python==1.5.3"]\n',
        'apache-airflow-providers-http = "4.3.0"\n',
        'apache-airflow-providers-amazon = "8.0.0"\n',
    ):
        world.change("releases/8.0.0", line, "")
    lock = world.resolve()
    assert (lock.python_version, lock.pythons, lock.build_pythons) == (None, (), ())
    assert [name for name, _ in lock.inputs if not name.startswith("recipes/")] == ["debian-resolution"]
    assert world.index.requested == []
    assert world.workspace.read_lock("8.0.0", AMD64) == lock
    assert world.check() == ()
    assert world.resolve() == lock
