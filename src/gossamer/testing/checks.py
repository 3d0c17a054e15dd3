"""The public checks: every law of a kind of piece, applied to one of them."""

from __future__ import annotations

from typing import Any

from gossamer.core.factorisation import Factorisation
from gossamer.core.loss import Loss
from gossamer.core.penalty import Penalty, UnitPenalty
from gossamer.core.solver import Solver
from gossamer.core.structure import Structure
from gossamer.testing.budget_laws import BUDGET_LAWS
from gossamer.testing.court import Law, apply
from gossamer.testing.factorisation_laws import FACTORISATION_LAWS, SMOOTH_FORM_LAWS
from gossamer.testing.instances import penalty_instance
from gossamer.testing.joint_loss_laws import JOINT_LOSS_LAWS
from gossamer.testing.loss_laws import LOSS_LAWS
from gossamer.testing.penalty_laws import CONVEX_PENALTY_LAWS, PENALTY_LAWS, STRENGTH_LAWS
from gossamer.testing.shape_laws import CONVEX_SHAPE_LAWS, SHAPE_LAWS
from gossamer.testing.solver_laws import SOLVER_LAWS
from gossamer.testing.structure_laws import PATTERN_LAWS, SPECTRAL_LAWS, STRUCTURE_LAWS, is_pattern
from gossamer.testing.unit_laws import UNIT_LAWS


def laws_of(piece: Any) -> tuple[Law, ...]:
    """The laws that apply to a penalty, loss, structure, solver or smooth form: ``law(piece)``."""
    convex = CONVEX_PENALTY_LAWS if isinstance(piece, Penalty) and piece.convex else ()
    if isinstance(piece, UnitPenalty):
        shape = SHAPE_LAWS + (CONVEX_SHAPE_LAWS if piece.convex else ())
        units = () if piece.on.is_spectral else UNIT_LAWS
        return PENALTY_LAWS + STRENGTH_LAWS + shape + units + convex + SMOOTH_FORM_LAWS
    if isinstance(piece, Penalty) and piece.is_budget:
        return PENALTY_LAWS + BUDGET_LAWS
    if isinstance(piece, Penalty):
        return PENALTY_LAWS + STRENGTH_LAWS + convex + SMOOTH_FORM_LAWS
    if isinstance(piece, Structure) and piece.is_spectral:
        return SPECTRAL_LAWS
    if isinstance(piece, Structure) and is_pattern(piece):
        return PATTERN_LAWS
    if isinstance(piece, Loss) and piece.joint:
        return JOINT_LOSS_LAWS
    for kind, laws in (
        (Loss, LOSS_LAWS),
        (Structure, STRUCTURE_LAWS),
        (Solver, SOLVER_LAWS),
        (Factorisation, FACTORISATION_LAWS),
    ):
        if isinstance(piece, kind):
            return laws
    raise TypeError(
        f"there are no laws of {piece!r}: give a penalty, loss, structure, solver or smooth form."
    )


def check_penalty(penalty: type[UnitPenalty] | Penalty, **parameters: Any) -> None:
    """Check that a penalty keeps every law: prox, subdifferential, units, smooth forms, manners.

    Parameters
    ----------
    penalty : a class of penalties, or a penalty on six features
        A class is made with ``strength=0.7`` and ``parameters``.

    Raises
    ------
    AssertionError
        With the name of the broken law and a counter-example.

    Examples
    --------
    >>> from gossamer.penalties import L1
    >>> from gossamer.structures import Groups
    >>> check_penalty(L1(0.3) + L1(0.5, on=Groups([[0, 3], [1, 2, 5], [4]])))
    """
    _check(penalty_instance(penalty, **parameters), Penalty)


def check_loss(loss: type[Loss] | Loss, **parameters: Any) -> None:
    """Check a loss: derivatives, conjugate, extreme predictions, encoding of targets, manners.

    Raises ``AssertionError`` with the name of the broken law and a counter-example.
    """
    _check(loss(**parameters) if isinstance(loss, type) else loss, Loss)


def check_factorisation(form: Factorisation) -> None:
    """Check a smooth form: the penalty it induces, proven by search, starts, descent, manners.

    Forms of at most 24 numbers are checked in full; of larger ones, what needs no derivatives.
    Raises ``AssertionError`` with the name of the broken law and a counter-example.

    Examples
    --------
    >>> from gossamer.factorisations import MatrixProduct
    >>> check_factorisation(MatrixProduct(0.5, (2, 3)))
    """
    _check(form, Factorisation)


def check_structure(structure: Structure) -> None:
    """Check a structure on six features: units partition the coefficients, sizes are norms.

    Raises ``AssertionError`` with the name of the broken law and a counter-example.
    """
    _check(structure, Structure)


def check_solver(solver: type[Solver] | Solver, **parameters: Any) -> None:
    """Check a solver on a covering set of problems: optima, certificates, warm starts, refusals.

    Raises ``AssertionError`` with the name of the broken law and a counter-example.
    """
    _check(solver(**parameters) if isinstance(solver, type) else solver, Solver)


def _check(piece: Any, kind: type) -> None:
    if not isinstance(piece, kind):
        raise TypeError(f"a {kind.__name__} is needed, got {piece!r}.")
    for law in laws_of(piece):
        apply(law, piece)
