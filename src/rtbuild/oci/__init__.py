"""OCI images: layouts, descriptors, manifests, canonical layers, and comparing two layers."""
