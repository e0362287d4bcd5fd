"""Row 0: what every room may use. Knows no Kubernetes."""
