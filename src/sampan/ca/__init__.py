"""Row 2: the cluster's certificate authority."""
