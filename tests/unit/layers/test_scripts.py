"""What maintainer scripts made: private keys, and what the rules for known packages remove."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtbuild.derivations.known_packages import PACKAGE_RULES, rules_for
from rtbuild.layers.scripts import may_hold_private_keys, private_keys, rule_removals
from tests.fakes.layers import compressed, file, folder, raw_layer, symlink

KEYS = {
    "openssh": b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n",
    "pkcs1": b"-----BEGIN RSA PRIVATE KEY-----\nMIIE\n",
    "pkcs8": b"-----BEGIN PRIVATE KEY-----\nMIIE\n",
    "encrypted": b"-----BEGIN ENCRYPTED PRIVATE KEY-----\r\nMIIE\n",
    "second": b"-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----\n-----BEGIN EC PRIVATE KEY-----\nMHcC\n",
}
OTHERS = {
    "public": b"-----BEGIN PUBLIC KEY-----\nMIIE\n",
    "certificate": b"-----BEGIN CERTIFICATE-----\nMIIE\n",
    "program": b"\x7fELF-----BEGIN PRIVATE KEY-----\0-----END PRIVATE KEY-----\0",
    "empty": b"",
}


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    return tmp_path / "layer.tar"


@pytest.mark.parametrize("name", KEYS)
def test_private_keys_of_every_form_are_found(layer: Path, name: str) -> None:
    content = raw_layer(folder("etc"), file("etc/before", b"x" * 700), file("etc/key", KEYS[name]), file("etc/z"))
    layer.write_bytes(content)
    assert may_hold_private_keys([layer])
    assert private_keys(layer) == ("/etc/key",)
    layer.write_bytes(compressed(content))
    assert private_keys(layer) == ("/etc/key",)


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_not_private_keys(layer: Path, name: str) -> None:
    layer.write_bytes(raw_layer(file("etc/key", OTHERS[name])))
    assert not may_hold_private_keys([layer])
    assert private_keys(layer) == ()


def test_files_that_packages_brought_do_not_count(layer: Path) -> None:
    """Such as the keys of a library's own tests: everybody has them anyway."""
    listing = b"/.\n/usr/share/doc/x\n/usr/share/doc/x/test.key\n/lib/x/test.key\n"
    layer.write_bytes(
        raw_layer(
            file("usr/lib/x/test.key", KEYS["pkcs8"]),
            file("usr/share/doc/x/test.key", KEYS["pkcs8"]),
            file("usr/share/made.key", KEYS["pkcs8"]),
            file("var/lib/dpkg/info/x.list", listing),
            file("var/lib/dpkg/info/x.postinst", b"/usr/share/made.key\n"),
        )
    )
    assert may_hold_private_keys([layer])
    assert private_keys(layer) == ("/usr/share/made.key",)


def test_an_empty_layer_has_no_keys(layer: Path) -> None:
    layer.touch()
    assert not may_hold_private_keys([layer])


def test_rules_remove_links_by_their_target(layer: Path) -> None:
    """Their names are hashes of the host's name."""
    layer.write_bytes(
        raw_layer(
            file("etc/ssl/certs/a.pem"),
            symlink("etc/ssl/certs/ce275665.0", "ssl-cert-snakeoil.pem"),
            symlink("etc/ssl/certs/11112222.0", "a.pem"),
        )
    )
    removals = [removal.pattern for removal in rule_removals(rules_for(["ssl-cert"]), [layer])]
    assert "/etc/ssl/certs/ce275665.0" in removals
    assert "/etc/ssl/certs/11112222.0" not in removals
    assert rule_removals(rules_for(["bash"]), [layer]) == ()


def test_rules_without_links_do_not_read_the_layers(tmp_path: Path) -> None:
    (removal, *_) = rule_removals(rules_for(["openssh-server"]), [tmp_path / "missing"])
    assert removal.pattern == "/etc/ssh/ssh_host_*_key"


def test_every_rule_is_documented() -> None:
    page = Path(__file__).parents[3] / "docs" / "reference" / "known-packages.md"
    rows = [
        f"| `{rule.package}` | {rule.what} | "
        f"{', '.join(f'`{path}`' for path in (*rule.removed, *rule.keystores))} | {rule.anew} |"
        for rule in PACKAGE_RULES
    ]
    assert [line for line in page.read_text().splitlines() if line.startswith("| `")] == rows
