"""Draw the rooms of `src/rtbuild` and their imports.

    python docs/architecture.py     # writes docs/assets/architecture.svg

The rows are those of the import contract in pyproject.toml. The arrows are the imports found in the source, without
those that follow from others: if `verbs` imports `layers` and `layers` imports `wheels`, an arrow from `verbs` to
`wheels` would say nothing new. `tests/unit/test_docs.py` compares the picture with the source.
"""

from __future__ import annotations

import ast
import itertools
import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "assets" / "architecture.svg"
_PACKAGE = ROOT / "src" / "rtbuild"

_BOX_HEIGHT = 34
_ROW_HEIGHT = 92
_GAP = 26
_LANE = 12
"""Width of the lane that an arrow takes in a row that it passes."""
_MARGIN = 20

Edge = tuple[str, str]


class Lane(NamedTuple):
    """A place in a row that an arrow passes on its way to a lower one."""

    edge: Edge
    row: int


Item = str | Lane
Neighbours = Mapping[Item, tuple[list[Item], list[Item]]]
"""For each item, those above it that an arrow comes from, and those below it that an arrow leads to."""


def rows() -> list[list[str]]:
    """Return the rooms as the import contract orders them, highest first, without `__main__`."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [layer.split(" | ") for layer in layers if layer != "__main__"]


def imports(package: Path = _PACKAGE) -> set[Edge]:
    """Return every (room, imported room) of the package."""
    edges = set()
    for path in package.rglob("*.py"):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        if room in ("__init__", "__main__"):
            continue
        for module in imported_modules(ast.parse(path.read_text(encoding="utf-8"))):
            parts = module.split(".")
            if parts[0] == package.name and parts[1] not in ("", room) and _file(package, parts[1]).exists():
                edges.add((room, parts[1]))
    return edges


def imported_modules(tree: ast.Module) -> Iterator[str]:
    """Yield the dotted name of everything that is imported anywhere in `tree`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (f"{alias.name}." for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reduced(edges: Iterable[Edge]) -> list[Edge]:
    """Return `edges` without those that a longer path replaces."""
    targets: dict[str, set[str]] = {}
    for source, target in edges:
        targets.setdefault(source, set()).add(target)
    return sorted(
        (source, target)
        for source in targets
        for target in targets[source]
        if not any(target in reachable(targets, other) for other in targets[source] - {target})
    )


def reachable(targets: Mapping[str, Iterable[str]], start: str) -> set[str]:
    """Return every room that a path of arrows leads to from `start`."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for target in targets.get(waiting.pop(), ()):
            if target not in seen:
                seen.add(target)
                waiting.append(target)
    return seen


def picture() -> str:
    """Return the whole picture as SVG."""
    levels = rows()
    edges = reduced(imports())
    row_of = {room: row for row, rooms in enumerate(levels) for room in rooms}
    chains = {edge: _chain(edge, row_of) for edge in edges}
    items: list[list[Item]] = [list(rooms) for rooms in levels]
    for chain in chains.values():
        for item in chain:
            if isinstance(item, Lane):
                items[item.row].append(item)
    neighbours = _neighbours(items, chains.values())
    items = _ordered(items, neighbours)
    centres = _placed(items, neighbours)
    left = min(centres[item] - _width(item) / 2 for row in items for item in row)
    right = max(centres[item] + _width(item) / 2 for row in items for item in row)
    centres = {item: centre - left + _MARGIN for item, centre in centres.items()}
    width = right - left + 2 * _MARGIN
    height = (len(levels) - 1) * _ROW_HEIGHT + _BOX_HEIGHT + 2 * _MARGIN
    body = [_arrow(edge, chain, centres, row_of) for edge, chain in chains.items()]
    body += [_box(room, centres[room], row) for row, rooms in enumerate(levels) for room in rooms]
    return _FRAME.format(width=round(width), height=height, body="\n".join(body))


_FRAME = """\
<svg xmlns="http://www.w3.org/2000/svg" class="rooms" viewBox="0 0 {width} {height}" role="img"
  aria-label="The rooms of rtbuild and their imports">
<!-- Written by docs/architecture.py. The variables are the colours of the documentation's theme. -->
<style>
.rooms {{ font: 15px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }}
.rooms {{ background: var(--md-default-bg-color, #fff); }}
.rooms rect {{ fill: var(--md-code-bg-color, #f5f5f5); stroke: var(--md-primary-fg-color--light, #5d6cc0); }}
.rooms text {{ fill: var(--md-code-fg-color, #36464e); text-anchor: middle; }}
.rooms path {{ fill: none; stroke: var(--md-default-fg-color--light, #757575); stroke-width: 1.3; }}
.rooms marker path {{ fill: var(--md-default-fg-color--light, #757575); stroke: none; }}
</style>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
<path d="M0 0 8 4 0 8z"/></marker></defs>
{body}
</svg>
"""


def _chain(edge: Edge, row_of: Mapping[str, int]) -> list[Item]:
    """Return the source, a lane in each row that the arrow passes, and the target."""
    source, target = edge
    lanes = [Lane(edge, row) for row in range(row_of[source] + 1, row_of[target])]
    return [source, *lanes, target]


def _neighbours(items: Iterable[list[Item]], chains: Iterable[list[Item]]) -> Neighbours:
    neighbours: dict[Item, tuple[list[Item], list[Item]]] = {item: ([], []) for row in items for item in row}
    for chain in chains:
        for upper, lower in itertools.pairwise(chain):
            neighbours[upper][1].append(lower)
            neighbours[lower][0].append(upper)
    return neighbours


def _ordered(items: list[list[Item]], neighbours: Neighbours) -> list[list[Item]]:
    """Return the rows, each sorted so that few arrows cross (the barycentre method, then swaps)."""
    best = current = items
    for sweep in range(24):
        current = [list(row) for row in current]
        downwards = sweep % 2 == 0
        for row in range(1, len(current)) if downwards else range(len(current) - 2, -1, -1):
            other = current[row - 1 if downwards else row + 1]
            place = {item: index / len(other) for index, item in enumerate(other)}
            means = {}
            for index, item in enumerate(current[row]):
                near = [place[end] for end in neighbours[item][0 if downwards else 1]]
                # fsum gives the same order on every Python: since 3.12, `sum` rounds differently.
                means[item] = math.fsum(near) / len(near) if near else index / len(current[row])
            current[row].sort(key=means.__getitem__)
        if _crossings(current, neighbours) < _crossings(best, neighbours):
            best = current
    return _swapped(best, neighbours)


def _swapped(items: list[list[Item]], neighbours: Neighbours) -> list[list[Item]]:
    """Swap two items of a row as long as that removes crossings."""
    fewest = _crossings(items, neighbours)
    improved = True
    while improved:
        improved = False
        for row in items:
            for first in range(len(row)):
                for second in range(first + 1, len(row)):
                    row[first], row[second] = row[second], row[first]
                    count = _crossings(items, neighbours)
                    if count < fewest:
                        fewest, improved = count, True
                    else:
                        row[first], row[second] = row[second], row[first]
    return items


def _crossings(items: list[list[Item]], neighbours: Neighbours) -> int:
    """Return how many pairs of arrows cross between one row and the next."""
    total = 0
    for upper, lower in itertools.pairwise(items):
        place = {item: index for index, item in enumerate(lower)}
        ends = [(index, place[target]) for index, item in enumerate(upper) for target in neighbours[item][1]]
        total += sum((a[0] - b[0]) * (a[1] - b[1]) < 0 for a, b in itertools.combinations(ends, 2))
    return total


def _placed(items: list[list[Item]], neighbours: Neighbours) -> dict[Item, float]:
    """Return the centre of each item: near its neighbours, in the order of its row, without overlaps."""
    centres: dict[Item, float] = {}
    for row in items:
        x = -math.fsum(_width(item) + _GAP for item in row) / 2
        for item in row:
            centres[item] = x + _width(item) / 2
            x += _width(item) + _GAP
    for sweep in range(60):
        for row in items if sweep % 2 == 0 else reversed(items):
            wanted = []
            for item in row:
                near = [centres[end] for side in neighbours[item] for end in side]
                wanted.append(math.fsum(near) / len(near) if near else centres[item])
            centres.update(zip(row, _apart(row, wanted), strict=True))
    return centres


def _apart(row: list[Item], wanted: list[float]) -> list[float]:
    """Return the places nearest to `wanted` that keep the order and the gaps (pool adjacent violators)."""
    offsets = [0.0]
    for left, right in itertools.pairwise(row):
        offsets.append(offsets[-1] + (_width(left) + _width(right)) / 2 + _GAP)
    blocks: list[list[float]] = []
    for value in (want - offset for want, offset in zip(wanted, offsets, strict=True)):
        blocks.append([value])
        while len(blocks) > 1 and _mean(blocks[-2]) > _mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    means = [_mean(block) for block in blocks for _ in block]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def _width(item: Item) -> float:
    return _LANE if isinstance(item, Lane) else 9.2 * len(item) + 24


def _arrow(edge: Edge, chain: list[Item], centres: Mapping[Item, float], row_of: Mapping[str, int]) -> str:
    source, target = edge
    top = _MARGIN + row_of[source] * _ROW_HEIGHT + _BOX_HEIGHT
    path = f"M{centres[source]:.0f} {top}"
    x, y = centres[source], float(top)
    for item in chain[1:]:
        row = row_of[target] if isinstance(item, str) else item.row
        x2, y2 = centres[item], float(_MARGIN + row * _ROW_HEIGHT)
        middle = (y + y2) / 2
        path += f"C{x:.0f} {middle:.0f} {x2:.0f} {middle:.0f} {x2:.0f} {y2:.0f}"
        if isinstance(item, Lane):
            path += f"V{y2 + _BOX_HEIGHT:.0f}"
            y2 += _BOX_HEIGHT
        x, y = x2, y2
    return f'<path data-from="{source}" data-to="{target}" marker-end="url(#tip)" d="{path}"/>'


def _box(room: str, centre: float, row: int) -> str:
    width = _width(room)
    top = _MARGIN + row * _ROW_HEIGHT
    return (
        f'<g data-room="{room}">'
        f'<rect x="{centre - width / 2:.0f}" y="{top}" width="{width:.0f}" height="{_BOX_HEIGHT}" rx="5"/>'
        f'<text x="{centre:.0f}" y="{top + _BOX_HEIGHT / 2 + 5:.0f}">{room}</text></g>'
    )


def _file(package: Path, room: str) -> Path:
    folder = package / room
    return folder / "__init__.py" if folder.is_dir() else package / f"{room}.py"


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
