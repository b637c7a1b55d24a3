"""Lockfiles: what they say, how they are read and written, what makes one stale, and why a package is in it."""
