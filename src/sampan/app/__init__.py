"""Row 4: the only place that builds and connects things."""
