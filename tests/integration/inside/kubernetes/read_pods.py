"""Reads pods that Airflow rendered (argument: a folder of YAML files) with the Kubernetes client's own models.

A model refuses a value that the API would refuse and drops a field that it does not know, so what comes back must be
what went in. Prints the pods as JSON, by the name of their task.
"""

import json
import pathlib
import sys

import yaml
from kubernetes import client

api = client.ApiClient()


class Answer:
    """What the client's deserialisation takes."""

    def __init__(self, document):
        self.data = json.dumps(document)


pods = {}
for file in sorted(pathlib.Path(sys.argv[1]).rglob("*.y*ml")):
    document = yaml.safe_load(file.read_text())
    pod = api.deserialize(Answer(document), "V1Pod")
    assert api.sanitize_for_serialization(pod) == document, file
    pods[pod.metadata.annotations["task_id"]] = document
print(json.dumps(pods))
