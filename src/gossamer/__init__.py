"""gossamer: one library for sparse learning.

Say *what* should be sparse, *how*, and *in which model*; gossamer returns the optimum with a
certificate of how far from optimal it can be.

>>> import gossamer as gs
>>> gs.L1(0.1)
L1(strength=0.1)
"""

from gossamer._lazy import install

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = install(__name__)
