"""Imports every module of astronomer-providers; prints as JSON the names of its deferrable operators, sensors and
triggers by kind, and what each module that cannot be imported lacks."""

import importlib
import json
import pkgutil
import warnings

import astronomer.providers
from airflow.models import BaseOperator
from airflow.triggers.base import BaseTrigger

warnings.simplefilter("ignore")
found = {"operators": set(), "triggers": set()}
failed = {}
for module in pkgutil.walk_packages(astronomer.providers.__path__, "astronomer.providers.", onerror=lambda name: None):
    if ".example_dags" in module.name:
        continue
    try:
        names = vars(importlib.import_module(module.name))
    except ImportError as error:
        failed[module.name] = error.name
        continue
    for thing in names.values():
        if isinstance(thing, type) and thing.__module__ == module.name:
            if issubclass(thing, BaseTrigger):
                found["triggers"].add(f"{module.name}.{thing.__name__}")
            elif issubclass(thing, BaseOperator):
                found["operators"].add(f"{module.name}.{thing.__name__}")
print(json.dumps({"failed": failed, **{kind: sorted(names) for kind, names in found.items()}}))
