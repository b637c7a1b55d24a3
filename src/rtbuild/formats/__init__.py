"""Readers and writers of formats that others define: Debian packages, tar archives, compressed streams, diffs."""
