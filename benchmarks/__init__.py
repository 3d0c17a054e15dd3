"""gossamer against its peers: ``python -m benchmarks`` measures, prints, and keeps nothing."""

import os
import sys
from pathlib import Path

# one thread for every library, before any of them reads these
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

# the gallery's real tables
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
