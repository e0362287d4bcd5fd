"""Row 3: IR → Envoy. `build` makes snapshots, `session` speaks ADS, `server` carries it, `simulate` asks a snapshot."""
