"""`plan`, `build` and `verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtbuild.cli.document import as_document
from rtbuild.cli.group import shared_options
from rtbuild.cli.invocation import Invocation, chosen_platform
from rtbuild.cli.text import short, table
from rtbuild.errors import NotReproducibleError
from rtbuild.text import size_text

if TYPE_CHECKING:
    from rtbuild.derivations.plan import Plan
    from rtbuild.verbs.build import BuildResult

NOT_REPRODUCIBLE = NotReproducibleError.exit_code

folder = click.Path(file_okay=False, path_type=Path)


@click.command(short_help="Show what would be built, and why.")
@click.argument("release")
@click.option("--platform", metavar="P", help="linux/amd64 or linux/arm64 [this machine's].")
@shared_options
@click.pass_obj
def plan(invocation: Invocation, release: str, platform: str | None) -> None:
    """Show each layer of RELEASE: its key, whether it is cached, and if not, which input changed.

    Reads recipes, lock and store; touches neither network nor engine. Says so where the lock has to be made again
    before a build.

    \b
    Example:
      rtbuild plan 8.0 --platform linux/amd64
    """
    from rtbuild.verbs.plan import plan as plan_release

    planned = plan_release(
        invocation.workspace(), release, platform=chosen_platform(platform), settings=invocation.settings()
    )
    invocation.answer(plan_document(planned), plan_text(planned))


def plan_document(plan: Plan) -> dict[str, Any]:
    """The JSON form of a plan: that of a build, without results."""
    layers = [
        {"name": layer.name, "key": layer.key, "state": layer.state, "reason": layer.reason} for layer in plan.layers
    ]
    return {"release": plan.release, "platform": plan.platform, "layers": layers, "stale": list(plan.stale)}


def plan_text(plan: Plan) -> str:
    """A plan as a table."""
    rows = [(layer.name, short(layer.key), layer.state, layer.reason) for layer in plan.layers]
    text = f"{plan.release} for {plan.platform}\n" + table(("layer", "key", "state", "reason"), rows)
    if plan.stale:
        mend = f"rtbuild lock {plan.release} --platform {plan.platform}"
        problems = "".join(f"\n  {problem}" for problem in plan.stale)
        text += f"\nthe lock was made from other recipes, so a build waits for: {mend}{problems}"
    return text


@click.command(short_help="Build, and compare with the lock.")
@click.argument("release")
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    metavar="P",
    help="linux/amd64 or linux/arm64; may be repeated [this machine's].",
)
@click.option("--record", is_flag=True, help="Write the digests that come out into the lock.")
@click.option("--load", is_flag=True, help="Load the image into the engine's Docker.")
@click.option("--output", type=folder, metavar="DIR", help="Write the image into DIR as an OCI image layout.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Processor-bound work at once [one per core].")
@click.option("--builder", metavar="NAME", help="The buildx builder to use [the machine's Docker, or a private one].")
@shared_options
@click.pass_obj
@click.pass_context
def build(
    context: click.Context,
    invocation: Invocation,
    release: str,
    platforms: tuple[str, ...],
    record: bool,
    load: bool,
    output: Path | None,
    jobs: int | None,
    builder: str | None,
) -> None:
    """Build RELEASE and compare what comes out with its lock.

    Fetches what the store lacks, builds the layers that are not cached, prints image ID and manifest digest. A digest
    that is not the lock's is exit code 3, and the layer is named. Without a Docker that will do, root gets a private
    engine, started now.

    \b
    Examples:
      rtbuild build 8.0
      rtbuild build 8.0 --load
      rtbuild build 8.0 --record        the first build of a new lock
      rtbuild build 8.0 --json -q | jq -r .image_id
    """
    from rtbuild.verbs.build import build as build_release

    workspace, settings = invocation.workspace(), invocation.settings(jobs=jobs, builder=builder)
    with invocation.progress() as progress:
        results = [
            build_release(
                workspace,
                release,
                platform=chosen_platform(platform),
                settings=settings,
                record=record,
                load=load,
                output=output,
                progress=progress,
            )
            for platform in platforms or (None,)
        ]
    invocation.answer_each("builds", [as_document(one) for one in results], [build_text(one) for one in results])
    if any(one.matches_lock is False for one in results):
        context.exit(NOT_REPRODUCIBLE)


def build_text(result: BuildResult) -> str:
    """What a build gave, for a reader."""
    rows = [
        (layer.name, short(layer.key), layer.state, size_text(layer.size), short(layer.diff_id))
        for layer in result.layers
    ]
    lines = [
        f"{result.release} for {result.platform} in {result.seconds:.1f} s",
        table(("layer", "key", "state", "size", "diff id"), rows),
        f"image ID         {result.image_id}",
        f"manifest digest  {result.manifest_digest}",
    ]
    if result.matches_lock is None:
        lines.append("the lock records no digests to compare with; --record writes these into it")
    elif result.matches_lock:
        lines.append("equal to the lock")
    else:
        lines += ["NOT what the lock says:", *(f"  {mismatch}" for mismatch in result.mismatches)]
    return "\n".join(lines)


@click.command(short_help="Rebuild from nothing, and compare.")
@click.argument("release")
@click.option("--platform", metavar="P", help="linux/amd64 or linux/arm64 [this machine's].")
@click.option("--against", type=folder, metavar="DIR", help="Compare with the OCI image layout in DIR, not the lock.")
@click.option("--report", type=folder, metavar="DIR", help="Write the report, and the layers that differ, into DIR.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Processor-bound work at once [one per core].")
@click.option("--builder", metavar="NAME", help="The buildx builder to use [the machine's Docker, or a private one].")
@shared_options
@click.pass_obj
@click.pass_context
def verify(
    context: click.Context,
    invocation: Invocation,
    release: str,
    platform: str | None,
    against: Path | None,
    report: Path | None,
    jobs: int | None,
    builder: str | None,
) -> None:
    """Rebuild RELEASE from an empty store and without any cache, and compare it with its lock.

    Exit code 0 says that every digest is equal, 3 that one is not; then the differing files are named.

    \b
    Examples:
      rtbuild verify 8.0 --report report/
      rtbuild verify 8.0 --against image/
    """
    from rtbuild.verbs.verify import describe_verification
    from rtbuild.verbs.verify import verify as verify_release

    with invocation.progress() as progress:
        outcome = verify_release(
            invocation.workspace(),
            release,
            platform=chosen_platform(platform),
            settings=invocation.settings(jobs=jobs, builder=builder),
            against=against,
            report=report,
            progress=progress,
        )
    invocation.answer(as_document(outcome), describe_verification(outcome))
    if not outcome.reproducible:
        context.exit(NOT_REPRODUCIBLE)
