"""Plans: which layers are built, and the reasons."""

from __future__ import annotations

from dataclasses import replace

from rtbuild.derivations.derivation import derive
from rtbuild.derivations.plan import Plan, changed_inputs, plan_release
from rtbuild.digest import Key, Sha256
from rtbuild.lockfile.model import LayerResult, Lock, LockedPatch
from rtbuild.recipe.model import PythonLayer
from rtbuild.store.realisation import Realisation
from tests.fakes.four_layers import (
    AIRFLOW,
    BASE,
    PROVIDERS,
    PYTHON,
    changed,
    deb,
    keys,
    lock,
    output,
    realised,
    release,
    wheel,
)


class Records:
    """The records of a store, in memory."""

    def __init__(self, *realisations: Realisation, gone: bool = False) -> None:
        self.by_key = {realisation.key: realisation for realisation in realisations}
        self.gone = gone

    def realisation(self, key: Key, compressor: str | None = None) -> Realisation | None:
        return self.by_key.get(key)

    def has_layer(self, realisation: Realisation) -> bool:
        return not self.gone

    def latest(self, release: str, platform: str, layer: str) -> Realisation | None:
        return next((built for built in reversed(self.by_key.values()) if built.layer == layer), None)


def states(plan: Plan) -> dict[str, tuple[str, str]]:
    return {layer.name: (layer.state, layer.reason) for layer in plan.layers}


def test_with_an_empty_store_everything_is_built_and_a_child_has_no_key_before_its_parent() -> None:
    plan = plan_release(release(), lock(), Records())
    assert states(plan) == {
        "base-os": ("build", "never built in this store"),
        "python": ("build", "layer base-os must be built first"),
        "airflow": ("build", "never built in this store"),
        "providers": ("build", "never built in this store"),
    }
    assert plan.layers[1].key is None
    assert len(plan.missing) == 4


def test_a_child_has_a_key_if_the_lock_records_its_parents_output() -> None:
    recipe = release()
    base = derive(recipe, lock(), BASE, {})
    assert base is not None
    recorded = LayerResult(name="base-os", key=base.key, diff_id=output("b"), size=1)
    plan = plan_release(recipe, lock(layers=(recorded,)), Records())
    assert plan.layers[1].key == keys(lock())["python"]


def test_a_child_has_no_key_if_the_lock_records_another_parent() -> None:
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
    assert states(plan)["base-os"] == ("cached", "in the store")


def test_a_layer_without_its_blob_is_not_cached() -> None:
    recipe, locked = release(), lock()
    plan = plan_release(recipe, locked, Records(realised(recipe, locked, BASE, output("b")), gone=True))
    assert states(plan)["base-os"] == ("build", "its blob is missing from the store")


def test_the_reason_names_what_changed() -> None:
    recipe = release()
    records = Records(realised(recipe, lock(), BASE, output("b")))
    debs = (deb("apt", sha256="f"), deb("zlib1g", sha256="6"), lock().debs[2])
    plan = plan_release(recipe, lock(debs=debs), records)
    assert states(plan)["base-os"] == ("build", "deb apt changed, deb zlib1g added, deb libc6 removed")


def test_a_layer_of_another_compressor_is_recompressed() -> None:
    recipe, locked = release(), lock()
    records = Records(realised(recipe, locked, BASE, output("b")))
    plan = plan_release(recipe, locked, records, compressor="zstd 2")
    assert states(plan)["base-os"] == ("recompress", "in the store, but compressed with zstd 1")
    assert plan.layers[1].key == keys(locked)["python"], "the parent's output does not depend on its compressor"
    assert "base-os" not in [layer.name for layer in plan.missing]


def test_the_reason_names_a_local_package() -> None:
    gate = PythonLayer(name="gate", title="Gate", roots=("gate-keeper",))
    recipe = release(BASE, PYTHON, AIRFLOW, PROVIDERS, gate)

    def locked(sha256: str) -> Lock:
        package = replace(wheel("gate-keeper", layer="gate", sha256=sha256), filename="gate_keeper-1.tar", local=True)
        return lock(pythons=(*lock().pythons, package))

    records = Records(realised(recipe, locked("6"), gate, output("6")))
    planned = plan_release(recipe, locked("7"), records).layers[-1]
    assert (planned.name, planned.state, planned.reason) == ("gate", "build", "package gate-keeper changed")
    assert changed(keys(locked("6"), recipe), keys(locked("7"), recipe)) == {"gate"}


def test_the_reason_names_changed_patches() -> None:
    def patched(digit: str) -> Lock:
        airflow, celery = lock().pythons
        patch = LockedPatch(id=f"p{digit}", sha256=Sha256(digit * 64))
        return lock(pythons=(airflow, replace(celery, patches=(patch,))))

    records = Records(realised(release(), patched("6"), PROVIDERS, output("6")))
    planned = plan_release(release(), patched("7"), records).layers[-1]
    assert (planned.state, planned.reason) == ("build", "patch p7 of celery added, patch p6 of celery removed")


def test_a_long_reason_is_abbreviated() -> None:
    before = {f"deb {number}": Sha256("a" * 64) for number in range(5)}
    assert changed_inputs(before, {}) == "deb 0 removed, deb 1 removed, deb 2 removed and 2 more"


def test_equal_inputs_point_to_rtbuild_itself() -> None:
    inputs = {"deb apt": Sha256("a" * 64)}
    assert changed_inputs(inputs, inputs) == "rtbuild's schema or the order of inputs changed"
