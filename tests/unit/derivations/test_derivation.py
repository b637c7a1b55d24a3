"""What the key of a layer depends on, and what it does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rtbuild.derivations.derivation import derive, key_scheme
from rtbuild.digest import Sha256
from rtbuild.errors import LockError
from rtbuild.inside import script_digest
from rtbuild.lockfile.model import Lock, LockedPatch
from rtbuild.platform import PLATFORMS
from rtbuild.recipe.model import DebianLayer, FilesLayer, Group, InstalledFile, Removal, Suite, User
from tests.fakes.four_layers import AIRFLOW, BASE, PROVIDERS, PYTHON, changed, deb, keys, lock, output, release, wheel

ARM64 = PLATFORMS["linux/arm64"]


def test_a_provider_bump_touches_the_providers_alone() -> None:
    bumped = (lock().pythons[0], wheel("celery", layer="providers", sha256="9"))
    assert changed(keys(lock()), keys(lock(pythons=bumped))) == {"providers"}


def test_an_update_of_the_system_rebuilds_no_python_layer() -> None:
    debs = (deb("apt", sha256="f"), *lock().debs[1:])
    assert changed(keys(lock()), keys(lock(debs=debs))) == {"base-os"}


def test_another_python_rebuilds_the_python_layers() -> None:
    debs = (*lock().debs[:2], deb("python3.9-minimal", "3.9.2-1+deb11u2", layer="python", sha256="7"))
    assert changed(keys(lock()), keys(lock(debs=debs))) == {"python", "airflow", "providers"}


def test_a_rebuild_of_python_on_one_architecture_is_the_same_python() -> None:
    debs = (*lock().debs[:2], deb("python3.9-minimal", "3.9.2-1+deb11u1+b1", layer="python", sha256="7"))
    assert changed(keys(lock()), keys(lock(debs=debs))) == {"python"}


def test_the_parents_output_counts_not_its_key() -> None:
    recipe, locked = release(), lock()
    first, same, other = (derive(recipe, locked, PYTHON, {"base-os": output(digit)}) for digit in "bbc")
    assert first is not None
    assert same is not None
    assert other is not None
    assert first.key == same.key != other.key


@pytest.mark.parametrize(
    "layer",
    [
        replace(BASE, users=(User(name="astro", uid=50000, gid=0, home="/home/astro"),)),
        replace(BASE, users=(User(name="astro", uid=50000, gid=0, home="/home/astro", groups=("games",)),)),
        replace(BASE, groups=(Group(name="astro", gid=50000),)),
        replace(BASE, files=(InstalledFile(path="/etc/motd", link="/etc/issue"),)),
        replace(BASE, removals=()),
        replace(BASE, removals=(*BASE.removals, Removal(pattern="/srv", reason="empty"))),
    ],
)
def test_recipe_fields_that_affect_the_bytes_count(layer: DebianLayer) -> None:
    assert "base-os" in changed(keys(lock()), keys(lock(), release(layer, PYTHON, AIRFLOW, PROVIDERS)))


def test_the_suites_that_apt_gets_count_on_platforms_that_use_them() -> None:
    sources = InstalledFile(path="/etc/apt/sources.list", copy_of="/usr/share/example", apt_sources=True)
    more = Suite(archive="debian", suite="bullseye-updates")
    listed = replace(BASE, files=(sources,))
    for layer, added, expected in (
        (BASE, more, False),
        (listed, more, True),
        (listed, replace(more, architectures=("arm64",)), False),
        (listed, replace(BASE.suites[0], suite="sid", components=("main", "contrib")), True),
    ):
        before = keys(lock(), release(layer, PYTHON, AIRFLOW, PROVIDERS))
        after = keys(lock(), release(replace(layer, suites=(*layer.suites, added)), PYTHON, AIRFLOW, PROVIDERS))
        assert ("base-os" in changed(before, after)) == expected


def test_titles_and_reasons_do_not_count() -> None:
    layer = replace(BASE, title="Other", removals=(Removal(pattern="/var/log/dpkg.log", reason="other"),))
    assert not changed(keys(lock()), keys(lock(), release(layer, PYTHON, AIRFLOW, PROVIDERS)))


def test_removals_of_a_layer_count_for_the_layers_above() -> None:
    layer = replace(BASE, removals=())
    assert {"base-os", "python"} == changed(keys(lock()), keys(lock(), release(layer, PYTHON, AIRFLOW, PROVIDERS)))


def test_the_upload_time_of_a_wheel_counts_because_its_files_get_it() -> None:
    first, second = lock().pythons
    later = replace(second, uploaded=second.uploaded + timedelta(seconds=1))
    assert changed(keys(lock()), keys(lock(pythons=(first, later)))) == {"providers"}


def test_platforms_have_different_keys() -> None:
    assert changed(keys(lock()), keys(lock(platform=ARM64))) == {"base-os", "python", "airflow", "providers"}


def test_the_epoch_is_the_date_of_the_layers_newest_package() -> None:
    debs = (deb("apt", built=5), deb("libc6", built=9), deb("python3.9-minimal", layer="python", built=99))
    derivation = derive(release(), lock(debs=debs), BASE, {})
    assert derivation is not None
    assert derivation.epoch == 9


def test_a_lock_without_the_releases_python_is_refused() -> None:
    with pytest.raises(LockError, match=r"python3\.9-minimal"):
        derive(release(), lock(debs=()), AIRFLOW, {})


FILES = FilesLayer(
    name="files", title="Files", files=(InstalledFile(path="/srv/a", content="a", sha256=Sha256("a" * 64)),)
)


def test_a_files_layer_depends_on_its_files_and_as_of() -> None:
    recipe = release(BASE, PYTHON, AIRFLOW, PROVIDERS, FILES)
    before = derive(recipe, lock(), FILES, {})
    after = derive(recipe, lock(debs=(), pythons=(), source_date_epoch=5), FILES, {})
    assert before is not None
    assert after is not None
    assert before.key == after.key
    assert before.epoch == datetime(2023, 5, 2, tzinfo=UTC).timestamp()
    later = replace(recipe, as_of=datetime(2023, 5, 3, tzinfo=UTC))
    assert changed(keys(lock(), recipe), keys(lock(), later)) == {"files"}


@pytest.mark.parametrize(
    "field",
    [{"sha256": Sha256("b" * 64)}, {"mode": 0o755}, {"uid": 1}, {"path": "/srv/b"}],
)
def test_every_field_of_a_file_counts(field: dict[str, Any]) -> None:
    other = replace(FILES, files=(replace(FILES.files[0], **field),))
    assert changed(keys(lock(), release(FILES)), keys(lock(), release(other))) == {"files"}


def patched(*digits: str) -> Lock:
    """Return a lock in which celery has patches."""
    airflow, celery = lock().pythons
    patches = tuple(LockedPatch(id=f"p{digit}", sha256=Sha256(digit * 64)) for digit in digits)
    return lock(pythons=(airflow, replace(celery, patches=patches)))


def test_patches_count_in_their_order() -> None:
    assert keys(patched()) == keys(lock())
    assert changed(keys(patched()), keys(patched("6"))) == {"providers"}
    assert changed(keys(patched("6", "7")), keys(patched("7", "6"))) == {"providers"}


def test_keys_are_the_same_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Existing stores and locks contain such keys: change how they are computed only with `SCHEMA`."""
    monkeypatch.setattr("rtbuild.derivations.derivation.script_digest", lambda name: Sha256("e" * 64))
    assert keys(lock(), release(BASE, PYTHON, AIRFLOW, PROVIDERS, FILES)) == {
        "base-os": "277bee40a07cf972914ec831f8a1e9b0db344f006f2aa2dc2fdb398b2f688e21",
        "python": "1a92257ce237a64fb575952fa21e83c2bf727fada6a03ea37cdcb6f1547593e4",
        "airflow": "da1d57239952b2b909fe834a54c72f01c0875a1f7dbb689e0cd1e56019dc5a11",
        "providers": "eff8982fbf0a321147832c164c65c319229696a289d3deb7316260d659774ea2",
        "files": "f17e6342b7859368bf344ef91197a2a0e84b34f56cd7e6f551e5128a5cdee7b1",
    }


def test_the_scheme_of_keys_covers_the_schema_and_every_script(monkeypatch: pytest.MonkeyPatch) -> None:
    schemes = {key_scheme()}
    monkeypatch.setattr("rtbuild.derivations.derivation.SCHEMA", 2)
    schemes.add(key_scheme())
    for script in ("build_wheels.py", "compile_stdlib.py", "compile_wheels.py", "install_packages.sh"):
        monkeypatch.setattr(
            "rtbuild.derivations.derivation.script_digest",
            lambda name, script=script: "f" * 64 if name == script else script_digest(name),
        )
        schemes.add(key_scheme())
    assert len(schemes) == 6
