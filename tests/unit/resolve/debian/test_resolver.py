"""Which packages are chosen. That the choice is apt's for real suites is tested in tests/integration."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rtbuild.errors import ResolutionError
from rtbuild.recipe.model import Suite
from tests.fakes.debian_archive import FakeDeb
from tests.unit.resolve.debian.conftest import STABLE, World, layer

Publish = Callable[..., World]
UPDATES = Suite(archive="debian", suite="updates")


def test_dependencies_of_a_root_are_chosen(publish: Publish) -> None:
    world = publish(
        FakeDeb(name="a", depends="b (>= 1)", pre_depends="c", recommends="r"),
        FakeDeb(name="b", depends="d"),
        *(FakeDeb(name=name) for name in "cdru"),
    )
    assert world.names("a") == ["a", "b", "c", "d"]


def test_the_example_in_the_docstring(publish: Publish) -> None:
    world = publish(
        FakeDeb(name="a", version="1", depends="b, mail | c"),
        FakeDeb(name="b", version="1", conflicts="c"),
        FakeDeb(name="c", version="1"),
        FakeDeb(name="exim", version="1", provides="mail"),
        FakeDeb(name="postfix", version="1", provides="mail", priority="important"),
    )
    assert world.names("a") == ["a", "b", "postfix"]
    with pytest.raises(ResolutionError, match="no set of Debian packages satisfies every relation to c") as caught:
        world.names("a", "c")
    assert caught.value.details == "the recipe needs c\na needs b, which conflicts with c"


def test_dependencies_may_be_circular(publish: Publish) -> None:
    world = publish(FakeDeb(name="a", depends="b"), FakeDeb(name="b", depends="a"))
    assert world.names("a") == ["a", "b"]


def test_essential_packages_are_in_the_first_layer(publish: Publish) -> None:
    world = publish(FakeDeb(name="e", essential=True, depends="f"), *(FakeDeb(name=name) for name in "fab"))
    debs = world.resolve_layers([layer("base", "a"), layer("top", "b")])
    assert [(deb.layer, deb.name, deb.essential) for deb in debs] == [
        ("base", "a", False),
        ("base", "e", True),
        ("base", "f", False),
        ("top", "b", False),
    ]


@pytest.mark.parametrize(
    ("roots", "expected"),
    [
        (["a"], ["a", "x"]),  # the first alternative
        (["a", "y"], ["a", "y"]),  # one that is asked for anyway
        (["p", "a"], ["a", "p", "y"]),  # one that is there when the turn comes
        (["a", "p"], ["a", "p", "x", "y"]),  # as apt: what is needed only later does not count
    ],
)
def test_alternatives(publish: Publish, roots: list[str], expected: list[str]) -> None:
    world = publish(
        FakeDeb(name="a", depends="x | y"), FakeDeb(name="x"), FakeDeb(name="y"), FakeDeb(name="p", depends="y")
    )
    assert world.names(*roots) == expected


def test_the_walk_is_depth_first(publish: Publish) -> None:
    # b is dealt with before c's alternatives, with all that it needs: so y is there when they come up.
    world = publish(
        FakeDeb(name="a", depends="b, c"),
        FakeDeb(name="b", depends="d"),
        FakeDeb(name="c", depends="x | y"),
        FakeDeb(name="d", depends="y"),
        FakeDeb(name="x"),
        FakeDeb(name="y"),
    )
    assert world.names("a") == ["a", "b", "c", "d", "y"]


def test_a_real_package_comes_before_its_providers(publish: Publish) -> None:
    world = publish(
        FakeDeb(name="a", depends="v"), FakeDeb(name="o", provides="v", priority="required"), FakeDeb(name="v")
    )
    assert world.names("a") == ["a", "v"]
    assert world.names("a", "o") == ["a", "o"]


def test_the_provider_with_the_highest_priority_is_chosen(publish: Publish) -> None:
    world = publish(
        FakeDeb(name="a", depends="v"),
        FakeDeb(name="o", provides="v", priority="optional"),
        FakeDeb(name="p", provides="v", priority="important"),
        FakeDeb(name="q", provides="v", priority="extra"),
    )
    assert world.names("a") == ["a", "p"]


def test_of_equal_providers_the_last_mentioned_is_chosen(publish: Publish) -> None:
    world = publish(
        FakeDeb(name="a", depends="v"),
        FakeDeb(name="b", fields={"Suggests": "q"}),
        FakeDeb(name="o", provides="v"),
        FakeDeb(name="p", provides="v"),
        FakeDeb(name="q", provides="v"),
    )
    assert world.names("a") == ["a", "p"]


@pytest.mark.parametrize(
    ("relation", "provides", "satisfied"),
    [
        ("v", "v", True),
        ("v", "v (= 2)", True),
        ("v (>= 2)", "v", False),
        ("v (>= 2)", "v (= 2)", True),
        ("v (>= 2)", "v (= 1)", False),
        ("v (<< 2)", "v (= 2~)", True),
    ],
)
def test_a_versioned_relation_needs_a_versioned_provides(
    publish: Publish, relation: str, provides: str, satisfied: bool
) -> None:
    world = publish(FakeDeb(name="a", depends=relation), FakeDeb(name="p", version="9", provides=provides))
    if satisfied:
        assert world.names("a") == ["a", "p"]
    else:
        with pytest.raises(ResolutionError):
            world.names("a")


@pytest.mark.parametrize(
    ("relation", "multi_arch", "satisfied"),
    [
        ("p:any", "allowed", True),
        ("p:any", "foreign", False),
        ("p:any", "", False),
        ("p:any (>= 2)", "allowed", False),
        ("p:amd64", "", True),
        ("p:arm64", "same", False),
        ("p:native", "", True),
        ("v:any", "allowed", True),
        ("v:any", "foreign", False),
    ],
)
def test_a_qualifier_names_an_architecture(publish: Publish, relation: str, multi_arch: str, satisfied: bool) -> None:
    provider = FakeDeb(name="p", architecture="amd64", multi_arch=multi_arch, provides="v")
    world = publish(FakeDeb(name="a", depends=relation), provider)
    if satisfied:
        assert world.names("a") == ["a", "p"]
    else:
        with pytest.raises(ResolutionError):
            world.names("a")


@pytest.mark.parametrize("field", ["conflicts", "breaks"])
def test_an_excluded_alternative_is_skipped(publish: Publish, field: str) -> None:
    world = publish(
        FakeDeb(name="a", depends="x | y", **{field: "x (<< 2)"}),  # type: ignore[arg-type]
        FakeDeb(name="x", version="1.5"),
        FakeDeb(name="y"),
    )
    assert world.names("a") == ["a", "y"]


def test_an_alternative_with_an_excluded_dependency_is_skipped(publish: Publish) -> None:
    world = publish(
        FakeDeb(name="a", depends="b, x | y"),
        FakeDeb(name="b", conflicts="w"),
        FakeDeb(name="x", depends="z"),
        FakeDeb(name="z", depends="w"),
        FakeDeb(name="w"),
        FakeDeb(name="y"),
    )
    assert world.names("a") == ["a", "b", "y"]


def test_a_package_may_conflict_with_what_it_provides(publish: Publish) -> None:
    mail = {"provides": "mta", "conflicts": "mta"}
    world = publish(FakeDeb(name="a", depends="mta"), FakeDeb(name="m", **mail), FakeDeb(name="n", **mail))  # type: ignore[arg-type]
    assert world.names("a", "m") == ["a", "m"]
    with pytest.raises(ResolutionError) as caught:
        world.names("m", "n")
    assert caught.value.brief.startswith("no set of Debian packages satisfies every relation to ")
    assert "m conflicts with mta" in str(caught.value.details) or "n conflicts with mta" in str(caught.value.details)


def test_an_older_version_is_chosen_if_the_newest_does_not_fit(world: World) -> None:
    world.archive.publish("stable", [FakeDeb(name="a", depends="b (<< 2)"), FakeDeb(name="b", version="1")])
    world.archive.publish("updates", [FakeDeb(name="b", version="2")])
    debs = world.resolve("a", suites=(STABLE, UPDATES))
    assert [(deb.name, deb.version, deb.suite) for deb in debs] == [("a", "1.0", "stable"), ("b", "1", "stable")]


def test_an_alternative_that_would_need_an_older_version_comes_last(world: World) -> None:
    world.archive.publish(
        "stable", [FakeDeb(name="a", depends="b (<< 2) | c"), FakeDeb(name="b", version="1"), FakeDeb(name="c")]
    )
    world.archive.publish("updates", [FakeDeb(name="b", version="2")])
    assert world.names("a", suites=(STABLE, UPDATES)) == ["a", "c"]


def test_the_newest_version_comes_from_the_first_suite_that_has_it(world: World) -> None:
    world.archive.publish("stable", [FakeDeb(name="a", version="1"), FakeDeb(name="b", version="3")])
    world.archive.publish("updates", [FakeDeb(name="a", version="2"), FakeDeb(name="b", version="3")])
    debs = world.resolve("a", "b", suites=(STABLE, UPDATES))
    assert [(deb.name, deb.version, deb.suite) for deb in debs] == [("a", "2", "updates"), ("b", "3", "stable")]


def test_backports_are_chosen_only_if_no_other_suite_has_the_package(world: World) -> None:
    world.archive.publish("stable", [FakeDeb(name="a", version="1")])
    world.archive.publish(
        "updates",
        [FakeDeb(name="a", version="2"), FakeDeb(name="b", version="2")],
        fields={"NotAutomatic": "yes", "ButAutomaticUpgrades": "yes"},
    )
    debs = world.resolve("a", "b", suites=(STABLE, UPDATES))
    assert [(deb.name, deb.version) for deb in debs] == [("a", "1"), ("b", "2")]


def test_a_layer_has_what_the_layers_below_lack(publish: Publish) -> None:
    world = publish(
        FakeDeb(name="a", depends="c"),
        FakeDeb(name="b", depends="c, d, x | y"),
        *(FakeDeb(name=name) for name in "cdxy"),
    )
    debs = world.resolve_layers([layer("base", "a", "y"), layer("top", "b", "a")])
    assert [(deb.layer, deb.name) for deb in debs] == [
        ("base", "a"),
        ("base", "c"),
        ("base", "y"),
        ("top", "b"),
        ("top", "d"),
    ]


def test_a_layer_cannot_change_the_layers_below(world: World) -> None:
    world.archive.publish("stable", [FakeDeb(name="a", version="1")])
    world.archive.publish("updates", [FakeDeb(name="a", version="2"), FakeDeb(name="b", depends="a (>= 2)")])
    layers = [layer("base", "a"), layer("top", "b", suites=(STABLE, UPDATES))]
    with pytest.raises(ResolutionError) as caught:
        world.resolve_layers(layers)
    assert "b needs a (>= 2)" in str(caught.value.details)


def test_a_layer_respects_conflicts_of_the_layers_below(publish: Publish) -> None:
    world = publish(
        FakeDeb(name="a", conflicts="x"), FakeDeb(name="b", depends="x | y"), FakeDeb(name="x"), FakeDeb(name="y")
    )
    debs = world.resolve_layers([layer("base", "a"), layer("top", "b")])
    assert [deb.name for deb in debs] == ["a", "b", "y"]


def test_an_unsatisfiable_dependency_is_reported_with_its_chain(publish: Publish) -> None:
    world = publish(
        FakeDeb(name="a", depends="b"), FakeDeb(name="b", depends="c (>= 2) | gone"), FakeDeb(name="c", version="1.5")
    )
    with pytest.raises(ResolutionError) as caught:
        world.resolve("a")
    assert caught.value.brief == "a needs b, which needs c (>= 2) | gone, which no suite of the recipe has"
    assert caught.value.details == "a needs b, which needs c (>= 2) | gone; available: 1.5 (stable)"
    assert "leave out" in str(caught.value.hint)


def test_two_roots_that_exclude_each_other(publish: Publish) -> None:
    world = publish(FakeDeb(name="a", depends="b"), FakeDeb(name="b", breaks="c (<< 2)"), FakeDeb(name="c"))
    with pytest.raises(ResolutionError) as caught:
        world.resolve("a", "c")
    assert caught.value.brief == "no set of Debian packages satisfies every relation to c"
    assert set(str(caught.value.details).splitlines()) == {
        "the recipe needs c",
        "a needs b, which conflicts with c (<< 2)",
    }


def test_an_unknown_package_is_reported_with_similar_names(publish: Publish) -> None:
    world = publish(FakeDeb(name="ca-certificates"), FakeDeb(name="curl"))
    with pytest.raises(ResolutionError) as caught:
        world.resolve("ca-certificate")
    assert caught.value.brief == "base: its suites have no Debian package ca-certificate"
    assert caught.value.hint == "did you mean ca-certificates?"
    with pytest.raises(ResolutionError) as caught:
        world.resolve("zebra")
    assert "check the name" in str(caught.value.hint)


def test_a_virtual_package_with_one_provider_may_be_named(publish: Publish) -> None:
    world = publish(FakeDeb(name="a", provides="v, w"), FakeDeb(name="b", provides="w"))
    assert world.names("v") == ["a"]
    with pytest.raises(ResolutionError) as caught:
        world.names("w")
    assert caught.value.hint == "name one of them in the recipe: a, b"


def test_a_root_may_name_a_version(world: World) -> None:
    world.archive.publish("stable", [FakeDeb(name="a", version="1:1")])
    world.archive.publish("updates", [FakeDeb(name="a", version="1:2")])
    assert world.resolve("a=1:1", suites=(STABLE, UPDATES))[0].version == "1:1"
    with pytest.raises(ResolutionError) as caught:
        world.resolve("a=3", suites=(STABLE, UPDATES))
    assert caught.value.brief == "base: its suites have no version 3 of the Debian package a"
    assert caught.value.hint == "use a version that they have: 1:2 (updates), 1:1 (stable)"
