"""`rtbuild plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rtbuild.cli.group import shared_options
from rtbuild.cli.invocation import Invocation, platforms_of
from rtbuild.cli.options import platforms_option, release_argument
from rtbuild.cli.text import short, table

if TYPE_CHECKING:
    from rtbuild.derivations.plan import Plan
    from rtbuild.platform import Platform


@click.command(short_help="Show which layers would be built, and why.")
@release_argument
@platforms_option()
@shared_options
@click.pass_obj
def plan(invocation: Invocation, release: str, platforms: tuple[Platform, ...]) -> None:
    """Show each layer of RELEASE: its key, whether it is cached, and if not, which input changed.

    Reads recipes, lockfile and store; touches neither network nor engine. A stale lock is reported, since a build
    refuses it.

    \b
    Example:
      rtbuild plan 8.0 --platform amd64
    """
    from rtbuild.verbs.plan import plan as plan_release

    workspace, settings = invocation.workspace(), invocation.settings()
    plans = [
        plan_release(workspace, release, platform=platform, settings=settings)
        for platform in platforms_of(workspace, release, platforms)
    ]
    invocation.answer_each("plans", [plan_document(plan) for plan in plans], [plan_text(plan) for plan in plans])


def plan_document(plan: Plan) -> dict[str, Any]:
    """Return the JSON form of a plan: that of a build, without results."""
    layers = [
        {"name": layer.name, "key": layer.key, "state": layer.state, "reason": layer.reason} for layer in plan.layers
    ]
    return {"release": plan.release, "platform": plan.platform, "layers": layers, "stale": list(plan.stale)}


def plan_text(plan: Plan) -> str:
    """Return a plan as a table."""
    rows = [(layer.name, short(layer.key), layer.state, layer.reason) for layer in plan.layers]
    text = f"{plan.release} for {plan.platform}\n" + table(("layer", "key", "state", "reason"), rows)
    if plan.stale:
        command = f"rtbuild lock {plan.release} --platform {plan.platform}"
        problems = "".join(f"\n  {problem}" for problem in plan.stale)
        text += f"\nthe lock is stale; before a build, update it with: {command}{problems}"
    return text
