"""Canonical layers of real BuildKit exports: equal for two builds, and with the same files in a container."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtbuild.digest import DiffId, digest_of, sha256_file
from rtbuild.engine.build import layout_reference
from rtbuild.engine.engine import Engine
from rtbuild.formats.frames import DEFAULT, Compressor, gzip, open_uncompressed
from rtbuild.oci.compare import compare_layers
from rtbuild.oci.descriptor import CONFIG, MANIFEST, Descriptor
from rtbuild.oci.image import image_config, manifest
from rtbuild.oci.layer import LayerDigest, LayerWriter, canonical_layer
from rtbuild.oci.layout import Layout, StoredImage, read_stored_image
from rtbuild.oci.names import named
from rtbuild.platform import host_platform
from rtbuild.recipe.model import ImageSettings, Removal

pytestmark = pytest.mark.integration

_EPOCH = 1_683_000_000
_NAME = "rtbuild-oci-test"
_SETTINGS = ImageSettings(env=(("PATH", "/bin"),), command=("/bin/sh",))

_BOTTOM = """
FROM scratch
COPY busybox /bin/
RUN ["/bin/busybox", "--install", "/bin"]
RUN mkdir -p /usr/share/doc/a /usr/share/doc/b /var/log /opt/tool/lib /old/deep && \\
    echo doc > /usr/share/doc/a/copyright && echo b > /usr/share/doc/b/b && \\
    dd if=/dev/urandom of=/var/log/noise.log bs=1000 count=1 && \\
    yes content | head -c 9000000 > /opt/tool/big && ln /opt/tool/big /opt/tool/another && \\
    ln /opt/tool/big /opt/tool/third && ln -s big /opt/tool/soft && \\
    chown 50000:7 /opt/tool/big && chmod 4755 /opt/tool/big && mkfifo /opt/tool/pipe && touch "/opt/tool/ünï" && \\
    echo x > /old/deep/x && echo temporary > /opt/temporary
RUN rm -r /usr/share/doc/b /opt/temporary /old && mkdir /old && echo new > /old/y && echo alone > /opt/tool/new && \\
    mv /opt/tool/new /opt/tool/another
"""

_UPPER = """
FROM parent
RUN rm -r /usr/share/doc /opt/tool/soft && mkdir -p /usr/share/doc && echo n > /usr/share/doc/new && \\
    cat /proc/sys/kernel/random/uuid > /var/log/noise.log
RUN rm /old/y && rmdir /old && ln -s /opt /old && chmod 711 /opt/tool && ln /opt/tool/pipe /opt/tool/pipe2 && \\
    rm /bin/ash
"""

_STEPS = (
    "rm /bin/ash /old/y && mkdir /opt/new && echo a > /opt/new/a && echo x > /opt/gone && chmod 711 /opt/tool",
    "rm -r /opt/gone /old && mv /opt/new/a /opt/tool/a && rmdir /opt/new && mkdir /opt/new && ln /opt/tool/a /opt/b",
)

# Everything that a container sees of its files except times. Of hard links only whether a file has other names: an
# overlay also counts names that an upper layer removed.
_LIST = """
cd / && find bin/busybox bin/sh old opt usr var -print | sort | while read -r f; do
    stat -c '%n %F %a %u:%g %t:%T' "$f"
    [ -d "$f" ] || [ "$(stat -c %h "$f")" = 1 ] || echo "$f has other names"
    if [ -L "$f" ]; then readlink "$f"; elif [ -f "$f" ]; then case $f in *.log) ;; *) sha256sum "$f";; esac; fi
done
"""


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    busybox = shutil.which("busybox")
    assert busybox, "needs a static busybox to put into an image: apt-get install busybox-static"
    folder = tmp_path_factory.mktemp("context")
    shutil.copy(busybox, folder / "busybox")
    return folder


class _Bench:
    """Builds with the engine in a folder of its own, and lists the files of images."""

    def __init__(self, engine: Engine, context: Path, folder: Path) -> None:
        self.engine = engine
        self.context = context
        self.folder = folder
        self.loaded: list[str] = []

    def build(self, name: str, text: str, parent: Path | None = None) -> Layout:
        dockerfile = self.folder / f"{name}.Dockerfile"
        dockerfile.write_text(text)
        contexts: dict[str, Path | str] = {}
        if parent:
            image = read_stored_image(Layout.open(parent)).manifest
            contexts["parent"] = layout_reference(
                self.folder / f"{name}-parent", blobs=parent / "blobs", manifest=image.digest, size=image.size
            )
        target = self.folder / name
        self.engine.build(
            self.context, log=self.folder / f"{name}.log", dockerfile=dockerfile, contexts=contexts, output=target
        )
        return Layout.open(target)

    def listing(self, layout: Layout) -> list[str]:
        name = f"{_NAME}:{len(self.loaded)}"
        self.engine.load(layout.root, {name: read_stored_image(layout).manifest.digest})
        self.loaded.append(name)
        outcome = self.engine.run(name, ["/bin/sh", "-c", _LIST], entrypoint=[])
        assert outcome.exit_code == 0, outcome.stderr
        return outcome.stdout.decode().splitlines()


@pytest.fixture
def bench(engine: Engine, context: Path, tmp_path: Path) -> Iterator[_Bench]:
    bench = _Bench(engine, context, tmp_path)
    yield bench
    for name in bench.loaded:
        engine.remove_image(name)


def _canonical(
    target: Layout, image: StoredImage, raw: Layout, first: int = 0, compressor: Compressor = DEFAULT
) -> LayerDigest:
    noise = [Removal(pattern="/var/log/*.log", reason="times")]
    below = [io.BytesIO(open_uncompressed(raw.blob_path(layer.digest)).read()) for layer in image.layers[:first]]
    with LayerWriter(target, compressor=compressor) as writer:
        return canonical_layer(
            [raw.blob_path(layer.digest) for layer in image.layers[first:]],
            writer, epoch=_EPOCH, removals=noise, below=below or None,
        )  # fmt: skip


def _put_image(target: Layout, *layers: LayerDigest) -> Descriptor:
    names = [(str(index), layer.diff_id) for index, layer in enumerate(layers)]
    config = target.put_blob(image_config(_SETTINGS, platform=host_platform(), epoch=_EPOCH, layers=names), CONFIG)
    image = target.put_blob(manifest(config, [layer.descriptor for layer in layers]), MANIFEST)
    target.write_index(named(image, [f"{_NAME}:local"]))
    return image


def _without_logs(listing: list[str]) -> list[str]:
    return [line for line in listing if not line.startswith("var/log/")]


def test_two_exports_have_the_same_canonical_layer(bench: _Bench) -> None:
    target = Layout.create(bench.folder / "canonical")
    first, second = (bench.build(name, _BOTTOM) for name in ("first", "second"))
    layers = [_canonical(target, read_stored_image(raw), raw) for raw in (first, second)]
    raw_layers = [read_stored_image(raw).layers for raw in (first, second)]
    assert raw_layers[0] != raw_layers[1]
    differing = compare_layers(first.blob_path(raw_layers[0][2].digest), second.blob_path(raw_layers[1][2].digest))
    assert {difference.what for difference in differing} <= {"mtime", "content"}
    assert [difference.path for difference in differing if difference.what == "content"] == ["/var/log/noise.log"]
    assert layers[0] == layers[1]


def test_one_step_and_two_give_one_layer(bench: _Bench) -> None:
    """What only the first of two steps has leaves no trace, neither in whiteouts nor in the times of folders."""
    raw = bench.build("raw", _BOTTOM)
    target = Layout.create(bench.folder / "canonical")
    _put_image(target, _canonical(target, read_stored_image(raw), raw))
    layers = []
    for name, steps in (("one", [" && ".join(_STEPS)]), ("two", _STEPS)):
        export = bench.build(name, "\n".join(["FROM parent", *(f"RUN {step}" for step in steps), ""]), target.root)
        image = read_stored_image(export)
        assert len(image.layers) == 1 + len(steps)
        layers.append(_canonical(target, image, export, first=1))
    assert layers[0] == layers[1]


@pytest.mark.parametrize("compressor", [DEFAULT, gzip()], ids=["zstd", "gzip"])
def test_containers_see_the_same_files(bench: _Bench, compressor: Compressor) -> None:
    raw = bench.build("raw", _BOTTOM)
    target = Layout.create(bench.folder / "canonical")
    bottom = _canonical(target, read_stored_image(raw), raw, compressor=compressor)
    assert bottom.blob_size < bottom.size
    _put_image(target, bottom)
    expected = _without_logs(bench.listing(raw))
    assert {"opt/tool/big regular file 4755 50000:7 0:0", "opt/tool/big has other names"} <= set(expected)
    assert bench.listing(target) == expected

    raw_upper = bench.build("raw-upper", _UPPER, parent=target.root)
    image = read_stored_image(raw_upper)
    assert image.diff_ids[0] == bottom.diff_id
    upper_target = Layout.create(bench.folder / "upper")
    upper = _canonical(upper_target, image, raw_upper, first=1, compressor=compressor)
    shutil.copyfile(target.blob_path(bottom.blob), upper_target.blob_path(bottom.blob))
    _put_image(upper_target, bottom, upper)
    assert bench.listing(upper_target) == _without_logs(bench.listing(raw_upper))

    again = bench.build("again", _UPPER, parent=target.root)
    assert _canonical(upper_target, read_stored_image(again), again, first=1, compressor=compressor) == upper


def test_a_child_image_can_be_built_on_a_canonical_layer(bench: _Bench) -> None:
    raw = bench.build("raw", _BOTTOM)
    target = Layout.create(bench.folder / "canonical")
    bottom = _canonical(target, read_stored_image(raw), raw)
    _put_image(target, bottom)
    child = bench.build(
        "child", 'FROM parent\nRUN ["/bin/sh", "-c", "cat /opt/tool/another > /seen"]\n', parent=target.root
    )
    image = read_stored_image(child)
    assert image.diff_ids[0] == bottom.diff_id
    top = child.blob_path(image.layers[-1].digest)
    assert DiffId(digest_of(sha256_file(top))) == image.diff_ids[-1]
    config = json.loads(child.read_document(image.config))
    assert config["config"]["Env"] == ["PATH=/bin"]
