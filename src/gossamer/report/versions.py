"""Versions of what a result depends on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from gossamer import __version__

_PACKAGES = ("numpy", "scipy", "numba", "scikit-learn", "pyarrow")


def versions(packages: tuple[str, ...] = _PACKAGES) -> dict[str, str]:
    """Package name to version, of those installed; gossamer and Python first.

    >>> list(versions(("numpy", "no such package")))
    ['gossamer', 'python', 'numpy']
    """
    found = {"gossamer": __version__, "python": platform.python_version()}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
