"""What a layer holds: which package each file belongs to, how large it is, and a treemap of it."""
