"""`rtbuild build`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rtbuild.cli.document import as_document
from rtbuild.cli.group import shared_options
from rtbuild.cli.invocation import Invocation, platforms_of
from rtbuild.cli.options import FILE, FOLDER, builder_option, jobs_option, platforms_option, release_argument
from rtbuild.cli.text import short, table
from rtbuild.errors import NotReproducibleError
from rtbuild.platform import Platform, host_platform
from rtbuild.text import size_text

if TYPE_CHECKING:
    from rtbuild.verbs.build import BuildResult


@click.command(short_help="Build, and compare with the lock.")
@release_argument
@platforms_option()
@click.option("--record", is_flag=True, help="Build twice, and write the digests into the lock if they are equal.")
@click.option("--no-rebuild", is_flag=True, help="With --record: do not build a second time.")
@click.option("--load", is_flag=True, help="Load the image into your Docker, else the private engine.")
@click.option("-o", "--output", type=FOLDER, metavar="DIR", help="Write the image into DIR as an OCI image layout.")
@click.option("--metadata-file", type=FILE, metavar="FILE", help="Write the result as buildx does, as JSON, into FILE.")
@click.option("--iidfile", type=FILE, metavar="FILE", help="Write the config digest into FILE.")
@jobs_option
@builder_option
@shared_options
@click.pass_obj
@click.pass_context
def build(  # noqa: PLR0913 (one parameter for each option)
    context: click.Context,
    invocation: Invocation,
    release: str,
    platforms: tuple[Platform, ...],
    record: bool,
    no_rebuild: bool,
    load: bool,
    output: Path | None,
    metadata_file: Path | None,
    iidfile: Path | None,
    jobs: int | None,
    builder: str | None,
) -> None:
    """Build RELEASE and compare the result with its lock.

    Fetches what the store lacks, builds the layers that are not cached, prints config and manifest digest. If a
    digest does not match the lock, the layer is named and the exit code is 3. If no suitable Docker is found and you
    are root, a private engine is started.

    \b
    Examples:
      rtbuild build 8.0
      rtbuild build 8.0 --load
      rtbuild build 8.0 --platform amd64,arm64 -o images/
      rtbuild build 8.0 --record        the first build of a new lock
      rtbuild build 8.0 --json -q | jq -r .config_digest
    """
    from rtbuild.store.early import hash_guessed

    if no_rebuild and not record:
        raise click.UsageError("--no-rebuild goes with --record")
    if iidfile is not None and len(platforms) > 1:
        raise click.UsageError("--iidfile takes one digest, so it goes with one platform")
    settings = invocation.settings(jobs=jobs, builder=builder)
    for platform in platforms or (host_platform(),):
        hash_guessed(settings.store, release, platform.name)
    from rtbuild.cli.metadata import write_image_id, write_metadata
    from rtbuild.verbs.build import build as build_release  # takes as long as hashing the layers

    workspace = invocation.workspace()
    with invocation.progress() as progress:
        results = [
            build_release(
                workspace,
                release,
                platform=platform,
                settings=settings,
                record=record,
                rebuild=not no_rebuild,
                load=load,
                output=output,
                progress=progress,
            )
            for platform in platforms_of(workspace, release, platforms)
        ]
    if metadata_file is not None:
        write_metadata(metadata_file, results)
    if iidfile is not None:
        write_image_id(iidfile, results[0])
    invocation.answer_each(
        "builds",
        [{**as_document(result), "config_digest": result.config_digest} for result in results],
        [build_text(result) for result in results],
    )
    if any(result.matches_lock is False for result in results):
        context.exit(NotReproducibleError.exit_code)


def _compared_text(result: BuildResult) -> str:
    """Return which digests were compared with those of the lock."""
    if result.manifest_compared:
        return "diff IDs, config digest and manifest digest"
    return (
        "diff IDs and config digest; the manifest digest cannot be compared, because the lock's was written by "
        f"{result.recorded_compressor}"
    )


def build_text(result: BuildResult) -> str:
    """Return what a build gave, where it is, and how to run it."""
    rows = [
        (layer.name, short(layer.key), layer.state, size_text(layer.size), short(layer.diff_id))
        for layer in result.layers
    ]
    lines = [
        f"{result.release} for {result.platform} in {result.seconds:.1f} s",
        table(("layer", "key", "state", "size", "diff id"), rows),
        f"config digest    {result.image_id}  (Docker's image ID with the classic image store)",
        f"manifest digest  {result.manifest_digest}  (Docker's image ID with the containerd image store)",
    ]
    if result.matches_lock is None:
        lines.append("the lock records no digests; record these with: --record")
    elif result.matches_lock:
        lines.append(f"matches the lock: {_compared_text(result)}")
    lines += [f"images           {', '.join(result.images)}", f"OCI layout       {result.location}"]
    if result.run is not None:
        lines.append(f"run              {result.run}")
    elif result.matches_lock is not False:
        lines.append(f"load into Docker with: rtbuild build {result.release} --platform {result.platform} --load")
    if result.matches_lock is False:
        lines += [
            "does not match the lock:",
            *(f"  {mismatch}" for mismatch in result.mismatches),
            f"name the files that differ with: rtbuild verify {result.release} --platform {result.platform}",
        ]
    return "\n".join(lines)
