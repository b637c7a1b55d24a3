"""Python packages: from a recipe's requirements to one artifact each, for a target that is not this machine."""

from rtbuild.lock.python.resolve import PythonResolution, resolve_python, resolver_identity

__all__ = ["PythonResolution", "resolve_python", "resolver_identity"]
