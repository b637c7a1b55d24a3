"""The Python packages of a lock in formats that other tools read."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest
from packaging.pylock import Pylock

from rtbuild.digest import Sha256
from rtbuild.errors import UsageError
from rtbuild.lockfile.export import EXPORT_FORMATS, ExportFormat, Published, export_lock
from rtbuild.lockfile.model import LockedPatch
from tests.fakes import locks

WHEEL = locks.wheel("apache-airflow", "2.6.0")
SDIST = replace(locks.wheel("Tabulate", "0.9"), name="tabulate", filename="tabulate-0.9.tar.gz")
PATCHED = replace(
    locks.wheel("connexion", "2.14.2"),
    version="2.14.2+astro.1",
    patches=(LockedPatch(id="quiet", sha256=Sha256("d" * 64)),),
)
LOCAL = replace(locks.wheel("gate-keeper", "1.0"), filename="gate_keeper-1.0.tar", path="recipes/gate", local=True)
LOCK = locks.lock(pythons=(SDIST, PATCHED, LOCAL, WHEEL))


def test_requirements() -> None:
    assert export_lock(LOCK, "requirements").splitlines() == [
        "# release 8.0.0 for linux/amd64, Python 3.9.2, as of 2023-05-02T00:00:00+00:00",
        "apache-airflow==2.6.0 \\",
        f"    --hash=sha256:{WHEEL.sha256}",
        "# the image has connexion 2.14.2+astro.1, patched: quiet",
        "connexion==2.14.2 \\",
        f"    --hash=sha256:{PATCHED.sha256}",
        "# gate-keeper==1.0 is on no index: pip install --no-deps ./recipes/gate",
        "tabulate==0.9 \\",
        f"    --hash=sha256:{SDIST.sha256}",
    ]


def test_pylock() -> None:
    pylock = Pylock.from_dict(tomllib.loads(export_lock(LOCK, "pylock")))
    airflow, connexion, gate, tabulate = pylock.packages
    assert str(pylock.requires_python) == "==3.9.*"
    assert airflow.wheels is not None
    assert airflow.wheels[0].hashes == {"sha256": WHEEL.sha256}
    assert (str(connexion.version), connexion.tool) == (
        "2.14.2",
        {"rtbuild": {"version": "2.14.2+astro.1", "patches": ["quiet"]}},
    )
    assert gate.directory is not None
    assert (gate.version, gate.directory.path) == (None, "recipes/gate")
    assert tabulate.sdist is not None
    assert (tabulate.sdist.name, tabulate.sdist.size) == (SDIST.filename, SDIST.size)
    assert (tabulate.sdist.path, airflow.wheels[0].path) == (SDIST.filename, WHEEL.filename)


def test_pylock_names_addresses_where_they_are_known() -> None:
    published = {
        SDIST.filename: Published(url="http://127.0.0.1/tabulate-0.9.tar.gz", index="http://127.0.0.1/simple"),
        WHEEL.filename: Published(url="file:///media/usb/airflow.whl"),
    }
    airflow, connexion, _, tabulate = Pylock.from_dict(tomllib.loads(export_lock(LOCK, "pylock", published))).packages
    assert airflow.wheels is not None
    assert connexion.wheels is not None
    assert tabulate.sdist is not None
    assert (airflow.index, connexion.index, tabulate.index) == (None, None, "http://127.0.0.1/simple")
    files = (airflow.wheels[0], connexion.wheels[0], tabulate.sdist)
    assert [(file.url, file.path) for file in files] == [
        ("file:///media/usb/airflow.whl", None),
        (None, PATCHED.filename),
        ("http://127.0.0.1/tabulate-0.9.tar.gz", None),
    ]


@pytest.mark.parametrize("format", EXPORT_FORMATS)
def test_the_order_of_the_lock_does_not_matter(format: ExportFormat) -> None:
    assert export_lock(replace(LOCK, pythons=LOCK.pythons[::-1]), format) == export_lock(LOCK, format)


@pytest.mark.parametrize("format", EXPORT_FORMATS)
def test_a_lock_without_python_packages(format: ExportFormat) -> None:
    lock = replace(locks.lock(), python_version=None, pythons=())
    with pytest.raises(UsageError, match=r"release 8\.0\.0 has no Python packages to export"):
        export_lock(lock, format)
