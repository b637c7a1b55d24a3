"""Where files come from, and downloading them: mirrors, package indexes and the HTTP client."""
