"""Reading what every command reads: a lock, and the index of a Debian suite."""

from __future__ import annotations

import lzma
import tomllib
from collections.abc import Iterator

from debian.deb822 import Packages

from bench.ground import Ground
from bench.measure import Measure, in_turns, load_average, timed
from bench.rival import Rival
from rtbuild import Silent, Store
from rtbuild.lockfile.read import read_lock
from rtbuild.mirror.find import find_mirrors
from rtbuild.mirror.remote import CACHE, MirrorSources, open_web
from rtbuild.resolve.debian.keyring import debian_keyring
from rtbuild.resolve.debian.packages_file import read_index
from rtbuild.resolve.debian.release_file import read_release_file


def run(ground: Ground, rival: Rival) -> Iterator[Measure]:
    """A lock against its TOML alone, in this process; an index against the library that everybody reads it with."""
    path = ground.workspace.lock_path(ground.release.version, ground.platform)
    runs = ground.runs(7)
    load = load_average()
    ours, theirs = in_turns(
        runs, lambda: timed(lambda: read_lock(path)), lambda: timed(lambda: tomllib.loads(path.read_text()))
    )
    yield Measure(
        name=f"read a lock of {len(ground.lock.debs) + len(ground.lock.pythons)} packages",
        ours=ours * 1000,
        unit="ms",
        theirs=theirs * 1000,
        rival="tomllib, which checks nothing of it",
        target=50,
        load=load,
        runs=runs,
    )
    cache = Store.open(ground.folder / "store-read").cache(CACHE)
    sources = MirrorSources(find_mirrors(ground.settings), cache, web=open_web(ground.settings))
    suite = ground.release.debian_layers[0].suites[0]
    release = read_release_file(suite, sources, keyring=debian_keyring(), progress=Silent())

    def index() -> int:
        return len(read_index(release, "main", ground.platform, sources, progress=Silent()).names)

    packages = index()  # now its bytes are at hand, and the network plays no part
    file = release.files[f"main/binary-{ground.platform.debian}/Packages.xz"]
    content = next(sources.debian_index(suite, f"main/binary-{ground.platform.debian}/by-hash/SHA256/{file.sha256}"))

    def deb822() -> set[str]:
        lines = lzma.decompress(content.content).splitlines()
        return {stanza["Package"] for stanza in Packages.iter_paragraphs(lines, use_apt_pkg=False)}

    runs = ground.runs(3)
    load = load_average()
    ours, theirs = in_turns(runs, lambda: timed(index), lambda: timed(deb822))
    yield Measure(
        name=f"read an index of {packages} packages",
        ours=ours,
        theirs=theirs,
        rival="python-debian",
        target=1.5,
        load=load,
        runs=runs,
    )
