"""Promises about what lies in the image and its config: nothing of Airflow is started for them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rtbuild.conformance.subject import AIRFLOW_HOME, HOME, UID, Check, Subject, compare, missing, require

# https://semver.org/spec/v2.0.0.html, without its check of numbers in a pre-release
SEMVER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?\Z")
LABEL_PREFIX = "io.astronomer.docker"
BATCH_SIZE = "WORKER_PODS_CREATION_BATCH_SIZE"


def user(subject: Subject) -> None:
    """The account, and that group 0 owns what it needs."""
    compare(subject.found, {"uid": UID, "gid": 0, "account": {"name": "astro", "gid": 0, "home": HOME}, "home": HOME})


def folders(subject: Subject) -> None:
    """Home and AIRFLOW_HOME belong to group 0, which may write; the folders that a project fills are there.

    Docker gives those the modes that they have in a user's project: only of `logs`, which Airflow fills, the group must
    own as much."""
    home = dict(subject.found["folders"])
    absent = [name for name, found in home.items() if name and found is None]
    require(not absent, f"AIRFLOW_HOME lacks {', '.join(absent)}")
    owned = {"AIRFLOW_HOME": home.pop(""), "home": subject.found["home_folder"], "logs": home["logs"]}
    for name, found in owned.items():
        require(found is not None, f"{name} is not there")
        _compare_folder(name, found, {"uid": UID, "gid": 0, "writable": True})
        require(int(found["mode"], 8) & 0o070 == 0o070, f"{name} has mode {found['mode']}: group 0 may not write to it")
    for name, found in home.items():
        _compare_folder(name, found, {"gid": 0, "writable": True})
        require(int(found["mode"], 8) & 0o050 == 0o050, f"{name} has mode {found['mode']}: group 0 may not read it")


def _compare_folder(name: str, found: Mapping[str, object], wanted: Mapping[str, object]) -> None:
    compare(
        {f"{name}: {key}": found[key] for key in wanted}, {f"{name}: {key}": value for key, value in wanted.items()}
    )


def airflow_home(subject: Subject) -> None:
    """Where Airflow works, and where Python looks for a project's modules."""
    compare(subject.env, {"AIRFLOW_HOME": AIRFLOW_HOME})
    compare(subject.config, {"WorkingDir": AIRFLOW_HOME})
    compare(subject.found, {"folder": AIRFLOW_HOME})
    require(AIRFLOW_HOME in subject.found["import_path"], f"{AIRFLOW_HOME} is not on Python's path")


def programs(subject: Subject) -> None:
    """What a user may call by name."""
    absent = [name for name, path in subject.found["programs"].items() if path is None]
    require(not absent, f"not on the PATH: {', '.join(absent)}")
    require(f"{HOME}/.local/bin" in subject.found["path"], f"{HOME}/.local/bin is not on the PATH")


def environment(subject: Subject) -> None:
    """Variables that programs and users rely on."""
    compare(subject.env, {"LANG": "C.UTF-8"})
    version = subject.env.get("ASTRONOMER_RUNTIME_VERSION")
    require(bool(version), "ASTRONOMER_RUNTIME_VERSION is not set")
    compare(
        {"ASTRONOMER_RUNTIME_VERSION": version},
        {"ASTRONOMER_RUNTIME_VERSION": subject.runtime or subject.labels.get(f"{LABEL_PREFIX}.runtime.version")},
    )


def config(subject: Subject) -> None:
    """How containers start."""
    compare(subject.config, {"Entrypoint": ["/entrypoint"], "User": "astro"})
    require(not subject.config.get("ExposedPorts"), f"it exposes ports: {subject.config.get('ExposedPorts')}")
    require(not subject.config.get("Healthcheck"), "it has a HEALTHCHECK")


def command(subject: Subject) -> None:
    """What a container does that is told nothing."""
    compare(subject.config, {"Cmd": ["airflow", "--help"]})


def shell(subject: Subject) -> None:
    """What runs the RUN lines of a user's Dockerfile."""
    compare(subject.config, {"Shell": ["/bin/bash", "-o", "pipefail", "-e", "-u", "-x", "-c"]})


def labels(subject: Subject) -> None:
    """What the Astro CLI reads before it takes an image."""
    wanted = {LABEL_PREFIX: "true", f"{LABEL_PREFIX}.module": "airflow", f"{LABEL_PREFIX}.distro": "debian"}
    if subject.runtime:
        wanted[f"{LABEL_PREFIX}.runtime.version"] = subject.runtime
    if subject.airflow:
        wanted[f"{LABEL_PREFIX}.airflow.version"] = subject.airflow
    compare(subject.labels, wanted)
    version = subject.labels.get(f"{LABEL_PREFIX}.runtime.version", "")
    require(bool(SEMVER.match(version)), f"{LABEL_PREFIX}.runtime.version is {version!r}, not a semantic version")
    require(bool(subject.labels.get(f"{LABEL_PREFIX}.airflow.version")), f"{LABEL_PREFIX}.airflow.version is not set")
    described = ("title", "description", "version")
    absent = missing([f"org.opencontainers.image.{name}" for name in described], list(subject.labels))
    require(not absent, f"not set: {', '.join(absent)}")


def pins(subject: Subject) -> None:
    """pip has the image's constraints; with a package index in a folder, so that nothing but they can be the reason."""
    outcome = subject.run("sh", "-c", _PIP_TRIAL)
    require(outcome.exit_code == 0, "pip can be made to replace Airflow", outcome)
    path = outcome.text.rpartition("\n")[2]
    require(bool(re.fullmatch(r"/usr/local/share/[^/]+-constraints\.txt", path)), f"the constraints are in {path!r}")


# Two wheels of nothing: what another package may do, another Airflow may not.
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

STATIC_CHECKS = (
    Check(name="user", promise="runs as astro, 50000:0, at home in /home/astro", body=user),
    Check(name="folders", promise="home and AIRFLOW_HOME can be written to by group 0", body=folders),
    Check(name="airflow-home", promise="works in /usr/local/airflow, which is on Python's path", body=airflow_home),
    Check(name="programs", promise="airflow, bash, curl, git, nc, pip, pytest, python, tini are there", body=programs),
    Check(name="environment", promise="LANG and ASTRONOMER_RUNTIME_VERSION are set", body=environment),
    Check(name="config", promise="/entrypoint starts it; no ports, no health check", body=config),
    Check(name="command", promise="told nothing, it shows Airflow's help", body=command),
    Check(name="shell", promise="RUN lines run in bash with -o pipefail -e -u -x", body=shell),
    Check(name="labels", promise="the labels that the Astro CLI reads are there", body=labels),
    Check(name="pins", promise="pip does not replace Airflow", body=pins),
)
