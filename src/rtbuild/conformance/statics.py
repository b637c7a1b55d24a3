"""Checks of what is in the image and its config; none of them starts Airflow."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rtbuild.conformance.subject import AIRFLOW_HOME, HOME, UID, Check, Subject, compare, require

# https://semver.org/spec/v2.0.0.html, without its rule for numbers in a pre-release
SEMVER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?\Z")
LABEL_PREFIX = "io.astronomer.docker"
RUNTIME_LABEL = f"{LABEL_PREFIX}.runtime.version"
AIRFLOW_LABEL = f"{LABEL_PREFIX}.airflow.version"
OCI_LABELS = tuple(f"org.opencontainers.image.{name}" for name in ("title", "description", "version"))


def user(subject: Subject) -> None:
    """Check the account, and that its group is 0. A group of its name is for those who write `chown astro:astro`."""
    account = {"name": "astro", "gid": 0, "home": HOME}
    compare(subject.facts, {"uid": UID, "gid": 0, "account": account, "home": HOME, "group": UID})


def folders(subject: Subject) -> None:
    """Check that home and AIRFLOW_HOME belong to group 0, which may write, and that a project's folders exist.

    Docker gives a project's folders the modes that they have in the project. Only `logs`, which Airflow fills, must be
    as writable as AIRFLOW_HOME.
    """
    home = dict(subject.facts["folders"])
    absent = [name for name, folder in home.items() if name and folder is None]
    require(not absent, f"AIRFLOW_HOME lacks {', '.join(absent)}")
    owned = {"AIRFLOW_HOME": home.pop(""), "home": subject.facts["home_folder"], "logs": home["logs"]}
    for name, folder in owned.items():
        require(folder is not None, f"{name} does not exist")
        _compare_folder(name, folder, {"uid": UID, "gid": 0, "writable": True})
        require(
            int(folder["mode"], 8) & 0o070 == 0o070, f"{name} has mode {folder['mode']}: group 0 cannot write to it"
        )
    for name, folder in home.items():
        _compare_folder(name, folder, {"gid": 0, "writable": True})
        require(int(folder["mode"], 8) & 0o050 == 0o050, f"{name} has mode {folder['mode']}: group 0 cannot read it")


def _compare_folder(name: str, folder: Mapping[str, object], expected: Mapping[str, object]) -> None:
    compare(
        {f"{name}: {key}": folder[key] for key in expected},
        {f"{name}: {key}": value for key, value in expected.items()},
    )


def airflow_home(subject: Subject) -> None:
    """Check where Airflow works, and where Python looks for a project's modules."""
    compare(subject.env, {"AIRFLOW_HOME": AIRFLOW_HOME})
    compare(subject.config, {"WorkingDir": AIRFLOW_HOME})
    compare(subject.facts, {"folder": AIRFLOW_HOME})
    require(AIRFLOW_HOME in subject.facts["import_path"], f"{AIRFLOW_HOME} is not on Python's path")


def programs(subject: Subject) -> None:
    """Check that users can call the programs they need by name."""
    absent = [name for name, path in subject.facts["programs"].items() if path is None]
    require(not absent, f"not on the PATH: {', '.join(absent)}")
    require(f"{HOME}/.local/bin" in subject.facts["path"], f"{HOME}/.local/bin is not on the PATH")


def environment(subject: Subject) -> None:
    """Check the variables that programs and users rely on."""
    compare(subject.env, {"LANG": "C.UTF-8"})
    version = subject.env.get("ASTRONOMER_RUNTIME_VERSION")
    require(bool(version), "ASTRONOMER_RUNTIME_VERSION is not set")
    compare(
        {"ASTRONOMER_RUNTIME_VERSION": version},
        {"ASTRONOMER_RUNTIME_VERSION": subject.runtime or subject.labels.get(RUNTIME_LABEL)},
    )


def config(subject: Subject) -> None:
    """Check how containers start."""
    compare(subject.config, {"Entrypoint": ["/entrypoint"], "User": "astro"})
    require(not subject.config.get("ExposedPorts"), f"it exposes ports: {subject.config.get('ExposedPorts')}")
    require(not subject.config.get("Healthcheck"), "it has a HEALTHCHECK")


def command(subject: Subject) -> None:
    """Check what a container without a command runs."""
    compare(subject.config, {"Cmd": ["airflow", "--help"]})


def shell(subject: Subject) -> None:
    """Check the shell of RUN lines in a user's Dockerfile."""
    compare(subject.config, {"Shell": ["/bin/bash", "-o", "pipefail", "-e", "-u", "-x", "-c"]})


def labels(subject: Subject) -> None:
    """Check the labels that the Astro CLI reads before it accepts an image."""
    expected = {LABEL_PREFIX: "true", f"{LABEL_PREFIX}.module": "airflow", f"{LABEL_PREFIX}.distro": "debian"}
    if subject.runtime:
        expected[RUNTIME_LABEL] = subject.runtime
    if subject.airflow:
        expected[AIRFLOW_LABEL] = subject.airflow
    compare(subject.labels, expected)
    version = subject.labels.get(RUNTIME_LABEL, "")
    require(bool(SEMVER.match(version)), f"{RUNTIME_LABEL} is {version!r}, not a semantic version")
    require(bool(subject.labels.get(AIRFLOW_LABEL)), f"{AIRFLOW_LABEL} is not set")
    absent = [label for label in OCI_LABELS if label not in subject.labels]
    require(not absent, f"not set: {', '.join(absent)}")


def pins(subject: Subject) -> None:
    """Check that pip applies the image's constraints.

    The package index is a folder, so nothing but the constraints can be the reason for what pip does.
    """
    outcome = subject.run("sh", "-c", _PIP_TRIAL)
    require(outcome.exit_code == 0, "pip can replace Airflow", outcome)
    path = outcome.text.rpartition("\n")[2]
    require(bool(re.fullmatch(r"/usr/local/share/[^/]+-constraints\.txt", path)), f"the constraints are in {path!r}")


# Two empty wheels: pip may install any other package, but not another Airflow.
_PIP_TRIAL = r"""
set -eu
cd "$(mktemp -d)"
python - <<'END'
import zipfile
for name, version in (("apache_airflow", "99.0"), ("rtbuild_trial", "1.0")):
    info = "%s-%s.dist-info" % (name, version)
    with zipfile.ZipFile("%s-%s-py3-none-any.whl" % (name, version), "w") as wheel:
        wheel.writestr(info + "/METADATA", "Metadata-Version: 2.1\nName: %s\nVersion: %s\n" % (name, version))
        wheel.writestr(info + "/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(info + "/RECORD", "")
END
install="pip install --no-index --find-links . --no-deps --target installed"
$install rtbuild-trial > log 2>&1 || { cat log; echo "pip installs nothing at all"; exit 1; }
if $install 'apache-airflow>=99' > log 2>&1; then cat log; echo "pip installed another Airflow"; exit 1; fi
pip config list | sed -n "s/^\\(global\\|install\\)\\.constraint='\\(.*\\)'$/\\2/p"
"""


def venv(subject: Subject) -> None:
    """Check that virtual environments can be made, and are free to hold what Airflow does not work with."""
    outcome = subject.run("sh", "-c", _VENV_TRIAL)
    require(outcome.exit_code == 0, "virtual environments cannot be used", outcome)


_VENV_TRIAL = r"""
set -eu
cd "$(mktemp -d)"
python - <<'END'
import zipfile
with zipfile.ZipFile("pydantic-99.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("pydantic-99.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: pydantic\nVersion: 99.0\n")
    wheel.writestr("pydantic-99.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("pydantic-99.0.dist-info/RECORD", "")
END
python -m venv own > log 2>&1 || { cat log; echo "python -m venv fails"; exit 1; }
. own/bin/activate
[ "$(command -v pip)" = "$PWD/own/bin/pip" ] || { echo "pip is $(command -v pip)"; exit 1; }
pip install --no-index --find-links . pydantic > log 2>&1 || { cat log; echo "its pip is bound by Airflow"; exit 1; }
"""


def modules(subject: Subject) -> None:
    """Check that Python sees what users change: an edited module, and one that is copied to `site-packages`."""
    outcome = subject.run("sh", "-c", _MODULES_TRIAL, user="root")
    require(outcome.exit_code == 0, "Python does not see a changed module", outcome)


# One module of the standard library, one of a wheel.
_MODULES_TRIAL = r"""
set -eu
for module in colorsys pip; do
    echo 'EDITED = True' >> "$(python -c "import $module; print($module.__file__)")"
    python -c "import $module; $module.EDITED" || { echo "an edit of $module does not count"; exit 1; }
done
folder=$(python -c 'import sys; print("/usr/local/lib/python%d.%d/site-packages" % sys.version_info[:2])')
echo > "$folder/rtbuild_trial.py"
python -c 'import rtbuild_trial' || { echo "a module in $folder is not found"; exit 1; }
"""

STATIC_CHECKS = (
    Check(name="user", promise="runs as astro, 50000:0, with the home /home/astro; has a group astro", body=user),
    Check(name="folders", promise="group 0 can write to home and AIRFLOW_HOME", body=folders),
    Check(name="airflow-home", promise="works in /usr/local/airflow, which is on Python's path", body=airflow_home),
    Check(name="programs", promise="has airflow, bash, curl, git, nc, pip, pytest, python and tini", body=programs),
    Check(name="environment", promise="sets LANG and ASTRONOMER_RUNTIME_VERSION", body=environment),
    Check(name="config", promise="starts with /entrypoint, exposes no ports, has no health check", body=config),
    Check(name="command", promise="shows Airflow's help if it gets no command", body=command),
    Check(name="shell", promise="runs RUN lines in bash with -o pipefail -e -u -x", body=shell),
    Check(name="labels", promise="has the labels that the Astro CLI reads", body=labels),
    Check(name="pins", promise="keeps pip from replacing Airflow", body=pins),
    Check(name="venv", promise="makes virtual environments, which may hold any version", body=venv),
    Check(name="modules", promise="sees edited modules, and those in site-packages", body=modules),
)
