"""The sizes of an image as a tree of layers and packages, drawn with rich."""

from __future__ import annotations

import io
import shutil
import sys

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from rtbuild.inventory.model import ImageSize, PackageSize
from rtbuild.text import count, size_text

_BAR = 24


def size_tree(image: ImageSize, top: int) -> str:
    """Return a tree of layers and their `top` packages (0: all), as wide as the terminal and in its colours."""
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
                f"{count('package', len(layer.packages))}",
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
    share = size / image.size if image.size else 0.0
    parts: list[str | tuple[str, str]] = [(label.ljust(width), "" if bar else "dim")]
    parts.append(f"  {size_text(size):>8}  {share:>6.1%}  ")
    if bar:
        largest = max(package.size for layer in image.layers for package in layer.packages)
        parts.append(("█" * round(_BAR * size / max(1, largest)), "cyan"))
    return Text.assemble(*parts)


def _label(package: PackageSize) -> str:
    return f"{package.name} {package.version}" if package.name else "files of no package"
