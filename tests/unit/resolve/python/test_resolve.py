"""The whole resolution against an index on this machine: pip's resolver, rtbuild's target, and what goes wrong."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rtbuild.errors import MirrorError, RecipeError, ResolutionError, UsageError
from rtbuild.lockfile.model import PythonArtifact
from rtbuild.recipe.model import MetadataRepair, PythonLayer
from rtbuild.resolve.environment import LockEnvironment
from rtbuild.resolve.python.process import PipProcess
from rtbuild.resolve.python.resolve import PythonResolution, resolve_python, resolver_identity
from rtbuild.resolve.python.target import Target
from tests.fakes.package_index import Distribution, PackageIndex, make_sdist, make_wheel
from tests.unit.resolve.python.conftest import ARM64, Listener, Resolve, release

pytestmark = pytest.mark.slow


def versions(resolution: PythonResolution) -> dict[str, str]:
    return {artifact.name: artifact.version for artifact in resolution.pythons}


@pytest.fixture
def shop(index: PackageIndex) -> PackageIndex:
    """shop -> cart -> wheel (of a cart), each in an old and a new version that go together, and till on its own."""
    for number in ("1", "2"):
        index.publish(make_wheel("shop", f"{number}.0", requires=[f"cart>={number}.0", "till"]))
        index.publish(make_wheel("cart", f"{number}.0", requires=[f"axle=={number}.*"]))
        index.publish(make_wheel("axle", f"{number}.0"))
        index.publish(make_wheel("till", f"{number}.0"))
    return index


@pytest.fixture
def old(shop: PackageIndex, resolve: Resolve) -> tuple[PythonArtifact, ...]:
    pins = ["shop==1.0", "cart==1.0", "axle==1.0", "till==1.0"]
    return resolve(release("shop", constraints=pins)).pythons


def test_the_fields_of_an_artifact(index: PackageIndex, resolve: Resolve) -> None:
    eggs = index.publish(make_wheel("Eggs", "2.0"), uploaded="2023-02-03T04:05:06.5Z")
    index.publish(make_wheel("spam", "1.0", requires=["eggs>1"]))
    first, second = resolve("spam").pythons
    assert first == PythonArtifact(
        name="eggs",
        version="2.0",
        filename="Eggs-2.0-py3-none-any.whl",
        path=index.path_of("Eggs-2.0-py3-none-any.whl").lstrip("/"),
        size=len(eggs.content),
        sha256=first.sha256,
        uploaded=datetime(2023, 2, 3, 4, 5, 6, 500000, tzinfo=UTC),
        layer="rest",
    )
    assert first.sha256 == eggs.sha256
    assert (second.name, second.requires) == ("spam", ("eggs",))


def test_markers_and_files_are_for_the_target(index: PackageIndex, resolve: Resolve) -> None:
    index.publish(
        make_wheel(
            "spam",
            "1.0",
            requires=["old; python_version<'3.10'", "new; python_version>='3.10'", "arm; platform_machine=='aarch64'"],
        )
    )
    for name in ("old", "new", "arm"):
        index.publish(make_wheel(name, "1.0"))
    for machine in ("x86_64", "aarch64"):
        index.publish(make_wheel("old", "2.0", tag=f"cp39-cp39-manylinux_2_28_{machine}"))
    amd64, arm64 = resolve("spam"), resolve("spam", platform=ARM64)
    assert versions(amd64) == {"old": "2.0", "spam": "1.0"}
    assert versions(arm64) == {"arm": "1.0", "old": "2.0", "spam": "1.0"}
    assert amd64.pythons[0].filename == "old-2.0-cp39-cp39-manylinux_2_28_x86_64.whl"
    assert arm64.pythons[1].filename == "old-2.0-cp39-cp39-manylinux_2_28_aarch64.whl"


def test_extras_are_normalized(index: PackageIndex, resolve: Resolve) -> None:
    requires = ["kube; extra == 'cncf.kubernetes'", "pg; extra == 'postgres'"]
    index.publish(make_wheel("airflow", "2.6", requires=requires, extras=["cncf.kubernetes", "postgres"]))
    index.publish(make_wheel("kube", "1.0"))
    resolution = resolve("airflow[cncf-kubernetes]==2.6")
    assert versions(resolution) == {"airflow": "2.6", "kube": "1.0"}
    assert resolution.pythons[0].requires == ("kube",)


def test_an_extra_that_does_not_exist_is_an_error(index: PackageIndex, resolve: Resolve) -> None:
    index.publish(make_wheel("airflow", "2.6", extras=["postgres"]))
    with pytest.raises(ResolutionError, match="does not provide the extra 'celery' that the recipe asks for") as caught:
        resolve("airflow[celery]")
    assert "it has: postgres" in str(caught.value)


def test_layers_come_from_the_recipe(shop: PackageIndex, resolve: Resolve) -> None:
    layers = [PythonLayer(name="base", title="", roots=("cart",)), PythonLayer(name="top", title="", roots=())]
    resolution = resolve(release("shop", layers=layers))
    assert {artifact.name: artifact.layer for artifact in resolution.pythons} == {
        "axle": "base",
        "cart": "base",
        "shop": "top",
        "till": "top",
    }


def test_later_uploads_are_ignored(index: PackageIndex, resolve: Resolve) -> None:
    index.publish(make_wheel("spam", "1.0"), uploaded="2023-04-30T23:59:59Z")
    index.publish(make_wheel("spam", "2.0"), uploaded="2023-05-01T00:00:00Z")
    assert versions(resolve("spam")) == {"spam": "1.0"}
    assert versions(resolve(release("spam", as_of=datetime(2023, 5, 2, tzinfo=UTC)))) == {"spam": "2.0"}


def test_locked_packages_stay(shop: PackageIndex, resolve: Resolve, old: tuple[PythonArtifact, ...]) -> None:
    assert resolve("shop", locked=old).pythons == old
    assert set(versions(resolve("shop")).values()) == {"2.0"}


def test_an_upgrade_moves_only_what_it_forces(
    shop: PackageIndex, resolve: Resolve, old: tuple[PythonArtifact, ...]
) -> None:
    moved = versions(resolve("shop", locked=old, upgrade={"Shop": None}))
    assert moved == {"shop": "2.0", "cart": "2.0", "axle": "2.0", "till": "1.0"}
    assert versions(resolve("shop", locked=old, upgrade={"till": "2"})) == {**versions_of(old), "till": "2.0"}


def versions_of(artifacts: tuple[PythonArtifact, ...]) -> dict[str, str]:
    return {artifact.name: artifact.version for artifact in artifacts}


def test_a_downgrade_is_an_upgrade_to_an_older_version(shop: PackageIndex, resolve: Resolve) -> None:
    newest = resolve("shop").pythons
    moved = versions(resolve("shop", locked=newest, upgrade={"cart": "1.0"}))
    assert moved == {"shop": "1.0", "cart": "1.0", "axle": "1.0", "till": "2.0"}


def test_locked_versions_that_do_not_fit_the_recipe_move(
    shop: PackageIndex, resolve: Resolve, old: tuple[PythonArtifact, ...]
) -> None:
    moved = versions(resolve(release("shop>=2"), locked=old))
    assert moved == {"shop": "2.0", "cart": "2.0", "axle": "2.0", "till": "1.0"}


@pytest.mark.parametrize(
    ("upgrade", "text"),
    [
        ({"trolley": None}, "trolley is not in the lock"),
        ({"cart": "new"}, "cart==new: 'new' is not a version"),
        ({"?": None}, "is not a package name"),
    ],
)
def test_a_malformed_upgrade_is_an_error(
    shop: PackageIndex,
    resolve: Resolve,
    old: tuple[PythonArtifact, ...],
    upgrade: dict[str, str | None],
    text: str,
) -> None:
    with pytest.raises(UsageError, match=text):
        resolve("shop", locked=old, upgrade=upgrade)


def test_a_resolution_is_reproducible(
    shop: PackageIndex, target: Target, environment: LockEnvironment, tmp_path: Path
) -> None:
    shop.publish(make_sdist("axle", "2.1", requires=["till"]))
    shop.publish(make_wheel("setuptools", "67.7.2"))
    shop.publish(make_wheel("wheel", "0.40.0"))
    found = [
        resolve_python(release("shop", "till"), target, replace(environment, cache=tmp_path / name))
        for name in ("one", "two")
    ]
    assert found[0] == found[1]


def test_an_sdist_is_used_if_there_is_no_wheel_and_its_build_requirements_are_locked(
    index: PackageIndex, resolve: Resolve
) -> None:
    index.publish(make_wheel("spam", "1.0", tag="cp310-cp310-win_amd64"))
    index.publish(make_sdist("spam", "1.0", requires=["eggs"], setup_requires=["cffi"]))
    index.publish(make_sdist("eggs", "1.0"))
    index.publish(make_wheel("setuptools", "67.7.2"))
    index.publish(make_wheel("setuptools", "68.0.0"))
    index.publish(make_wheel("wheel", "0.40.0"))
    index.publish(make_wheel("cffi", "1.15", requires=["pycparser"]))
    index.publish(make_wheel("pycparser", "2.21"))
    resolution = resolve(release("spam", build_constraints=["setuptools<68"]))
    assert [(artifact.filename, artifact.is_wheel) for artifact in resolution.pythons] == [
        ("eggs-1.0.tar.gz", False),
        ("spam-1.0.tar.gz", False),
    ]
    built = [
        (artifact.name, artifact.version, artifact.layer, artifact.requires) for artifact in resolution.build_pythons
    ]
    assert built == [
        ("cffi", "1.15", "", ("pycparser",)),
        ("pycparser", "2.21", "", ()),
        ("setuptools", "67.7.2", "", ()),
        ("wheel", "0.40.0", "", ()),
    ]


def test_an_older_wheel_is_preferred_to_a_newer_sdist(index: PackageIndex, resolve: Resolve) -> None:
    index.publish(make_wheel("spam", "1.0"))
    index.publish(make_sdist("spam", "1.1"))
    assert versions(resolve("spam")) == {"spam": "1.0"}


def test_sdists_that_cannot_share_an_environment_get_one_each(index: PackageIndex, resolve: Resolve) -> None:
    for name, needed in (("one", "setuptools<60"), ("two", "setuptools>60")):
        pyproject = f'[build-system]\nrequires = ["{needed}"]\nbuild-backend = "setuptools.build_meta"\n'
        index.publish(make_sdist(name, "1.0", pyproject=pyproject))
    for version in ("59.0", "67.0"):
        index.publish(make_wheel("setuptools", version))
    index.publish(make_wheel("wheel", "0.40.0"))
    built = resolve(release("one", "two")).build_pythons
    assert [(artifact.layer, artifact.name, artifact.version) for artifact in built] == [
        ("one", "setuptools", "59.0"),
        ("one", "wheel", "0.40.0"),
        ("two", "setuptools", "67.0"),
        ("two", "wheel", "0.40.0"),
    ]


def test_a_build_requirement_without_a_wheel_is_an_error(index: PackageIndex, resolve: Resolve) -> None:
    index.publish(make_sdist("spam", "1.0"))
    index.publish(make_sdist("setuptools", "67.7.2"))
    index.publish(make_wheel("wheel", "0.40.0"))
    with pytest.raises(ResolutionError, match=r"building spam needs setuptools-67\.7\.2\.tar\.gz") as caught:
        resolve("spam")
    assert "build_constraints" in str(caught.value.hint)


def test_pre_releases_must_be_pinned_by_the_recipe(index: PackageIndex, resolve: Resolve) -> None:
    index.publish(make_wheel("spam", "1.0", requires=["protobuf<4.0.0dev"]))
    index.publish(make_wheel("protobuf", "3.19"))
    index.publish(make_wheel("protobuf", "3.20rc2"))
    assert versions(resolve("spam"))["protobuf"] == "3.19"
    assert versions(resolve(release("spam", constraints=["protobuf==3.20rc2"])))["protobuf"] == "3.20rc2"


def test_a_yanked_version_is_skipped(index: PackageIndex, resolve: Resolve) -> None:
    index.publish(make_wheel("spam", "1.0"))
    index.publish(make_wheel("spam", "2.0"), yanked="broken")
    assert versions(resolve("spam")) == {"spam": "1.0"}


def test_a_yanked_version_that_the_recipe_pins_is_used_and_reported(
    index: PackageIndex, resolve: Resolve, listener: Listener
) -> None:
    index.publish(make_wheel("spam", "2.0"), yanked="wrong policy")
    assert versions(resolve("spam==2.0")) == {"spam": "2.0"}
    assert listener.notes == ["spam-2.0-py3-none-any.whl was yanked from the index: wrong policy; the recipe pins it"]


def test_a_yanked_version_that_another_package_pins_is_an_error(index: PackageIndex, resolve: Resolve) -> None:
    index.publish(make_wheel("spam", "1.0", requires=["eggs==1.0"]))
    index.publish(make_wheel("eggs", "1.0"), yanked="leaks")
    with pytest.raises(
        ResolutionError, match=r"eggs-1\.0-py3-none-any\.whl was yanked from the index: leaks"
    ) as caught:
        resolve("spam")
    assert "pin eggs==1.0" in str(caught.value.hint)


def test_requirements_that_contradict_each_other(index: PackageIndex, resolve: Resolve) -> None:
    index.publish(make_wheel("one", "1.0", requires=["spam<2"]))
    index.publish(make_wheel("two", "1.0", requires=["spam>=2"]))
    index.publish(make_wheel("spam", "1.0"))
    index.publish(make_wheel("spam", "2.0"))
    with pytest.raises(ResolutionError, match="requirements on spam contradict each other") as caught:
        resolve(release("one", "two"))
    details = str(caught.value.details)
    assert "one 1.0 needs spam<2" in details
    assert "two 1.0 needs spam>=2" in details
    assert caught.value.hint


def test_a_constraint_that_contradicts_a_requirement_is_named(index: PackageIndex, resolve: Resolve) -> None:
    index.publish(make_wheel("spam", "1.0"))
    index.publish(make_wheel("spam", "2.0"))
    with pytest.raises(ResolutionError, match="requirements on spam contradict each other") as caught:
        resolve(release("spam>=2", constraints=["spam<2"]))
    assert "spam<2" in str(caught.value.details)


@pytest.mark.parametrize(
    ("tag", "uploaded", "requires_python", "reason"),
    [
        ("cp39-cp39-win_amd64", "2023-01-01T00:00:00Z", None, "1 for other platforms only (1.0)"),
        ("py3-none-any", "2023-06-01T00:00:00Z", None, "1 uploaded too late (1.0)"),
        ("py3-none-any", "2023-01-01T00:00:00Z", ">=3.11", "1 for other Pythons only (1.0)"),
    ],
)
def test_no_file_for_the_target_says_why(
    index: PackageIndex, resolve: Resolve, tag: str, uploaded: str, requires_python: str | None, reason: str
) -> None:
    index.publish(make_wheel("spam", "1.0", tag=tag, requires_python=requires_python), uploaded=uploaded)
    with pytest.raises(ResolutionError, match=r"spam: no file can be used for Python 3\.9\.2 on linux/amd64") as caught:
        resolve("spam")
    assert reason in str(caught.value.details)


def test_an_unknown_version_is_reported_with_the_known_ones(index: PackageIndex, resolve: Resolve) -> None:
    index.publish(make_wheel("spam", "1.0"))
    index.publish(make_wheel("spam", "2.0rc1"))
    with pytest.raises(ResolutionError, match="spam: no version fits") as caught:
        resolve("spam>=2")
    details = str(caught.value.details)
    assert "the recipe asks for spam>=2" in details
    assert "1 can be used (1.0), 1 pre-releases, which the recipe would have to pin (2.0rc1)" in details


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        (b"Metadata-Version: 2.1\nName: eggs\nVersion: 1.0\n", "its metadata is that of eggs 1.0"),
        (
            b"Metadata-Version: 2.1\nName: spam\nVersion: 1.0\nRequires-Dist: eggs (>>1\n",
            "line 4 of its metadata is not a valid requirement: 'eggs (>>1'",
        ),
        (b"nonsense", "its metadata has no name or no version"),
    ],
)
def test_unusable_metadata_is_explained(index: PackageIndex, resolve: Resolve, metadata: bytes, reason: str) -> None:
    index.publish(replace(make_wheel("spam", "1.0"), metadata=metadata))
    with pytest.raises(ResolutionError) as caught:
        resolve("spam")
    assert caught.value.brief == f"spam-1.0-py3-none-any.whl: {reason}"
    assert "pip" not in f"{caught.value.details} {caught.value.hint}"


@pytest.mark.parametrize("make", [make_wheel, make_sdist])
@pytest.mark.parametrize("needed", ["pytz (>dev)", "pytz (>=2018.*)", "pytz (>dev) ; python_version >= '3'"])
def test_old_metadata_is_read_as_it_was_then(
    index: PackageIndex, resolve: Resolve, make: Callable[..., Distribution], needed: str
) -> None:
    index.publish(make("celery", "5.1.2", requires=[needed]))
    for name, version in (("pytz", "2021.3"), ("setuptools", "67.7.2"), ("wheel", "0.40.0")):
        index.publish(make_wheel(name, version))
    found = resolve("celery")
    assert versions(found) == {"celery": "5.1.2", "pytz": "2021.3"}
    assert found.pythons[0].requires == ("pytz",)


@pytest.mark.parametrize(("replacement", "chosen"), [("pytz<2021", "2020.1"), (None, None)])
def test_a_recipe_says_how_to_read_a_requirement(
    index: PackageIndex, resolve: Resolve, replacement: str | None, chosen: str | None
) -> None:
    index.publish(make_wheel("celery", "5.1.2", requires=["pytz (=2020)"]))
    for version in ("2020.1", "2021.3"):
        index.publish(make_wheel("pytz", version))
    repair = MetadataRepair(
        file="celery-5.1.2-py3-none-any.whl", requirement="pytz (=2020)", replacement=replacement, reason="a typo"
    )
    found = versions(resolve(replace(release("celery"), metadata=(repair,))))
    assert found == {"celery": "5.1.2"} | ({"pytz": chosen} if chosen else {})
    other = replace(repair, file="celery-5.1.1-py3-none-any.whl")
    with pytest.raises(ResolutionError, match="is not a valid requirement"):
        resolve(replace(release("celery"), metadata=(other,)))


def test_a_file_with_unusable_metadata_is_skipped(index: PackageIndex, resolve: Resolve) -> None:
    index.publish(make_sdist("spam", "2.0", egg_info=False))
    index.publish(make_sdist("spam", "1.0"))
    index.publish(make_wheel("setuptools", "67.7.2"))
    index.publish(make_wheel("wheel", "0.40.0"))
    assert versions(resolve("spam")) == {"spam": "1.0"}
    with pytest.raises(ResolutionError, match=r"spam-2\.0\.tar\.gz: its requirements are unknown") as caught:
        resolve("spam>=2")
    assert "the recipe asks for spam>=2" in str(caught.value.details)
    assert "that-cannot-be-used" not in str(caught.value.details)


def test_an_unknown_package_is_named_with_who_wants_it(index: PackageIndex, resolve: Resolve) -> None:
    index.publish(make_wheel("spam", "1.0", requires=["aegs"]))
    with pytest.raises(MirrorError, match="aegs") as caught:
        resolve("spam")
    assert "spam asks for aegs" in str(caught.value.details)
    assert "check the spelling of aegs" in str(caught.value.hint)
    with pytest.raises(MirrorError, match="spham") as caught:
        resolve("spham>=1")
    assert "the recipe asks for spham>=1" in str(caught.value.details)


def test_a_busy_index_is_asked_again(index: PackageIndex, resolve: Resolve) -> None:
    index.publish(make_wheel("spam", "1.0"))
    index.fail("/simple/spam", status=503, times=2)
    assert versions(resolve("spam")) == {"spam": "1.0"}


@pytest.mark.parametrize("requirement", ["spam ==", "spam @ http://127.0.0.1/spam.whl", "-r more.txt"])
def test_a_malformed_requirement_is_an_error(index: PackageIndex, resolve: Resolve, requirement: str) -> None:
    with pytest.raises(RecipeError, match="requirement"):
        resolve(requirement)


def test_the_machines_pip_configuration_is_ignored(
    index: PackageIndex, resolve: Resolve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.publish(make_wheel("spam", "1.0"))
    better = make_wheel("spam", "9.0")
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / better.filename).write_bytes(better.content)
    configuration = tmp_path / "pip.conf"
    configuration.write_text(f"[global]\nfind-links = {folder}\npre = true\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(configuration))
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert versions(resolve("spam")) == {"spam": "1.0"}


def test_progress_counts_the_packages(shop: PackageIndex, resolve: Resolve, listener: Listener) -> None:
    resolve("shop")
    assert listener.advanced == 4
    assert listener.outcomes == ["4 packages"]


def test_an_interrupt_leaves_no_process_behind(
    shop: PackageIndex, target: Target, environment: LockEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    usual: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen

    def remember(*args: object, **options: object) -> subprocess.Popen[bytes]:
        started.append(usual(*args, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", remember)

    class Interrupting(Listener):
        def advance(self, task: str, amount: int = 1) -> None:
            raise KeyboardInterrupt

    listener = Interrupting()
    with pytest.raises(KeyboardInterrupt):
        resolve_python(release("shop"), target, replace(environment, pip=PipProcess(), progress=listener))
    assert [process.poll() is None for process in started] == [False]
    assert listener.outcomes == ["cancelled"]


def test_the_resolvers_identity_names_its_versions() -> None:
    assert resolver_identity().startswith("pip ")
    assert "pip-tools" in resolver_identity()
