"""All benchmarks, one after the other: ``python -m benchmarks``."""

from __future__ import annotations

from benchmarks import first_fit, tables

if __name__ == "__main__":
    first_fit.main()
    print()
    tables.main()
