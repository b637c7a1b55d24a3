"""The HTML page: well formed, complete without a network, readable."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from rtbuild.inventory.model import FileSize, ImageSize, LayerSize, PackageSize
from rtbuild.inventory.page import _COLOURS, treemap_page

VOID = {"meta"}


def package(name: str, *files: tuple[str, int], compiled: int = 0, version: str = "1.0") -> PackageSize:
    sizes = tuple(FileSize(path, size) for path, size in files)
    size = sum(file.size for file in sizes)
    return PackageSize(
        name=name, version=version, kind="python" if name else "none", size=size, compiled=compiled, files=sizes
    )


def layer(name: str, *packages: PackageSize) -> LayerSize:
    size = sum(package.size for package in packages)
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
    """Checks that elements are closed in order, and collects titles, references and rectangles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.titles: list[str] = []
        self.references: list[str] = []
        self.rectangles: list[dict[str, str | None]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self.references += [str(values[name]) for name in ("src", "href", "xlink:href") if name in values]
        if tag == "rect":
            self.rectangles.append(values)
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


def test_the_page_is_well_formed_and_has_no_references() -> None:
    text = treemap_page(IMAGE)
    page = Page(text)
    assert page.open == []
    assert page.references == []
    assert "://" not in text
    assert "<!--" not in text
    assert "default-src 'none'" in text


def test_hovering_shows_path_and_size() -> None:
    titles = Page(treemap_page(IMAGE)).titles
    assert "layer providers  2.0 MB, 66.7 %" in titles
    assert "providers: pandas 1.0  2.0 MB, 66.6 %" in titles
    assert "/usr/lib/pandas/core/frame.py  1.5 MB, 50.0 %" in titles, "folders with a single folder in them are skipped"
    assert "/lib/a <b> & c  300.0 kB, 10.0 %" in titles, "names are text, not markup"


def test_the_tables_have_every_layer_and_package() -> None:
    text = treemap_page(IMAGE)
    for name in ("base-os", "on &amp; build", "providers", "pandas", "libc6", "files of no package"):
        assert f"{name}</th>" in text


def test_rectangles_have_the_colours_of_their_layers() -> None:
    page = Page(treemap_page(IMAGE))
    classes = [str(rectangle["class"]).split() for rectangle in page.rectangles]
    assert {layer for layer, depth in classes if depth == "d0"} == {"l0", "l2"}, "the empty layer is not drawn"
    sides = [float(str(rectangle[side])) for rectangle in page.rectangles for side in ("width", "height")]
    assert min(sides) >= 0


def test_a_phone_gets_a_map_of_its_own() -> None:
    text = treemap_page(IMAGE)
    wide, narrow = re.findall(r'<svg class="(\w+)" viewBox="0 0 (\d+) (\d+)"', text)
    assert wide == ("wide", "1600", "940")
    assert narrow == ("narrow", "328", "720"), "a screen of 360 pixels without its margins: a unit is a pixel"
    assert 'content="width=device-width, initial-scale=1"' in text
    assert Page(text[text.index('<svg class="narrow"') : text.rindex("</svg>")]).rectangles


def test_a_row_of_a_table_has_a_cell_for_each_column_on_any_screen() -> None:
    for table in re.findall("<table>.*?</table>", treemap_page(IMAGE), re.DOTALL):
        rows = re.findall("<tr>(.*?)</tr>", table)
        shapes = {tuple("wide" in cell for cell in re.findall("<t[hd][^>]*>", row)) for row in rows}
        assert len(shapes) == 1


def test_an_empty_image_has_no_rectangles() -> None:
    page = Page(treemap_page(ImageSize(release="8.0.0", platform="linux/amd64", layers=(layer("base-os"),))))
    assert page.rectangles == []


def luminance(colour: str) -> float:
    """WCAG 2.1, "relative luminance"."""
    parts = [int(pair, 16) / 255 for pair in re.findall("..", colour[1:])]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("colours", _COLOURS)
def test_texts_are_readable_on_their_colours(colours: tuple[str, ...]) -> None:
    head, *others = colours
    assert contrast("#ffffff", head) >= 4.5
    assert all(contrast("#1a1a1a", colour) >= 7 for colour in others)
    assert all(luminance(darker) < luminance(lighter) for darker, lighter in pairwise(colours))
