"""Row 3: the kubelet role."""
