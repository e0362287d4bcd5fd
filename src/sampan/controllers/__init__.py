"""Row 3: one file a controller; TABLE lists them all."""
