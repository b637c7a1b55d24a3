"""Connections to a daemon through the Docker SDK, whose failures become errors of the engine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from rtbuild.engine.endpoint import Endpoint
from rtbuild.errors import EngineError


@contextlib.contextmanager
def connect(endpoint: Endpoint, *, patience: float = 600) -> Iterator[Any]:
    """Provide an SDK client until the block ends. `patience` is how many seconds the daemon may be silent.

    Raises:
        EngineError: if the daemon cannot be reached, refuses a request, or the connection breaks.
    """
    import requests

    client = endpoint.client(timeout=patience)
    try:
        yield client
    except sdk_errors().APIError as error:
        text = error.explanation or str(error)
        raise EngineError(f"{endpoint.title} refused: {str(text).strip()}", details=str(error)) from error
    except (sdk_errors().DockerException, requests.exceptions.RequestException) as error:
        if "permission denied" in str(error).lower():
            raise endpoint.silence(str(error)) from error
        raise EngineError(
            f"lost the connection to {endpoint.title}", details=str(error), hint="check that its daemon is running"
        ) from error
    finally:
        client.close()


def sdk_errors() -> Any:
    """Return the SDK's module of errors, imported on first use because it loads slowly."""
    import docker.errors

    return docker.errors
