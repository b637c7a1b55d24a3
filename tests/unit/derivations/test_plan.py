"""What a key depends on, what it does not, and the reasons that a plan gives."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rtbuild.derivations.derivation import derive
from rtbuild.derivations.plan import Plan, plan_release
from rtbuild.digest import DiffId, Digest, Key, Sha256
from rtbuild.errors import LockError
from rtbuild.lockfile.model import DebArtifact, LayerResult, Lock, LockedPatch, PythonArtifact
from rtbuild.platform import PLATFORMS
from rtbuild.recipe.model import (
    DebianLayer,
    FilesLayer,
    InstalledFile,
    Layer,
    PythonLayer,
    Release,
    Removal,
    Suite,
    User,
)
from rtbuild.store.realisation import Realisation
from tests.fakes import locks, releases

AMD64, ARM64 = PLATFORMS["linux/amd64"], PLATFORMS["linux/arm64"]
BASE = DebianLayer(
    name="base-os",
    title="Debian",
    parent=None,
    suites=(Suite(archive="debian", suite="bullseye"),),
    packages=("apt",),
    removals=(Removal(pattern="/var/log/dpkg.log", reason="dated"),),
)
PYTHON = DebianLayer(name="python", title="Python", parent="base-os", suites=(), packages=("python3.9",))
AIRFLOW = PythonLayer(name="airflow", title="Airflow", roots=("apache-airflow",))
PROVIDERS = PythonLayer(name="providers", title="Providers", roots=())


def release(*layers: Layer) -> Release:
    return releases.release(layers=layers or (BASE, PYTHON, AIRFLOW, PROVIDERS))


def deb(
    name: str, version: str = "1.0-1", *, layer: str = "base-os", sha256: str = "a", built: int = 1000
) -> DebArtifact:
    return replace(locks.deb(name, version, layer=layer), sha256=Sha256(sha256 * 64), built=built)


def wheel(name: str, *, layer: str, sha256: str) -> PythonArtifact:
    return replace(locks.wheel(name, layer=layer), sha256=Sha256(sha256 * 64))


def lock(**changed: object) -> Lock:
    fields: dict[str, object] = {
        "debs": (
            deb("apt", sha256="1"),
            deb("libc6", sha256="2"),
            deb("python3.9-minimal", "3.9.2-1+deb11u1", layer="python", sha256="3"),
        ),
        "pythons": (
            wheel("apache-airflow", layer="airflow", sha256="4"),
            wheel("celery", layer="providers", sha256="5"),
        ),
        "layers": (),
        "image": None,
        **changed,
    }
    return locks.lock(**fields)


class Records:
    """A store's records, in memory."""

    def __init__(self, *realisations: Realisation, gone: bool = False) -> None:
        self.by_key = {one.key: one for one in realisations}
        self.gone = gone

    def realisation(self, key: Key) -> Realisation | None:
        return self.by_key.get(key)

    def has_layer(self, realisation: Realisation) -> bool:
        return not self.gone

    def latest(self, release: str, platform: str, layer: str) -> Realisation | None:
        return next((one for one in reversed(self.by_key.values()) if one.layer == layer), None)


def keys(locked: Lock, recipe: Release | None = None) -> dict[str, Key]:
    """Every layer's key, with a fixed output for the base."""
    recipe = recipe or release()
    outputs = {"base-os": output("b")}
    derivations = [derive(recipe, locked, layer, outputs) for layer in recipe.layers]
    return {one.layer.name: one.key for one in derivations if one}


def output(digit: str) -> DiffId:
    return DiffId(Digest("sha256:" + digit * 64))


def realised(recipe: Release, locked: Lock, layer: Layer, diff_id: DiffId, parent: DiffId | None = None) -> Realisation:
    derivation = derive(recipe, locked, layer, {"base-os": parent} if parent else {})
    assert derivation is not None
    return Realisation(
        key=derivation.key,
        release="8.0.0",
        platform="linux/amd64",
        layer=layer.name,
        diff_id=diff_id,
        size=1,
        blob=Digest(diff_id),
        blob_size=1,
        media_type="",
        compressor="zstd 1",
        inputs=derivation.inputs,
    )


def changed(before: dict[str, Key], after: dict[str, Key]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


def test_a_provider_bump_touches_the_providers_alone() -> None:
    bumped = (lock().pythons[0], wheel("celery", layer="providers", sha256="9"))
    assert changed(keys(lock()), keys(lock(pythons=bumped))) == {"providers"}


def test_an_update_of_the_system_rebuilds_no_python_layer() -> None:
    debs = (deb("apt", sha256="f"), *lock().debs[1:])
    assert changed(keys(lock()), keys(lock(debs=debs))) == {"base-os"}


def test_another_python_compiles_everything_anew() -> None:
    debs = (*lock().debs[:2], deb("python3.9-minimal", "3.9.2-1+deb11u2", layer="python", sha256="7"))
    assert changed(keys(lock()), keys(lock(debs=debs))) == {"python", "airflow", "providers"}


def test_a_rebuild_of_python_on_one_architecture_is_the_same_python() -> None:
    debs = (*lock().debs[:2], deb("python3.9-minimal", "3.9.2-1+deb11u1+b1", layer="python", sha256="7"))
    assert changed(keys(lock()), keys(lock(debs=debs))) == {"python"}


def test_the_parents_output_counts_and_not_how_it_was_made() -> None:
    recipe, locked = release(), lock()
    one, same, other = (derive(recipe, locked, PYTHON, {"base-os": output(digit)}) for digit in "bbc")
    assert one is not None
    assert same is not None
    assert other is not None
    assert one.key == same.key != other.key


@pytest.mark.parametrize(
    "layer",
    [
        replace(BASE, users=(User(name="astro", uid=50000, gid=0, home="/home/astro"),)),
        replace(BASE, files=(InstalledFile(path="/etc/motd", link="/etc/issue"),)),
        replace(BASE, removals=()),
        replace(BASE, removals=(*BASE.removals, Removal(pattern="/srv", reason="empty"))),
    ],
)
def test_recipe_fields_that_reach_the_bytes_count(layer: DebianLayer) -> None:
    assert "base-os" in changed(keys(lock()), keys(lock(), release(layer, PYTHON, AIRFLOW, PROVIDERS)))


def test_words_for_people_do_not_count() -> None:
    layer = replace(BASE, title="Other", removals=(Removal(pattern="/var/log/dpkg.log", reason="other"),))
    assert not changed(keys(lock()), keys(lock(), release(layer, PYTHON, AIRFLOW, PROVIDERS)))


def test_removals_of_the_base_count_for_what_lies_on_it() -> None:
    layer = replace(BASE, removals=())
    assert {"base-os", "python"} == changed(keys(lock()), keys(lock(), release(layer, PYTHON, AIRFLOW, PROVIDERS)))


def test_the_time_of_a_wheels_upload_counts_because_it_becomes_its_files_time() -> None:
    first, second = lock().pythons
    later = replace(second, uploaded=second.uploaded + timedelta(seconds=1))
    assert changed(keys(lock()), keys(lock(pythons=(first, later)))) == {"providers"}


def test_platforms_have_different_keys() -> None:
    assert changed(keys(lock()), keys(lock(platform=ARM64))) == {"base-os", "python", "airflow", "providers"}


def test_the_epoch_is_the_newest_date_of_the_layers_own_packages() -> None:
    debs = (deb("apt", built=5), deb("libc6", built=9), deb("python3.9-minimal", layer="python", built=99))
    derivation = derive(release(), lock(debs=debs), BASE, {})
    assert derivation is not None
    assert derivation.epoch == 9


def test_a_lock_without_the_releases_python_is_refused() -> None:
    with pytest.raises(LockError, match=r"python3\.9-minimal"):
        derive(release(), lock(debs=()), AIRFLOW, {})


FILES = FilesLayer(
    name="files", title="Files", files=(InstalledFile(path="/srv/a", content="a", sha256=Sha256("a" * 64)),)
)


def test_files_depend_on_themselves_alone_and_are_of_the_moment_that_the_release_looks_at() -> None:
    recipe = release(BASE, PYTHON, AIRFLOW, PROVIDERS, FILES)
    before = derive(recipe, lock(), FILES, {})
    after = derive(recipe, lock(debs=(), pythons=(), source_date_epoch=5), FILES, {})
    assert before is not None
    assert after is not None
    assert before.key == after.key
    assert before.epoch == datetime(2023, 5, 2, tzinfo=UTC).timestamp()
    later = replace(recipe, as_of=datetime(2023, 5, 3, tzinfo=UTC))
    assert changed(keys(lock(), recipe), keys(lock(), later)) == {"files"}


@pytest.mark.parametrize(
    "field",
    [{"sha256": Sha256("b" * 64)}, {"mode": 0o755}, {"uid": 1}, {"path": "/srv/b"}],
)
def test_every_field_of_a_file_counts(field: dict[str, Any]) -> None:
    other = replace(FILES, files=(replace(FILES.files[0], **field),))
    assert changed(keys(lock(), release(FILES)), keys(lock(), release(other))) == {"files"}


def states(plan: Plan) -> dict[str, tuple[str, str]]:
    return {layer.name: (layer.state, layer.reason) for layer in plan.layers}


def test_in_an_empty_store_everything_is_built_and_the_childs_key_waits_for_its_parent() -> None:
    plan = plan_release(release(), lock(), Records())
    assert states(plan) == {
        "base-os": ("build", "never built into this store"),
        "python": ("build", "layer base-os is built first"),
        "airflow": ("build", "never built into this store"),
        "providers": ("build", "never built into this store"),
    }
    assert plan.layers[1].key is None
    assert len(plan.missing) == 4


def test_what_the_lock_records_of_the_parent_tells_the_childs_key() -> None:
    recipe = release()
    base = derive(recipe, lock(), BASE, {})
    assert base is not None
    recorded = LayerResult(name="base-os", key=base.key, diff_id=output("b"), size=1)
    plan = plan_release(recipe, lock(layers=(recorded,)), Records())
    assert plan.layers[1].key == keys(lock())["python"]


def test_what_the_lock_records_of_another_parent_does_not() -> None:
    recorded = LayerResult(name="base-os", key=Key("0" * 64), diff_id=output("b"), size=1)
    assert plan_release(release(), lock(layers=(recorded,)), Records()).layers[1].key is None


def test_layers_in_the_store_are_cached() -> None:
    recipe, locked = release(), lock()
    records = Records(
        realised(recipe, locked, BASE, output("b")), realised(recipe, locked, PYTHON, output("c"), output("b"))
    )
    plan = plan_release(recipe, locked, records)
    assert [layer.state for layer in plan.layers] == ["cached", "cached", "build", "build"]
    assert plan.layers[0].realisation is not None


def test_a_record_without_its_blob_is_no_cached_layer() -> None:
    recipe, locked = release(), lock()
    plan = plan_release(recipe, locked, Records(realised(recipe, locked, BASE, output("b")), gone=True))
    assert states(plan)["base-os"] == ("build", "its blob is gone from the store")


def test_the_reason_names_what_changed() -> None:
    recipe = release()
    records = Records(realised(recipe, lock(), BASE, output("b")))
    debs = (deb("apt", sha256="f"), deb("zlib1g", sha256="6"), lock().debs[2])
    plan = plan_release(recipe, lock(debs=debs), records)
    assert states(plan)["base-os"] == ("build", "deb apt changed, deb zlib1g added, deb libc6 removed")


def test_another_compressors_blob_is_made_again() -> None:
    recipe, locked = release(), lock()
    records = Records(realised(recipe, locked, BASE, output("b")))
    plan = plan_release(recipe, locked, records, compressor="zstd 2")
    assert states(plan)["base-os"] == ("build", "the store holds it as zstd 1 wrote it")


def test_a_package_of_the_recipes_is_named_as_one() -> None:
    gate = PythonLayer(name="gate", title="Gate", roots=("gate-keeper",))
    recipe = release(BASE, PYTHON, AIRFLOW, PROVIDERS, gate)

    def locked(sha256: str) -> Lock:
        package = replace(wheel("gate-keeper", layer="gate", sha256=sha256), filename="gate_keeper-1.tar", local=True)
        return lock(pythons=(*lock().pythons, package))

    records = Records(realised(recipe, locked("6"), gate, output("6")))
    planned = plan_release(recipe, locked("7"), records).layers[-1]
    assert (planned.name, planned.state, planned.reason) == ("gate", "build", "package gate-keeper changed")
    assert changed(keys(locked("6"), recipe), keys(locked("7"), recipe)) == {"gate"}


def test_patches_are_inputs_of_their_layer_in_their_order() -> None:
    def locked(*digits: str) -> Lock:
        airflow, celery = lock().pythons
        patches = tuple(LockedPatch(id=f"p{digit}", sha256=Sha256(digit * 64)) for digit in digits)
        return lock(pythons=(airflow, replace(celery, patches=patches)))

    recipe = release()
    assert keys(locked()) == keys(lock())
    assert changed(keys(locked()), keys(locked("6"))) == {"providers"}
    assert changed(keys(locked("6", "7")), keys(locked("7", "6"))) == {"providers"}
    records = Records(realised(recipe, locked("6"), PROVIDERS, output("6")))
    planned = plan_release(recipe, locked("7"), records).layers[-1]
    assert (planned.state, planned.reason) == ("build", "patch p7 of celery added, patch p6 of celery removed")
