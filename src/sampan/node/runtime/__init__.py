"""The CRI role: sandboxes (namespaces of a pod) and containers (processes in them). Contract: `types.py`."""
