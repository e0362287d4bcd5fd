"""Row 2: what an `image:` name means on this machine."""
