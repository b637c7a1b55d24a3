"""Targets for packages as a build opens them, after their digests were found to be those of the lock."""

from __future__ import annotations

from dataclasses import replace

from rtbuild.digest import sha256_bytes
from rtbuild.errors import BuildError, IntegrityError, LockError
from rtbuild.formats.keystore import canonical_keystore
from rtbuild.layers.declared import require_declared
from rtbuild.layers.unpack import Package, Root, unpack_for_dpkg
from rtbuild.lockfile.model import LockedPatch
from rtbuild.wheels import sdists
from rtbuild.wheels.identity import locked_wheel_claims, sdist_claims
from rtbuild.wheels.patched import patch_wheel
from tests.fakes import locks, patches
from tests.fakes.keystores import keystore, keystore_entry, keystore_seal
from tests.fakes.package_index import make_sdist
from tests.fuzz import samples
from tests.fuzz.target import SCRATCH, Target

_WHEEL = locks.wheel("spam", "1.0")
_PYPROJECT = '[build-system]\nrequires = ["flit"]\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def targets() -> list[Target]:
    """Return the targets of this module."""
    wheels = samples.wheels()
    sources = [make_sdist("spam", "1.0", pyproject=_PYPROJECT).content, samples.zipped_sdist()]
    entries = (keystore_entry("debian:a.pem", 5), keystore_entry("debian:b.pem", 6, b"other"))
    return [
        Target("wheel-claims", wheels, _claims, (BuildError, IntegrityError)),
        Target("patched-wheel", wheels[1:2], _patched, (BuildError, IntegrityError)),
        Target("sdist-backend", sources, _backend, (BuildError, IntegrityError), samples.repaired_tar),
        Target("deb-declared", [samples.debs()[0]], _declared, (LockError,)),
        Target("deb-for-dpkg", samples.debs(), _for_dpkg, (IntegrityError,), samples.repaired_deb),
        Target("keystore", [keystore(*entries), keystore()], _keystore, (), _sealed_keystore),
    ]


def _claims(content: bytes) -> None:
    path = SCRATCH.fresh() / _WHEEL.filename
    path.write_bytes(content)
    for claim in locked_wheel_claims(_WHEEL, path):
        f"{claim.where} {claim.name} {claim.version}".encode()


def _patched(content: bytes) -> None:
    folder = SCRATCH.fresh()
    (folder / "base.whl").write_bytes(content)
    patch = patches.patch(patches.diff("spam.py", "x = 1\n", "x = 2\n"), package="spam")
    locked = LockedPatch(id=patch.id, sha256=patch.sha256)
    artifact = replace(_WHEEL, version="1.0+astro.1", patches=(locked,))
    patch_wheel(folder / "base.whl", "base.whl", folder / "patched.whl", artifact, [patch])


def _backend(content: bytes) -> None:
    suffix = ".zip" if content[:2] == b"PK" else ".tar.gz"
    sdist = replace(_WHEEL, filename=f"spam-1.0{suffix}")
    path = SCRATCH.fresh() / sdist.filename
    path.write_bytes(content)
    # The public function needs an engine, which would build whatever is read here.
    sdists._backend(sdist, path)
    sdist_claims(sdist, sdists._member(sdist, path, "PKG-INFO"))


def _declared(content: bytes) -> None:
    sha256 = sha256_bytes(content)
    path = SCRATCH.fresh() / sha256
    path.write_bytes(content)
    deb = replace(locks.deb("hello", "1.0-1"), sha256=sha256, built=0)
    require_declared(locks.lock(debs=(deb,)), {sha256}, lambda digest: path, file="linux-amd64.toml")


def _for_dpkg(content: bytes) -> None:
    folder = SCRATCH.fresh()
    (folder / "x.deb").write_bytes(content)
    (folder / "context").mkdir()
    root = Root(links=("lib",))
    package = Package(filename="x.deb", deb=folder / "x.deb")
    unpack_for_dpkg([package], root, folder / "contents.tar", folder / "context", jobs=1)


def _keystore(content: bytes) -> None:
    changed = canonical_keystore(content, 1)
    assert len(changed) == len(content)
    assert canonical_keystore(changed, 1) == changed


def _sealed_keystore(content: bytes) -> bytes:
    body = content[:-20]
    return body + keystore_seal(body)
