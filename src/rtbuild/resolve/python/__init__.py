"""Choosing Python packages for a target that is not this machine. Only this room imports pip and pip-tools."""
