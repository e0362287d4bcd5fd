"""Row 3: what enters the cluster from outside. Ingress and Gateway API → IR, as pure functions; their statuses."""
