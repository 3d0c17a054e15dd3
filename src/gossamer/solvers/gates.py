"""Gates: the prior variance that a smooth form gives each unit.

With all factors but the leading one fixed, a smooth form is a ridge on the coefficients:

    Omega(w) = min_v  1/2 |v|^2 + 1/2 sum_u |w_u|^2 / tau_u(v_u),   tau_u = a_u |v_u|^{2(k-1)}

where ``k`` is the form's depth, ``2/k`` the power it induces. The gate ``v`` is in the unit in
which its own ridge has weight one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gossamer.core.factorisation import Factorisation
from gossamer.core.unit_form import UnitForm
from gossamer.factorisations import Product, Ridged


@dataclass(frozen=True, eq=False)
class Gates:
    """``1 / tau_u = 1 / (a_u |v_u|^{2(k-1)}) + ridge_u`` of some units.

    Parameters
    ----------
    depth : k >= 2, not necessarily an integer
    charges : (n_units,) strength times weight, of ``|w_u|^{2/k}``
    ridges : (n_units,)
    """

    depth: float
    charges: np.ndarray
    ridges: np.ndarray

    @classmethod
    def of(cls, smooth: Factorisation | None, form: UnitForm) -> Gates | None:
        """The gates of a smooth form with one gate a unit; ``None`` for any other."""
        ridge = 0.0
        if isinstance(smooth, Ridged):
            ridge, smooth = smooth.strength * smooth.ridge, smooth.base
        if not isinstance(smooth, Product) or smooth.nonnegative:
            return None
        return cls(float(smooth.depth), smooth.strength * form.weights, ridge * form.weights)

    @property
    def rates(self) -> np.ndarray:
        """(n_units,) a, by the weighted inequality of the means."""
        k = self.depth
        return k / (2 * self.charges) * (k / (2 * (k - 1) * self.charges)) ** (k - 1)

    def take(self, units: np.ndarray) -> Gates:
        """Those of some units."""
        return replace(self, charges=self.charges[units], ridges=self.ridges[units])

    def variances(self, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(n_units,) tau, and its first and second derivatives in the gates."""
        m = 2 * (self.depth - 1)
        size = np.abs(v)
        bare = self.rates * size**m
        slope = self.rates * m * size ** (m - 1) * np.sign(v)
        bend = self.rates * m * (m - 1) * size ** (m - 2)
        held = 1 / (1 + self.ridges * bare)
        bend = held**2 * (bend - 2 * self.ridges * slope**2 * held)
        return bare * held, slope * held**2, bend

    def of_squares(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same for depth two, with derivatives in the squared gates."""
        held = 1 / (1 + self.ridges * self.rates * x)
        slope = self.rates * held**2
        return self.rates * x * held, slope, -2 * self.ridges * slope * self.rates * held

    def balanced(self, sizes: np.ndarray) -> np.ndarray:
        """(n_units,) gates of least penalty for units of such sizes."""
        k = self.depth
        return np.sqrt(2 * (k - 1) / k * self.charges * sizes ** (2 / k))
