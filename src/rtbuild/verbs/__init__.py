"""The use cases, one module each: what the CLI and the public API call."""
