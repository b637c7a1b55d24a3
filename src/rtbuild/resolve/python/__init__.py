"""Choose Python packages for a target that is not this machine. Only this package imports pip and pip-tools."""
