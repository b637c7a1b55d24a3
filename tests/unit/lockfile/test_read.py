"""Reading and writing lockfiles: what is written is read, and errors name what is wrong."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtbuild.digest import DiffId, Digest, Key, Sha256
from rtbuild.errors import LockError
from rtbuild.lockfile.model import EngineLock, ImageResult, LayerResult, Lock, LockedPatch
from rtbuild.lockfile.read import read_engine_lock, read_lock, record_results, write_engine_lock, write_lock
from rtbuild.lockfile.remedy import lock_remedy
from rtbuild.platform import PLATFORMS
from tests.fakes import locks


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runtime.lock" / "8.0.0" / "linux-amd64.toml"


def refusal(path: Path, change: Callable[[str], str], lock: Lock | None = None) -> LockError:
    """The error of a lock whose text was changed."""
    write_lock(path, lock or locks.lock())
    before = path.read_text()
    after = change(before)
    assert after != before
    path.write_text(after)
    with pytest.raises(LockError) as caught:
        read_lock(path)
    assert "\n" not in caught.value.brief
    return caught.value


def test_what_is_written_is_read(path: Path) -> None:
    write_lock(path, locks.lock())
    assert read_lock(path) == locks.lock()


def test_nothing_but_the_lock_is_left_in_its_folder(path: Path) -> None:
    write_lock(path, locks.lock())
    assert [file.name for file in path.parent.iterdir()] == ["linux-amd64.toml"]


def test_an_engine_lock(tmp_path: Path) -> None:
    path = tmp_path / "runtime.lock" / "engines" / "default" / "linux-amd64.toml"
    lock = EngineLock(
        engine="default",
        platform=PLATFORMS["linux/amd64"],
        inputs=(("recipes/engines/default.toml", Sha256("c" * 64)),),
        debs=(locks.deb("containerd", layer=""), locks.deb("runc", layer="")),
        suites=(locks.suite(),),
    )
    write_engine_lock(path, lock)
    assert read_engine_lock(path) == lock


def test_a_lock_of_format_1_is_read_and_stays_one(path: Path) -> None:
    old = locks.lock(suites=(), version=1)
    write_lock(path, old)
    assert "\nversion = 1\n" in path.read_text()
    assert read_lock(path) == old
    record_results(path, old.layers, old.image, None)
    assert read_lock(path).version == 1


def test_format_1_has_no_suites_and_no_sources(path: Path) -> None:
    lock = locks.lock(debs=(replace(locks.deb("libc6"), source="glibc"),))
    error = refusal(path, lambda text: text.replace("version = 2\n", "version = 1\n", 1), lock)
    lines = str(error.details).splitlines()
    assert [line.partition(" (")[0] for line in lines] == [
        f"{NAME}: deb[0].source: unknown field",
        f"{NAME}: suite: unknown field",
    ]


def test_every_package_comes_from_a_recorded_suite(path: Path) -> None:
    error = refusal(path, lambda text: text.replace('suite = "bullseye"', 'suite = "sid"', 1))
    assert str(error.details).splitlines() == [
        f"{NAME}: deb[{number}].suite: debian bullseye has no [[suite]]" for number in range(2)
    ]


def test_a_suite_that_is_recorded_twice(path: Path) -> None:
    write_lock(path, locks.lock(suites=(locks.suite(), locks.suite())))
    with pytest.raises(LockError, match=r"suite\[1\]\.suite: debian bullseye is recorded twice"):
        read_lock(path)


def test_results_are_recorded_in_place_of_older_ones(path: Path) -> None:
    write_lock(path, locks.lock())
    layers = [LayerResult(name="python", key=Key("5" * 64), diff_id=DiffId(Digest("sha256:" + "6" * 64)), size=7)]
    image = ImageResult(id=Digest("sha256:" + "7" * 64), manifest=Digest("sha256:" + "8" * 64), compressor="gzip")
    record_results(path, layers, image, None)
    assert read_lock(path) == replace(locks.lock(), layers=tuple(layers), image=image, image_base=None)


NAMES = st.from_regex(r"[a-z][a-z0-9]{1,8}(-[a-z0-9]{1,4})?", fullmatch=True)
HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="/\\"), min_size=1, max_size=20)
DEBIAN_VERSIONS = st.from_regex(r"([1-9]:)?[0-9][A-Za-z0-9.+~]{0,6}(-[0-9a-z.+~]{1,4})?", fullmatch=True)
VERSIONS = st.from_regex(
    r"[0-9]{1,3}(\.[0-9]{1,3}){0,3}((a|b|rc)[0-9])?(\.post[0-9])?(\+[a-z0-9]{1,4})?", fullmatch=True
)
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@st.composite
def any_lock(draw: st.DrawFn) -> Lock:
    """A well formed lock."""
    names = sorted(draw(st.sets(NAMES, min_size=1, max_size=6)))
    some = st.lists(st.sampled_from(names), unique=True).map(lambda chosen: tuple(sorted(chosen)))
    debs = [
        replace(
            locks.deb(name, depends=draw(some)),
            version=draw(DEBIAN_VERSIONS),
            size=draw(st.integers(1, 2**40)),
            sha256=Sha256(draw(HEX)),
            built=draw(st.integers(1, 2**33)),
            essential=draw(st.booleans()),
            source=draw(st.sampled_from(["", "gcc-10"])),
            source_version=draw(st.just("") | DEBIAN_VERSIONS),
        )
        for name in names
    ]
    suites = [
        replace(
            locks.suite(name),
            snapshot=draw(st.sampled_from([None, "20230501T000000Z"])),
            date=draw(MOMENTS),
            valid_until=draw(st.none() | MOMENTS),
        )
        for name in ("bullseye", "bullseye-updates")
    ]
    pythons = [
        replace(
            locks.wheel(name, requires=draw(some)),
            version=draw(VERSIONS),
            filename=draw(TEXTS),
            uploaded=draw(MOMENTS),
            layer=draw(st.sampled_from(["", "airflow", "providers"])),
        )
        for name in names
    ]
    builds = tuple(locks.wheel(name, layer=draw(st.sampled_from(["", "sdist"]))) for name in names)
    inputs = draw(st.dictionaries(TEXTS, HEX, max_size=4))
    return locks.lock(
        as_of=draw(MOMENTS),
        source_date_epoch=draw(st.integers(1, 2**33)),
        inputs=tuple(sorted((name, Sha256(digest)) for name, digest in inputs.items())),
        debs=tuple(debs),
        pythons=tuple(pythons),
        build_pythons=builds,
        suites=tuple(suites),
        image_base=draw(st.sampled_from([None, locks.lock().image])),
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(lock=any_lock())
def test_any_lock_comes_back_as_it_was_written(lock: Lock) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lock.toml"
        write_lock(path, lock)
        assert read_lock(path) == lock


NAME = "runtime.lock/8.0.0/linux-amd64.toml"


def test_a_hash_with_a_wrong_digit(path: Path) -> None:
    error = refusal(path, lambda text: text.replace("a" * 64, "a" * 63 + "g", 1))
    assert error.brief.startswith(f"{NAME}: deb[0].sha256: ")
    assert "64 lower-case hexadecimal digits" in error.brief


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('release = "8.0.0"', "release = 8", "release: expected a string, found a whole number"),
        ('platform = "linux/amd64"', 'platform = "linux"', "platform: unknown platform 'linux'"),
        ('platform = "linux/amd64"', 'platform = "amd64"', "platform: unknown platform 'amd64'"),
        ("size = 1000", "size = -1", "deb[0].size: is -1, expected at least 1"),
        ("built = 1600000000", 'built = "now"', "deb[0].built: expected a whole number, found a string"),
        ("[[deb]]\n", "[[deb]]\nmood = 1\n", "deb[0].mood: unknown field"),
        ('name = "libc6"', 'name = "libc"', "deb[0].depends: apt needs libc6, which is not locked"),
        ('name = "libc6"', 'name = "apt"', "deb[1].name: apt is locked twice, first in deb[0]"),
        ('name = "pip"', 'name = "Pip"', "python[1].name: 'Pip': not a normalised name, expected 'pip'"),
        ('name = "pip"', 'name = "wheel"', "python[0].requires: apache-airflow needs pip, which is not locked"),
        ('path = "pool/main/a', 'path = "/pool/main/a', "deb[0].path: '/pool/main/a"),
        ('path = "pool/main/a', 'path = "../main/a', "deb[0].path: '../main/a"),
        ('id = "sha256:3', 'id = "sha512:3', "image.id: "),
        ("diff_id = ", "diff = ", "layers.base-os.diff_id: is missing, expected a string"),
        ("[inputs]", "[outputs]", "inputs: is missing, expected a table"),
        ("2023-05-02T00:00:00Z", '"yesterday"', "as_of: expected a date and time, found a string"),
        (
            "2023-05-02T00:00:00Z",
            "9999-12-31T23:59:59-01:00",
            "as_of: 9999-12-31T23:59:59-01:00 is out of range in UTC",
        ),
        ("2023-05-02T00:00:00Z", "1969-12-31T23:59:59Z", "as_of: 1969-12-31T23:59:59+00:00 is before 1970"),
        ('python_version = "3.9.2"', 'python_version = "3,9"', "python_version: '3,9': not a version (PEP 440)"),
        ('version = "2.31-13+deb11u1"', 'version = "banana"', "deb[1].version: 'banana': not a Debian version"),
        ('version = "2.6.0"', 'version = "banana"', "python[0].version: 'banana': not a version (PEP 440)"),
    ],
)
def test_a_bad_field_is_named(path: Path, old: str, new: str, problem: str) -> None:
    error = refusal(path, lambda text: text.replace(old, new, 1))
    assert error.brief.startswith(f"{NAME}: {problem}")


@pytest.mark.parametrize("table", ["deb", "python"])
def test_a_missing_table_is_named(path: Path, table: str) -> None:
    error = refusal(path, lambda text: text.replace(f"[[{table}]]", f"[[other-{table}]]"))
    assert error.brief.startswith(f"{NAME}: {table}: is missing, expected a list")


def test_a_missing_package_is_named_by_those_that_need_it(path: Path) -> None:
    error = refusal(path, lambda text: text[: text.rindex("[[python]]")])
    assert error.brief == f"{NAME}: python[0].requires: apache-airflow needs pip, which is not locked"
    assert error.hint == "restore the lockfile from version control, or regenerate it with: rtbuild lock --refresh"


def test_an_sdist_without_its_build_packages(path: Path) -> None:
    sdist = replace(locks.wheel("future"), filename="future-1.0.tar.gz", path="packages/future-1.0.tar.gz")
    lock = locks.lock(pythons=(sdist,), build_pythons=(locks.wheel("setuptools", layer="future"),))
    error = refusal(path, lambda text: text[: text.index("[[python-build]]")], lock)
    assert error.brief == f"{NAME}: python-build: is missing, but future-1.0.tar.gz must be built"


def test_the_image_without_its_layers(path: Path) -> None:
    error = refusal(path, lambda text: text[: text.index("[layers")] + text[text.index("[[suite]]") :])
    assert error.brief == f"{NAME}: layers: is missing, but results of the image are recorded"


def test_the_layers_without_their_image(path: Path) -> None:
    error = refusal(path, lambda text: text[: text.index("[image]")] + text[text.index("[layers") :])
    assert error.brief == f"{NAME}: image: is missing, but results of its layers are recorded"


@pytest.mark.parametrize(
    ("version", "hint"),
    [(3, "this rtbuild reads version 2; use a newer one"), (0, "restore the lockfile from version control")],
)
def test_another_format_version_is_refused_before_anything_else(path: Path, version: int, hint: str) -> None:
    error = refusal(path, lambda text: text.replace("version = 2", f"version = {version}").replace("[[deb]]", "[[d]]"))
    assert error.brief == f"{NAME}: version: unknown version {version}"
    assert error.hint is not None
    assert error.hint.startswith(hint)


def test_all_problems_are_listed_at_once(path: Path) -> None:
    error = refusal(path, lambda text: text.replace("size = ", "sise = "))
    assert error.brief == f"{NAME}: deb[0].size: is missing, expected a whole number (and 9 more)"
    assert error.details is not None
    assert f"{NAME}: python[1].sise: unknown field (did you mean 'size'?)" in error.details.splitlines()


def test_conflict_markers_of_a_merge(path: Path) -> None:
    error = refusal(path, lambda text: text.replace("[inputs]", "<<<<<<< ours\n[inputs]"))
    assert error.brief == f"{NAME}: line 9: a conflict of a merge"
    assert error.hint == "resolve it, and remove the lines that begin with <<<<<<<, ======= and >>>>>>>"


def test_a_lock_that_is_not_text(path: Path) -> None:
    write_lock(path, locks.lock())
    path.write_bytes(b"\xff")
    with pytest.raises(LockError, match="is not UTF-8 text") as caught:
        read_lock(path)
    assert "version control" in (caught.value.hint or "")


def test_a_missing_lock(path: Path) -> None:
    with pytest.raises(LockError) as caught:
        read_lock(path, remedy=lock_remedy("8.0.0"))
    assert caught.value.brief == f"{NAME}: no such file"
    assert caught.value.hint == "create it with: rtbuild lock 8.0.0"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "runtime.lock").write_text("a file, not a folder")
    with pytest.raises(LockError, match=r"runtime\.lock/8\.0\.0/linux-amd64\.toml: cannot be written: ") as caught:
        write_lock(tmp_path / "runtime.lock" / "8.0.0" / "linux-amd64.toml", locks.lock())
    assert caught.value.hint == f"check the permissions of {tmp_path}/runtime.lock/8.0.0"


ONE = LockedPatch(id="one", sha256=Sha256("1" * 64))


def patched_lock(*patches: LockedPatch) -> Lock:
    """A lock of one package with those patches."""
    return locks.lock(
        pythons=(replace(locks.wheel("demo"), version=f"1.0+astro.{len(patches)}", patches=patches),), debs=()
    )


def test_patches_are_read_as_they_were_written(path: Path) -> None:
    lock = patched_lock(LockedPatch(id="two", sha256=Sha256("2" * 64)), ONE)
    write_lock(path, lock)
    assert read_lock(path) == lock
    text = path.read_text()
    write_lock(path, read_lock(path))
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"1.0+astro.1"', '"1.0"', "python[0].version: 1.0 should be 1.0+astro.1, by"),
        ('"1.0+astro.1"', '"1.0+astro.2"', "python[0].version: 1.0+astro.2 should be 1.0+astro.1, by"),
        ('id = "one"', 'id = "One"', "python[0].patches[0].id: 'One'"),
        ('id = "one"', 'name = "one"', "python[0].patches[0].id: is missing"),
        (ONE.sha256, "12", "python[0].patches[0].sha256: '12': not a sha256"),
        (
            "[[python.patches]]",
            f'[[python.patches]]\nid = "one"\nsha256 = "{ONE.sha256}"\n[[python.patches]]',
            "python[0].patches[1].id: one is applied twice",
        ),
        ("[[python", "[[python-build", "python-build[0].patches: unknown field"),
    ],
)
def test_bad_patches(path: Path, old: str, new: str, problem: str) -> None:
    error = refusal(path, lambda text: text.replace(old, new), patched_lock(ONE))
    assert problem in f"{error.brief}\n{error.details}"


def local_lock() -> Lock:
    """A lock of a local package, whose path is a folder of the workspace, and of what it is built with."""
    filename, path = "gate_keeper-1.0.tar", "recipes/layers/gate/package"
    local = replace(locks.wheel("gate-keeper"), filename=filename, path=path, local=True)
    return locks.lock(pythons=(local, locks.wheel("pip")), build_pythons=(locks.wheel("setuptools", layer=""),))


def test_local_packages_are_read_as_they_were_written(path: Path) -> None:
    write_lock(path, local_lock())
    assert read_lock(path) == local_lock()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "gate_keeper-1.0.tar",
            "gate_keeper-1.0-py3-none-any.whl",
            "python[0].local: gate_keeper-1.0-py3-none-any.whl is a wheel, but a local package must be an sdist",
        ),
        ('name = "setuptools"', 'name = "setuptools"\nlocal = true', "python-build[0].local: unknown field"),
    ],
)
def test_bad_local_packages(path: Path, old: str, new: str, problem: str) -> None:
    error = refusal(path, lambda text: text.replace(old, new), local_lock())
    assert error.brief.startswith(f"{NAME}: {problem}")


def test_a_lock_without_python(tmp_path: Path) -> None:
    lock = replace(locks.lock(debs=(locks.deb("libc6"),)), python_version=None, pythons=(), build_pythons=())
    path = tmp_path / "linux-amd64.toml"
    write_lock(path, lock)
    assert "python" not in path.read_text()
    assert read_lock(path) == lock


def test_python_packages_without_a_python(path: Path) -> None:
    error = refusal(path, lambda text: text.replace('python_version = "3.9.2"\n', ""))
    assert error.brief.endswith("python_version: is missing, but Python packages are locked")
