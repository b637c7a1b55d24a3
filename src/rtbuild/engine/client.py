"""Talking to a daemon through the Docker SDK, with its failures turned into errors of the engine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from rtbuild.engine.endpoint import Endpoint
from rtbuild.errors import EngineError


@contextlib.contextmanager
def talk(endpoint: Endpoint, *, patience: float = 600) -> Iterator[Any]:
    """A client, with every failure of the SDK turned into an `EngineError`. `patience` is how many seconds the daemon
    may be silent."""
    import requests

    client = endpoint.client(timeout=patience)
    try:
        yield client
    except sdk_errors().APIError as error:
        text = error.explanation or str(error)
        raise EngineError(f"{endpoint.title} refused: {str(text).strip()}", details=str(error)) from error
    except (sdk_errors().DockerException, requests.exceptions.RequestException) as error:
        raise EngineError(f"{endpoint.title} went away", details=str(error)) from error
    finally:
        client.close()


def sdk_errors() -> Any:
    """The SDK's module of errors, loaded where it is needed first."""
    import docker.errors

    return docker.errors
