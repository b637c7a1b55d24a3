"""The graph follows every requirement again, and gives each package its layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from rtbuild.errors import ResolutionError
from rtbuild.recipe.model import PythonLayer
from rtbuild.resolve.python.graph import Graph, PythonPackage, build_graph
from rtbuild.resolve.python.target import Target


def package(name: str, version: str, *requires: str, extras: Sequence[str] = ()) -> PythonPackage:
    return PythonPackage(
        name=name, version=Version(version), requires=tuple(map(Requirement, requires)), extras=frozenset(extras)
    )


def layer(name: str, *roots: str) -> PythonLayer:
    return PythonLayer(name=name, title=name, roots=roots)


PACKAGES = {
    chosen.name: chosen
    for chosen in (
        package("airflow", "2.6", "flask>=2", "celery; extra == 'celery'", "win; os_name == 'nt'", extras=["celery"]),
        package("flask", "2.2", "click"),
        package("click", "8.1"),
        package("celery", "5.2", "click", "kombu"),
        package("kombu", "5.3", "celery"),
        package("amazon", "8.0", "Air_flow[celery]; python_version < '3.10'", "boto", "airflow>=2.3"),
        package("boto", "1.0"),
    )
}
PACKAGES["air-flow"] = package("air-flow", "1.0", extras=["celery"])
REQUIREMENTS = ("airflow[Celery]==2.6", "amazon==8.0")


def graph(
    target: Target,
    packages: Mapping[str, PythonPackage] = PACKAGES,
    requirements: Sequence[str] = REQUIREMENTS,
    layers: Sequence[PythonLayer] = (layer("airflow", "airflow"), layer("providers")),
) -> Graph:
    return build_graph(packages, requirements=requirements, layers=layers, environment=target.environment)


def test_needs_hold_for_the_target_and_include_requested_extras(target: Target) -> None:
    needs = graph(target).needs
    assert needs["airflow"] == ("celery", "flask")
    assert needs["amazon"] == ("air-flow", "airflow", "boto")
    assert needs["kombu"] == ("celery",)
    assert needs["click"] == ()


def test_a_layer_holds_the_closure_of_its_roots_without_extras_that_others_request(target: Target) -> None:
    layers = graph(target).layers
    assert {name for name, where in layers.items() if where == "airflow"} == {"airflow", "flask", "click"}
    assert {name for name, where in layers.items() if where == "providers"} == {
        "air-flow",
        "amazon",
        "boto",
        "celery",
        "kombu",
    }


def test_the_first_layer_wins(target: Target) -> None:
    layers = graph(target, layers=(layer("tools", "click"), layer("airflow", "airflow[celery]"), layer("rest"))).layers
    assert (layers["click"], layers["flask"], layers["celery"], layers["boto"]) == (
        "tools",
        "airflow",
        "airflow",
        "rest",
    )


def test_a_package_in_no_layer_is_an_error(target: Target) -> None:
    with pytest.raises(ResolutionError, match="air-flow belongs to no layer") as caught:
        graph(target, layers=(layer("airflow", "airflow"),))
    assert "boto" in str(caught.value.details)


def test_a_root_that_is_not_among_the_packages_is_an_error(target: Target) -> None:
    with pytest.raises(ResolutionError, match="roots of layer tools are not among the packages") as caught:
        graph(target, layers=(layer("tools", "hammer"), layer("rest")))
    assert "the recipe of layer tools needs hammer, which was not chosen" in str(caught.value.details)


def test_an_unknown_extra_in_the_recipe_is_an_error(target: Target) -> None:
    with pytest.raises(ResolutionError, match=r"airflow 2\.6 does not provide the extra 'cellery'") as caught:
        graph(target, requirements=("airflow[cellery]", "amazon"))
    assert "it has: celery" in str(caught.value)


def test_an_unknown_extra_in_a_package_is_reported(target: Target) -> None:
    packages = {**PACKAGES, "boto": package("boto", "1.0", "click[colour]")}
    assert graph(target, packages).missing_extras == (
        "click 8.1 does not provide the extra 'colour' that boto 1.0 asks for",
    )


def test_all_unmet_requirements_are_named(target: Target) -> None:
    packages = {**PACKAGES, "flask": package("flask", "1.9", "itsdangerous")}
    with pytest.raises(ResolutionError, match="do not fit each other") as caught:
        graph(target, packages)
    assert caught.value.details == (
        "airflow 2.6 needs flask>=2, but 1.9 was chosen\nflask 1.9 needs itsdangerous, which was not chosen"
    )


def test_a_package_that_nothing_needs_is_an_error(target: Target) -> None:
    with pytest.raises(ResolutionError, match="nothing needs") as caught:
        graph(target, {**PACKAGES, "stray": package("stray", "1")})
    assert caught.value.details == "stray"


TOP = {
    **PACKAGES,
    "gate": package("gate", "1.0", "click", "lantern", "flask"),
    "lantern": package("lantern", "1.0", "oil"),
    "oil": package("oil", "1.0"),
}


def test_a_layer_above_the_rest_holds_its_roots_and_what_only_they_need(target: Target) -> None:
    order = (layer("airflow", "airflow"), layer("providers"), layer("gate", "gate"))
    layers = graph(target, TOP, (*REQUIREMENTS, "Gate==1.0"), order).layers
    assert {name for name, where in layers.items() if where == "gate"} == {"gate", "lantern", "oil"}
    without = graph(target).layers
    assert {name: layers[name] for name in without} == without


def test_shared_packages_stay_below(target: Target) -> None:
    order = (layer("airflow", "airflow"), layer("providers"), layer("gate", "gate"))
    packages = {**TOP, "boto": package("boto", "1.0", "oil", "gate")}
    layers = graph(target, packages, (*REQUIREMENTS, "gate"), order).layers
    # A root is where the recipe puts it, whoever else needs it; so is what it needs, then, with the others.
    assert (layers["gate"], layers["oil"], layers["lantern"]) == ("gate", "providers", "providers")


def test_the_lower_of_two_layers_above_the_rest_holds_what_they_share(target: Target) -> None:
    order = (layer("airflow", "airflow"), layer("rest"), layer("lamp", "lamp"), layer("gate", "gate"))
    packages = {**TOP, "lamp": package("lamp", "1.0", "oil", "gate")}
    layers = graph(target, packages, (*REQUIREMENTS, "lamp", "gate"), order).layers
    assert {name: layers[name] for name in ("lamp", "gate", "lantern", "oil")} == {
        "lamp": "lamp",
        "gate": "gate",
        "lantern": "lamp",
        "oil": "lamp",
    }
