"""Run in the image: the bytes of each Python package's files, by its normalised name; one JSON object."""

import importlib.metadata
import json
import os
import re
import sys

LIBRARY = f"/usr/local/lib/python{sys.version_info[0]}.{sys.version_info[1]}/dist-packages"

sizes = {}
for distribution in importlib.metadata.distributions(path=[LIBRARY]):
    name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
    paths = {os.path.normpath(os.path.join(LIBRARY, str(file))) for file in distribution.files}
    sizes[name] = sum(os.lstat(path).st_size for path in paths)
print(json.dumps(sizes))
