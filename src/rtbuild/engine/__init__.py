"""Docker, buildx and the private daemon. Only this room imports `docker` and `python_on_whales`."""
