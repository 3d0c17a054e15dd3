"""The machine that kernels are compiled for."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import llvmlite.binding as llvm
import numba

# Bytes of the first three caches, where the machine does not tell.
_USUAL_CACHES = 1 << 15, 1 << 20, 1 << 25


def compiles() -> bool:
    """Whether kernels become instructions: not where numba is told to leave them plain Python."""
    return not numba.config.DISABLE_JIT  # type: ignore[attr-defined]


@cache
def processor() -> tuple[str, str]:
    """Name and features of the processor, as given to the compiler."""
    name = numba.config.CPU_NAME or llvm.get_host_cpu_name()  # type: ignore[attr-defined]
    features = numba.config.CPU_FEATURES  # type: ignore[attr-defined]
    if features is None:
        own = name == llvm.get_host_cpu_name()
        features = llvm.get_host_cpu_features().flatten() if own else ""
    return name, features


@cache
def registers() -> tuple[int, int]:
    """How many vector registers there are, and how many float32 numbers each holds."""
    name, features = processor()
    given = set(features.split(","))
    if "+avx512f" in given or name in ("x86-64-v4", "skylake-avx512"):
        return 32, 16
    if "+avx" in given or name in ("x86-64-v3", "haswell"):
        return 16, 8
    if "+neon" in given or name.startswith(("apple", "cortex", "neoverse")):
        return 32, 4
    return 16, 4


def accumulators(lanes: int) -> int:
    """How many vectors of ``lanes`` numbers stay in registers, beside what is multiplied."""
    count, width = registers()
    return (count - 4) // max(1, lanes // width)


@cache
def caches() -> tuple[int, int, int]:
    """Bytes of the first, second and third cache that a core reads data from."""
    found = dict(zip((1, 2, 3), _USUAL_CACHES, strict=True))
    for folder in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            facts = ((folder / name).read_text().strip() for name in ("type", "level", "size"))
            kind, level, size = facts
            if kind != "Instruction" and size.endswith("K"):
                found[int(level)] = int(size[:-1]) * 1024
        except (OSError, ValueError):
            continue
    return found[1], found[2], found[3]


@cache
def code_digest() -> str:
    """A hash of the code of all kernels and of the compiler's version."""
    digest = hashlib.sha256(f"numba {numba.__version__}".encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
