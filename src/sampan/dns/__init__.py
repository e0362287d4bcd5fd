"""Row 3: the CoreDNS role."""
