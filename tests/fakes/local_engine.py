"""Engines without containers: one that compiles wheels with this Python, and one that exports given layers."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from rtbuild.digest import Digest
from rtbuild.engine.engine import Engine
from rtbuild.errors import BuildError
from rtbuild.oci.descriptor import CONFIG, MANIFEST
from rtbuild.oci.image import image_config, manifest
from rtbuild.oci.layout import Layout, read_stored_image
from rtbuild.platform import Platform
from rtbuild.recipe.model import ImageSettings

_LAYER = "application/vnd.oci.image.layer.v1.tar"


class LocalEngine:
    """An engine whose `build` takes what `Engine.build` takes."""

    def __init__(self) -> None:
        self.builds: list[str] = []
        """The title of each build."""
        self.fail = False
        """Whether the next builds fail."""
        self.spoil: Callable[[Path], None] = lambda out: None
        """Called with the output folder after each build."""

    def build(
        self,
        context: Path,
        *,
        log: Path,
        title: str,
        output_local: Path,
        platform: Platform,
        on_line: Callable[[str], None],
        **_: Any,
    ) -> None:
        """Run compile_wheels.py on the context, as its Dockerfile does."""
        self.builds.append(title)
        assert (context / "tools.tar").stat().st_size
        assert "compile_wheels.py" in (context / "Dockerfile").read_text()
        if self.fail:
            raise BuildError(f"{title}: failed on request")
        work = context / "work"
        compile_in(work, output_local, on_line)
        self.spoil(output_local)


class ExportingEngine:
    """An engine that exports given raw layers over the parent's layer, and keeps the context of each build."""

    def __init__(self, *raw: bytes) -> None:
        self.raw = raw
        self.contexts: list[dict[str, bytes]] = []
        self.parents: list[Mapping[str, str]] = []
        self.images: list[list[Digest]] = []
        """The blobs of the parent image's layers, bottom first, for each build."""
        self.contents: list[list[str]] = []
        """The paths of the parent image's highest layer, for each build."""

    def build(self, context: Path, *, contexts: Mapping[str, str], output: Path, platform: Platform, **_: Any) -> None:
        self.contexts.append(
            {str(path.relative_to(context)): path.read_bytes() for path in context.rglob("*") if path.is_file()}
        )
        self.parents.append(contexts)
        layout = Layout.create(output)
        parent = Layout.open(Path(contexts["parent"].removeprefix("oci-layout://").removesuffix(":parent")))
        below = list(read_stored_image(parent).layers)
        self.images.append([layer.digest for layer in below])
        with tarfile.open(parent.blob_path(below[-1].digest)) as archive:
            self.contents.append(archive.getnames())
        for layer in below:
            assert layout.blob_path(layer.digest).is_file()
        descriptors = [*below, *(layout.put_blob(content, _LAYER) for content in self.raw)]
        names = [(str(number), descriptor.digest) for number, descriptor in enumerate(descriptors)]
        config = layout.put_blob(
            image_config(ImageSettings(), platform=platform, epoch=0, layers=cast(Any, names)), CONFIG
        )
        layout.write_index([layout.put_blob(manifest(config, descriptors), MANIFEST)])


def compile_in(work: Path, out: Path, on_line: Callable[[str], None] = lambda line: None, *, jobs: int = 2) -> None:
    """Run the compile script on the folder `work`."""
    arguments = [str(work / "compile_wheels.py"), str(work / "tasks"), str(work / "wheels"), str(out), str(jobs)]
    done = subprocess.run(
        [sys.executable, "-s", "-S", "-B", *arguments],
        env={"PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BuildError("compiling failed", details=done.stderr)
    for line in done.stdout.splitlines():
        on_line(f"#5 0.1 {line}")


def as_engine(engine: LocalEngine) -> Engine:
    """Return the fake with the type of the real engine."""
    return cast(Engine, engine)
