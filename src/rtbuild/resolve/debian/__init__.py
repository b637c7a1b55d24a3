"""Choose Debian packages as apt-get would, from signed indexes."""
