"""What an sdist requires is read from its files; none of its code runs."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from rtbuild.errors import ResolutionError
from rtbuild.resolve.python.sdist import Sdist, read_sdist
from tests.fakes.package_index import Distribution, make_sdist

FLIT = '[build-system]\nrequires = ["flit_core >=3.2,<4"]\nbuild-backend = "flit_core.buildapi"\n'


def read(made: Distribution) -> Sdist:
    return read_sdist(made.filename, io.BytesIO(made.content))


def requires(found: Sdist) -> list[str]:
    lines = found.metadata.decode().splitlines()
    return [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")]


def test_the_sections_of_setuptools_requires_txt() -> None:
    made = make_sdist(
        "spam",
        "1.0",
        requires=["eggs>=1", "plain; os_name == 'nt'"],
        extras={"fast": ["rust_eggs"], ":python_version < '3.8'": ["backport"], "a_b:sys_platform == 'win32'": ["win"]},
    )
    found = read(made)
    assert requires(found) == [
        "eggs>=1",
        'plain; (os_name == "nt")',
        'rust_eggs; extra == "fast"',
        "backport; (python_version < '3.8')",
        "win; (sys_platform == 'win32') and extra == \"a-b\"",
    ]
    assert "Provides-Extra: fast\nProvides-Extra: a_b\n" in found.metadata.decode()
    assert found.metadata.decode().startswith("Metadata-Version: 2.1\nName: spam\nVersion: 1.0\n")


def test_the_default_build_system() -> None:
    assert read(make_sdist("spam", "1.0")).build_requires == ("setuptools>=40.8.0", "wheel")


def test_setup_requires_is_part_of_the_build_requirements() -> None:
    found = read(make_sdist("spam", "1.0", setup_requires=["setuptools_scm"]))
    assert found.build_requires == ("setuptools>=40.8.0", "wheel", "setuptools_scm")


def test_setuptools_with_pyproject_still_asks_for_wheel() -> None:
    pyproject = '[build-system]\nrequires = ["setuptools>=61"]\nbuild-backend = "setuptools.build_meta"\n'
    assert read(make_sdist("spam", "1.0", pyproject=pyproject)).build_requires == ("setuptools>=61", "wheel")


def test_another_backend_writes_its_requirements_into_pkg_info() -> None:
    found = read(make_sdist("spam", "1.0", requires=["eggs (>=1)"], pyproject=FLIT, egg_info=False))
    assert found.build_requires == ("flit_core >=3.2,<4",)
    assert requires(found) == ["eggs (>=1)"]


def test_metadata_2_2_is_trusted_unless_it_is_dynamic() -> None:
    static = make_sdist("spam", "1.0", requires=["eggs"], egg_info=False, metadata_version="2.2")
    assert requires(read(static)) == ["eggs"]
    dynamic = make_sdist("spam", "1.0", egg_info=False, metadata_version="2.2", dynamic=["Requires-Dist"])
    with pytest.raises(ResolutionError, match=r"unless its setup\.py is run") as caught:
        read(dynamic)
    assert "has a wheel" in str(caught.value.hint)


def test_plain_distutils_has_no_requirements() -> None:
    setup = b"from distutils.core import setup\nsetup(name='spam')\n"
    assert requires(read(make_sdist("spam", "1.0", egg_info=False, files={"setup.py": setup}))) == []


def test_code_of_the_sdist_is_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    read(make_sdist("spam", "1.0", files={"setup.py": f"open({str(trap)!r}, 'w')".encode()}))
    assert not trap.exists()


def test_a_bundled_egg_info_is_ignored() -> None:
    bundled = {"aaa/vendor.egg-info/requires.txt": b"wrong\n", "aaa/vendor.egg-info/SOURCES.txt": b""}
    assert requires(read(make_sdist("spam", "1.0", requires=["right"], files=bundled))) == ["right"]


def test_a_zip_is_read_too() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("spam-1.0/PKG-INFO", "Metadata-Version: 2.2\nName: spam\nVersion: 1.0\nRequires-Dist: eggs\n")
    assert requires(read_sdist("spam-1.0.zip", io.BytesIO(buffer.getvalue()))) == ["eggs"]


def damaged() -> bytes:
    """A gzip stream whose header is right."""
    content = make_sdist("spam", "1.0").content
    return content[:10] + b"\xff" * (len(content) - 10)


@pytest.mark.parametrize("content", [b"", b"<html></html>", make_sdist("spam", "1.0").content[:100], damaged()])
def test_a_damaged_archive_is_named(content: bytes) -> None:
    with pytest.raises(ResolutionError, match=r"spam-1\.0\.tar\.gz: not a readable archive"):
        read_sdist("spam-1.0.tar.gz", io.BytesIO(content))


def test_an_sdist_without_pkg_info_is_an_error() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("spam-1.0/setup.py"))
    with pytest.raises(ResolutionError, match="has no PKG-INFO"):
        read_sdist("spam-1.0.tar.gz", io.BytesIO(buffer.getvalue()))


@pytest.mark.parametrize(
    ("pyproject", "text"),
    [
        ("[build-system", "malformed pyproject.toml"),
        ('[build-system]\nrequires = "setuptools"\n', "is not a list of strings"),
        ("build-system = 3\n", "is not a list of strings"),
    ],
)
def test_a_malformed_pyproject_is_an_error(pyproject: str, text: str) -> None:
    with pytest.raises(ResolutionError, match=text):
        read(make_sdist("spam", "1.0", pyproject=pyproject))


def test_a_malformed_requirement_stays_as_it_is() -> None:
    """Whoever reads the metadata may know how it was meant."""
    sdist = read(make_sdist("spam", "1.0", requires=["eggs (>dev); os_name=='posix'"], extras={"x": ["ham >> 1"]}))
    assert b"Requires-Dist: eggs (>dev); (os_name=='posix')\n" in sdist.metadata
    assert b'Requires-Dist: ham >> 1; extra == "x"\n' in sdist.metadata
