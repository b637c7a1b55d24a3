"""Wheels and sdists whose names and versions are not those of the lock."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.errors import BuildError, IntegrityError, LockError
from rtbuild.wheels.identity import (
    Claim,
    Claims,
    WheelNames,
    locked_wheel_claims,
    require_claims,
    sdist_claims,
    wheel_claims,
)
from tests.fakes import locks
from tests.fakes.wheels import make_wheel

DEMO = locks.wheel("demo-tool", "1.0")
FILENAME = DEMO.filename
FOLDER = "demo_tool-1.0.dist-info"
GOOD = b"Metadata-Version: 2.1\nName: Demo_Tool\nVersion: 1.0.0\n\nName: other\nVersion: 9\n"


def check(claims: tuple[Claim, ...], version: str = "1.0") -> list[str]:
    """The problems of a lock with one such package."""
    package = Claims(place="python[7]", artifact=DEMO, version=version, claims=claims)
    try:
        require_claims(locks.lock(), [package])
    except LockError as error:
        return str(error.details or error.brief).splitlines()
    return []


@pytest.mark.parametrize("folder", ["demo_tool-1.0.dist-info", "Demo.Tool-1.0.0.dist-info", "demo-tool-1.0.dist-info"])
@pytest.mark.parametrize("metadata", [GOOD, GOOD.replace(b"\n", b"\r\n"), b"version : x\nname:demo-tool\nVERSION:1\n"])
def test_spellings_do_not_matter(folder: str, metadata: bytes) -> None:
    assert check(wheel_claims(DEMO, FILENAME, WheelNames.of(folder, metadata))) == []


@pytest.mark.parametrize(
    ("filename", "folder", "metadata", "problem"),
    [
        ("demo_tool-1.1-py3-none-any.whl", FOLDER, GOOD, "version: is '1.0', but the file name"),
        ("demo-1.0-py3-none-any.whl", FOLDER, GOOD, "name: is 'demo-tool', but its file name says"),
        ("demo_tool-1.0.whl", FOLDER, GOOD, "name: is 'demo-tool', but its file name says"),
        (FILENAME, "demo-1.0.dist-info", GOOD, f"name: is 'demo-tool', but demo-1.0.dist-info in {FILENAME} says"),
        (FILENAME, "demo_tool-1.0.1.dist-info", GOOD, "version: is '1.0', but demo_tool-1.0.1.dist-info in"),
        (FILENAME, "demo_tool-x.dist-info", GOOD, "version: is '1.0', but demo_tool-x.dist-info in"),
        (
            FILENAME,
            FOLDER,
            b"Name: demo-tool\nVersion: 1.0.post1\n",
            "version: is '1.0', but METADATA",
        ),
        (
            FILENAME,
            FOLDER,
            b"Name: demo\nVersion: 1.0\n",
            f"name: is 'demo-tool', but METADATA in {FILENAME}",
        ),
        (
            FILENAME,
            FOLDER,
            b"\nName: demo-tool\nVersion: 1.0\n",
            "name: is 'demo-tool', but METADATA",
        ),
        (FILENAME, FOLDER, b"", "name: is 'demo-tool', but METADATA"),
    ],
)
def test_each_place_is_compared(filename: str, folder: str, metadata: bytes, problem: str) -> None:
    (line,) = check(wheel_claims(DEMO, filename, WheelNames.of(folder, metadata)))
    assert line.startswith(f"runtime.lock/8.0.0/linux-amd64.toml: python[7].{problem}")


def test_a_local_version_is_another_one() -> None:
    names = WheelNames.of("demo_tool-1.0+local.1.dist-info", GOOD)
    claims = wheel_claims(DEMO, "demo_tool-1.0+local.1-py3-none-any.whl", names)
    assert len(check(claims)) == 2
    assert len(check(claims, "1.0+local.1")) == 1


def test_an_sdist(tmp_path: Path) -> None:
    sdist = replace(DEMO, filename="demo-tool-1.0.tar.gz")
    assert check(sdist_claims(sdist, GOOD)) == []
    assert check(sdist_claims(sdist, None)) == []
    assert len(check(sdist_claims(sdist, b"Name: demo-tool\nVersion: 2\n"))) == 1
    assert len(check(sdist_claims(replace(sdist, filename="demo-tool-1.1.zip"), GOOD))) == 1
    # The archive of a local package is made by rtbuild, under a name that no index would take.
    assert check(sdist_claims(replace(sdist, filename="demo_tool-1.0.tar", local=True), GOOD)) == []


def test_a_wheel_on_disk(tmp_path: Path) -> None:
    path = make_wheel(tmp_path / "any.whl", {"demo.py": ""}, name="demo_tool")
    assert check(locked_wheel_claims(DEMO, path)) == []
    content = path.read_bytes()
    make_wheel(path, {"demo.py": ""}, name="demo_tool", metadata={"METADATA": None})
    with pytest.raises(BuildError, match="has no METADATA"):
        locked_wheel_claims(DEMO, path)
    make_wheel(path, {"demo.py": ""}, name="demo_tool", metadata={"METADATA": GOOD.ljust(33 << 20, b"\n")})
    with pytest.raises(BuildError, match="its METADATA has 34603008 bytes, more than"):
        locked_wheel_claims(DEMO, path)
    make_wheel(path, {"grüße.py": ""}, name="demo_tool")
    path.write_bytes(path.read_bytes().replace("ü".encode(), b"\xff\xff"))
    with pytest.raises(IntegrityError, match="cannot be read as a wheel"):
        locked_wheel_claims(DEMO, path)
    path.write_bytes(content[:-10])
    with pytest.raises(IntegrityError, match="cannot be read as a wheel"):
        locked_wheel_claims(DEMO, path)
