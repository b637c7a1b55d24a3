"""The page: well formed, complete without a network, and readable."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from rtbuild.inventory.model import FileSize, ImageSize, LayerSize, PackageSize
from rtbuild.inventory.page import _COLOURS, treemap_page

VOID = {"meta"}


def package(name: str, *files: tuple[str, int], compiled: int = 0, version: str = "1.0") -> PackageSize:
    found = tuple(FileSize(path, size) for path, size in files)
    size = sum(file.size for file in found)
    return PackageSize(
        name=name, version=version, kind="python" if name else "none", size=size, compiled=compiled, files=found
    )


def layer(name: str, *packages: PackageSize) -> LayerSize:
    size = sum(one.size for one in packages)
    return LayerSize(name=name, size=size, archive=size + 10_240, compressed=size // 3, packages=packages)


IMAGE = ImageSize(
    release="8.0.0",
    platform="linux/amd64",
    layers=(
        layer("base-os", package("libc6", ("lib/libc.so", 700_000), ("lib/a <b> & c", 300_000))),
        layer("on & build"),
        layer(
            "providers",
            package("pandas", ("usr/lib/pandas/core/frame.py", 1_500_000), ("usr/lib/pandas/io.py", 500_000)),
            package("", ("etc/shadow", 1_000)),
        ),
    ),
)


class Page(HTMLParser):
    """Checks that elements are closed in order, and collects texts and addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.titles: list[str] = []
        self.references: list[str] = []
        self.rectangles: list[dict[str, str | None]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.references += [str(found[name]) for name in ("src", "href", "xlink:href") if name in found]
        if tag == "rect":
            self.rectangles.append(found)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-2:] == ["g", "title"]:
            self.titles.append(data)


def test_the_page_is_well_formed_and_needs_nothing_else() -> None:
    text = treemap_page(IMAGE)
    page = Page(text)
    assert page.open == []
    assert page.references == []
    assert "://" not in text
    assert "<!--" not in text
    assert "default-src 'none'" in text


def test_hovering_tells_path_and_size() -> None:
    titles = Page(treemap_page(IMAGE)).titles
    assert "layer providers  2.0 MB, 66.7 %" in titles
    assert "providers: pandas 1.0  2.0 MB, 66.6 %" in titles
    assert "/usr/lib/pandas/core/frame.py  1.5 MB, 50.0 %" in titles, "folders that hold one thing are skipped"
    assert "/lib/a <b> & c  300.0 kB, 10.0 %" in titles, "names are text, not markup"


def test_every_layer_and_package_stands_in_the_tables() -> None:
    text = treemap_page(IMAGE)
    for name in ("base-os", "on &amp; build", "providers", "pandas", "libc6", "files of no package"):
        assert f"{name}</th>" in text


def test_rectangles_have_the_colour_of_their_layer() -> None:
    page = Page(treemap_page(IMAGE))
    of_layers = {str(one["class"]).split()[0] for one in page.rectangles if "d0" in str(one["class"])}
    assert of_layers == {"l0", "l2"}, "the empty layer is not drawn"
    assert all(float(str(one["width"])) >= 0 and float(str(one["height"])) >= 0 for one in page.rectangles)


def test_an_image_of_nothing() -> None:
    page = Page(treemap_page(ImageSize(release="8.0.0", platform="linux/amd64", layers=(layer("base-os"),))))
    assert page.rectangles == []


def luminance(colour: str) -> float:
    """WCAG 2.1, "relative luminance"."""
    parts = [int(pair, 16) / 255 for pair in re.findall("..", colour[1:])]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("colours", _COLOURS)
def test_texts_stand_out(colours: tuple[str, ...]) -> None:
    head, *others = colours
    assert contrast("#ffffff", head) >= 4.5
    assert all(contrast("#1a1a1a", colour) >= 7 for colour in others)
    assert all(luminance(one) < luminance(other) for one, other in pairwise(colours))
