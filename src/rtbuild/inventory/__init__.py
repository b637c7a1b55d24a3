"""The files of layers: their sizes, the packages that own them, and a treemap of both."""
