"""The real apt-get as an oracle: what it would install into an empty root from the same signed suites.

It runs in a private directory with its own configuration, status file and lists. It reads the indexes from a folder, as
mirrors serve them, and checks their signatures itself.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from rtbuild.mirror.sources import Sources
from rtbuild.recipe.model import Suite

KEYRING = Path(__file__).parents[2] / "src/rtbuild/resolve/debian/keyrings/debian-archive-keyring.gpg"


class Apt:
    """apt-get for `suites` and a dpkg architecture, with its state in `root`."""

    def __init__(self, root: Path, suites: Sequence[Suite], sources: Sources, architecture: str = "amd64") -> None:
        self._root = root
        for folder in (
            "etc/apt.conf.d",
            "etc/preferences.d",
            "etc/sources.list.d",
            "lists/partial",
            "cache/archives/partial",
        ):
            (root / folder).mkdir(parents=True)
        lines = []
        for suite in suites:
            if architecture not in suite.architectures:
                continue
            mirror = root / "mirror" / suite.archive
            for path in ("InRelease", *(f"{c}/binary-{architecture}/Packages.xz" for c in suite.components)):
                place = mirror / "dists" / suite.suite / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(next(sources.debian_index(suite, path)).content)
            lines.append(f"deb [signed-by={KEYRING}] file:{mirror} {suite.suite} {' '.join(suite.components)}\n")
        (root / "etc/sources.list").write_text("".join(lines))
        (root / "status").write_text("")
        (root / "apt.conf").write_text(
            f"""
            APT::Architecture "{architecture}";
            APT::Architectures {{ "{architecture}"; }};
            APT::Sandbox::User "root";
            APT::Solver "internal";
            pkgCacheGen::ForceEssential ",";
            Acquire::Languages "none";
            Acquire::Check-Valid-Until "false";
            Dir::State "{root}";
            Dir::State::lists "{root}/lists";
            Dir::State::status "{root}/status";
            Dir::Cache "{root}/cache";
            Dir::Etc "{root}/etc";
            """
        )
        self._run("update")

    def choice(self, packages: Sequence[str]) -> dict[str, str]:
        """Return the versions, by package, that `install --no-install-recommends` would fetch."""
        output = self._run("install", "--print-uris", "--yes", "--no-install-recommends", *packages)
        chosen = {}
        for name, version in re.findall(r"^'[^']+' ([^_ ]+)_([^_ ]+)_[^_ ]+\.deb ", output, re.MULTILINE):
            chosen[name] = unquote(version)
        return chosen

    def install(self, chosen: dict[str, str]) -> None:
        """Count these packages as installed from now on."""
        output = self._run("show", *(f"{name}={version}" for name, version in chosen.items()), program="apt-cache")
        stanzas = [stanza for stanza in output.split("\n\n") if stanza.strip()]
        with (self._root / "status").open("a") as status:
            for stanza in stanzas:
                status.write(f"{stanza.strip()}\nStatus: install ok installed\n\n")

    def _run(self, *arguments: str, program: str = "apt-get") -> str:
        environment = {"PATH": os.environ["PATH"], "APT_CONFIG": str(self._root / "apt.conf"), "LC_ALL": "C.UTF-8"}
        result = subprocess.run(
            [program, "-q", *arguments], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        assert result.returncode == 0, (
            f"{program} {' '.join(arguments)}:\n{result.stdout[-2000:]}\n{result.stderr[-2000:]}"
        )
        return result.stdout
