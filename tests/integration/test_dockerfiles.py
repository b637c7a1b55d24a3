"""What public Dockerfiles on such images do, ten kinds of it, on the real image."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

import pytest

from rtbuild.mirror.find import find_mirrors
from rtbuild.settings import Settings
from tests.fakes.debian_archive import DebianArchive, FakeDeb
from tests.integration.child_projects import Builder, wheel
from tests.integration.conftest import BuiltImage

pytestmark = pytest.mark.integration

EMPTY = {"packages.txt": "", "requirements.txt": ""}
LIBRARY = "/usr/local/lib/python3.9/dist-packages"
SITE = "/usr/local/lib/python3.9/site-packages"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"

Files = dict[str, str | bytes]


@pytest.fixture(scope="module")
def base(image: BuiltImage) -> str:
    """The image without triggers."""
    return f"{image.reference}-base"


@pytest.fixture(scope="module")
def wheels(builder: Builder) -> Files:
    """A folder of wheels, in place of an index: what Airflow 2.6 does not work with, and what needs it."""
    folder = builder.folder / "wheels"
    wheel(folder, "SQLAlchemy", "2.0.1", files={"sqlalchemy/__init__.py": "version = 2\n"})
    wheel(folder, "pydantic", "2.1")
    wheel(folder, "quality", "1.0", requires=["SQLAlchemy>=2", "pydantic>=2"])
    wheel(folder, "plain", "1.0")
    return {f"wheels/{path.name}": path.read_bytes() for path in folder.iterdir()}


INSTALL = "pip install --no-index --find-links /wheels"


def refused(command: str) -> str:
    """A line of a Dockerfile that succeeds if pip refuses to install `quality`, under the command `pip install`."""
    return f"RUN if {command} quality; then echo 'not refused'; exit 1; fi\n"


REASON = "The user requested (constraint)"
"""What pip says of each refusal."""


def test_a_virtual_environment_holds_what_airflow_does_not_work_with(
    builder: Builder, base: str, wheels: Files
) -> None:
    bound = (INSTALL, f"{INSTALL} --user", f"python -m {INSTALL} --target /tmp/x", f"PIP_USER=1 {INSTALL} --upgrade")
    dockerfile = (
        "COPY wheels /wheels\n"
        f"RUN python -m venv own && own/bin/{INSTALL} quality\n"
        "RUN python -m virtualenv --no-download other\n"
        f"RUN source other/bin/activate && {INSTALL} quality && deactivate\n"
    ) + "".join(map(refused, bound))
    built = builder.build(base, wheels, dockerfile=dockerfile).succeeded()
    assert built.log.count(REASON) >= len(bound)
    for name in ("own", "other"):
        assert "SQLAlchemy==2.0.1" in builder.see(built, f"{name}/bin/pip", "freeze")
        assert builder.see(built, f"{name}/bin/python", "-c", "import sqlalchemy; print(sqlalchemy.version)") == "2"
    assert builder.see(built, "pip", "check") == "No broken requirements found."


def test_the_bounds_stay_when_a_project_brings_its_own_pip_conf(builder: Builder, base: str, wheels: Files) -> None:
    files = {**wheels, "pip.conf": "[global]\nno-index = true\nfind-links = /wheels\n"}
    dockerfile = "COPY wheels /wheels\nCOPY pip.conf /etc/pip.conf\nRUN pip install plain\n" + refused("pip install")
    assert REASON in builder.build(base, files, dockerfile=dockerfile).succeeded().log


def test_a_hot_fix_counts(builder: Builder, base: str) -> None:
    """Edited in place, copied over the original, and copied to where other Pythons have their packages."""
    files: Files = {"version.py": "version = '2.6.0'\nMENDED = 'copied'\n", "tools/__init__.py": "MENDED = 'new'\n"}
    dockerfile = (
        "USER root\n"
        f"RUN echo \"MENDED = 'appended'\" >> {LIBRARY}/airflow/configuration.py\n"
        "RUN echo 'MENDED = 1' >> /usr/lib/python3.9/colorsys.py\n"
        f"COPY version.py {SITE}/airflow/version.py\n"
        f"COPY tools {SITE}/tools\n"
        f"COPY tools/__init__.py {SITE}/\n"
        f"RUN mv {LIBRARY}/__init__.py {LIBRARY}/single.py\n"
        "USER astro\n"
    )
    built = builder.build(base, files, dockerfile=dockerfile).succeeded()
    code = (
        "import airflow.configuration, airflow.version, colorsys, tools, single\n"
        "print(airflow.configuration.MENDED, airflow.version.MENDED, colorsys.MENDED, tools.MENDED, single.MENDED)\n"
        "print(tools.__file__)\n"
    )
    said = builder.see(built, "python", "-W", "ignore", "-c", code).splitlines()
    assert said[-2:] == ["appended copied 1 new new", f"{LIBRARY}/tools/__init__.py"]
    # The link is still there, and nothing went to a folder of its own.
    assert builder.see(built, "readlink", SITE) == "dist-packages"


def test_files_are_given_to_astro_and_its_group(builder: Builder, base: str) -> None:
    files: Files = {"include/one.txt": "1", "include/two.txt": "2"}
    dockerfile = (
        "COPY --chown=astro:astro include/one.txt /opt/one.txt\n"
        "USER root\n"
        "COPY include/two.txt /opt/own/two.txt\n"
        "RUN chown -R astro:astro /opt/own && mkdir -m 770 /opt/group && chgrp astro /opt/group\n"
        "USER astro\n"
        "RUN touch /opt/own/three.txt /opt/group/four.txt\n"
    )
    built = builder.build(base, files, dockerfile=dockerfile).succeeded()
    listed = builder.see(built, "stat", "-c", "%n %U:%G", "/opt/one.txt", "/opt/own/two.txt", "/opt/own/three.txt")
    assert listed.splitlines() == [
        "/opt/one.txt astro:astro",
        "/opt/own/two.txt astro:astro",
        "/opt/own/three.txt astro:root",
    ]
    assert builder.see(built, "id") == "uid=50000(astro) gid=0(root) groups=0(root),50000(astro)"


def test_json_in_variables(builder: Builder, base: str) -> None:
    team = {"a": 1, "b": {"c": "d"}}
    warehouse = {"conn_type": "postgres", "host": "database", "extra": {"sslmode": "require"}}
    dockerfile = f"ENV AIRFLOW_VAR_TEAM='{json.dumps(team)}'\nENV AIRFLOW_CONN_WAREHOUSE='{json.dumps(warehouse)}'\n"
    built = builder.build(base, dockerfile=dockerfile).succeeded()
    script = "airflow db init > /dev/null 2>&1; airflow variables get team; airflow connections get -o json warehouse"
    said = builder.see(built, "sh", "-c", script).splitlines()
    assert json.loads(said[-2]) == team
    assert json.loads(said[-1])[0]["extra_dejson"] == {"sslmode": "require"}


def test_a_package_of_a_companys_own_signed_repository(builder: Builder, base: str) -> None:
    archive = DebianArchive(builder.folder / "company")
    archive.publish("stable", [FakeDeb(name="company-tool", files={"/usr/share/company": b"1"})])
    stranger = DebianArchive(builder.folder / "stranger")
    files: Files = {
        f"repository/{path.relative_to(archive.root)}": path.read_bytes()
        for path in archive.root.rglob("*")
        if path.is_file()
    }
    files |= {"company.gpg": archive.key.certificate, "stranger.gpg": stranger.key.certificate}

    def lines(key: str) -> str:
        # Debian's own suites are out of reach here, which apt-get update takes for a passing trouble
        return (
            "USER root\n"
            "COPY repository /srv/repository\n"
            f"COPY {key} /etc/apt/keyrings/company.gpg\n"
            'RUN echo "deb [signed-by=/etc/apt/keyrings/company.gpg] file:/srv/repository stable main"'
            " > /etc/apt/sources.list.d/company.list && apt-get update"
            " && apt-get install -y --no-install-recommends company-tool && rm -rf /var/lib/apt/lists/*\n"
            "USER astro\n"
        )

    built = builder.build(base, files, dockerfile=lines("company.gpg")).succeeded()
    assert builder.see(built, "cat", "/usr/share/company") == "1"
    assert builder.build(base, files, dockerfile=lines("stranger.gpg")).code != 0


def test_pip_is_upgraded_and_still_bound(builder: Builder, base: str, wheels: Files, settings: Settings) -> None:
    """With the index that this machine knows: only there is a newer pip."""
    files = {
        **wheels,
        "pip.conf": f"[global]\nindex-url = {find_mirrors(settings).python[0].address}\ncert = {AUTHORITIES}\n",
        "authorities.pem": Path(ssl.get_default_verify_paths().cafile or AUTHORITIES).read_bytes(),
    }
    dockerfile = (
        f"USER root\nCOPY authorities.pem {AUTHORITIES}\nCOPY pip.conf /etc/pip.conf\nCOPY wheels /wheels\n"
        "RUN pip install --no-cache-dir --upgrade pip\nUSER astro\n"
        f"RUN {INSTALL} plain && python -m venv own && own/bin/{INSTALL} quality\n"
    ) + refused(INSTALL)
    built = builder.build(base, files, dockerfile=dockerfile, network="host").succeeded()
    assert REASON in built.log
    before, after = (builder.see(one, "pip", "--version").split()[1] for one in (builder.build(base), built))
    assert tuple(map(int, after.split("."))) > tuple(map(int, before.split(".")))
    assert builder.see(built, "airflow", "version") == "2.6.0"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_as_windows_writes_them(builder: Builder, image: BuiltImage, wheels: Files, encoding: str) -> None:
    """CR/LF and byte order marks, in the files of a project and in its Dockerfile."""
    archive = DebianArchive(builder.folder / f"windows-{encoding}")
    archive.publish("bullseye", [FakeDeb(name="rtbuild-one", files={"/usr/share/one": b"1"})])
    context = {f"debian/{path.relative_to(archive.root)}": path for path in archive.root.rglob("*") if path.is_file()}
    files: Files = {**wheels, **{name: path.read_bytes() for name, path in context.items()}}
    triggers = image.engine.inspect(image.reference)
    assert triggers is not None
    parent = builder.build(
        f"{image.reference}-base",
        files,
        dockerfile="USER root\nCOPY debian /srv/debian\nCOPY wheels /wheels\n"
        "RUN echo 'deb [trusted=yes] file:/srv/debian bullseye main' > /etc/apt/sources.list\n"
        "RUN printf '[global]\\nno-index = true\\nfind-links = /wheels\\n' > /etc/pip.conf\n"
        "USER astro\n" + "".join(f"ONBUILD {trigger}\n" for trigger in triggers.config["OnBuild"]),
    ).succeeded()
    project: Files = {
        "packages.txt": "# system\r\nrtbuild-one\r\n".encode(encoding),
        "requirements.txt": "# tools\r\nplain==1.0\r\n".encode(encoding),
        "dags/dag.py": "x = 1\r\n",
    }
    built = builder.build(parent.reference, project, dockerfile="\r\nENV A=b\r\nRUN echo one && \\\r\n    echo two\r\n")
    built.succeeded()
    assert builder.see(built, "sh", "-c", "cat /usr/share/one; echo $A") == "1b"
    assert builder.see(built, "python", "-c", "import plain; print(plain.version)") == "1.0"


def test_the_commonest_line(builder: Builder, image: BuiltImage) -> None:
    dockerfile = "RUN python -m venv soda && source soda/bin/activate && pip --version && deactivate\n"
    built = builder.build(image.reference, EMPTY, dockerfile=dockerfile).succeeded()
    assert "/usr/local/airflow/soda/lib/python3.9/site-packages/pip" in built.log


def test_stages_hand_files_on(builder: Builder, base: str, wheels: Files) -> None:
    """A virtual environment and the packages of another stage, whatever path names them; .pyc files stay valid."""
    dockerfile = (
        f"COPY wheels /wheels\nUSER root\nRUN python -m venv /opt/own && /opt/own/bin/{INSTALL} quality\n"
        f"RUN {INSTALL} --target /packages plain\n"
        f"FROM {base}\n"
        "COPY --from=0 --chown=astro:astro /opt/own /opt/own\n"
        f"COPY --from=0 /packages {SITE}\n"
        f"COPY --from=0 {SITE}/colorlog /copied/colorlog\n"
    )
    built = builder.build(base, wheels, dockerfile=dockerfile).succeeded()
    assert builder.see(built, "/opt/own/bin/python", "-c", "import quality; print(quality.version)") == "1.0"
    assert builder.see(built, "python", "-c", "import plain; print(plain.__file__)") == f"{LIBRARY}/plain.py"
    code = "import sys; sys.path.insert(0, '/copied'); import colorlog; print(colorlog.__file__)"
    verbose = f'python -v -c "{code}" 2>&1 | grep -c "matches /copied/colorlog/__init__.py"'
    assert builder.see(built, "sh", "-c", verbose) == "1"
