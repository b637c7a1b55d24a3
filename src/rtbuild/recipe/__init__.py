"""What people write: releases, layers, local packages and patches, read from TOML into values."""
