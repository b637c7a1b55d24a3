"""Packages whose scripts make keys, dates and random names: the same layer twice, no keys, and programs that work."""

from __future__ import annotations

import datetime
import ipaddress
import shutil
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from rtbuild.engine.containers import Mount
from rtbuild.engine.engine import Engine
from rtbuild.layers.scripts import private_keys
from rtbuild.oci.layout import Layout, read_stored_image
from rtbuild.settings import Settings
from rtbuild.workspace import Workspace
from tests.fakes.debian_archive import FakeDeb
from tests.fakes.serving import serve_with
from tests.integration.command_line import CommandLine, as_chosen
from tests.integration.conftest import SmallRelease
from tests.integration.debian_project import write_debian_project
from tests.integration.small import VERSION, lock_small_project
from tests.integration.test_build_failures import add_package

pytestmark = [pytest.mark.integration, pytest.mark.large]

PACKAGES = ("bind9", "dbus", "default-jre-headless", "fontconfig", "openssh-server", "ssl-cert")

FETCH = """\
var stream = new java.net.URL(arguments[0]).openStream();
print(new java.util.Scanner(stream).nextLine());
"""
"""A script for `jjs`, which the runtime of Java 11 brings. Java checks the certificate with its own keystore."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A release with the packages, built twice and recorded, and its image in the engine."""

    command: CommandLine
    reference: str
    engine: Engine

    def run(self, script: str, *mounts: Mount, network: str = "none") -> str:
        """Run a shell script in a container and return its output, errors included."""
        outcome = self.engine.run(
            self.reference, ["sh", "-euc", f"exec 2>&1\n{script}"], user="0", mounts=mounts, network=network
        )
        assert outcome.exit_code == 0, outcome.text
        return outcome.text


@pytest.fixture(scope="module")
def recorded(
    workspace: Workspace, settings: Settings, engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Recorded]:
    folder = tmp_path_factory.mktemp("scripts")
    project = folder / "project"
    write_debian_project(project, workspace, {"base-os": ["ca-certificates", "passwd"], "system": PACKAGES})
    (project / "rtbuild.toml").write_text('repository = "rtbuild-tests/scripts"\n')
    # The user's store saves downloading everything again.
    command = CommandLine(workspace=project, store=settings.store, environment=as_chosen(settings))
    command.run("lock", VERSION).succeeded()
    command = replace(command, store=folder / "store")
    answer = command.run("build", VERSION, "--record", "--load", "--json").succeeded()
    assert "the second build is equal" in answer.stderr
    assert answer.document["matches_lock"] is True
    reference = answer.document["images"][0]
    yield Recorded(command=command, reference=reference, engine=engine)
    engine.remove_image(reference)
    shutil.rmtree(folder)


def test_the_layers_are_the_same_twice_and_have_no_keys(recorded: Recorded) -> None:
    """That both builds were equal is asserted above: otherwise there would be no digests in the lock."""
    assert recorded.command.run("build", VERSION, "--json").succeeded().document["matches_lock"] is True
    layout = Layout.open(recorded.command.store / "layout")
    for layer in read_stored_image(layout, VERSION).layers:
        assert private_keys(layout.blob_path(layer.digest)) == ()


def test_no_link_leads_nowhere(recorded: Recorded) -> None:
    """Such as the one from the hash of the host's name to the certificate that was removed."""
    assert recorded.run("find /etc/ssl /etc/ssh /usr/share/fonts -xtype l") == ""


def test_keys_are_made_anew_by_whoever_needs_them(recorded: Recorded) -> None:
    script = """
    ! ls /etc/ssh/ssh_host_* /etc/ssl/private/* /etc/bind/rndc.key /var/lib/dbus/machine-id
    rndc-confgen -a
    test -s /etc/bind/rndc.key
    dbus-uuidgen --ensure
    test -s /var/lib/dbus/machine-id
    ssh-keygen -A > /dev/null
    mkdir -p /run/sshd
    /usr/sbin/sshd -t && echo sshd is ready
    make-ssl-cert generate-default-snakeoil 2> /dev/null
    openssl x509 -in /etc/ssl/certs/ssl-cert-snakeoil.pem -noout && echo certificate is there
    """
    assert recorded.run(script).splitlines()[-2:] == ["sshd is ready", "certificate is there"]


def test_fonts_are_found_without_caches(recorded: Recorded) -> None:
    assert "DejaVu" in recorded.run("fc-match sans")


def test_java_has_every_certificate_authority(recorded: Recorded) -> None:
    script = """
    keytool -list -cacerts -storepass changeit 2> /dev/null | grep -c trustedCertEntry
    ls /etc/ssl/certs/java/cacerts /usr/share/ca-certificates/mozilla/*.crt | wc -l
    """
    entries, files = map(int, recorded.run(script).split())
    assert entries >= 100
    assert entries == files - 1, "one file is the keystore"


def test_java_opens_tls_connections(recorded: Recorded, tmp_path: Path) -> None:
    """To a server with a certificate of an authority that Debian's own program adds to the keystore."""
    write_certificates(tmp_path)
    (tmp_path / "fetch.js").write_text(FETCH)
    mount = Mount(source=tmp_path, target="/tls")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    with serve_with(hello, context) as address:
        fetch = f"jjs /tls/fetch.js -- {address} || echo refused"
        refused = recorded.run(fetch, mount, network="host")
        assert "unable to find valid certification path" in refused
        added = "cp /tls/authority.pem /usr/local/share/ca-certificates/test.crt\nupdate-ca-certificates"
        assert recorded.run(f"{added}\n{fetch}", mount, network="host").splitlines()[-1] == "hello over TLS"


def write_certificates(folder: Path) -> None:
    """Write `authority.pem`, and `server.pem` with the key and the certificate of a server on 127.0.0.1."""
    day = datetime.timedelta(days=1)
    now = datetime.datetime.now(datetime.UTC)
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("authority", "server")}
    names = {name: x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"test {name}")]) for name in keys}
    for name, key in keys.items():
        builder = x509.CertificateBuilder(
            names["authority"], names[name], key.public_key(), x509.random_serial_number(), now - day, now + day
        )
        authority = name == "authority"
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        if not authority:
            builder = builder.add_extension(address, critical=False)
        content = builder.sign(keys["authority"], hashes.SHA256()).public_bytes(Encoding.PEM)
        if not authority:
            content += key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / f"{name}.pem").write_bytes(content)


def hello(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    request.wfile.write(b"hello over TLS\n")


KEYED = r"""#!/bin/sh
set -e
random=$(cat /proc/sys/kernel/random/uuid)
printf -- '-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n' "$random" > /etc/keyed.pem
echo "$random" > /etc/keyed.id
echo "$SOURCE_DATE_EPOCH" > /etc/keyed.date
"""

REMOVAL = """
[[removals]]
pattern = "/etc/keyed.{suffix}"
reason = "random"
"""


def test_an_unknown_package_with_keys_and_dates(small: SmallRelease, room: Path) -> None:
    """A plain build warns of the key; recording is refused, first because of it, then because of what differs."""
    mine = small.copy(room)
    add_package(mine, FakeDeb(name="keyed", scripts={"postinst": KEYED}))
    built = mine.command.run("build", VERSION).succeeded()
    assert "warning: layer python has private keys that the scripts of packages made: /etc/keyed.pem" in built.stderr
    refused = mine.command.run("build", VERSION, "--record")
    assert refused.error().endswith("nothing is recorded, because scripts of packages made private keys")
    assert "layer python: /etc/keyed.pem\n" in refused.stderr

    remove(mine, "pem")
    refused = mine.command.run("build", VERSION, "--record")
    assert refused.error(3).endswith("nothing is recorded, because a second build differs in layer python")
    assert "layer python: /etc/keyed.id  content\n" in refused.stderr
    assert "/etc/keyed.date" not in refused.stderr

    remove(mine, "id")
    recorded = mine.command.run("build", VERSION, "--record", "--json").succeeded()
    assert recorded.document["matches_lock"] is True


def remove(small: SmallRelease, suffix: str) -> None:
    """Remove a file of the package in the recipe."""
    recipe = small.workspace.root / "recipes" / "layers" / "python.toml"
    recipe.write_text(recipe.read_text() + REMOVAL.format(suffix=suffix))
    lock_small_project(small.workspace, small.workspace.read_lock(VERSION, small.lock.platform))
