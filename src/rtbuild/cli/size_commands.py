"""`size`."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtbuild.cli.group import shared_options
from rtbuild.cli.invocation import Invocation, chosen_platform
from rtbuild.text import size_text

if TYPE_CHECKING:
    from rich.text import Text

    from rtbuild.inventory.model import ImageSize, LayerSize, PackageSize

_BAR = 24


@click.command(short_help="Show what takes the space.")
@click.argument("release")
@click.option("--platform", metavar="P", help="linux/amd64 or linux/arm64 [this machine's].")
@click.option(
    "--top", type=click.IntRange(min=0), default=10, metavar="N", help="Packages to show of each layer, 0 for all [10]."
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a page with a treemap down to folders and files into FILE.",
)
@shared_options
@click.pass_obj
def size(invocation: Invocation, release: str, platform: str | None, top: int, html: Path | None) -> None:
    """Show the size of RELEASE by layer and package, largest first.

    Reads the layers in the store: the release must be built. Sizes are of the files' contents; what a pull carries is
    told for each layer.

    \b
    Examples:
      rtbuild size 8.0 --top 25
      rtbuild size 8.0 --html size.html
      rtbuild size 8.0 --json | jq '.layers[].packages[] | select(.name == "pandas")'
    """
    from rtbuild.inventory.page import treemap_page
    from rtbuild.verbs.size import size as measure_release

    image = measure_release(
        invocation.workspace(), release, platform=chosen_platform(platform), settings=invocation.settings()
    )
    if html is not None:
        html.write_text(treemap_page(image), encoding="utf-8")
    invocation.answer(size_document(image), size_text_tree(image, top))


def size_document(image: ImageSize) -> dict[str, Any]:
    """The JSON form: files are counted, not listed."""
    return {
        "release": image.release,
        "platform": image.platform,
        "size": image.size,
        "archive": image.archive,
        "compressed": image.compressed,
        "layers": [_layer_document(layer) for layer in image.layers],
    }


def _layer_document(layer: LayerSize) -> dict[str, Any]:
    packages = [
        {
            "name": package.name,
            "version": package.version,
            "kind": package.kind,
            "size": package.size,
            "compiled": package.compiled,
            "files": len(package.files),
        }
        for package in layer.packages
    ]
    return {
        "name": layer.name,
        "size": layer.size,
        "archive": layer.archive,
        "compressed": layer.compressed,
        "packages": packages,
    }


def size_text_tree(image: ImageSize, top: int) -> str:
    """A tree of layers and packages, `top` of each layer (0: all), as wide as the terminal and in its colours."""
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    shown = {layer.name: layer.packages[: top or None] for layer in image.layers}
    width = max((len(_label(package)) for packages in shown.values() for package in packages), default=0)
    compressed = size_text(image.compressed)
    tree = Tree(
        Text.assemble(
            (f"{image.release} for {image.platform}", "bold"),
            f"  {size_text(image.size)} of files, {compressed} compressed",
        )
    )
    for layer in sorted(image.layers, key=lambda layer: -layer.size):
        branch = tree.add(
            Text.assemble(
                (layer.name, "bold cyan"),
                f"  {size_text(layer.size)} of files, {size_text(layer.compressed)} compressed, "
                f"{_count(len(layer.packages), 'package')}",
            )
        )
        for package in shown[layer.name]:
            branch.add(_line(_label(package), package.size, image, width))
        if rest := layer.packages[len(shown[layer.name]) :]:
            branch.add(_line(f"{len(rest)} more", sum(package.size for package in rest), image, width, bar=False))
    terminal = sys.stdout.isatty()
    columns = shutil.get_terminal_size().columns if terminal else 200
    drawn = io.StringIO()
    Console(file=drawn, width=columns, force_terminal=terminal, highlight=False).print(tree)
    return "\n".join(line.rstrip() for line in drawn.getvalue().rstrip("\n").split("\n"))


def _line(label: str, size: int, image: ImageSize, width: int, *, bar: bool = True) -> Text:
    from rich.text import Text

    share = size / image.size if image.size else 0.0
    parts: list[str | tuple[str, str]] = [(label.ljust(width), "" if bar else "dim")]
    parts.append(f"  {size_text(size):>8}  {share:>6.1%}  ")
    if bar:
        largest = max(package.size for layer in image.layers for package in layer.packages)
        parts.append(("█" * round(_BAR * size / max(1, largest)), "cyan"))
    return Text.assemble(*parts)


def _label(package: PackageSize) -> str:
    return f"{package.name} {package.version}" if package.name else "files of no package"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
