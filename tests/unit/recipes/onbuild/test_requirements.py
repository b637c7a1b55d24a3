"""The script of the onbuild layer that keeps a project's requirements from replacing Airflow."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from tests.fakes.requirements import ALLOWED, FORBIDDEN, FORBIDDEN_TREES, Files, write

SCRIPT = Path(__file__).parents[4] / "recipes/layers/onbuild/install-requirements"
ADVICE = "change the image in the FROM line of the Dockerfile"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    loader = SourceFileLoader("install_requirements", str(SCRIPT))
    spec = importlib.util.spec_from_loader("install_requirements", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ignore the user's pip configuration and change to the folder of the project."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AIRFLOW_PACKAGE", "apache-airflow")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "files", [pytest.param(files, id=name) for name, files in (FORBIDDEN | FORBIDDEN_TREES).items()]
)
def test_another_airflow_is_refused_with_advice(script: ModuleType, files: Files) -> None:
    write(Path(), files)
    refusals, _ = script.check("requirements.txt", "2.6.0")
    assert len(refusals) == 1
    assert ADVICE in refusals[0]
    assert refusals[0].startswith(next(reversed(files)) if len(files) > 1 else "requirements.txt")
    assert "\n" not in refusals[0]


@pytest.mark.parametrize("files", [pytest.param(files, id=name) for name, files in ALLOWED.items()])
def test_providers_and_the_same_version_are_allowed(script: ModuleType, files: Files) -> None:
    write(Path(), files)
    refusals, wanted = script.check("requirements.txt", "2.6.0")
    assert refusals == []
    assert wanted == any(
        line.strip() and not line.strip().startswith(("#", "-"))
        for line in files["requirements.txt"].decode().splitlines()
    )


def test_every_refused_line_is_reported_with_its_place(script: ModuleType) -> None:
    write(
        Path(),
        {
            "requirements.txt": b"requests\napache-airflow<3\n\n-r b.txt\nApache_Airflow\n",
            "b.txt": b"#\napache.airflow>1",
        },
    )
    refusals, _ = script.check("requirements.txt", "2.6.0")
    assert [refusal.partition(" would")[0] for refusal in refusals] == [
        "requirements.txt, line 2: 'apache-airflow<3'",
        "b.txt, line 2: 'apache.airflow>1'",
        "requirements.txt, line 5: 'Apache_Airflow'",
    ]


def test_a_patched_airflow_satisfies_the_version_that_it_patches(script: ModuleType) -> None:
    write(Path(), {"requirements.txt": b"apache-airflow==2.6.0"})
    assert script.check("requirements.txt", "2.6.0+astro.1") == ([], True)
    write(Path(), {"requirements.txt": b"apache-airflow==2.6.0+astro.1"})
    assert script.check("requirements.txt", "2.6.0+astro.1") == ([], True)
    write(Path(), {"requirements.txt": b"apache-airflow==2.6.0+astro.2"})
    assert len(script.check("requirements.txt", "2.6.0+astro.1")[0]) == 1


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"-r missing.txt", "missing.txt"),
        (b"requests = 3", "'requests = 3'"),
        (b"--no-such-option", "--no-such-option"),
        (b"--requirement", "requirements.txt"),
        (b"./not-there", "./not-there"),
        (b"-e ./not-there", "not-there"),
        (b"requests\n-r requirements.txt", "requirements.txt"),
        ("# -*- coding: utf-8 -*-\nré".encode("latin-1"), "requirements.txt"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_and_named(script: ModuleType, content: bytes, named: str) -> None:
    write(Path(), {"requirements.txt": content})
    refusals, _ = script.check("requirements.txt", "2.6.0")
    assert len(refusals) == 1
    assert named in refusals[0]
    assert ADVICE not in refusals[0]


def test_a_project_without_requirements_does_not_run_pip(tmp_path: Path) -> None:
    """Without access to the packages of this Python, so that anything but an early exit would fail."""
    command = [sys.executable, "-I", "-S", str(SCRIPT), "none.txt"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = subprocess.run([sys.executable, "-I", str(SCRIPT)], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "install-requirements: usage: install-requirements FILE\n")


def test_changes_of_airflows_files_are_detected(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "apache_airflow-2.6.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: apache-airflow\nVersion: 2.6.0\n")
    (info / "RECORD").write_text("airflow/__init__.py,,\nairflow/__pycache__/__init__.cpython-39.pyc,,\n")
    (tmp_path / "airflow/__pycache__").mkdir(parents=True)
    source = tmp_path / "airflow/__init__.py"
    source.write_text("version = 1\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    before = script.fingerprint()
    (tmp_path / "airflow/__pycache__/__init__.cpython-39.pyc").write_text("compiled")
    assert script.fingerprint() == before
    source.write_text("version = 2\n")
    assert script.fingerprint() not in (before, "")
    source.unlink()
    assert script.fingerprint() not in (before, "")
    (info / "METADATA").unlink()
    info.rename(tmp_path / "gone")
    assert script.fingerprint() == ""
