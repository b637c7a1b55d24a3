"""Making a layer canonical: its tar read, put in order, written, hashed and compressed; against Python's tarfile."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from bench.ground import RELEASE, Ground
from bench.measure import Measure, in_turns, load_average, timed
from bench.rival import Rival
from rtbuild.formats.frames import ZSTD_LEVEL, open_uncompressed
from rtbuild.oci.layer import LayerWriter, canonical_layer
from rtbuild.oci.layout import Layout, read_stored_image


def run(ground: Ground, rival: Rival) -> Iterator[Measure]:
    """The largest layer, because it has most of the files."""
    layout = Layout.open(ground.warm_store / "layout")
    image = read_stored_image(layout, f"{ground.settings.repository}:{RELEASE}")
    largest = max(image.layers, key=lambda layer: layer.size)
    raw = ground.folder / "raw.tar"
    with open_uncompressed(layout.blob_path(largest.digest)) as source, raw.open("wb") as target:
        while piece := source.read(1 << 20):
            target.write(piece)
    size = raw.stat().st_size / 1e6
    epoch = ground.lock.source_date_epoch
    scratch = Layout.create(ground.folder / "layout")

    def ours() -> None:
        with LayerWriter(scratch, workers=ground.settings.jobs) as writer:
            canonical_layer([raw], writer, epoch=epoch)

    def theirs() -> None:
        _with_tarfile(raw, ground.folder / "theirs.tar.zst", epoch)

    load = load_average()
    mine, other = in_turns(ground.runs(3), lambda: timed(ours), lambda: timed(theirs))
    yield Measure(
        name=f"canonical layer of {size:.0f} MB",
        ours=size / mine,
        unit="MB/s",
        theirs=size / other,
        rival="Python's tarfile, sorted, with the same compressor",
        load=load,
        runs=ground.runs(3),
    )


def _with_tarfile(raw: Path, target: Path, epoch: int) -> None:
    """What a user's script would do: sort, cut times, drop names, write, hash both forms."""
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True)
    with target.open("wb") as file:
        blob = _Hashed(file)
        with compressor.stream_writer(cast(BinaryIO, blob), closefd=False) as stream:
            plain = cast(BinaryIO, _Hashed(stream))
            with tarfile.open(raw) as source, tarfile.open(fileobj=plain, mode="w|", format=tarfile.PAX_FORMAT) as out:
                for member in sorted(source, key=lambda member: member.name):
                    member.mtime = min(int(member.mtime), epoch)
                    member.uname = member.gname = ""
                    out.addfile(member, source.extractfile(member) if member.isreg() else None)


class _Hashed:
    """The part of a file that these writers use; it hashes what it passes on."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._state = hashlib.sha256()

    def write(self, content: bytes) -> int:
        self._state.update(content)
        return self._file.write(content)
