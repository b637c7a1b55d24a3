"""Debian layers whose files rtbuild unpacks, against the same layers with all files unpacked by dpkg: path by path."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from rtbuild.derivations.derivation import derive
from rtbuild.derivations.plan import plan_release
from rtbuild.digest import sha256_bytes, sha256_file
from rtbuild.engine.engine import Engine
from rtbuild.formats.frames import open_uncompressed
from rtbuild.formats.tar import read_members
from rtbuild.layers import debian, unpack
from rtbuild.layers.debian import realise_debian
from rtbuild.lockfile.model import DebArtifact, Lock
from rtbuild.recipe.model import DebianLayer, Release
from rtbuild.store.realisation import Realisation
from rtbuild.store.store import Store
from rtbuild.wheels.environment import BuildEnvironment
from rtbuild.workspace import Workspace
from tests.fakes import locks
from tests.fakes.environments import environment
from tests.integration.conftest import BuiltImage

pytestmark = pytest.mark.integration


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Layers of 8.0.0 in a store, and how to build others on them."""

    release: Release
    lock: Lock
    environment: BuildEnvironment
    built: Mapping[str, Realisation]

    def content(self, layer: DebianLayer, lock: Lock, below: Sequence[str]) -> dict[str, Any]:
        """Build a layer and return what is at each path."""
        outputs = {name: self.built[name].diff_id for name in below}
        derivation = derive(self.release, lock, layer, outputs)
        assert derivation is not None
        lower = [self.built[name] for name in below]
        digest = realise_debian(self.release, layer, derivation, lower, self.environment)
        return members(self.environment.layout.blob_path(digest.blob))


def members(blob: Path) -> dict[str, Any]:
    """Return kind, attributes and digest of each path of a layer."""
    content: dict[str, Any] = {}
    with open_uncompressed(blob) as file:
        for entry, _ in read_members(file):
            attributes = (entry.type, oct(entry.mode), entry.uid, entry.gid, entry.mtime, entry.link, entry.xattrs)
            content[entry.path] = (*attributes, sha256_bytes(file.read(entry.size)) if entry.size else "")
    return content


@pytest.fixture(scope="module")
def ground(
    image: BuiltImage, engine: Engine, workspace: Workspace, artifacts: Store, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ground]:
    release = workspace.release("8.0")
    planned = plan_release(release, image.lock, artifacts).layers
    built = {layer.name: layer.realisation for layer in planned if layer.realisation is not None}
    folder = tmp_path_factory.mktemp("unpack") / "store"
    store = Store.open(folder)
    for deb in image.lock.debs:
        store.artifact_path(deb.sha256).hardlink_to(artifacts.artifact_path(deb.sha256))
    own = environment(store, engine)
    for layer in release.debian_layers:
        blob = built[layer.name].blob
        own.layout.blob_path(blob).hardlink_to(artifacts.layout.blob_path(blob))
    yield Ground(release=release, lock=image.lock, environment=own, built=built)
    shutil.rmtree(folder)


@dataclass(slots=True)
class Whole:
    """The packages that were given to dpkg whole, as the build decided, or all of them."""

    names: set[str] = field(default_factory=set)
    every: bool = False


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> Whole:
    whole = Whole()
    decide, unpack_packages = unpack._Unpacker._must_stay_whole, unpack.unpack_for_dpkg

    def decided(*arguments: Any) -> bool:
        return whole.every or decide(*arguments)

    def noted(*arguments: Any, **options: Any) -> frozenset[str]:
        filenames = unpack_packages(*arguments, **options)
        whole.names = {filename.partition("_")[0] for filename in filenames}
        return filenames

    monkeypatch.setattr(unpack._Unpacker, "_must_stay_whole", decided)
    monkeypatch.setattr(debian, "unpack_for_dpkg", noted)
    return whole


@pytest.mark.parametrize("name", ["base-os", "python"])
def test_the_layers_of_a_release_are_what_dpkg_makes(ground: Ground, whole: Whole, name: str) -> None:
    (layer,) = (layer for layer in ground.release.debian_layers if layer.name == name)
    below = [lower.name for lower in ground.release.debian_layers[: ground.release.debian_layers.index(layer)]]
    ours = members(ground.environment.layout.blob_path(ground.built[name].blob))
    whole.every = True
    theirs = ground.content(layer, ground.lock, below)
    assert len(whole.names) == sum(deb.layer == name for deb in ground.lock.debs)
    assert ours == theirs


PACKAGES: Mapping[str, Mapping[str, str]] = {
    "rt-files": {
        "usr/share/rt/one": "one",
        "usr/share/rt/two": "two",
        "etc/rt.conf": "a=1",
        "DEBIAN/conffiles": "/etc/rt.conf\n",
        "DEBIAN/postinst": "#!/bin/sh\nls -l --time-style=+ /usr/share/rt /etc/rt.conf* > /usr/share/rt/seen\n"
        "echo $SOURCE_DATE_EPOCH > /usr/share/rt/epoch\n",
    },
    "rt-replaces": {"control": "Replaces: rt-files\n", "usr/share/rt/two": "replaced"},
    "rt-diverts": {
        "usr/share/rt/one": "diverted",
        "DEBIAN/preinst": "#!/bin/sh\ndpkg-divert --package rt-diverts --add --rename --divert /usr/share/rt/one.orig "
        "/usr/share/rt/one\n",
    },
    "rt-trigger": {
        "usr/share/rt-hooks/README": "put hooks here",
        "DEBIAN/triggers": "interest-noawait /usr/share/rt-hooks\n",
        "DEBIAN/postinst": '#!/bin/sh\necho "$@ $(ls /usr/share/rt-hooks)" >> /usr/share/rt-seen\n',
    },
    "rt-hook": {"usr/share/rt-hooks/hook": "hook", "usr/share/doc/rt-hook/changelog": "none"},
    "rt-owner": {
        "usr/bin/rt": "#!/bin/sh\n",
        "DEBIAN/preinst": "#!/bin/sh\ndpkg-statoverride --add root mail 2755 /usr/bin/rt\n",
    },
    "rt-script": {
        "usr/lib/rt/state": "new",
        "DEBIAN/preinst": "#!/bin/sh\n[ -e /usr/lib/rt/state ] && echo found > /usr/share/rt-found\nexit 0\n",
    },
    # A package that the layer below has.
    "netbase": {"etc/protocols": "ip 0 IP\n", "DEBIAN/conffiles": "/etc/protocols\n"},
}
"""Small packages by name: their files, with those of `DEBIAN`, and lines of the control file."""

WHOLE = {"rt-replaces", "rt-diverts", "rt-owner", "rt-script", "netbase"}


def make_package(folder: Path, name: str, files: Mapping[str, str], store: Store) -> DebArtifact:
    """Build a package with Debian's own program, put it into the store and return its entry in a lock."""
    root = folder / name
    root.mkdir(parents=True, mode=0o755)
    for path, content in files.items():
        if path != "control":
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)
            target.chmod(0o755 if content.startswith("#!") else 0o644)
    (root / "DEBIAN").mkdir(exist_ok=True)
    (root / "DEBIAN" / "control").write_text(
        f"Package: {name}\nVersion: 99\nArchitecture: all\nMaintainer: Nobody <nobody@example.invalid>\n"
        f"{files.get('control', '')}Description: a test\n"
    )
    subprocess.run(
        "find . -type f ! -path './DEBIAN/*' -printf '%P\\0' | sort -z | xargs -r0 md5sum > DEBIAN/md5sums",
        cwd=root,
        shell=True,
        check=True,
    )
    deb = folder / f"{name}_99_all.deb"
    command = ["dpkg-deb", "--root-owner-group", "--build", str(root), str(deb)]
    subprocess.run(command, env={"SOURCE_DATE_EPOCH": "1600000000", "PATH": "/usr/bin:/bin"}, check=True)
    sha256 = sha256_file(deb)
    shutil.copyfile(deb, store.artifact_path(sha256))
    return replace(
        locks.deb(name, "99", layer="odd"),
        filename=deb.name,
        sha256=sha256,
        size=deb.stat().st_size,
        architecture="all",
    )


def test_odd_packages_are_what_dpkg_makes(ground: Ground, whole: Whole, tmp_path: Path) -> None:
    """Diversions, `Replaces`, conffiles, triggers, other owners, an upgrade, and a script that looks for its files."""
    store = ground.environment.store
    debs = tuple(make_package(tmp_path, name, files, store) for name, files in PACKAGES.items())
    lock = replace(ground.lock, debs=(*ground.lock.debs, *debs))
    (base,) = (layer for layer in ground.release.debian_layers if layer.parent is None)
    layer = replace(base, name="odd", parent="base-os", packages=tuple(PACKAGES), groups=(), users=(), files=())
    odd = Ground(
        release=replace(ground.release, layers=(base, layer)),
        lock=lock,
        environment=ground.environment,
        built=ground.built,
    )
    ours = odd.content(layer, lock, ["base-os"])
    assert whole.names == WHOLE
    whole.every = True
    theirs = odd.content(layer, lock, ["base-os"])
    assert whole.names == set(PACKAGES)
    assert ours == theirs
    assert {
        "etc/rt.conf",
        "usr/share/rt/one.orig",
        "usr/share/rt-seen",
        "usr/share/rt-hooks/hook",
    } <= ours.keys()
    assert "usr/share/rt-found" not in ours
    # Scripts that date what they make get the date of the newest package.
    epoch = max(deb.built for deb in debs)
    assert ours["usr/share/rt/epoch"][-1] == sha256_bytes(f"{epoch}\n".encode())
