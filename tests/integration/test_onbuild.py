"""Projects that are built on the image: what its triggers install, what they refuse, and what they leave behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rtbuild.engine.containers import Mount
from rtbuild.recipe.names import normalized
from rtbuild.settings import Settings
from rtbuild.workspace import Workspace
from tests.fakes.debian_archive import DebianArchive, FakeDeb
from tests.fakes.requirements import ALLOWED, FORBIDDEN, FORBIDDEN_TREES, write
from tests.integration.child_projects import Builder, private_index, wheel
from tests.integration.conftest import BuiltImage

pytestmark = pytest.mark.integration

ADVICE = "change the image in the FROM line of the Dockerfile"
EMPTY = {"packages.txt": "", "requirements.txt": ""}
BUILT = (
    "upper bound",
    "extra",
    "case and underscore",
    "comment",
    "marker",
    "continued",
    "name at address",
    "wheel",
    "repository",
    "editable",
    "byte order mark",
    "CR/LF",
)
"""Spellings with which whole projects are built; the image's script alone is tried on all of them."""
SCRIPT = "/usr/local/libexec/astro-runtime/install-requirements"


@pytest.fixture(scope="module")
def base(image: BuiltImage) -> str:
    """The image without triggers."""
    return f"{image.reference}-base"


@pytest.fixture(scope="module")
def equipped(builder: Builder, base: str, workspace: Workspace) -> str:
    """The image with its own triggers, where apt and pip know an archive and an index that lie in the image itself."""
    folder = builder.folder / "equipped"
    archive = DebianArchive(folder / "debian")
    archive.publish(
        "bullseye",
        [
            FakeDeb(name="rtbuild-one", files={"/usr/share/one": b"1"}, recommends="rtbuild-three"),
            FakeDeb(name="rtbuild-two", version="2.0", files={"/usr/share/two": b"2"}, depends="rtbuild-one"),
            FakeDeb(name="rtbuild-three", files={"/usr/share/three": b"3"}),
        ],
    )
    wheels = folder / "wheels"
    wheel(wheels, "apache_airflow", "2.7.0", files={"airflow/__init__.py": "another = True\n"})
    wheel(wheels, "apache_airflow_providers_http", "4.3.1")
    wheel(wheels, "company_tools", "1.0", requires=["apache-airflow>=2.5"])
    wheel(wheels, "needs_newer", "1.0", requires=["apache-airflow>=2.7"])
    wheel(wheels, "needs_core", "1.0", requires=["apache-airflow-core"])
    wheel(wheels, "apache_airflow_core", "3.0.0", files={"airflow/__init__.py": "another = True\n"})
    wheel(wheels, "pendulum", "3.0.0")
    wheel(wheels, "sneaky", "1.0", files={"airflow/version.py": "version = '2.7.0'\n"})
    for name, files in FORBIDDEN_TREES.items():
        write(folder / "trees" / name, files)
    (folder / "sources.list").write_text("deb [trusted=yes] file:/srv/equipped/debian bullseye main\n")
    (folder / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /srv/equipped/wheels\n")
    triggers = workspace.release("8.0").image.on_build
    built = builder.build(
        base,
        {f"context/{path.relative_to(folder)}": path.read_bytes() for path in folder.rglob("*") if path.is_file()},
        dockerfile="USER root\nCOPY context /srv/equipped\n"
        "RUN cp /srv/equipped/sources.list /etc/apt/sources.list && cp /srv/equipped/pip.conf /etc/pip.conf\n"
        "USER astro\n" + "".join(f"ONBUILD {trigger}\n" for trigger in triggers),
    )
    return built.succeeded().reference


def test_the_two_images_differ_in_their_triggers_alone(image: BuiltImage, base: str, workspace: Workspace) -> None:
    full, plain = image.engine.inspect(image.reference), image.engine.inspect(base)
    assert full is not None
    assert plain is not None
    assert full.layers == plain.layers
    assert tuple(full.config["OnBuild"]) == workspace.release("8.0").image.on_build
    assert not plain.config.get("OnBuild")
    without = {name: value for name, value in full.config.items() if name != "OnBuild"}
    assert without == {name: value for name, value in plain.config.items() if name != "OnBuild"}


@pytest.mark.parametrize("files", [{}, EMPTY], ids=["a Dockerfile alone", "empty files"])
def test_a_project_with_nothing_in_it(builder: Builder, image: BuiltImage, files: dict[str, str]) -> None:
    built = builder.build(image.reference, files).succeeded()
    facts = image.engine.inspect(built.reference)
    assert facts is not None
    assert not facts.config.get("OnBuild")  # triggers are for the first generation
    assert builder.see(built, "airflow", "version") == "2.6.0"


def test_the_base_image_takes_nothing_of_a_project(builder: Builder, base: str) -> None:
    built = builder.build(base, {"requirements.txt": "apache-airflow==2.7.0", "dags/dag.py": ""}).succeeded()
    assert builder.see(built, "sh", "-c", "test ! -e requirements.txt && ls -A dags") == ""
    assert builder.see(built, "airflow", "version") == "2.6.0"


def test_files_belong_to_the_user_and_run_lines_run_in_bash(builder: Builder, image: BuiltImage) -> None:
    files = {**EMPTY, "dags/dag.py": "", "include/deep/er/file": "", ".hidden": ""}
    script = "RUN source /etc/os-release && echo version=${VERSION_ID} && [[ $(id -un) == astro ]]\n"
    built = builder.build(image.reference, files, dockerfile=script).succeeded()
    assert "version=11" in built.log
    said = builder.see(built, "find", ".", "-printf", "%U:%G %p\n")
    assert {line.split()[0] for line in said.splitlines()} == {"50000:0"}
    assert {"./dags/dag.py", "./include/deep/er/file", "./.hidden"} <= {line.split()[1] for line in said.splitlines()}
    assert builder.see(built, "id", "-un") == "astro"
    for wrong in ("RUN false | true\n", "RUN echo ${NO_SUCH_VARIABLE}\n", "RUN false; true\n"):
        assert builder.build(image.reference, files, dockerfile=wrong).code != 0  # pipefail, -u, -e


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf# tools\r\n\r\nrtbuild-two\r\n",
        b"# one\n\n  rtbuild-one  # the first\n\trtbuild-two",
        b"rtbuild-one rtbuild-two=2.0\r",
    ],
)
def test_packages_are_installed_and_their_indexes_are_not_kept(builder: Builder, equipped: str, content: bytes) -> None:
    built = builder.build(equipped, {**EMPTY, "packages.txt": content}).succeeded()
    script = (
        "cat /usr/share/one /usr/share/two; echo; test ! -e /usr/share/three; dpkg --audit; "
        "find /var/lib/apt/lists /var/cache/apt -type f -size +0"
    )
    assert builder.see(built, "sh", "-e", "-c", script, user="root") == "12"


@pytest.mark.parametrize("content", [b"# nothing", b"\r\n  \r\n#\r\n\t"])
def test_without_packages_apt_is_not_even_asked(builder: Builder, image: BuiltImage, content: bytes) -> None:
    """There is no network in this build."""
    assert "apt" not in builder.build(image.reference, {**EMPTY, "packages.txt": content}).succeeded().log.lower()


@pytest.mark.parametrize("content", ["no-such-package", "--allow-downgrades\nrtbuild-one"])
def test_a_package_that_there_is_not_fails_the_build(builder: Builder, equipped: str, content: str) -> None:
    built = builder.build(equipped, {**EMPTY, "packages.txt": content})
    assert built.code != 0
    assert content.split()[0] in built.log


@pytest.mark.parametrize("name", BUILT)
def test_another_airflow_is_refused(builder: Builder, image: BuiltImage, name: str) -> None:
    built = builder.build(image.reference, {**EMPTY, **FORBIDDEN[name]})
    assert built.code != 0
    assert ADVICE in built.log
    assert "Collecting" not in built.log


def test_the_images_own_pip_reads_every_spelling_as_the_check_does(image: BuiltImage, tmp_path: Path) -> None:
    """Every spelling, files within files too, on the pip and Python of the image; nothing can be installed here."""
    cases = {**FORBIDDEN, **FORBIDDEN_TREES, **ALLOWED}
    for number, files in enumerate(cases.values()):
        write(tmp_path / str(number), files)
    loop = f"for number in $(seq 0 {len(cases) - 1}); do cd /cases/$number; {SCRIPT} requirements.txt > /tmp/said 2>&1"
    loop += f"; grep -q '{ADVICE}' /tmp/said && echo refused || echo passed; done"
    outcome = image.engine.run(
        image.reference,
        ["sh", "-c", loop],
        user="root",
        env={"AIRFLOW_PACKAGE": "apache-airflow", "PIP_NO_INDEX": "1"},
        mounts=[Mount(source=tmp_path, target="/cases")],
        timeout=600,
    )
    said = dict(zip(cases, outcome.text.splitlines(), strict=True))
    assert said == {name: "passed" if name in ALLOWED else "refused" for name in cases}


@pytest.mark.parametrize("name", ["nested and relative", "constraint"])
def test_another_airflow_is_refused_in_files_that_are_pulled_in(builder: Builder, equipped: str, name: str) -> None:
    """Only requirements.txt is copied before packages are installed, so these lie in the parent."""
    content = f"-r '/srv/equipped/trees/{name}/requirements.txt'\n"
    built = builder.build(equipped, {**EMPTY, "requirements.txt": content})
    assert built.code != 0
    assert ADVICE in built.log
    assert next(reversed(FORBIDDEN_TREES[name])).rpartition("/")[2] in built.log


def test_a_file_that_is_not_copied_yet_is_named(builder: Builder, image: BuiltImage) -> None:
    built = builder.build(image.reference, {"requirements.txt": "-r more.txt\n", "more.txt": "requests\n"})
    assert built.code != 0
    assert "more.txt" in built.log


@pytest.mark.parametrize("name", ["the very version", "with extras", "comment"])
def test_the_very_airflow_may_be_named(builder: Builder, image: BuiltImage, name: str) -> None:
    """Without a network: nothing is fetched for it."""
    built = builder.build(image.reference, {**EMPTY, **ALLOWED[name]}).succeeded()
    assert builder.see(built, "airflow", "version") == "2.6.0"


def test_providers_and_what_fits_this_airflow_are_installed(builder: Builder, equipped: str) -> None:
    requirements = b"# ours\r\napache-airflow-providers-http==4.3.1\r\n\r\ncompany_tools"
    built = builder.build(equipped, {**EMPTY, "requirements.txt": requirements}).succeeded()
    lines = [line.split("==") for line in builder.see(built, "pip", "freeze").splitlines()]
    frozen = {normalized(name): version for name, version in lines}
    assert frozen["apache-airflow-providers-http"] == "4.3.1"
    assert frozen["company-tools"] == "1.0"
    assert frozen["apache-airflow"] == "2.6.0"
    assert builder.see(built, "python", "-c", "import company_tools; print(company_tools.__file__)").startswith(
        "/usr/local/lib/python3.9/dist-packages/"
    )


@pytest.mark.parametrize(
    ("requirement", "told"),
    [
        ("needs_newer", "apache-airflow"),
        ("needs_core", "apache-airflow-core"),
        ("pendulum==3.0.0", "pendulum"),
        ("sneaky", ADVICE),
    ],
)
def test_nothing_else_replaces_airflow_either(builder: Builder, equipped: str, requirement: str, told: str) -> None:
    built = builder.build(equipped, {**EMPTY, "requirements.txt": requirement})
    assert built.code != 0
    assert told in built.log


def test_pip_in_a_users_own_run_line_is_bound_as_well(builder: Builder, equipped: str) -> None:
    for command in ("pip install --user", "pip install --upgrade", "python -m pip install --target /tmp/x"):
        built = builder.build(equipped, EMPTY, dockerfile=f"RUN {command} 'apache-airflow==2.7.0'\n")
        assert built.code != 0
        assert "astro-runtime-constraints.txt" in built.log or "constraint" in built.log
    built = builder.build(equipped, EMPTY, dockerfile="RUN pip install --user company_tools\n").succeeded()
    assert "/home/astro/.local/" in builder.see(built, "python", "-c", "import company_tools as c; print(c.__file__)")


def test_a_private_index_is_reached_with_a_secret_that_no_layer_keeps(
    builder: Builder, image: BuiltImage, settings: Settings, tmp_path: Path
) -> None:
    wheel(tmp_path / "wheels", "company_secret", "1.0")
    files = {**EMPTY, "requirements.txt": "company-secret\n"}
    with private_index(tmp_path / "wheels", "robot", "zo3-not-in-any-layer") as place:
        conf, netrc, plain = tmp_path / "conf", tmp_path / "netrc", tmp_path / "plain"
        conf.write_text(f"[global]\nindex-url = http://robot:zo3-not-in-any-layer@{place}/simple\n")
        plain.write_text(f"[global]\nindex-url = http://{place}/simple\n")
        netrc.write_text(f"machine {place.partition(':')[0]} login robot password zo3-not-in-any-layer\n")
        for secrets in ({"pip.conf": conf}, {"pip.conf": plain, "netrc": netrc}):
            built = builder.build(image.reference, files, secrets=secrets, network="host").succeeded()
            assert builder.see(built, "python", "-c", "import company_secret as c; print(c.version)") == "1.0"
            assert "zo3-not-in-any-layer" not in built.log
            search = "grep -rsl zo3-not-in-any-layer /etc /home /root /run /tmp /usr/local /var || true"
            found = builder.see(built, "sh", "-c", search, user="root")
            assert found == ""
            assert builder.see(built, "sh", "-c", "ls -A /run/secrets 2> /dev/null || true", user="root") == ""
            facts = image.engine.inspect(built.reference)
            assert "zo3-not-in-any-layer" not in json.dumps(facts.config if facts else {})
        # the same without the secret, and with a secret that would lift the image's constraints
        assert builder.build(image.reference, files, secrets={"pip.conf": plain}, network="host").code != 0
        wheel(tmp_path / "wheels", "needs_newer", "1.0", requires=["apache-airflow>=2.7"])
        wheel(tmp_path / "wheels", "apache_airflow", "2.7.0", files={"airflow/__init__.py": ""})
        conf.write_text(conf.read_text() + "constraint = /dev/null\n")
        loose = {**EMPTY, "requirements.txt": "needs-newer\n"}
        built = builder.build(image.reference, loose, secrets={"pip.conf": conf}, network="host")
        assert built.code != 0
        assert "apache-airflow" in built.log
