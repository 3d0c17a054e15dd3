"""The privacy accountant: what each user's reports have given away."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class Charge:
    """One report of each of some users."""

    users: np.ndarray
    epsilon: float
    delta: float
    mechanism: str


@dataclass(eq=False)
class PrivacyLedger:
    """Every report that users have sent, and how these compose.

    Parameters
    ----------
    max_epsilon : float
        A charge by which a user's epsilons would sum to more is refused, before anything is sent.
    max_delta : float, default 0.0

    Examples
    --------
    >>> import numpy as np
    >>> ledger = PrivacyLedger(max_epsilon=2.0)
    >>> ledger.charge(np.array([0, 1, 2]), 1.0, 0.0, "sphere")
    >>> ledger.charge(np.array([2]), 1.0, 0.0, "sphere")
    >>> ledger.spent(2), ledger.spent(0)
    ((2.0, 0.0), (1.0, 0.0))
    """

    max_epsilon: float = np.inf
    max_delta: float = 0.0
    charges: list[Charge] = field(default_factory=list)

    def charge(self, users: np.ndarray, epsilon: float, delta: float, mechanism: str) -> None:
        """Write down one report of each entry of ``users`` (n,), or refuse all of them.

        Raises
        ------
        ValueError
            When a user would be charged beyond the limits; nothing is then written.
        """
        attempt = Charge(np.asarray(users), float(epsilon), float(delta), mechanism)
        names, spent, lost = _totals([*self.charges, attempt])
        over = (spent > self.max_epsilon * (1 + 1e-12)) | (lost > self.max_delta * (1 + 1e-12))
        if over.any():
            at = int(np.argmax(over))
            raise ValueError(
                f"user {names[at]!r} would have given away epsilon = {spent[at]:g}, delta = "
                f"{lost[at]:g}, beyond the limits {self.max_epsilon:g} and {self.max_delta:g}: "
                "leave the user out, or raise max_epsilon if the user agreed to that."
            )
        self.charges.append(attempt)

    def totals(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Users, and their summed epsilons and deltas (basic composition), each (n_users,)."""
        return _totals(self.charges)

    def spent(self, user: object, slack: float = 0.0) -> tuple[float, float]:
        """(epsilon, delta) of all that a user has sent.

        With ``slack`` > 0 the smaller of the sum and of advanced composition is given, whose delta
        is larger by the slack (Dwork, Rothblum and Vadhan 2010, Boosting and differential privacy).
        """
        if not 0 <= slack < 1:
            raise ValueError(f"slack must be in [0, 1), got {slack}.")
        count = [int((each.users == user).sum()) for each in self.charges]
        epsilons = np.repeat([each.epsilon for each in self.charges], count)
        total = float(epsilons.sum())
        delta = float(np.repeat([each.delta for each in self.charges], count).sum())
        if slack:
            drift = float((epsilons * np.expm1(epsilons)).sum())
            spread = float(np.sqrt(2 * np.log(1 / slack) * (epsilons**2).sum()))
            if spread + drift < total:
                return spread + drift, delta + slack
        return total, delta

    @property
    def worst(self) -> tuple[float, float]:
        """The largest summed epsilon, and the largest summed delta, over the users."""
        _, epsilons, deltas = self.totals()
        return float(epsilons.max(initial=0.0)), float(deltas.max(initial=0.0))


def _totals(charges: list[Charge]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if not charges:
        return np.empty(0, dtype=int), np.empty(0), np.empty(0)
    users, of = np.unique(np.concatenate([each.users for each in charges]), return_inverse=True)
    sizes = [len(each.users) for each in charges]
    sums = [
        np.bincount(of, np.repeat([getattr(each, what) for each in charges], sizes), len(users))
        for what in ("epsilon", "delta")
    ]
    return users, sums[0], sums[1]
