"""Kernels: the inner loops, compiled for each penalty and cached."""

from gossamer.kernels.bind import bind

__all__ = ["bind"]
