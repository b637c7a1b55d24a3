"""Render an HTML page with a treemap of an image and tables of the same. It works without a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from html import escape
from importlib import resources
from typing import NamedTuple

from rtbuild.inventory.model import FileSize, ImageSize, LayerSize, PackageSize
from rtbuild.inventory.treemap import SMALLEST, Cell, TreemapNode, treemap
from rtbuild.text import size_text


class _Shape(NamedTuple):
    """The size of a map, and the smallest area in it."""

    width: float
    height: float
    smallest: float


WIDE = _Shape(1600.0, 940.0, SMALLEST)
NARROW = _Shape(328.0, 720.0, 24.0 * 24.0)
"""For a phone, whose narrowest common screen has 360 pixels: a unit is a pixel there. A finger needs 24 by 24 of them
(WCAG 2.2, 2.5.8)."""

# For each layer the colour of the strip with its name, and of its cells by depth. Hues after Okabe and Ito (2008), for
# the colour-blind; the contrast of the text on each is above 4.5 to 1 (WCAG 2.1, 1.4.3).
_COLOURS = (
    ("#005a8c", "#8fc1de", "#bcdaeb", "#d9eaf4"),
    ("#a34200", "#f0b085", "#f6ccb0", "#fae3d4"),
    ("#006650", "#86c9b5", "#b5ded1", "#d8eee7"),
    ("#7d3f68", "#dcabc7", "#eacadb", "#f4e3ec"),
    ("#665300", "#ddc878", "#eadcab", "#f4edd3"),
    ("#1d4f91", "#a9bbe0", "#c9d4ec", "#e2e8f5"),
    ("#4d4d4d", "#bdbdbd", "#d6d6d6", "#e9e9e9"),
)
_FONTS = (14.0, 12.0, 10.0)
_CHARACTERS = (0.64, 0.64, 0.58)
"""The width of a character in font sizes, in the widest of the usual fonts. The first two levels are bold."""


def treemap_page(image: ImageSize) -> str:
    """Return the page. Hovering over a cell shows its path and size."""
    title = f"{image.release} for {image.platform}"
    frame = resources.files("rtbuild.inventory").joinpath("page.html").read_text(encoding="utf-8")
    parts = {
        "title": escape(f"{title}: what takes the space"),
        "heading": escape(title),
        "summary": escape(
            f"{size_text(image.size)} of files in {len(image.layers)} layers; {size_text(image.compressed)} compressed"
        ),
        "wide": _drawn(image, WIDE, "wide"),
        "narrow": _drawn(image, NARROW, "narrow"),
        "layers": "".join(_layer_row(index, layer, image) for index, layer in enumerate(image.layers)),
        "packages": "".join(_package_rows(image)),
        "colours": "".join(_colour_rules(len(image.layers))),
    }
    for name, text in parts.items():
        frame = frame.replace(f"<!--{name}-->", text)
    return frame


# --- the treemap -----------------------------------------------------------------------------------------------------


def _image_node(image: ImageSize) -> TreemapNode:
    """Return the image as a tree of layers, packages and folders."""
    layers = [_layer_node(layer) for layer in image.layers]
    return TreemapNode(label=image.release, path=image.release, size=image.size, children=lambda: layers)


def _layer_node(layer: LayerSize) -> TreemapNode:
    packages = [_package_node(package, layer) for package in layer.packages]
    return TreemapNode(label=layer.name, path=_layer_path(layer), size=layer.size, children=lambda: packages)


def _layer_path(layer: LayerSize) -> str:
    return f"layer {layer.name}"


def _package_node(package: PackageSize, layer: LayerSize) -> TreemapNode:
    label, path = _package_name(package), f"{layer.name}: {_package_name(package)} {package.version}".rstrip()
    return TreemapNode(label=label, path=path, size=package.size, children=partial(_folder_nodes, package.files, ""))


def _package_name(package: PackageSize) -> str:
    """Return the name of a package for readers."""
    return package.name or "files of no package"


def _folder_nodes(files: Sequence[FileSize], folder: str) -> Sequence[TreemapNode]:
    """Return the content of `folder` (empty for the root), which has all of `files`.

    Folders that only have one folder in them are skipped.
    """
    groups: dict[str, list[FileSize]] = {}
    start = len(folder)
    for file in files:
        groups.setdefault(file.path[start:].partition("/")[0], []).append(file)
    if len(groups) == 1 and len(files) > 1:
        (name,) = groups
        return _folder_nodes(files, f"{folder}{name}/")
    nodes = []
    for name, group in groups.items():
        path = f"{folder}{name}"
        if len(group) == 1:
            (file,) = group
            nodes.append(TreemapNode(label=file.path[start:], path=f"/{file.path}", size=file.size))
            continue
        size = sum(file.size for file in group)
        nodes.append(
            TreemapNode(label=name, path=f"/{path}/", size=size, children=partial(_folder_nodes, group, f"{path}/"))
        )
    return nodes


def _drawn(image: ImageSize, shape: _Shape, name: str) -> str:
    cells = "".join(_cells(image, shape))
    label = "Treemap of the image; the tables below show the same sizes"
    size = f"0 0 {shape.width:.0f} {shape.height:.0f}"
    return f'<svg class="{name}" viewBox="{size}" role="img" aria-label="{label}">\n{cells}</svg>'


def _cells(image: ImageSize, shape: _Shape) -> Iterator[str]:
    indexes = {_layer_path(layer): index for index, layer in enumerate(image.layers)}
    for cell in treemap(_image_node(image), shape.width, shape.height, smallest=shape.smallest):
        share = f"{100 * cell.node.size / image.size:.1f} %"
        tip = f"{cell.node.path}  {size_text(cell.node.size)}, {share}"
        x, y, width, height = cell.box
        level = cell.depth if cell.depth < 2 else 2 if cell.header else 3
        # the cell of small layers has no colour of its own
        index = indexes.get(cell.branch.path, len(image.layers))
        yield (
            f'<g><title>{escape(tip)}</title><rect class="l{index} d{level}" x="{x:.1f}" y="{y:.1f}" '
            f'width="{width:.1f}" height="{height:.1f}"/>{_label(cell)}</g>\n'
        )


def _label(cell: Cell) -> str:
    x, y, width, height = cell.box
    level = min(cell.depth, 2)
    font = _FONTS[level]
    if cell.header:
        baseline = y + cell.header - (cell.header - font) / 2 - 2
    elif height >= font + 4:
        baseline = y + font + 1
    else:
        return ""
    room = int((width - 8) / (font * _CHARACTERS[level]))
    text, size = cell.node.label, size_text(cell.node.size)
    if len(text) + len(size) + 2 <= room:
        text = f"{text}  {size}"
    elif len(text) > room:
        text = f"{text[: room - 1]}…" if room >= 4 else ""
    if not text:
        return ""
    return f'<text class="t{level}" x="{x + 4:.1f}" y="{baseline:.1f}">{escape(text)}</text>'


# --- tables ----------------------------------------------------------------------------------------------------------


def _layer_row(index: int, layer: LayerSize, image: ImageSize) -> str:
    cells = (
        f'<th scope="row"><span class="swatch s{index}"></span>{escape(layer.name)}</th>',
        f"<td>{size_text(layer.size)}</td>",
        f'<td class="wide">{size_text(layer.archive)}</td>',
        f"<td>{size_text(layer.compressed)}</td>",
        f"<td>{100 * layer.size / max(1, image.size):.1f} %</td>",
        f'<td class="wide">{len(layer.packages)}</td>',
    )
    return f"<tr>{''.join(cells)}</tr>\n"


def _package_rows(image: ImageSize) -> Iterator[str]:
    packages = [(package, layer) for layer in image.layers for package in layer.packages]
    for package, layer in sorted(packages, key=lambda pair: (-pair[0].size, pair[0].name)):
        yield (
            f'<tr><th scope="row">{escape(_package_name(package))}</th><td class="text">{escape(package.version)}</td>'
            f'<td class="text wide">{escape(layer.name)}</td><td>{size_text(package.size)}</td>'
            f'<td class="wide">{size_text(package.compiled) if package.compiled else ""}</td>'
            f'<td class="wide">{len(package.files)}</td></tr>\n'
        )


def _colour_rules(layers: int) -> Iterator[str]:
    for index in range(layers + 1):
        for depth, colour in enumerate(_COLOURS[index % len(_COLOURS)]):
            yield f".l{index}.d{depth}{{fill:{colour}}}"
        yield f".s{index}{{background:{_COLOURS[index % len(_COLOURS)][0]}}}\n"
