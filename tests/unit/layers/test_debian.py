"""Debian layers: the build context, the parent image, and the layer made from what the engine exports."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from rtbuild.derivations.derivation import derive
from rtbuild.digest import Sha256, sha256_bytes, sha256_file
from rtbuild.engine.engine import Engine
from rtbuild.errors import BuildError
from rtbuild.formats.frames import open_uncompressed
from rtbuild.formats.tar_entry import DIRECTORY, SYMLINK
from rtbuild.inside import read_script
from rtbuild.layers.debian import installed_entries, realise_debian
from rtbuild.lockfile.model import DebArtifact
from rtbuild.oci.layer import LayerDigest
from rtbuild.recipe.model import DebianLayer, Group, InstalledFile, Removal, Suite, User
from rtbuild.store.realisation import Realisation
from rtbuild.store.store import Store
from tests.fakes import four_layers, layers, locks
from tests.fakes.environments import Notes, environment
from tests.fakes.keystores import keystore, keystore_entry
from tests.fakes.local_engine import ExportingEngine
from tests.fakes.wheels import make_deb

BASE = replace(
    four_layers.BASE,
    suites=(
        Suite(archive="debian", suite="bullseye", components=("main", "contrib")),
        Suite(archive="debian-security", suite="bullseye-security"),
        Suite(archive="debian-ports", suite="elsewhere", architectures=("arm64",)),
    ),
    groups=(Group(name="astro", gid=50000), Group(name="more", gid=50001)),
    users=(
        User(name="astro", uid=50000, gid=0, home="/home/astro", groups=("astro", "more")),
        User(name="other", uid=50001, gid=0, home="/"),
    ),
    files=(
        InstalledFile(path="/etc/apt/sources.list", copy_of="/usr/share/example", apt_sources=True),
        InstalledFile(path="/etc/motd", content="hello\n", sha256=sha256_bytes(b"hello\n")),
        InstalledFile(path="/etc/copy", copy_of="/usr/share/a:b", mode=0o600),
    ),
)

TOOLS = replace(four_layers.PYTHON, name="tools", parent="python", packages=("jq",))


class Bench:
    """A store with the packages of a lock, and an engine."""

    def __init__(self, tmp_path: Path, *raw: bytes) -> None:
        self.folder = tmp_path
        self.store = Store.open(tmp_path / "store")
        self.engine = ExportingEngine(*raw)
        self.notes = Notes()
        self.environment = environment(self.store, cast(Engine, self.engine), progress=self.notes)

    def package(self, name: str, *, essential: bool = False, layer: str = "base-os") -> DebArtifact:
        """Put a package into the store and return its entry in a lock."""
        file = make_deb(self.folder / "package.deb", [(f"./usr/share/{name}", name.encode())])
        sha256 = sha256_file(file)
        file.replace(self.store.artifact_path(sha256))
        return replace(locks.deb(name, layer=layer), sha256=sha256, essential=essential, built=500)

    def realise(
        self, layer: DebianLayer, debs: Sequence[DebArtifact], below: Sequence[Realisation] = ()
    ) -> LayerDigest:
        if layer.users and not any(deb.name == "passwd" for deb in debs):
            debs = [*debs, self.package("passwd")]
        release = four_layers.release(BASE, four_layers.PYTHON, TOOLS)
        outputs = {realisation.layer: realisation.diff_id for realisation in below}
        derivation = derive(release, locks.lock(debs=tuple(debs)), layer, outputs)
        assert derivation is not None
        return realise_debian(release, layer, derivation, below, self.environment)

    def realised(self, layer: DebianLayer, digest: LayerDigest) -> Realisation:
        """Return the record of a layer that was built."""
        record = four_layers.realised(four_layers.release(), locks.lock(debs=()), BASE, digest.diff_id)
        return replace(
            record,
            layer=layer.name,
            blob=digest.blob,
            blob_size=digest.blob_size,
            media_type=digest.media_type,
        )

    def members(self, digest: LayerDigest) -> dict[str, tarfile.TarInfo]:
        """Return the members of a layer in the store by path."""
        blob = self.environment.layout.blob_path(digest.blob)
        with open_uncompressed(blob) as stream, tarfile.open(fileobj=io.BytesIO(stream.read())) as archive:
            return {member.name: member for member in archive}


def test_what_scripts_of_known_packages_make_is_removed_or_rewritten(tmp_path: Path) -> None:
    old = keystore(keystore_entry("debian:b.pem", 7), keystore_entry("debian:a.pem", 8))
    raw = layers.raw_layer(
        layers.file("etc/ssh/sshd_config"),
        layers.file("etc/ssh/ssh_host_rsa_key", b"-----BEGIN OPENSSH PRIVATE KEY-----\n"),
        layers.file("etc/ssh/ssh_host_rsa_key.pub"),
        layers.file("etc/ssl/certs/java/cacerts", old),
        layers.symlink("etc/ssl/certs/ce275665.0", "ssl-cert-snakeoil.pem"),
        layers.file("etc/ssl/certs/ssl-cert-snakeoil.pem"),
    )
    names = ("base-files", "ca-certificates-java", "mawk", "openssh-server", "ssl-cert")
    bench = Bench(tmp_path, raw)
    digest = bench.realise(BASE, [bench.package(name, essential=name == "base-files") for name in names])
    kept = {path for path in bench.members(digest) if path.startswith("etc/ss") and path.count("/") > 1}
    assert kept == {"etc/ssh/sshd_config", "etc/ssl/certs", "etc/ssl/certs/java", "etc/ssl/certs/java/cacerts"}
    with open_uncompressed(bench.environment.layout.blob_path(digest.blob)) as stream:
        content = stream.read()
    dated = keystore(keystore_entry("debian:a.pem", 500_000), keystore_entry("debian:b.pem", 500_000))
    assert dated in content
    assert old not in content
    assert not [text for text in bench.notes.texts if "private key" in text]


def test_without_the_package_its_rule_does_not_apply(tmp_path: Path) -> None:
    key = layers.file("etc/ssh/ssh_host_rsa_key", b"-----BEGIN OPENSSH PRIVATE KEY-----\n")
    bench = Bench(tmp_path, layers.raw_layer(key))
    digest = bench.realise(BASE, [bench.package("base-files", essential=True), bench.package("mawk")])
    assert "etc/ssh/ssh_host_rsa_key" in bench.members(digest)
    (warning,) = (text for text in bench.notes.texts if "private key" in text)
    assert warning == (
        "warning: layer base-os has private keys that the scripts of packages made: /etc/ssh/ssh_host_rsa_key"
    )


def test_the_lowest_layer_starts_from_the_essential_packages(tmp_path: Path) -> None:
    bench = Bench(tmp_path, layers.raw_layer(layers.file("usr/bin/dpkg")))
    names = ("apt", "base-files", "dpkg", "mawk", "passwd")
    debs = [bench.package(name, essential=name in ("base-files", "dpkg")) for name in names]
    bench.realise(BASE, debs)
    (context,) = bench.engine.contexts
    assert context["Dockerfile"].startswith(b"FROM parent\nRUN --network=none ")
    assert [path for path in bench.engine.contents[0] if path.startswith("usr/share/")] == [
        f"usr/share/{name}" for name in ("base-files", "dpkg", "mawk", "apt", "passwd")
    ]
    filenames = {name: f"thin/{name}_1.0-1_amd64.deb" for name in names}
    assert {path for path in context if path.endswith(".deb")} == set(filenames.values())
    assert context["steps"].decode().splitlines() == [
        f"thin {filenames['base-files']}",
        "configure --force-depends",
        f"thin {filenames['dpkg']} {filenames['mawk']}",
        "configure --force-depends",
        f"thin {filenames['apt']} {filenames['passwd']}",
        "configure",
    ]
    assert context["epoch"] == b"500\n"
    assert context["groups"] == b"astro:50000\nmore:50001\n"
    assert context["users"] == b"astro:50000:0:/home/astro:/bin/bash:astro,more\nother:50001:0:/:/bin/bash:\n"
    assert context["sources"] == b"/usr/share/example\n/etc/apt/sources.list\n644\n0\n0\n"
    assert context["suites"] == b"debian bullseye main contrib\ndebian-security bullseye-security main\n"
    assert context["copies"] == b"/usr/share/a:b\n/etc/copy\n600\n0\n0\n"
    assert context["python"] == b""
    assert context["install_packages.sh"] == read_script("install_packages.sh")


def test_paths_with_colons_and_spaces_are_copied(tmp_path: Path) -> None:
    script = read_script("install_packages.sh").decode()
    loop = script[script.index("while IFS= read -r from") :].partition("/rtbuild/copies")[0]
    (tmp_path / "a: b").write_text("content")
    fields = (tmp_path / "a: b", tmp_path / "c :d", "600", os.getuid(), os.getgid())
    (tmp_path / "copies").write_text("".join(f"{field}\n" for field in fields))
    subprocess.run(["sh", "-euc", f'{loop} "{tmp_path}/copies"'], check=True)
    assert (tmp_path / "c :d").read_text() == "content"
    assert (tmp_path / "c :d").stat().st_mode & 0o777 == 0o600


def test_a_layer_gets_its_parent_and_the_python_that_it_brings(tmp_path: Path) -> None:
    bench = Bench(tmp_path, layers.raw_layer(layers.file("usr/bin/dpkg")))
    base = bench.realise(BASE, [bench.package("dpkg", essential=True)])
    parent = bench.realised(BASE, base)
    bench.engine.raw = (layers.raw_layer(layers.file("usr/bin/python3.9"), layers.whiteout("usr/bin/dpkg")),)
    digest = bench.realise(four_layers.PYTHON, [bench.package("python3.9-minimal", layer="python")], [parent])
    context = bench.engine.contexts[1]
    assert context["Dockerfile"].startswith(b"FROM parent\nRUN ")
    assert context["python"] == b"/usr/bin/python3.9\n"
    # Only the new layer, with its whiteouts, which hide files of the parent.
    assert set(bench.members(digest)) == {
        "usr",
        "usr/bin",
        "usr/bin/.wh.dpkg",
        "usr/bin/python3.9",
        "usr/share",
        "usr/share/python3.9-minimal",
    }
    reference = bench.engine.parents[1]["parent"]
    assert reference.startswith("oci-layout://")
    assert reference.endswith(":parent")


def test_a_layer_is_built_on_all_the_layers_below(tmp_path: Path) -> None:
    bench = Bench(tmp_path, layers.raw_layer(layers.folder("usr", mode=0o700), layers.file("usr/dpkg")))
    base = bench.realised(BASE, bench.realise(BASE, [bench.package("dpkg", essential=True)]))
    bench.engine.raw = (layers.raw_layer(layers.file("usr/python")),)
    python = bench.realised(
        four_layers.PYTHON,
        bench.realise(four_layers.PYTHON, [bench.package("python3.9-minimal", layer="python")], [base]),
    )
    bench.engine.raw = (layers.raw_layer(layers.file("usr/jq"), layers.file("usr/dpkg")),)
    digest = bench.realise(TOOLS, [bench.package("jq", layer="tools")], [base, python])
    assert bench.engine.images[-1][:-1] == [base.blob, python.blob]
    assert bench.engine.contents[-1] == ["usr/share/jq"]
    members = bench.members(digest)
    assert {name: member.mode for name, member in members.items()} == {
        "usr": 0o700,
        "usr/jq": 0o644,
        "usr/share": 0o755,
        "usr/share/jq": 0o644,
    }


def test_the_layer_is_canonical(tmp_path: Path) -> None:
    raw = layers.raw_layer(
        layers.file("var/log/dpkg.log", b"today"), layers.file("etc/b", mtime=499), layers.file("etc/a", mtime=900)
    )
    bench = Bench(tmp_path, raw)
    members = bench.members(bench.realise(BASE, [bench.package("dpkg", essential=True)]))
    assert [path for path in members if not path.startswith("usr")] == ["etc", "etc/a", "etc/b", "etc/motd"]
    assert {name: member.mtime for name, member in members.items() if member.isfile() and name[:3] == "etc"} == {
        "etc/a": 500,
        "etc/b": 499,
        "etc/motd": 500,
    }


def test_removals_of_the_layer_below_apply_to_the_layers_above(tmp_path: Path) -> None:
    log, folder, file = layers.file("var/log/dpkg.log"), layers.folder("srv"), layers.file("srv/x")
    bench = Bench(tmp_path, layers.raw_layer(layers.file("x")))
    base = bench.realise(BASE, [bench.package("dpkg", essential=True)])
    parent = bench.realised(BASE, base)
    bench.engine.raw = (layers.raw_layer(log, folder, file, layers.file("y")),)
    removals = tuple(Removal(pattern=pattern, reason="not needed") for pattern in ("/srv", "/usr"))
    upper = replace(four_layers.PYTHON, removals=removals)
    digest = bench.realise(upper, [bench.package("python3.9-minimal", layer="python")], [parent])
    assert set(bench.members(digest)) == {"y"}


def test_an_export_without_a_new_layer_is_an_error(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with pytest.raises(BuildError, match="exported an image without the new layer"):
        bench.realise(BASE, [bench.package("dpkg", essential=True)])


def test_files_of_a_recipe_become_members(tmp_path: Path) -> None:
    source = tmp_path / "script"
    source.write_bytes(b"#!/bin/sh\n")
    files = (
        InstalledFile(path="/srv", mode=0o775, gid=7),
        InstalledFile(path="/srv/script", source=source, sha256=sha256_bytes(b"#!/bin/sh\n"), mode=0o755),
        InstalledFile(path="/srv/text", content="ä", sha256=sha256_bytes("ä".encode())),
        InstalledFile(path="/srv/link", link="script"),
        InstalledFile(path="/srv/copy", copy_of="/etc/passwd"),
    )
    entries = {entry.path: (entry, content) for entry, content in installed_entries(files, 42)}
    assert {path: (entry.mode, entry.size, content) for path, (entry, content) in entries.items()} == {
        "srv": (0o775, 0, b""),
        "srv/script": (0o755, 10, b"#!/bin/sh\n"),
        "srv/text": (0o644, 2, "ä".encode()),
        "srv/link": (0o777, 0, b""),
    }
    assert entries["srv"][0].type == DIRECTORY
    assert (entries["srv/link"][0].type, entries["srv/link"][0].link) == (SYMLINK, "script")
    assert {entry.mtime for entry, _ in entries.values()} == {42}


def test_a_file_that_changed_since_its_recipe_was_read_is_an_error(tmp_path: Path) -> None:
    source = tmp_path / "script"
    source.write_bytes(b"new")
    file = InstalledFile(path="/srv/script", source=source, sha256=Sha256("0" * 64))
    with pytest.raises(BuildError, match="script was changed during the build"):
        list(installed_entries([file], 0))


def test_accounts_need_the_package_that_creates_them(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    debs = (bench.package("dpkg", essential=True),)
    release = four_layers.release(BASE, four_layers.PYTHON)
    derivation = derive(release, locks.lock(debs=debs), BASE, {})
    assert derivation is not None
    with pytest.raises(BuildError) as caught:
        realise_debian(release, BASE, derivation, (), bench.environment)
    assert caught.value.brief == "layer base-os has accounts, but no package that creates them"
    assert caught.value.hint == "add passwd to the packages of recipes/layers/base-os.toml, and lock again"
