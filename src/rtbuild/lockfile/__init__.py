"""What a lockfile says: its values, reading and rendering it, what in it is stale, and why a package is there."""
