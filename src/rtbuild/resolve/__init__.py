"""Choosing packages: Debian's with resolvelib, Python's with pip-tools."""
