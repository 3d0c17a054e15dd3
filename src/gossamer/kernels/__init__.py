"""Kernels: the inner loops, compiled for each penalty and cached."""

from gossamer.kernels.bind import bind, cache_folder

__all__ = ["bind", "cache_folder"]
