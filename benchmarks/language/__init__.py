"""Language models made sparse, compared: ``python -m benchmarks.language.TABLE``."""
