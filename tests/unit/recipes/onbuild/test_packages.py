"""The script of the onbuild layer that installs a project's Debian packages: how it reads packages.txt."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[4] / "recipes/layers/onbuild/install-packages"
LINES = "# tools\r\nlibpq-dev\r\n\tcurl=1.0  jq # both\r\n\r\ngraphviz"
ALL = ["libpq-dev", "curl=1.0", "jq", "graphviz"]


class Project:
    """A folder with a packages.txt, and an apt-get that writes down what it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        programs = folder / "bin"
        programs.mkdir()
        apt = programs / "apt-get"
        apt.write_text(f'#!/bin/sh\nfor word; do echo "$word"; done >> {folder}/asked\n')
        # The last lines of the script remove what apt-get left behind on a real system.
        remove = programs / "rm"
        remove.write_text("#!/bin/sh\n")
        for program in (apt, remove):
            program.chmod(0o755)

    def install(self, content: bytes) -> subprocess.CompletedProcess[str]:
        (self.folder / "packages.txt").write_bytes(content)
        environment = {"PATH": f"{self.folder}/bin:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
        command = ["sh", str(SCRIPT), "packages.txt"]
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)

    def asked(self) -> list[str]:
        """The packages that apt-get was asked to install."""
        path = self.folder / "asked"
        words = path.read_text().split("\n") if path.exists() else []
        return [word for word in words[words.index("--") + 1 : words.index("clean")] if word] if words else []


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(LINES.encode(), id="Windows line ends"),
        pytest.param(LINES.replace("\r\n", "\n").encode(), id="Unix line ends"),
        pytest.param(LINES.encode("utf-8-sig"), id="UTF-8 with a byte order mark"),
        pytest.param(b"\xff\xfe" + LINES.encode("utf-16-le"), id="UTF-16, little-endian"),
        pytest.param(b"\xfe\xff" + LINES.encode("utf-16-be"), id="UTF-16, big-endian"),
        pytest.param((LINES + "\n# \xfcbrig, \u2026").encode(), id="a comment that is not ASCII"),
        pytest.param((LINES + "\n# \xfcbrig").encode("latin-1"), id="a comment in Latin-1"),
        pytest.param((LINES + "\r\n# \xfcbrig").encode("utf-16"), id="UTF-16 that is not ASCII"),
    ],
)
def test_packages_are_read_whatever_wrote_the_file(project: Project, content: bytes) -> None:
    done = project.install(content)
    assert (done.returncode, done.stderr) == (0, "")
    assert project.asked() == ALL


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"# none", b"\xef\xbb\xbf", b"\xff\xfe", "# none\r\n".encode("utf-16")]
)
def test_without_packages_apt_is_not_asked(project: Project, content: bytes) -> None:
    done = project.install(content)
    assert (done.returncode, done.stderr) == (0, "")
    assert project.asked() == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (LINES.encode("utf-16-le"), "has zero bytes, so it is not plain text"),
        (b"\xff\xfe" + LINES.encode("utf-16-le")[:-1], "damaged UTF-16"),
        (b"\xff\xfe\x00\xd8j\x00", "damaged UTF-16"),
    ],
)
def test_what_cannot_be_read_is_an_error_that_says_so(project: Project, content: bytes, told: str) -> None:
    done = project.install(content)
    assert done.returncode == 1
    assert done.stderr == f"install-packages: packages.txt: {told}: save it as UTF-8\n"
    assert project.asked() == []


def test_nothing_in_the_file_is_more_than_a_name(project: Project) -> None:
    assert project.install(b"*\n--option\n$(touch made)\n`touch made`\n").returncode == 0
    assert project.asked() == ["*", "--option", "$(touch", "made)", "`touch", "made`"]
    assert not (project.folder / "made").exists()
