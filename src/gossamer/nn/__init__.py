"""Sparse training of PyTorch modules."""

__all__: list[str] = []
