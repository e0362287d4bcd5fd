"""sampan: Kubernetes' service layer on one Linux machine. ARCHITECTURE.md is the map of this package."""

__version__ = "0.1.0"
