"""Packages of a fake engine: shell scripts in real .debs, and the lock that names them."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from rtbuild.digest import Sha256, sha256_bytes
from rtbuild.lockfile.model import DebArtifact, EngineLock
from rtbuild.platform import Platform, host_platform
from tests.fakes import locks

PROGRAMS = (
    "usr/sbin/dockerd",
    "usr/sbin/runc",
    "usr/bin/docker",
    "usr/bin/containerd",
    "usr/bin/containerd-shim-runc-v2",
    "usr/libexec/docker/cli-plugins/docker-buildx",
)


def ar(members: Mapping[str, bytes]) -> bytes:
    """Return an ar archive (deb(5))."""
    content = b"!<arch>\n"
    for name, data in members.items():
        content += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data
        content += b"\n" * (len(data) % 2)
    return content


def plain_tar(files: Mapping[str, bytes]) -> bytes:
    """Return a tar of executable files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def engine_packages(
    folder: Path,
    dockerd: str,
    *,
    without: tuple[str, ...] = (),
    version: str = "1",
    platform: Platform | None = None,
) -> tuple[EngineLock, dict[Sha256, Path]]:
    """Write one package with all programs of an engine, and return its lock and its file.

    `dockerd` is the text of a shell script; the other programs do nothing.
    """
    scripts = {name: b"#!/bin/sh\n" for name in PROGRAMS if name not in without}
    if "usr/sbin/dockerd" in scripts:
        scripts["usr/sbin/dockerd"] = f"#!/bin/sh\n# {version}\n{dockerd}\n".encode()
    content = ar({"debian-binary": b"2.0\n", "data.tar.gz": gzip.compress(plain_tar(scripts), mtime=0)})
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"engine_{version}_all.deb"
    path.write_bytes(content)
    deb = DebArtifact(
        filename=path.name,
        path=f"pool/{path.name}",
        size=len(content),
        sha256=sha256_bytes(content),
        name="engine",
        version=version,
        architecture="all",
        archive="debian",
        suite="test",
        built=0,
        layer="",
    )
    suite = locks.suite("test")
    lock = EngineLock(engine="default", platform=platform or host_platform(), inputs=(), debs=(deb,), suites=(suite,))
    return lock, {deb.sha256: path}
