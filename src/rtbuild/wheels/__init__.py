"""Wheel trees: what one wheel installs and compiles to, the unit that rtbuild caches of Python layers."""
