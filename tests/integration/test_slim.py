"""What recipes leave out of the image is missed by nothing in it: not by dpkg, apt or pip, not by a module."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from zipfile import ZipFile

import pytest

from rtbuild.engine.containers import Mount
from rtbuild.store.store import Store
from rtbuild.workspace import Workspace
from tests.integration.conftest import BuiltImage

pytestmark = pytest.mark.integration

LICENCE = re.compile(r"^[^/]+\.dist-info/(?:.*/)?(?:LICEN[CS]E|COPYING|NOTICE|AUTHORS)[^/]*\Z", re.IGNORECASE)
INSIDE = Mount(source=Path(__file__).parent / "inside", target="/inside")


def run(image: BuiltImage, *command: str, user: str | None = None) -> str:
    """What the command says on standard output; it must end well."""
    outcome = image.engine.run(image.reference, command, timeout=300, user=user, mounts=[INSIDE])
    assert outcome.exit_code == 0, outcome.stdout.decode() + outcome.stderr.decode()
    return outcome.text


def test_every_record_is_right_and_nothing_imports_what_is_gone(image: BuiltImage, workspace: Workspace) -> None:
    removals = [removal.pattern for layer in workspace.release("8.0").python_layers for removal in layer.removals]
    # a folder goes with its content
    patterns = [form for pattern in removals for form in (pattern, f"{pattern}/*")]
    found = json.loads(run(image, "python3", "/inside/look_for_gone.py", *patterns))
    assert found == {"missing": [], "imported": []}


def test_dpkg_misses_nothing_else(image: BuiltImage, workspace: Workspace) -> None:
    """`dpkg --verify` tells of each file that is missing, or has another sum than its package says."""
    removals = [removal.pattern for layer in workspace.release("8.0").debian_layers for removal in layer.removals]
    told = run(image, "sh", "-c", "dpkg --verify || true", user="root").splitlines()
    paths = [line.rpartition(" ")[2] for line in told]
    assert [path for path in paths if not any(fnmatchcase(path, pattern) for pattern in removals)] == []


def test_every_debian_package_has_its_copyright_file(image: BuiltImage) -> None:
    command = """dpkg-query -W -f '${Package}\n' | while read name; do
        test -s /usr/share/doc/$name/copyright || echo $name
    done"""
    assert run(image, "sh", "-c", command) == ""


def test_every_wheel_has_the_licences_that_it_came_with(image: BuiltImage, artifacts: Store) -> None:
    wheels = [artifact for artifact in image.lock.pythons if artifact.is_wheel]
    licences = set()
    for artifact in wheels:
        with ZipFile(artifacts.artifact_path(artifact.sha256)) as wheel:
            licences |= {name for name in wheel.namelist() if LICENCE.search(name)}
    listed = run(image, "sh", "-c", "cd /usr/local/lib/python3*/dist-packages && find *.dist-info -type f")
    assert len(licences) > 200
    assert licences - set(listed.splitlines()) == set()


def test_users_can_have_manual_pages_of_alternatives(image: BuiltImage) -> None:
    """update-alternatives makes links in these folders when a package such as postgresql-client is installed."""
    assert run(image, "sh", "-c", "ls -d /usr/share/man/man1 /usr/share/man/man7 /usr/share/man/man8").count("\n") == 2
