"""Runs in the image: imports the hooks and operators modules of every installed provider package; prints JSON.

`packages` says how many modules of each package were imported, `failed` which module's absence made an import fail.
"""

import contextlib
import importlib
import importlib.metadata
import json
import pathlib
import sys
import warnings

warnings.simplefilter("ignore")


def modules(distribution):
    """The hooks and operators modules of a distribution, from its RECORD: pkgutil passes over namespaces."""
    for file in distribution.files:
        path = pathlib.PurePosixPath(str(file))
        if path.suffix == ".py" and {"hooks", "operators"} & set(path.parts):
            parts = path.with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def missing_module(error):
    """The module whose absence made the import fail, else the error itself."""
    cause = error
    while cause is not None:
        if isinstance(cause, ModuleNotFoundError):
            return cause.name
        # Airflow wraps the absence of an optional package in an exception of its own
        cause = cause.__cause__ or cause.__context__ or next((a for a in cause.args if isinstance(a, Exception)), None)
    return repr(error)


packages = {}
failed = {}
with contextlib.redirect_stdout(sys.stderr):
    for distribution in importlib.metadata.distributions():
        if not any(point.group == "apache_airflow_provider" for point in distribution.entry_points):
            continue
        name = distribution.metadata["Name"]
        packages[name] = 0
        for module in sorted(modules(distribution)):
            try:
                importlib.import_module(module)
            except Exception as error:
                failed[module] = missing_module(error)
            else:
                packages[name] += 1
json.dump({"packages": packages, "failed": failed}, sys.stdout)
