"""What takes the space in an image: its layers, the packages in them, and their files."""

from rtbuild.size.measure import measure_release
from rtbuild.size.model import FileSize, ImageSize, LayerSize, PackageSize
from rtbuild.size.page import treemap_page

__all__ = ["FileSize", "ImageSize", "LayerSize", "PackageSize", "measure_release", "treemap_page"]
