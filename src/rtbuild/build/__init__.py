"""From derivations to canonical layers, and from layers to an image."""

from rtbuild.build.build import build
from rtbuild.build.result import BuildResult, BuiltLayer

__all__ = ["BuildResult", "BuiltLayer", "build"]
