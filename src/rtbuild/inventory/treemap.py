"""Lay out a treemap: nested rectangles with areas in proportion to sizes, as square as possible.

The algorithm is that of Bruls, Huizing and van Wijk, "Squarified Treemaps" (2000).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

SMALLEST = 28.0
"""The area below which rectangles are drawn as one, by default: nobody could point at them."""

_DEEPEST = 12
_MARGIN = 1.5
_HEADERS = (22.0, 15.0, 13.0)
"""The height of the strips for labels: of children of the root, grandchildren, and deeper ones."""

_MINIMUM = ((24.0, 34.0), (60.0, 26.0), (60.0, 26.0))
"""The width and height, at each of these levels, below which a rectangle is drawn without its parts."""


class Box(NamedTuple):
    """A rectangle on the page."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TreemapNode:
    """Something with a size.

    Attributes:
        label: The text in the rectangle.
        path: A unique name.
        size: The size.
        children: Returns the parts. Called only if they are drawn; most nodes are too small for it.
    """

    label: str
    path: str
    size: int
    children: Callable[[], Sequence[TreemapNode]] = tuple


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A node that is drawn.

    Attributes:
        node: The node.
        box: Its rectangle.
        depth: 0 for a child of the root.
        branch: The child of the root that it is part of.
        header: The height of the strip for the label; 0 if no parts of the node are drawn.
    """

    node: TreemapNode
    box: Box
    depth: int
    branch: TreemapNode
    header: float


def treemap(root: TreemapNode, width: float, height: float, *, smallest: float = SMALLEST) -> Iterator[Cell]:
    """Yield the cells to draw of `root` in a rectangle of that size, parents before their parts.

    Parts whose area is below `smallest` are drawn as one.
    """
    for node, box in _placed(root, Box(0, 0, width, height), smallest):
        yield from _cells(node, box, 0, node, smallest)


def squarify(sizes: Sequence[int], box: Box) -> list[Box]:
    """Divide `box` in proportion to `sizes`, which are above zero and sorted, largest first."""
    boxes: list[Box] = []
    total = sum(sizes)
    scale = box.width * box.height / total if total else 0.0
    start = 0
    while start < len(sizes):
        side = min(box.width, box.height)
        end, area = start + 1, sizes[start] * scale
        worst = _worst(area, area, area, side)
        while end < len(sizes):
            more = area + sizes[end] * scale
            next_worst = _worst(sizes[start] * scale, sizes[end] * scale, more, side)
            if next_worst > worst:
                break
            end, area, worst = end + 1, more, next_worst
        row, box = _row([size * scale for size in sizes[start:end]], area, box)
        boxes += row
        start = end
    return boxes


def _cells(node: TreemapNode, box: Box, depth: int, branch: TreemapNode, smallest: float) -> Iterator[Cell]:
    level = min(depth, len(_HEADERS) - 1)
    header = _HEADERS[level]
    inner = Box(
        box.x + _MARGIN, box.y + header, max(0.0, box.width - 2 * _MARGIN), max(0.0, box.height - header - _MARGIN)
    )
    min_width, min_height = _MINIMUM[level]
    roomy = box.width >= min_width and box.height >= min_height and depth < _DEEPEST
    parts = _placed(node, inner, smallest) if roomy else []
    if len(parts) == 1 and depth > 0:
        parts = []  # the part is the whole
    yield Cell(node=node, box=box, depth=depth, branch=branch, header=header if parts else 0.0)
    for part, place in parts:
        yield from _cells(part, place, depth + 1, branch, smallest)


def _placed(node: TreemapNode, box: Box, smallest: float) -> list[tuple[TreemapNode, Box]]:
    """Return the parts of `node` with their boxes inside `box`; those too small to see become one part."""
    area = box.width * box.height
    if area < smallest:
        return []
    parts = sorted((part for part in node.children() if part.size > 0), key=lambda part: (-part.size, part.path))
    total = sum(part.size for part in parts)
    if not total:
        return []
    large = [part for part in parts if part.size * area / total >= smallest]
    if small := len(parts) - len(large):
        rest = total - sum(part.size for part in large)
        if not large:
            return []
        large.append(TreemapNode(label=f"{small} smaller", path=f"{small} smaller in {node.path}", size=rest))
        large.sort(key=lambda part: -part.size)
    return list(zip(large, squarify([part.size for part in large], box), strict=True))


def _worst(largest: float, smallest: float, area: float, side: float) -> float:
    """Return the worst ratio of sides in a row along `side` of parts with a total of `area`."""
    if not area or not side or not smallest:
        return float("inf")
    return max(side * side * largest / (area * area), area * area / (side * side * smallest))


def _row(areas: Sequence[float], area: float, box: Box) -> tuple[list[Box], Box]:
    """Return the boxes of a row of parts along the shorter side of `box`, and the rest of it."""
    boxes = []
    if box.width >= box.height:
        width = area / box.height if box.height else 0.0
        y = box.y
        for part in areas:
            height = part / width if width else 0.0
            boxes.append(Box(box.x, y, width, height))
            y += height
        return boxes, Box(box.x + width, box.y, max(0.0, box.width - width), box.height)
    height = area / box.width if box.width else 0.0
    x = box.x
    for part in areas:
        width = part / height if height else 0.0
        boxes.append(Box(x, box.y, width, height))
        x += width
    return boxes, Box(box.x, box.y + height, box.width, max(0.0, box.height - height))
