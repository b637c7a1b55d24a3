"""The built image of 8.0.0 is a real Airflow: looked at from inside, in containers of a real engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rtbuild.engine.containers import Mount
from rtbuild.lockfile.model import Lock
from rtbuild.mirror.find import find_mirrors
from rtbuild.recipe.names import normalized
from rtbuild.settings import Settings
from rtbuild.workspace import Workspace
from tests.integration.conftest import BuiltImage

pytestmark = pytest.mark.integration

INSIDE = Mount(source=Path(__file__).parent / "inside", target="/inside")
DAGS = Mount(source=Path(__file__).parent / "inside" / "dags", target="/usr/local/airflow/dags")

# Modules of providers for which upstream asks for another provider or library only where they are used.
# None of these is in 8.0.0, so what needs them cannot be imported there either.
NOT_IN_RELEASE = {
    "airflow.providers.apache",
    "airflow.providers.databricks",
    "airflow.providers.dbt",
    "airflow.providers.mysql",
    "airflow.providers.snowflake",
    "airflow.providers.ssh",
    "asyncssh",
    "impala",
    "plyvel",
    "snowflake",
}


def run(image: BuiltImage, *command: str, **options: object) -> str:
    """What the command says on standard output; it must end well."""
    outcome = image.engine.run(image.reference, command, timeout=300, **options)  # type: ignore[arg-type]
    assert outcome.exit_code == 0, outcome.stdout.decode() + outcome.stderr.decode()
    return outcome.text


def test_the_image_is_the_one_that_the_lock_records(image: BuiltImage) -> None:
    assert image.result.matches_lock is True, image.result.mismatches


def test_airflow_is_of_the_release_version(image: BuiltImage) -> None:
    assert run(image, "airflow", "version") == "2.6.0"


def test_no_package_lacks_what_it_requires(image: BuiltImage) -> None:
    assert run(image, "pip", "check") == "No broken requirements found."


def test_what_is_installed_is_what_the_lock_says(image: BuiltImage) -> None:
    frozen = dict(line.split("==") for line in run(image, "pip", "freeze", "--all").splitlines())
    assert {normalized(name): version for name, version in frozen.items()} == {
        artifact.name: artifact.version for artifact in image.lock.pythons
    }


def test_a_patched_package_is_known_by_its_patched_version(image: BuiltImage) -> None:
    """To pip, to whoever asks its metadata, and in what satisfies a pin of the version that it is made from."""
    patched = {one.name: one for one in image.lock.pythons if one.patches}
    assert patched["openlineage-airflow"].version == "0.23.0+astro.1"
    code = (
        "import importlib.metadata as metadata, sys\n"
        "for name in sys.argv[1:]:\n"
        "    files = metadata.files(name)\n"
        "    assert all(file.locate().exists() for file in files), files\n"
        "    print(name, metadata.version(name))\n"
    )
    said = run(image, "python", "-c", code, *patched)
    assert dict(line.split() for line in said.splitlines()) == {name: one.version for name, one in patched.items()}
    pins = [f"{name}=={one.published}" for name, one in patched.items()]
    said = run(image, "pip", "install", "--no-index", "--no-deps", *pins)
    assert said.count("Requirement already satisfied") == len(pins)


def test_debian_packages_are_what_the_lock_says(image: BuiltImage) -> None:
    listed = run(image, "dpkg-query", "--show", "--showformat", "${Package} ${Version} ${db:Status-Status}\n")
    assert {tuple(line.split()) for line in listed.splitlines()} == {
        (deb.name, deb.version, "installed") for deb in image.lock.debs
    }


def test_the_package_database_is_healthy(image: BuiltImage) -> None:
    assert run(image, "dpkg", "--audit") == ""
    assert "0 newly installed" in run(image, "apt-get", "--simulate", "install", "git", user="root")


def test_apt_knows_the_suites_that_the_packages_come_from(image: BuiltImage, workspace: Workspace) -> None:
    """At one address, that of Debian's own package of apt."""
    lines = [line.split() for line in run(image, "cat", "/etc/apt/sources.list").splitlines()]
    assert {line[0] for line in lines} == {"deb"}
    archives = {line[2]: line[1].rpartition("/") for line in lines}
    suites = workspace.release("8.0").debian_layers[0].suites
    assert {suite: archive for suite, (_, _, archive) in archives.items()} == {
        suite.suite: suite.archive for suite in suites
    }
    assert [line[3:] for line in lines] == [list(suite.components) for suite in suites]
    assert len({address for address, _, _ in archives.values()}) == 1
    assert {deb.suite for deb in image.lock.debs} <= set(archives)


def test_apt_can_install_from_an_archive(
    image: BuiltImage, workspace: Workspace, settings: Settings, tmp_path: Path
) -> None:
    """With the archives that this machine knows, a package that the image lacks can be had."""
    sources = tmp_path / "sources.list"
    mirrors = find_mirrors(settings)
    suites = workspace.release("8.0").debian_layers[0].suites
    sources.write_text(
        "".join(f"deb {next(iter(mirrors.debian_for(suite.archive))).address} {suite.suite} main\n" for suite in suites)
    )
    said = run(
        image,
        "sh",
        "-c",
        "apt-get -qq update && apt-get --simulate install --no-install-recommends hello",
        user="root",
        network="host",
        mounts=[Mount(source=sources, target="/etc/apt/sources.list")],
    )
    assert "Inst hello " in said
    assert "Remv" not in said


def test_airflow_initialises_a_database(image: BuiltImage) -> None:
    said = run(image, "sh", "-c", "airflow db init 2>&1 && airflow db check 2>&1")
    assert "Connection successful" in said


def test_every_provider_of_the_lock_is_known_to_airflow(image: BuiltImage, lock: Lock, workspace: Workspace) -> None:
    listed = json.loads(run(image, "airflow", "providers", "list", "--output", "json"))
    known = {item["package_name"]: item["version"].strip() for item in listed}
    locked = {
        artifact.name: artifact.version
        for artifact in lock.pythons
        if artifact.name.startswith("apache-airflow-providers-")
        or artifact.name in ("astro-sdk-python", "astronomer-providers")
    }
    assert known == locked
    assert {name: known[name] for name in dict(pins(workspace))} == dict(pins(workspace))


def pins(workspace: Workspace) -> list[tuple[str, str]]:
    """The providers that the recipe of 8.0.0 pins."""
    found = []
    for requirement in workspace.release("8.0").requirements:
        name, _, version = requirement.partition("==")
        if name.startswith("apache-airflow-providers-"):
            found.append((name, version))
    assert len(found) == 13
    return found


def test_hooks_and_operators_of_every_provider_can_be_imported(image: BuiltImage, workspace: Workspace) -> None:
    found = json.loads(run(image, "python", "/inside/import_providers.py", mounts=[INSIDE]))
    reasons = {
        module: [name for name in NOT_IN_RELEASE if missing == name or missing.startswith(f"{name}.")]
        for module, missing in found["failed"].items()
    }
    unexpected = {module: found["failed"][module] for module, names in reasons.items() if not names}
    assert not unexpected
    assert {name for names in reasons.values() for name in names} == NOT_IN_RELEASE  # nothing is excused for nothing
    assert set(found["packages"]) == {*dict(pins(workspace)), "astro-sdk-python", "astronomer-providers"}
    without = {name for name, count in found["packages"].items() if not count}
    assert without == {"apache-airflow-providers-celery"}  # it has an executor and sensors
    assert sum(found["packages"].values()) > 300


def test_a_dag_runs_to_success(image: BuiltImage) -> None:
    said = run(
        image, "bash", "/inside/run_dag.sh", mounts=[INSIDE, DAGS], env={"AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    )
    assert said.splitlines() == ["SequentialExecutor", "success"]


def test_every_compiled_module_is_of_its_source(image: BuiltImage) -> None:
    """Of the standard library, of Debian's packages and of wheels: each loads, and no import compiles it again."""
    compiled, stale, without = json.loads(run(image, "python", "/inside/compiled_modules.py", mounts=[INSIDE]))
    assert compiled > 15_000
    assert stale == []
    assert without == []


@pytest.mark.parametrize("user", ["astro", "50000:0", "123456:0", "root"])
def test_it_runs_under_any_user_of_group_0(image: BuiltImage, user: str) -> None:
    said = run(image, "sh", "-c", "touch $AIRFLOW_HOME/written && airflow version", user=user)
    assert said == "2.6.0"
