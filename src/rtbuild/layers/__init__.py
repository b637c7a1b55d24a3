"""Building layers (Debian, Python, files) and the images over them."""
