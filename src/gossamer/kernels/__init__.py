"""Kernels: the inner loops, compiled for each penalty and cached."""

import gc

# Importing and starting numba makes a few hundred thousand objects, all of them kept: looking for
# garbage among them meanwhile takes about as long as making them.
_collecting = gc.isenabled()
gc.disable()
try:
    from gossamer.kernels.bind import bind, cache_folder, start_compiler

    start_compiler()
finally:
    if _collecting:
        gc.enable()

__all__ = ["bind", "cache_folder"]
