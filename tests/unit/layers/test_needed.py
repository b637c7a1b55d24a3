"""What a build fetches before it begins."""

from __future__ import annotations

from rtbuild.derivations.plan import Plan, PlannedLayer
from rtbuild.recipe.model import DebianLayer, Layer, PythonLayer
from rtbuild.verbs.build import needed_artifacts
from tests.fakes import locks

BASE = DebianLayer(name="base-os", title="Debian", parent=None, suites=(), packages=("apt",))
PYTHON = DebianLayer(name="python", title="Python", parent="base-os", suites=(), packages=("python3.9",))
AIRFLOW = PythonLayer(name="airflow", title="Airflow", roots=("apache-airflow",))
PROVIDERS = PythonLayer(name="providers", title="Providers", roots=())
LOCK = locks.lock(
    debs=(locks.deb("apt"), locks.deb("python3.9", layer="python")),
    pythons=(locks.wheel("apache-airflow", layer="airflow"), locks.wheel("celery", layer="providers")),
    build_pythons=(locks.wheel("setuptools", layer="future"),),
)


def needed(*missing: Layer) -> set[str]:
    """The file names that are needed where these layers are missing and the others are in the store."""
    layers = tuple(
        PlannedLayer(
            name=layer.name,
            state="build" if layer in missing else "cached",
            reason="",
            layer=layer,
            derivation=None,
            realisation=None,
        )
        for layer in (BASE, PYTHON, AIRFLOW, PROVIDERS)
    )
    plan = Plan(release="8.0.0", platform="linux/amd64", layers=layers)
    return {one.filename for one in needed_artifacts(plan, LOCK)}


def test_a_debian_layer_needs_its_own_packages() -> None:
    assert needed(PYTHON) == {"python3.9_1.0-1_amd64.deb"}
    assert needed() == set()


def test_a_python_layer_needs_the_wheels_of_the_layers_that_are_there_too() -> None:
    """What it leaves to another package depends on them, and the store may have lost one."""
    assert needed(PROVIDERS) == {one.filename for one in LOCK.remote}
