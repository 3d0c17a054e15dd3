"""Kernels: the inner loops, compiled for each penalty and cached."""

import gc

# Importing numba makes a few hundred thousand objects, all of them kept: looking for garbage among
# them meanwhile takes about as long as making them.
_collecting = gc.isenabled()
gc.disable()
try:
    from gossamer.kernels.bind import bind, cache_folder
finally:
    if _collecting:
        gc.enable()

__all__ = ["bind", "cache_folder"]
