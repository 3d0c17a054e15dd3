"""Sorted, fused and trend penalties against their peers: ``python -m benchmarks.ordered``."""
