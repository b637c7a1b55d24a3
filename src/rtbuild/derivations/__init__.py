"""Derivations and plans: pure functions from a release and its lock to layer keys and build plans."""
