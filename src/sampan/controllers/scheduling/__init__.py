"""Where a pod may run and where it runs best: pure functions over a snapshot of nodes and pods."""
