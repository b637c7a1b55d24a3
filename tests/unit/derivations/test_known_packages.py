"""Rules for what the scripts of known packages make."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtbuild.derivations.derivation import derive
from rtbuild.derivations.known_packages import PACKAGE_RULES, PackageRule, rules_for
from rtbuild.recipe.model import Layer
from tests.fakes.four_layers import BASE, PYTHON, lock, output, release
from tests.fakes.locks import deb


@pytest.mark.parametrize(
    ("packages", "rules"),
    [
        ((), ()),
        (("bash", "openssh-client", "openjdk-11-jdk"), ()),
        (("openssh-server",), ("openssh-server",)),
        (("openjdk-17-jre-headless", "ca-certificates-java"), ("ca-certificates-java", "openjdk-*-jre-headless")),
    ],
)
def test_rules_apply_to_their_packages(packages: tuple[str, ...], rules: tuple[str, ...]) -> None:
    assert tuple(rule.package for rule in rules_for(packages)) == rules


def test_rules_are_sorted_and_each_does_something() -> None:
    names = [rule.package for rule in PACKAGE_RULES]
    assert names == sorted(set(names))
    assert all(rule.removed or rule.keystores for rule in PACKAGE_RULES)


def test_a_digest_covers_what_a_rule_does() -> None:
    rule = PackageRule(package="a", what="b", anew="c", removed=("/d",))
    assert replace(rule, what="e", anew="f").digest == rule.digest
    changes: list[dict[str, tuple[str, ...]]] = [{"removed": ("/e",)}, {"links": ("/d",)}, {"keystores": ("/d",)}]
    assert len({rule.digest, *(replace(rule, **change).digest for change in changes)}) == 4  # type: ignore[arg-type]


@pytest.mark.parametrize("layer", [BASE, PYTHON])
def test_a_rule_is_in_the_key_of_its_layer_and_of_those_above(layer: Layer) -> None:
    """The scripts of a layer above may make the same files again."""
    outputs = {"base-os": output("b")}
    locked = lock(debs=(*lock().debs, deb("openssh-server")))
    derivation = derive(release(), locked, layer, outputs)
    assert derivation is not None
    assert [rule.package for rule in derivation.rules] == ["openssh-server"]
    assert ("rule for openssh-server", derivation.rules[0].digest) in derivation.inputs


def test_a_rule_is_not_in_the_key_of_a_layer_below() -> None:
    locked = lock(debs=(*lock().debs, deb("openssh-server", layer="python")))
    derivation = derive(release(), locked, BASE, {})
    assert derivation is not None
    assert derivation.rules == ()
