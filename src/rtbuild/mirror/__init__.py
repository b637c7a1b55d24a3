"""Where files come from, and fetching them: mirrors, indexes and the HTTP client."""
