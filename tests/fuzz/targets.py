"""Every parser of bytes that others wrote, with small samples of its format.

A target parses one input, or raises one of its errors: an `RtbuildError` of the right class, or what its docstring
names where a lower layer raises and a higher one adds the place. Anything else, a traceback of a library, a hang, a
gigabyte of memory, is a find. What was found stays in `tests/fuzz/found/<target>/`.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import struct
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import cast

import zstandard
from packaging.markers import UndefinedEnvironmentName

from rtbuild.digest import digest_of, hex_of, sha256_bytes
from rtbuild.documents import parse_json, parse_toml
from rtbuild.engine.debs import unpack_deb
from rtbuild.errors import BuildError, IntegrityError, ResolutionError
from rtbuild.formats import project_page
from rtbuild.formats.deb import control_text, data_tar
from rtbuild.formats.deb822 import parse_stanza
from rtbuild.formats.debian_relations import parse_relations
from rtbuild.formats.frames import decompress
from rtbuild.formats.project_page import parse_links, parse_project_page
from rtbuild.formats.streams import decompressed
from rtbuild.formats.tar import read_members
from rtbuild.formats.unified_diff import DiffError, read_diff
from rtbuild.mirror.sources import Sources
from rtbuild.oci.descriptor import CONFIG, MANIFEST, Descriptor
from rtbuild.oci.layout import Layout, image_of
from rtbuild.platform import PLATFORMS
from rtbuild.recipe.model import Suite
from rtbuild.resolve.debian.keyring import Keyring
from rtbuild.resolve.debian.packages_file import PackagesIndex
from rtbuild.resolve.python.index import Index
from rtbuild.resolve.python.pages import read_page
from rtbuild.resolve.python.sdist import read_sdist
from rtbuild.resolve.python.target import target_for
from rtbuild.resolve.python.wheel import wheel_metadata
from rtbuild.verbs.mirrors import why_untrusted
from rtbuild.wheels.compiled import open_compiled
from rtbuild.wheels.scheme import debian_scheme
from rtbuild.wheels.toolroot import unpack_debs
from rtbuild.wheels.wheel import open_wheel
from tests.fakes import patches, workspaces
from tests.fakes.debian_archive import SigningKey
from tests.fakes.package_index import make_sdist
from tests.fuzz import images, packages, samples, store_files, workspace_files
from tests.fuzz.target import SCRATCH, Target

SCHEME = debian_scheme("3.9")
SUITE = Suite(archive="debian", suite="stable")
STANZA = (
    samples.CONTROL
    + b"Filename: pool/main/h/hello_1.0-1_amd64.deb\nSHA256: "
    + b"a" * 64
    + b"\nProvides: greeting (= 1)\n"
)
RELEASE = (
    b"Origin: Debian\nSuite: stable\nCodename: bookworm\nDate: Sat, 10 Jun 2023 08:53:33 UTC\n"
    b"Valid-Until: Sat, 17 Jun 2099 08:53:33 UTC\nAcquire-By-Hash: yes\nComponents: main\nSHA256:\n "
    + b"a" * 64
    + b" 100 main/binary-amd64/Packages\n "
    + b"b" * 64
    + b"  50 main/binary-amd64/Packages.xz\n"
)
PAGE = json.dumps(
    {
        "meta": {"api-version": "1.1"},
        "name": "spam",
        "files": [
            {
                "filename": "spam-1.0-py3-none-any.whl",
                "url": "../../files/spam-1.0-py3-none-any.whl",
                "hashes": {"sha256": "a" * 64},
                "size": 7,
                "upload-time": "2023-01-01T00:00:00.5Z",
                "requires-python": ">=3.9",
                "yanked": False,
                "core-metadata": {"sha256": "b" * 64},
            }
        ],
    }
).encode()
METADATA = b"""\
Metadata-Version: 2.1
Name: spam
Version: 1.0
Requires-Python: >=3.8
Provides-Extra: x
Requires-Dist: eggs (>=1.0,<2)
Requires-Dist: ham[y]~=2.0; python_version < '3.10' and (os_name == 'posix' or extra == 'x')
Requires-Dist: old (>=1.0-legacy,<2.*)

Text
"""
AS_OF = datetime(2023, 5, 1, tzinfo=UTC)
TARGET = target_for(PLATFORMS["linux/amd64"], "3.9.2", (2, 31))
MIXED = b'a = 1\nb = ["x", {c = 2023-05-02T00:00:00Z}]\n[d.e]\nf = """g\nh"""\n[[i]]\nj = 0x1F\nk = -1.5e3\n'


class _Believing(Keyring):
    """A keyring that finds every message signed, so that the parser behind it is reached."""

    def signed_text(self, message: bytes) -> bytes:
        return message


# --- parsers ---------------------------------------------------------------------------------------------------------


def _members(content: bytes) -> None:
    for count, _ in enumerate(read_members(io.BytesIO(content))):
        assert count < len(content)


def _unpack(content: bytes) -> None:
    folder = SCRATCH.fresh()
    (folder / "x.deb").write_bytes(content)
    (folder / "outside").write_bytes(b"outside")
    try:
        unpack_deb(folder / "x.deb", folder / "root")
    finally:
        assert sorted(path.name for path in folder.iterdir() if path.name != "root") == ["outside", "x.deb"]
        assert (folder / "outside").stat().st_nlink == 1


def _drain(pieces: Callable[[bytes], object]) -> Callable[[bytes], None]:
    def run(content: bytes) -> None:
        for _ in pieces(content):  # type: ignore[attr-defined]
            pass

    return run


def _stream(name: str) -> Callable[[bytes], None]:
    return _drain(lambda content: decompressed((content,), name, limit=64 << 20))


def _stanza(content: bytes) -> None:
    parse_stanza(content.decode("utf-8", "replace"))


def _relations(content: bytes) -> None:
    parse_relations.__wrapped__(content.decode("utf-8", "replace"))


def _packages(content: bytes) -> None:
    index = PackagesIndex(content, SUITE, priority=500, where="dists/stable/Packages")
    for name in sorted(index.names)[:20]:
        with suppress(IntegrityError):
            index.versions(name)
        index.first_mention(name)


def _in_release(content: bytes) -> None:
    why_untrusted(SUITE, content, _Believing((), "the test's keys"))


def _signed(content: bytes) -> None:
    why_untrusted(SUITE, content, KEYRING)


def _project_page(content: bytes) -> None:
    for file in parse_project_page(content, "https://index.invalid/simple/spam/")["files"]:
        for read in (
            project_page.address,
            project_page.size,
            project_page.sha256,
            project_page.upload_time,
            project_page.requires_python,
            project_page.yanked_reason,
            project_page.metadata_offer,
        ):
            with suppress(ValueError):
                read(file)


def _links(content: bytes) -> None:
    parse_links(content, "https://index.invalid/simple/spam/")


def _oci_index(content: bytes) -> None:
    folder = SCRATCH.fresh()
    (folder / "index.json").write_bytes(content)
    for entry in Layout(folder).read_index():
        str(entry).encode()


def _oci_image(content: bytes) -> None:
    """Read a manifest and its config, which are joined by a NUL."""
    manifest, _, config = content.partition(b"\0")
    layout = Layout.create(SCRATCH.fresh())
    stored = layout.put_blob(config, CONFIG)
    manifest = manifest.replace(b"CONFIG", hex_of(stored.digest).encode()).replace(b'"SIZE"', str(stored.size).encode())
    image_of(layout, layout.put_blob(manifest, MANIFEST))


OCI_INDEX = json.dumps(
    {
        "schemaVersion": 2,
        "manifests": [
            {
                **Descriptor(
                    media_type=MANIFEST, digest=digest_of(sha256_bytes(b"x")), size=1, platform=("linux", "amd64", "")
                ).to_json(),
                "annotations": {"org.opencontainers.image.ref.name": "8.0.0"},
            }
        ],
    }
).encode()
OCI_IMAGE = (
    b'{"schemaVersion": 2, "config": {"mediaType": "c", "digest": "sha256:CONFIG", "size": "SIZE"}, "layers": '
    b'[{"mediaType": "l", "digest": "sha256:' + b"a" * 64 + b'", "size": 3}]}\0'
    b'{"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": ["sha256:' + b"b" * 64 + b'"]}}'
)


def _wheel(content: bytes) -> None:
    path = SCRATCH.fresh() / "spam-1.0-py3-none-any.whl"
    path.write_bytes(content)
    with open_wheel(path, SCHEME) as wheel:
        for target, part in wheel.parts.items():
            assert "/../" not in target
            for _ in wheel.pieces(part):
                pass


def _wheel_metadata(content: bytes) -> None:
    wheel_metadata("spam.whl", io.BytesIO(content))


def _sdist(content: bytes) -> None:
    read_sdist("spam-1.0.zip" if content[:2] == b"PK" else "spam-1.0.tar.gz", io.BytesIO(content))


def _target_page(content: bytes) -> None:
    try:
        page = parse_project_page(content, "https://index.invalid/simple/spam/")
    except ValueError:  # the target index-json looks at it
        return
    for file in read_page("spam", page, target=TARGET, as_of=AS_OF).files:
        str(file).encode()


class _OneFile:
    """The part of `Sources` that reading metadata needs."""

    def __init__(self, metadata: bytes) -> None:
        self._metadata = metadata

    def python_metadata(self, url: str, sha256: str | None) -> bytes:
        return self._metadata


def _metadata(content: bytes) -> None:
    page = parse_project_page(PAGE.replace(b"b" * 64, sha256_bytes(content).encode()), "https://index.invalid/spam/")
    (file,) = read_page("spam", page, target=TARGET, as_of=AS_OF).files
    index = Index(cast(Sources, _OneFile(content)), target=TARGET, as_of=AS_OF, cache=SCRATCH.fresh())
    for requirement in index.metadata(file).requires:
        str(requirement)
        list(requirement.specifier.filter(["1.0", "2.0"]))
        if requirement.marker is not None:
            with suppress(UndefinedEnvironmentName):
                requirement.marker.evaluate({**TARGET.environment, "extra": "x"})


def _tool_root(*links: str) -> Callable[[bytes], None]:
    def run(content: bytes) -> None:
        folder = SCRATCH.fresh()
        (folder / "x.deb").write_bytes(content)
        unpack_debs([folder / "x.deb"], folder / "root.tar", jobs=1, links=links)
        assert (folder / "root.tar").stat().st_size < 1 << 26

    return run


def _modules(content: bytes) -> None:
    path = SCRATCH.fresh() / "modules"
    path.write_bytes(content)
    with open_compiled([path]) as modules:
        for name in modules:
            assert isinstance(modules[name], bytes)


def _compiled() -> bytes:
    index = json.dumps([["/usr/a.py", 3], ["/usr/b.py", 2]]).encode()
    return b"rtbuild compiled 1\n" + struct.pack("<Q", len(index)) + index + b"abcde"


_KEY = SigningKey()
KEYRING = Keyring.from_bytes(_KEY.certificate, name="the test's key")
TEXT = b"some text that compresses, some text that compresses" * 20


def targets() -> list[Target]:
    """Return every target."""
    tars = [samples.small_tar(pax=False), samples.small_tar(pax=True), samples.gnu_tar()]
    wheels = samples.wheels()
    sdists = [
        make_sdist("spam", "1.0", requires=["eggs"], pyproject='[build-system]\nrequires = ["setuptools"]\n').content,
        make_sdist("spam", "1.0", egg_info=False, metadata_version="2.2").content,
    ]
    sdists += [gzip.decompress(sdists[0]), bz2.compress(gzip.decompress(sdists[0])), samples.zipped_sdist()]
    diff = patches.diff("demo/a.py", "a\nb\nc\n", "a\nx\nc\n").encode()
    created = b"diff --git a/x.sh b/x.sh\nnew file mode 100755\n--- /dev/null\n+++ b/x.sh\n@@ -0,0 +1,1 @@\n+true\n"
    return [
        Target("tar", tars, _members, (IntegrityError,), samples.repaired_tar),
        Target("deb-control", samples.debs(), lambda content: control_text(io.BytesIO(content)), (ValueError,)),
        Target("deb-data", samples.debs(), _drain(lambda content: data_tar(io.BytesIO(content))), (ValueError,)),
        Target("deb-unpack", samples.debs(), _unpack, (IntegrityError,), samples.repaired_deb),
        Target("stream-gzip", [gzip.compress(TEXT), gzip.compress(TEXT) * 2], _stream("gzip"), (ValueError,)),
        Target("stream-bzip2", [bz2.compress(TEXT), bz2.compress(TEXT) * 2], _stream("bzip2"), (ValueError,)),
        Target("stream-xz", [lzma.compress(TEXT), lzma.compress(TEXT, preset=0)], _stream("xz"), (ValueError,)),
        Target("stream-lzma", [lzma.compress(TEXT, lzma.FORMAT_ALONE)], _stream("lzma"), (ValueError,)),
        Target("stream-zstd", [zstandard.ZstdCompressor(3).compress(TEXT)], _stream("zstd"), (ValueError,)),
        Target(
            "layer",
            [gzip.compress(TEXT), zstandard.ZstdCompressor(3).compress(TEXT), TEXT],
            _drain(lambda content: decompress(io.BytesIO(content))),
            (IntegrityError,),
        ),
        Target("stanza", [STANZA, RELEASE], _stanza, (ValueError,)),
        Target("relations", [b"a (>= 1.0~rc1-2) | b:any, c (<< 2:1)", b"x"], _relations, (ValueError,)),
        Target(
            "packages",
            [STANZA, STANZA + b"\n" + STANZA.replace(b"hello", b"other")],
            _packages,
            (ValueError, UnicodeDecodeError),
        ),
        Target("in-release", [RELEASE], _in_release, ()),
        Target("signed-message", [_KEY.sign(RELEASE)], _signed, (), slow=True),
        Target("json", [PAGE, OCI_INDEX, b'["\\ud83d\\ude00", 1.5e3, -1, null]'], parse_json, (ValueError,)),
        Target("toml", [MIXED, workspaces.BASE_OS.encode()], parse_toml, (ValueError,)),
        Target("index-json", [PAGE], _project_page, (ValueError,)),
        Target(
            "index-html", [b'<a href="../x.whl#sha256=0">x</a>\n<A HREF=y.whl data-x=">=3">'], _links, (ValueError,)
        ),
        Target("oci-index", [OCI_INDEX], _oci_index, (IntegrityError,)),
        Target("oci-image", [OCI_IMAGE], _oci_image, (IntegrityError,)),
        Target("diff", [diff, created, diff + created], read_diff, (DiffError,)),
        Target("wheel", wheels, _wheel, (BuildError, IntegrityError)),
        Target("wheel-of-large-files", [samples.large_wheel()], _wheel, (BuildError, IntegrityError), slow=True),
        Target("wheel-metadata", wheels, _wheel_metadata, (ResolutionError,)),
        Target("sdist", sdists, _sdist, (ResolutionError,), samples.repaired_tar),
        Target("target-page", [PAGE], _target_page, (ResolutionError,)),
        Target("metadata", [METADATA], _metadata, (ResolutionError,)),
        Target("tool-root", samples.debs(), _tool_root(), (IntegrityError,), samples.repaired_deb),
        Target("tool-root-merged", samples.debs(), _tool_root("bin", "lib"), (IntegrityError,), samples.repaired_deb),
        Target("compiled-modules", [_compiled()], _modules, (BuildError,)),
        *images.targets(),
        *packages.targets(),
        *store_files.targets(),
        *workspace_files.targets(),
    ]


def only(name: str) -> Target:
    """Return the target `name`."""
    return next(target for target in targets() if target.name == name)
