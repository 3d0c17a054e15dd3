"""gossamer against its peers: ``python -m benchmarks`` for two minutes of it."""
