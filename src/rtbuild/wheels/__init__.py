"""Wheel trees: what one wheel installs and compiles to. The trees are the unit in which Python layers are cached."""
