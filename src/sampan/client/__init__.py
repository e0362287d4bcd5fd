"""Row 2: the one door to a cluster. Contract: `types.py`."""
