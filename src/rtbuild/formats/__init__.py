"""Readers and writers of formats that others define: Debian packages, tar archives, diffs. No word of rtbuild."""
