"""Unpacking packages for dpkg: what is written here, what dpkg gets, and which packages stay whole."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from rtbuild.errors import IntegrityError
from rtbuild.formats.deb import data_tar
from rtbuild.formats.tar_entry import DIRECTORY, REGULAR, SYMLINK
from rtbuild.layers.unpack import Package, Root, read_root, unpack_for_dpkg
from tests.fakes import layers
from tests.fakes.wheels import folder, make_deb

Members = Sequence[tarfile.TarInfo | tuple[str, bytes]]


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = kind
    entry.linkname = target
    return entry


class Unpacked:
    """Packages that were unpacked: the members of the tar, and the packages that stayed whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.packages: list[Package] = []
        self.whole: frozenset[str] = frozenset()

    def add(
        self, name: str, members: Members, control: Mapping[str, bytes] | None = None, *, bootstrap: bool = False
    ) -> None:
        texts = {"control": b"", "md5sums": b"", **(control or {})}
        files = [(f"./{file}", text) for file, text in texts.items()]
        deb = make_deb(self.folder / f"{name}.bin", members, control=files)
        self.packages.append(Package(filename=f"{name}.deb", deb=deb, bootstrap=bootstrap))

    def unpack(self, root: Root | None = None, left_out: Callable[[str], object] = lambda path: None) -> list[str]:
        """Unpack the packages and return the paths of the tar, folders with a slash at the end."""
        context = self.folder / "context"
        context.mkdir()
        contents = self.folder / "contents.tar"
        self.whole = unpack_for_dpkg(self.packages, root or Root(), contents, context, jobs=2, left_out=left_out)
        return _paths(contents.read_bytes())

    def thin(self, name: str) -> dict[str, bytes | None]:
        """Return the members of a thin package with their content; None unless they are regular files."""
        with (self.folder / "context" / "thin" / f"{name}.deb").open("rb") as deb:
            content = io.BytesIO(b"".join(data_tar(deb)))
        with tarfile.open(fileobj=content) as archive:
            files = {member.name: archive.extractfile(member) if member.isreg() else None for member in archive}
            assert all(name == "." or name.startswith("./") for name in files), "dpkg would match no pattern"
            return {path.removeprefix("./"): file.read() if file else None for path, file in files.items()}


def _paths(tar: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return [f"{member.name}/" if member.isdir() else member.name for member in archive]


@pytest.fixture
def unpacked(tmp_path: Path) -> Unpacked:
    return Unpacked(tmp_path)


def test_files_are_written_here_and_those_below_etc_by_dpkg(unpacked: Unpacked) -> None:
    unpacked.add(
        "a", [folder("./"), folder("./etc/"), ("./etc/conf", b"c"), folder("./usr/", 0o711), ("./usr/x", b"x")]
    )
    unpacked.add("b", [folder("./"), folder("./usr/"), ("./usr/y", b"y" * 700), link("./usr/l", "y")])
    assert unpacked.unpack() == ["etc/", "usr/", "usr/x", "usr/y", "usr/l"]
    assert not unpacked.whole
    assert unpacked.thin("a") == {".": None, "etc": None, "etc/conf": b"c", "usr": None, "usr/x": b""}
    assert unpacked.thin("b") == {".": None, "usr": None, "usr/y": b"", "usr/l": None}
    with tarfile.open(unpacked.folder / "contents.tar") as archive:
        assert archive.getmember("usr").mode == 0o711, "the first package decides"
        content = archive.extractfile("usr/y")
        assert content is not None
        assert content.read() == b"y" * 700


def test_what_runs_before_dpkg_is_complete(unpacked: Unpacked) -> None:
    unpacked.add("dpkg", [("./etc/conf", b"c"), ("./usr/dpkg", b"d")], {"preinst": b"ls /usr/dpkg"}, bootstrap=True)
    assert unpacked.unpack() == ["etc/conf", "usr/dpkg"]
    assert not unpacked.whole


def test_documentation_is_left_out_unless_a_hard_link_needs_it(unpacked: Unpacked) -> None:
    doc: Members = [("./usr/doc/a", b"a"), ("./usr/doc/b", b"b"), link("./usr/c", "./usr/doc/b", tarfile.LNKTYPE)]
    unpacked.add("a", doc)
    assert unpacked.unpack(left_out=lambda path: path.startswith("/usr/doc/")) == ["usr/doc/b", "usr/c"]
    assert unpacked.thin("a") == {"usr/doc/a": b"", "usr/doc/b": b"", "usr/c": None}


@pytest.mark.parametrize(
    ("members", "control"),
    [
        ([("./usr/x", b"theirs")], {}),
        ([link("./usr", "srv")], {}),
        ([("./usr/x/y", b"")], {}),
        ([link("./opt/l", "x"), ("./opt/l/y", b"")], {}),
        ([("./opt/y", b"")], {"conffiles": b"/opt/y\n"}),
        ([("./etc/y", b"")], {"conffiles": b"remove-on-upgrade /etc/y\n"}),
        ([("./opt/y", b"")], {"preinst": b"#!/bin/sh\n[ -e /opt/y ]\n"}),
        ([folder("./opt/a/b/")], {"preinst": b"#!/bin/sh\nrm -rf /opt/a/b\n"}),
        ([("./opt/y", b"")], {"preinst": b"dpkg-divert --add /bin/true"}),
        ([("./opt/y", b"")], {"preinst": b"dpkg-statoverride --add"}),
        ([("./opt/\xe4", b"")], {}),
        ([("./opt/" + "y" * 120, b"")], {}),
        ([("./etc/y", b""), link("./opt/y", "./etc/y", tarfile.LNKTYPE)], {}),
    ],
)
def test_a_package_stays_whole_where_the_order_of_dpkg_matters(
    unpacked: Unpacked, members: Members, control: dict[str, bytes]
) -> None:
    unpacked.add("first", [folder("./usr/"), ("./usr/x", b"ours")])
    unpacked.add("odd", members, control)
    paths = unpacked.unpack()
    assert unpacked.whole == {"odd.deb"}
    assert (unpacked.folder / "context" / "whole" / "odd.deb").samefile(unpacked.folder / "odd.bin")
    assert [path for path in paths if not path.endswith("/")] == ["usr/x"], "no file of it is written here"
    assert {path.name for path in (unpacked.folder / "context" / "thin").iterdir()} == {"first.deb"}


def test_a_package_without_md5sums_stays_whole(tmp_path: Path) -> None:
    deb = make_deb(tmp_path / "a.bin", [("./x", b"")], control=[("./control", b"")])
    (tmp_path / "context").mkdir()
    packages = [Package(filename="a.deb", deb=deb)]
    assert unpack_for_dpkg(packages, Root(), tmp_path / "tar", tmp_path / "context", jobs=1) == {"a.deb"}


def test_what_a_helper_for_upgrades_is_told_keeps_no_package_whole(unpacked: Unpacked) -> None:
    unpacked.add("a", [("./opt/y", b"")], {"preinst": b'dpkg-maintscript-helper symlink_to_dir /opt/y 1 -- "$@"\n'})
    assert unpacked.unpack() == ["opt/y"]
    assert not unpacked.whole


def test_a_file_that_another_package_diverts_is_written_by_dpkg(unpacked: Unpacked) -> None:
    unpacked.add("diverts", [("./opt/d", b"")], {"preinst": b"dpkg-divert --add /opt/y"})
    unpacked.add("diverted", [("./opt/y", b"")])
    unpacked.unpack()
    assert unpacked.whole == {"diverts.deb", "diverted.deb"}


def test_what_the_layers_below_have_is_left_to_dpkg(unpacked: Unpacked) -> None:
    root = Root(
        kinds={"usr": DIRECTORY, "usr/old": REGULAR, "usr/link": SYMLINK}, claimed=frozenset({"srv/c", "srv/f"})
    )
    unpacked.add("upgrade", [folder("./usr/"), ("./usr/old", b"new")])
    unpacked.add("linked", [folder("./usr/"), folder("./usr/link/"), ("./usr/link/x", b"")])
    unpacked.add("claimed", [("./srv/c", b"")])
    unpacked.add("folder", [folder("./srv/f/"), ("./srv/f/x", b"")])
    unpacked.add("new", [folder("./usr/"), ("./usr/new", b"")])
    assert unpacked.unpack(root) == ["usr/new"]
    assert unpacked.whole == {"upgrade.deb", "linked.deb", "claimed.deb", "folder.deb"}


def test_paths_behind_links_of_the_root_are_written_where_they_lead(unpacked: Unpacked) -> None:
    unpacked.add("files", [link("./lib", "usr/lib"), folder("./usr/"), folder("./usr/lib/")], bootstrap=True)
    unpacked.add("a", [folder("./lib/"), ("./lib/x", b"x"), link("./lib/y", "./lib/x", tarfile.LNKTYPE)])
    assert unpacked.unpack(Root(links=("lib",))) == ["lib", "usr/", "usr/lib/", "usr/lib/x", "usr/lib/y"]
    assert not unpacked.whole
    assert list(unpacked.thin("a")) == ["lib", "lib/x", "lib/y"], "dpkg lists what the package says"


def test_the_root_is_read_from_the_layers_below(tmp_path: Path) -> None:
    lower = layers.raw_layer(
        layers.symlink("bin", "usr/bin"),
        layers.symlink("srv", "/data"),
        layers.file("var/lib/dpkg/diversions", b"/bin/sh\n/bin/sh.distrib\ndash\n"),
        layers.file("var/lib/dpkg/statoverride", b"root mail 2755 /usr/bin/mail tool\n"),
        layers.file("usr/gone"),
    )
    for number, content in enumerate((lower, layers.raw_layer(layers.whiteout("usr/gone"), layers.folder("usr")))):
        (tmp_path / str(number)).write_bytes(content)
    root = read_root([tmp_path / "0", tmp_path / "1"])
    assert root.links == ("bin",)
    assert root.claimed == {"bin/sh", "bin/sh.distrib", "usr/bin/mail tool"}
    assert root.kinds["bin"] == SYMLINK
    assert root.kinds["usr"] == DIRECTORY
    assert "usr/gone" not in root.kinds


def test_links_that_the_layers_below_have_are_not_written_again(unpacked: Unpacked) -> None:
    unpacked.add("a", [folder("./bin/"), ("./bin/x", b"x")])
    assert unpacked.unpack(Root(kinds={"bin": SYMLINK}, links=("bin",))) == ["usr/bin/", "usr/bin/x"]


def test_the_error_names_the_damaged_package(unpacked: Unpacked) -> None:
    unpacked.add("a", [("./x", b"x")])
    deb = unpacked.packages[0].deb
    deb.write_bytes(deb.read_bytes().replace(b"control.tar", b"control.tax"))
    with pytest.raises(IntegrityError, match=r"a\.deb cannot be unpacked as a Debian package: it has no control\.tar"):
        unpacked.unpack()


def test_no_thread_is_left_after_an_error(unpacked: Unpacked) -> None:
    """Left to the garbage collector, the threads would be waited for wherever it runs, even in one of them."""
    unpacked.add("a", [folder("./")])
    unpacked.add("b", [("./../x", b"x")])
    unpacked.add("c", [folder("./")])
    before = threading.active_count()
    with pytest.raises(IntegrityError) as caught:
        unpacked.unpack()
    assert threading.active_count() == before, caught.traceback
