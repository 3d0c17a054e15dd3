"""What is installed, and where compiled code is kept."""

from __future__ import annotations

import os
import platform

from gossamer.core.registry import LOSSES, PENALTIES, SOLVERS, STRUCTURES
from gossamer.kernels import cache_folder
from gossamer.report.versions import versions
from gossamer.runtime.calibrating import described


def information() -> dict[str, str]:
    """Versions, cores, the cache of compiled kernels, and the registered pieces, as text."""
    facts = {name: number for name, number in versions().items()}
    facts["machine"] = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    facts["cache"] = str(cache_folder())
    facts["runtime"] = described()
    registries = {
        "losses": LOSSES,
        "penalties": PENALTIES,
        "structures": STRUCTURES,
        "solvers": SOLVERS,
    }
    for name, registry in registries.items():
        facts[name] = ", ".join(piece.__name__ for piece in registry)
    return facts
