"""`rtbuild size`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtbuild.cli.group import shared_options
from rtbuild.cli.invocation import Invocation
from rtbuild.cli.options import FILE, platform_option, release_argument
from rtbuild.cli.text import encodable

if TYPE_CHECKING:
    from rtbuild.inventory.model import ImageSize, LayerSize
    from rtbuild.platform import Platform


@click.command(short_help="Show what takes the space.")
@release_argument
@platform_option
@click.option(
    "--top",
    type=click.IntRange(min=0),
    default=10,
    metavar="N",
    help="Packages to show of each layer, 0 for all  [default: 10]",
)
@click.option("--html", type=FILE, metavar="FILE", help="Write a treemap page, down to folders and files, into FILE.")
@shared_options
@click.pass_obj
def size(invocation: Invocation, release: str, platform: Platform | None, top: int, html: Path | None) -> None:
    """Show the size of RELEASE by layer and package, largest first.

    Reads the layers in the store, so the release must be built. Sizes are of file contents; what a pull transfers is
    shown for each layer.

    \b
    Examples:
      rtbuild size 8.0 --top 25
      rtbuild size 8.0 --html size.html
      rtbuild size 8.0 --json | jq '.layers[].packages[] | select(.name == "pandas")'
    """
    from rtbuild.cli.size_tree import size_tree
    from rtbuild.verbs.size import size as measure_release

    image = measure_release(invocation.workspace(), release, platform=platform, settings=invocation.settings())
    if html is not None:
        from rtbuild.inventory.page import treemap_page

        html.write_text(encodable(treemap_page(image)), encoding="utf-8")
    invocation.answer(size_document(image), size_tree(image, top))


def size_document(image: ImageSize) -> dict[str, Any]:
    """Return the JSON form: files are counted, not listed."""
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
