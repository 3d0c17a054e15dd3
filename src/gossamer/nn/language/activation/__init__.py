"""Sparse activations: transformers whose hidden units are mostly zero."""
