"""Row 2: keys and bytes with revisions. Knows no Kubernetes kinds. Contract: `types.py`."""
