"""The store: a content-addressed folder with every artifact, layer and image that rtbuild keeps."""
