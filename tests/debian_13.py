"""Run the unit tests on the Python of Debian 13, on a machine with another Debian: `python -m tests.debian_13`.

Debian 12 has Python 3.11 and no other; Debian 13 has 3.13. `mmdebstrap` makes a small Debian 13 from the mirror that
this machine's apt uses, and its /usr is mounted over the machine's own, for pytest and its children alone. They see all
else as it is: /etc, the home folder, this checkout, pip's configuration. Debian's /bin and /lib are links into /usr, so
programs and libraries are Debian 13's. The machine needs root and a merged /usr.

Debian 13 stays in the user's cache folder, and the environment in `.nox`, for the next run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import platformdirs

from rtbuild.mirror.find import find_mirrors
from rtbuild.settings import load_settings

PROJECT = Path(__file__).parents[1]
SUITE = "trixie"
PACKAGES = ("ca-certificates", "python3", "python3-venv")
ENVIRONMENT = PROJECT / ".nox" / "debian-13"


def main(arguments: list[str]) -> None:
    """Run pytest on the unit tests with `arguments`, in place of this process."""
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None or not Path("/bin").is_symlink():
        sys.exit("error: Debian 13's Python needs root, mmdebstrap and a Debian\nhint: ./bootstrap tests-3.13, as root")
    system = make_system(platformdirs.user_cache_path("rtbuild-tests"))
    python = make_environment(system)
    os.execvpe("unshare", inside(system, str(python), "-m", "pytest", *arguments, "tests/unit"), environment())


def make_system(cache: Path) -> Path:
    """Return the folder of a Debian 13 with `PACKAGES`, made now if it is missing."""
    system = cache / f"{SUITE}-{hashlib.sha256(' '.join(PACKAGES).encode()).hexdigest()[:12]}"
    if system.is_dir():
        return system
    mirror = find_mirrors(load_settings(os.environ, PROJECT)).debian_for("debian")[0].address
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        options = [
            "--quiet",
            "--mode=root",
            "--variant=minbase",
            "--format=directory",
            f"--include={','.join(PACKAGES)}",
        ]
        subprocess.run(["mmdebstrap", *options, SUITE, f"{folder}/made", mirror], check=True)
        Path(folder, "made").rename(system)
    return system


def make_environment(system: Path) -> Path:
    """Return the Python of an environment with rtbuild and the group `test`, made now unless it is up to date."""
    stamp = ENVIRONMENT / "rtbuild.stamp"
    wanted = hashlib.sha256((PROJECT / "pyproject.toml").read_bytes() + str(system).encode()).hexdigest()
    python = ENVIRONMENT / "bin" / "python3"
    if not stamp.is_file() or stamp.read_text() != wanted:
        install = ("-m", "pip", "install", "--quiet", "--editable", ".", "--group", "test")
        for command in (("/usr/bin/python3", "-m", "venv", "--clear", str(ENVIRONMENT)), (str(python), *install)):
            subprocess.run(inside(system, *command), env=environment(), cwd=PROJECT, check=True)
        stamp.write_text(wanted)
    return python


def inside(system: Path, *command: str) -> list[str]:
    """Return the command that runs `command` with the /usr of `system`, in mounts of its own."""
    return ["unshare", "--mount", "sh", "-c", 'mount --bind "$0/usr" /usr && exec "$@"', str(system), *command]


def environment() -> dict[str, str]:
    """Return this process's environment, without the traces of the Python that it runs on."""
    paths = f"{ENVIRONMENT / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin"
    return {**{name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}, "PATH": paths}


if __name__ == "__main__":
    main(sys.argv[1:])
