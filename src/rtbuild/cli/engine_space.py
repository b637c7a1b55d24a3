"""`rtbuild engine du`, `prune` and `remove`: how much space a private engine uses, and giving it back."""

from __future__ import annotations

import click

from rtbuild.cli.document import as_document
from rtbuild.cli.group import shared_options
from rtbuild.cli.invocation import Invocation
from rtbuild.cli.options import engine_name_option
from rtbuild.cli.text import table
from rtbuild.text import size_text


@click.command(short_help="Show how much space it uses.")
@engine_name_option
@shared_options
@click.pass_obj
def du(invocation: Invocation, name: str) -> None:
    """Show how much space the engine uses, and by what. The size of its build cache is known while it runs.

    \b
    Example:
      rtbuild engine du
    """
    from rtbuild.verbs.engine import engine_usage

    usage = engine_usage(None, name, settings=invocation.settings())
    cache = "unknown, it is not running" if usage.build_cache is None else size_text(usage.build_cache)
    rows = [
        ("programs", size_text(usage.programs)),
        ("images, containers, cache", size_text(usage.data)),
        ("- of it build cache", cache),
        ("total", size_text(usage.total)),
    ]
    invocation.answer(as_document(usage), f"{usage.folder}\n" + table(("what", "size"), rows))


@click.command(short_help="Remove its build cache.")
@engine_name_option
@shared_options
@click.pass_obj
def prune(invocation: Invocation, name: str) -> None:
    """Remove the engine's build cache, and images without a name. Builds of rtbuild itself never need them.

    \b
    Example:
      rtbuild engine prune
    """
    from rtbuild.verbs.engine import prune_engine

    pruned = prune_engine(None, name, settings=invocation.settings())
    sizes = f"{size_text(pruned.build_cache)} of build cache, {size_text(pruned.images)} of images"
    invocation.answer(as_document(pruned), f"removed from engine {name}: {sizes}")


@click.command(short_help="Stop it and remove everything that it has.")
@engine_name_option
@shared_options
@click.pass_obj
def remove(invocation: Invocation, name: str) -> None:
    """Stop the engine and remove its folder: programs, images and cache. `start` makes it again.

    \b
    Example:
      rtbuild engine remove --name testing
    """
    from rtbuild.verbs.engine import remove_engine

    removed = remove_engine(None, name, settings=invocation.settings())
    invocation.answer(as_document(removed), f"engine {removed.name}: removed ({removed.folder})")
