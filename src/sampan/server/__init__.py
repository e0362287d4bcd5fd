"""Row 3: the API server."""
