"""Rectangles are in proportion to sizes, nested as the tree is, and do not overlap."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtbuild.inventory.treemap import SMALLEST, Box, Cell, TreemapNode, squarify, treemap

SIZES = st.lists(st.integers(min_value=1, max_value=10**9), min_size=1, max_size=40).map(
    lambda sizes: sorted(sizes, reverse=True)
)


def area(box: Box) -> float:
    return box.width * box.height


def overlap(a: Box, b: Box) -> float:
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    return max(0.0, width) * max(0.0, height)


def inside(part: Box, whole: Box) -> bool:
    return (
        part.x >= whole.x - 0.01
        and part.y >= whole.y - 0.01
        and part.x + part.width <= whole.x + whole.width + 0.01
        and part.y + part.height <= whole.y + whole.height + 0.01
    )


@given(SIZES, st.floats(min_value=1, max_value=2000), st.floats(min_value=1, max_value=2000))
def test_parts_fill_the_whole_in_proportion(sizes: list[int], width: float, height: float) -> None:
    whole = Box(3, 5, width, height)
    boxes = squarify(sizes, whole)
    assert len(boxes) == len(sizes)
    for size, box in zip(sizes, boxes, strict=True):
        assert area(box) == pytest.approx(size / sum(sizes) * area(whole), rel=1e-6, abs=1e-6)
        assert inside(box, whole)
    for first, second in itertools.combinations(boxes, 2):
        assert overlap(first, second) < 1e-6 * area(whole)


def test_lays_out_the_example_of_the_paper() -> None:
    """Bruls, Huizing and van Wijk, figure 4: two of 6 side by side on the left, then 4 and 3 on the upper right."""
    six, other_six, four, three, *_ = squarify([6, 6, 4, 3, 2, 2, 1], Box(0, 0, 6, 4))
    assert (six, other_six) == (Box(0, 0, 3, 2), Box(0, 2, 3, 2))
    assert (four.x, four.y, three.y) == (3, 0, 0)
    assert (four.width, three.width) == pytest.approx((12 / 7, 9 / 7))


def test_draws_nothing_without_sizes() -> None:
    assert squarify([], Box(0, 0, 1, 1)) == []
    assert list(treemap(TreemapNode(label="", path="", size=0), 100, 100)) == []
    empty = TreemapNode(label="a", path="a", size=0)
    assert list(treemap(TreemapNode(label="", path="", size=0, children=lambda: [empty]), 100, 100)) == []


def tree(sizes: dict[str, int]) -> TreemapNode:
    parts = [TreemapNode(label=name, path=f"/{name}", size=size) for name, size in sizes.items()]
    branch = TreemapNode(label="branch", path="/", size=sum(sizes.values()), children=lambda: parts)
    return TreemapNode(label="root", path="root", size=branch.size, children=lambda: [branch])


def drawn(node: TreemapNode, width: float = 400, height: float = 400) -> dict[str, Cell]:
    return {cell.node.label: cell for cell in treemap(node, width, height)}


def test_parts_are_inside_the_whole_below_its_label() -> None:
    cells = drawn(tree({"a": 3, "b": 1}))
    branch = cells["branch"]
    assert (branch.depth, branch.box, branch.header > 0) == (0, Box(0, 0, 400, 400), True)
    for name in "ab":
        part = cells[name]
        assert (part.depth, part.header, part.branch) == (1, 0, branch.node)
        assert inside(part.box, branch.box)
        assert part.box.y >= branch.header
    assert area(cells["a"].box) == pytest.approx(3 * area(cells["b"].box))


def test_draws_small_parts_as_one() -> None:
    cells = drawn(tree({"large": 1_000_000, **{f"small{number}": 40 for number in range(900)}}))
    assert set(cells) == {"branch", "large", "900 smaller"}
    together = cells["900 smaller"].node
    assert together.size == 36_000
    assert "in /" in together.path
    assert all(area(cell.box) >= SMALLEST for cell in cells.values())


def test_draws_no_parts_if_there_is_no_room() -> None:
    assert set(drawn(tree({"a": 3, "b": 1}), width=400, height=20)) == {"branch"}


def test_does_not_ask_for_parts_that_are_not_drawn() -> None:
    def never() -> list[TreemapNode]:
        raise AssertionError("asked")

    tiny = TreemapNode(label="tiny", path="/tiny", size=1, children=never)
    huge = TreemapNode(label="huge", path="/huge", size=10_000)
    assert "tiny" in drawn(TreemapNode(label="root", path="", size=10_001, children=lambda: [tiny, huge]), 1000, 1000)


def test_what_a_finger_cannot_tap_on_is_drawn_as_one() -> None:
    parts = [TreemapNode(label=f"part {size}", path=f"/{size}", size=size) for size in (6000, 3000, 500, 300, 200)]
    root = TreemapNode(label="", path="", size=10_000, children=lambda: parts)
    labels = [cell.node.label for cell in treemap(root, 100, 100, smallest=24 * 24)]
    assert labels == ["part 6000", "part 3000", "3 smaller"]
