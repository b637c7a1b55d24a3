"""Reading wheels: the files that they install, the errors for what is not a wheel, and large members in pieces."""

from __future__ import annotations

import random
import zipfile
from pathlib import Path

import pytest

from rtbuild.errors import BuildError, IntegrityError
from rtbuild.wheels.scheme import debian_scheme
from rtbuild.wheels.wheel import open_wheel
from tests.fakes.wheels import make_wheel

SCHEME = debian_scheme("3.9")
LIBRARY = "demo/library.so"
# Not a multiple of any piece size. Half of it is compressible, so that one stored piece becomes several pieces.
LARGE = random.Random(8).randbytes(4_500_001) + bytes(9_000_000)


def read_all(wheel: Path) -> dict[str, bytes]:
    """Read every file that the wheel installs, by absolute path."""
    with open_wheel(wheel, SCHEME) as opened:
        return {path: b"".join(opened.pieces(part)) for path, part in opened.parts.items()}


def test_pip_is_called_after_the_python_it_is_installed_for(tmp_path: Path) -> None:
    points = "[console_scripts]\npip = pip:main\npip3 = pip:main\npip3.12 = pip:main\n"
    files = read_all(make_wheel(tmp_path / "pip.whl", {"pip.py": ""}, name="pip", entry_points=points))
    assert {path for path in files if "/bin/" in path} == {
        f"/usr/local/bin/{name}" for name in ("pip", "pip3", "pip3.9")
    }


def test_the_record_is_not_among_the_parts(tmp_path: Path) -> None:
    with open_wheel(make_wheel(tmp_path / "demo.whl", {"demo.py": ""}), SCHEME) as wheel:
        assert wheel.record == f"{SCHEME.library}/demo-1.0.dist-info/RECORD"
        assert wheel.record not in wheel.parts
        assert wheel.read(wheel.parts[f"{SCHEME.library}/demo-1.0.dist-info/INSTALLER"]) == b"pip\n"


@pytest.mark.parametrize("path", ["../evil.py", "/etc/passwd", "demo/../../evil", "demo//a.py", "demo\\a.py", "./a.py"])
def test_paths_outside_of_the_target_are_refused(tmp_path: Path, path: str) -> None:
    wheel = make_wheel(tmp_path / "demo.whl", {path: "x"})
    with pytest.raises(BuildError, match="is not a valid path in a wheel") as caught:
        read_all(wheel)
    assert "demo.whl" in caught.value.brief


def test_files_are_installed_where_links_of_the_target_lead(tmp_path: Path) -> None:
    """Debian's /usr/local/man is a symbolic link: a layer with a folder of that name would replace it."""
    files = {"demo-1.0.data/data/man/man1/x.1": "x", "demo-1.0.data/data/manual/y": "y"}
    with open_wheel(make_wheel(tmp_path / "demo.whl", files), SCHEME) as wheel:
        assert {path for path in wheel.parts if path.startswith("/usr/local/")} >= {
            "/usr/local/share/man/man1/x.1",
            "/usr/local/manual/y",
        }
        assert not any(path.startswith("/usr/local/man/") for path in wheel.parts)


@pytest.mark.parametrize("path", ["demo-1.0.data/scripts/../../../evil", "demo-1.0.data/../x"])
def test_data_outside_of_the_target_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(BuildError):
        read_all(make_wheel(tmp_path / "demo.whl", {path: "x"}))


@pytest.mark.parametrize("name", ["../evil", "a/b", ".."])
def test_script_names_outside_of_the_target_are_refused(tmp_path: Path, name: str) -> None:
    wheel = make_wheel(tmp_path / "demo.whl", {}, entry_points=f"[console_scripts]\n{name} = demo:main\n")
    with pytest.raises(BuildError, match="is not a valid name for a script"):
        read_all(wheel)


@pytest.mark.parametrize(
    ("metadata", "files", "points"),
    [
        ({"WHEEL": None}, {}, ""),
        ({"WHEEL": "Wheel-Version: 2.0\nRoot-Is-Purelib: true\n"}, {}, ""),
        ({"WHEEL": b"\xff\xfe"}, {}, ""),
        ({}, {"other-2.dist-info/METADATA": "x"}, ""),
        ({}, {"demo-1.0.data/nowhere/x": "x"}, ""),
        ({}, {}, "[console_scripts]\ndemo = not an entry point\n"),
        ({}, {}, "no section\n"),
    ],
)
def test_the_error_names_the_file_that_is_not_an_installable_wheel(
    tmp_path: Path, metadata: dict[str, bytes | str | None], files: dict[str, str], points: str
) -> None:
    wheel = make_wheel(tmp_path / "demo.whl", files, metadata=metadata, entry_points=points)
    with pytest.raises(BuildError, match=r"^demo\.whl: "):
        read_all(wheel)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>"])
def test_a_file_that_is_not_a_zip_archive_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "demo.whl").write_bytes(content)
    with pytest.raises(IntegrityError, match="not a wheel"):
        read_all(tmp_path / "demo.whl")


@pytest.mark.parametrize(("flag", "method"), [(1, zipfile.ZIP_STORED), (0, zipfile.ZIP_BZIP2)])
def test_encrypted_members_and_other_compressions_are_refused(tmp_path: Path, flag: int, method: int) -> None:
    with open_wheel(make_wheel(tmp_path / "demo.whl", {"demo.py": "x"}), SCHEME) as wheel:
        source = wheel.parts[f"{SCHEME.library}/demo.py"].source
        assert source is not None
        source.flag_bits |= flag
        source.compress_type = method
        with pytest.raises(BuildError, match=r"demo\.py is encrypted or has an unsupported compression method"):
            wheel.place(source)


def test_a_damaged_member_is_detected(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "demo.whl", {"demo.py": "abcdefgh" * 9}, compression=zipfile.ZIP_STORED)
    wheel.write_bytes(wheel.read_bytes().replace(b"abcdefgh", b"abcdefgX", 1))
    with pytest.raises(IntegrityError, match=r"demo\.py is damaged"):
        read_all(wheel)


def test_damaged_deflate_data_is_detected(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "demo.whl", {"demo.py": "".join(map(str, range(999)))})
    content = bytearray(wheel.read_bytes())
    start = content.index(b"demo.py") + len("demo.py")
    content[start + 20 : start + 60] = bytes(40)
    wheel.write_bytes(content)
    with pytest.raises(IntegrityError, match="damaged"):
        read_all(wheel)


@pytest.fixture(scope="module")
def large_wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Wheels with one large member, by compression method."""
    folder = tmp_path_factory.mktemp("large")
    return {
        method: make_wheel(folder / f"demo-{method}.whl", {LIBRARY: LARGE}, compression=method)
        for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED)
    }


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_large_members_are_read_in_pieces(large_wheels: dict[int, Path], method: int) -> None:
    with open_wheel(large_wheels[method], SCHEME) as opened:
        pieces = list(opened.pieces(opened.parts[f"{SCHEME.library}/{LIBRARY}"]))
    assert len(pieces) > 1
    assert b"".join(pieces) == LARGE


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
@pytest.mark.parametrize("place", [0.3, 0.9])
def test_a_wrong_byte_of_a_large_member_is_detected(
    large_wheels: dict[int, Path], tmp_path: Path, method: int, place: float
) -> None:
    with zipfile.ZipFile(large_wheels[method]) as archive:
        info = archive.getinfo(LIBRARY)
    content = bytearray(large_wheels[method].read_bytes())
    content[info.header_offset + int(info.compress_size * place)] ^= 1
    (tmp_path / "demo.whl").write_bytes(content)
    with pytest.raises(IntegrityError, match=r"demo/library\.so is damaged"):
        read_all(tmp_path / "demo.whl")
