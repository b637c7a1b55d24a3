"""The `list` verb: what is locked and built, also if a summary in the store says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.derivations.plan import plan_release
from rtbuild.digest import DiffId, Sha256
from rtbuild.errors import LockError
from rtbuild.lockfile.model import Lock
from rtbuild.lockfile.read import write_lock
from rtbuild.settings import Settings, load_settings
from rtbuild.store.realisation import Realisation
from rtbuild.store.store import Store
from rtbuild.verbs.list import list_releases
from rtbuild.workspace import Workspace
from tests.fakes import locks
from tests.fakes.command_line import AMD64, realise
from tests.fakes.users import open_folder, somebody
from tests.fakes.workspaces import write_workspace

LOCK = locks.lock(
    debs=(locks.deb("apt"), locks.deb("tini"), locks.deb("python3.9-minimal", layer="python")),
    pythons=(locks.wheel("apache-airflow", "2.6.0", layer="airflow"), locks.wheel("requests", "2.29.0")),
)


class Built:
    """A workspace whose release is built in a store."""

    def __init__(self, root: Path) -> None:
        self.workspace = Workspace.find(write_workspace(root / "workspace"))
        self.lockfile = self.workspace.lock_path("8.0.0", AMD64)
        self.settings: Settings = load_settings({}, self.workspace.root, store=root / "store")
        self.store = Store.open(self.settings.store)
        self.write(LOCK)
        for layer in ("base-os", "python", "airflow", "providers"):
            realise(self.store, plan_release(self.workspace.release("8.0.0"), LOCK, self.store), layer)

    def write(self, lock: Lock) -> None:
        write_lock(self.lockfile, lock)

    def layer(self, name: str) -> Realisation:
        """Return the realisation recorded last for a layer."""
        realisation = self.store.latest("8.0.0", "linux/amd64", name)
        assert realisation is not None
        return realisation

    def summaries(self) -> list[Path]:
        return sorted(path for path in (self.store.root / "cache/summaries").rglob("*") if path.is_file())

    def listed(self) -> bool:
        """Return whether `list` says that the release is built; it always says that it is locked."""
        (release,) = list_releases(self.workspace, settings=self.settings)
        assert release.locked == (AMD64,)
        return release.built == (AMD64,)


@pytest.fixture
def built(tmp_path: Path) -> Built:
    """A built release of which the store has a summary."""
    built = Built(tmp_path)
    assert built.listed()
    assert len(built.summaries()) == 1
    return built


def test_a_release_stays_built_and_keeps_its_summary(built: Built) -> None:
    before = built.summaries()
    assert built.listed()
    assert built.summaries() == before


@pytest.mark.parametrize("layer", ["base-os", "python", "airflow", "providers"])
def test_a_layer_that_is_lost_makes_it_unbuilt(built: Built, layer: str) -> None:
    built.store.layout.blob_path(built.layer(layer).blob).unlink()
    assert not built.listed()


def test_a_layer_whose_record_is_lost_makes_it_unbuilt(built: Built) -> None:
    built.store.forget(built.layer("airflow"))
    assert not built.listed()


def test_a_parent_with_another_output_makes_it_unbuilt(built: Built) -> None:
    first = built.layer("base-os")
    built.store.record(replace(first, diff_id=DiffId("sha256:" + "e" * 64)))
    assert not built.listed()
    built.store.record(first)
    assert built.listed()


def test_another_recipe_makes_it_unbuilt(built: Built) -> None:
    motd = built.workspace.root / "recipes/layers/base-os/motd"
    motd.write_text("hallo\n")
    assert not built.listed()
    motd.write_text("hello\n")
    assert built.listed()


def test_another_lock_makes_it_unbuilt(built: Built) -> None:
    built.write(replace(LOCK, debs=(replace(LOCK.debs[0], sha256=Sha256("e" * 64)), *LOCK.debs[1:])))
    assert not built.listed()


def test_a_lock_with_other_bytes_and_the_same_packages_has_a_summary_of_its_own(built: Built) -> None:
    built.lockfile.write_text(built.lockfile.read_text() + "# a comment\n")
    assert built.listed()
    assert len(built.summaries()) == 2


def test_another_schema_of_keys_makes_it_unbuilt(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtbuild.derivations.derivation.SCHEMA", 0)
    assert not built.listed()


def test_a_malformed_lock_is_an_error_whatever_the_summary_says(built: Built) -> None:
    built.lockfile.write_text(built.lockfile.read_text() + "=\n")
    with pytest.raises(LockError, match="is not valid TOML"):
        built.listed()


def test_an_unreadable_lock_is_an_error() -> None:
    with open_folder() as folder:
        copy = Built(folder)
        copy.lockfile.chmod(0)
        with somebody(), pytest.raises(LockError, match="cannot be read: Permission denied"):
            copy.listed()


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"base-os": []}'])
def test_a_damaged_summary_is_replaced(built: Built, content: bytes) -> None:
    (summary,) = built.summaries()
    good = summary.read_bytes()
    summary.write_bytes(content)
    assert built.listed()
    assert summary.read_bytes() == good
    summary.write_bytes(content)
    built.store.layout.blob_path(built.layer("airflow").blob).unlink()
    assert not built.listed()


def test_a_summary_of_other_layers_does_not_count(built: Built) -> None:
    (summary,) = built.summaries()
    layers = built.store.summary(Sha256(summary.name))
    assert layers is not None
    built.store.add_summary(Sha256(summary.name), {name: layers[name] for name in list(layers)[1:]})
    built.store.layout.blob_path(built.layer("base-os").blob).unlink()
    assert not built.listed()


def test_nothing_is_written_into_a_store_that_is_read_only() -> None:
    with open_folder() as folder:
        copy = Built(folder)
        (copy.store.root / "cache").chmod(0o555)
        with somebody():
            assert copy.listed()
        assert copy.summaries() == []
