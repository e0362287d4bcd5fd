"""Row 3: the kube-proxy role. README.md here teaches the rules first."""
