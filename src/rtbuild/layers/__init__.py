"""Layers: building Debian, Python and files layers, and assembling images over them."""
