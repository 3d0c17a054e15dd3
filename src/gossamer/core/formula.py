"""One formula, every engine: a numpy formula re-bound to other namespaces.

A scalar formula is written once as plain numpy (``np.where``, ``np.sign``, ``np.maximum``, ...),
free of branches. :func:`rebind` copies such a function with other globals: the same source then
runs on numpy arrays, as a compiled scalar (``kernels.bind``) and on torch tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import FunctionType, ModuleType
from typing import Any

import numpy as np


def namespace(name: str, base: ModuleType, **replacements: Any) -> ModuleType:
    """A module with the names of ``base``, some of them replaced."""
    module = ModuleType(name)
    module.__dict__.update({k: v for k, v in vars(base).items() if not k.startswith("__")})
    module.__dict__.update(replacements)
    return module


def rebind(function: Callable, names: Mapping[str, Any], numpy: ModuleType = np) -> FunctionType:
    """Copy ``function``, its globals replaced by ``names`` and its numpy by ``numpy``.

    >>> import math
    >>> def half(x):
    ...     return np.sqrt(x) / 2
    >>> rebind(half, {"np": math})(16.0)
    2.0
    """
    if not isinstance(function, FunctionType):
        raise TypeError(f"a formula must be a plain Python function, got {function!r}")
    bound = {k: numpy if v is np else v for k, v in function.__globals__.items()}
    bound.update(names)
    copy = FunctionType(
        function.__code__,
        bound,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__qualname__, copy.__module__ = function.__qualname__, function.__module__
    return copy
