"""``sparsify``: weights of any module become products of factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from gossamer.core.penalty import Penalty
from gossamer.core.validation import finite_number
from gossamer.nn.controller import Target
from gossamer.nn.course import Course
from gossamer.nn.factorised import FactorisedWeight, factorise_
from gossamer.nn.rules import Key, Match, match
from gossamer.nn.scales import layer_scales
from gossamer.nn.schedules import Schedule
from gossamer.nn.sparse import Sparse


def sparsify(
    model: nn.Module,
    rules: Mapping[Key, Penalty | None],
    *,
    form: str = "auto",
    spread: float | None = None,
    schedule: str | Schedule = "constant",
    total_steps: int | None = None,
    keep: float | Target | None = None,
    scale: str | None = "auto",
    costs: Mapping[str, float] | None = None,
) -> Sparse:
    r"""Make chosen weights of a model sparse by training, with any optimiser.

    Each chosen weight becomes a product of factors, in place, by a parametrisation; a ridge on
    the factors, ``sparse.penalty()``, is then an exact smooth form of the penalty on the weight:

    .. math:: \min_w \; L(w) + \sum_l \Omega_l(w_l)
              \;=\; \min_f \; L(w(f)) + \sum_l R_l(f_l)

    Parameters
    ----------
    model : torch.nn.Module
        Changed in place.
    rules : mapping
        From a pattern of names, a module class or a predicate to a penalty that has a smooth
        form (:class:`L1`, :class:`Lq`, :class:`ElasticNet`, L1 + L1 on a structure), on any
        structure; ``None`` leaves weights alone. The first rule that selects a weight wins; a
        pattern of module names takes weights only, no biases.
    form : str, default "auto"
        Of the factors, see :func:`gossamer.factorisations.factorise_power`.
    spread : float, default None
        How far from balance the factors start; by default by the weights' size, so that weights
        can change sign. 0 keeps every sign.
    schedule : {"constant", "warm-up", "cosine", "geometric"} or function of progress
        Of the strength over ``total_steps``.
    total_steps : int, default None
        Calls of ``sparse.step()`` that make up the training. Needed by all schedules but the
        constant one and by ``keep``.
    keep : float in (0, 1] or Target, default None
        Share of the entries (or of ``costs``) that shall remain: small units are then cut
        along the way, see :class:`gossamer.nn.Target`, and ``finalise`` keeps that much.
    scale : {"auto", None, "gain", "fan-in", "size"}, default "auto"
        Relative strength of the layers, see :mod:`gossamer.nn.scales`: by their gain where there
        is a budget to share among them, else ``None``, the penalty as written.
    costs : mapping from parameter names to numbers, default None
        Cost of one entry in the budget of ``keep``; all ones by default. For FLOPs, how often an
        entry is used: ``gossamer.nn.uses(model, example_inputs)``.

    Returns
    -------
    Sparse

    Raises
    ------
    TypeError, ValueError
        For rules that select nothing or overlap, penalties without a smooth form (with the way
        that they have), missing ``total_steps``.

    See Also
    --------
    gossamer.nn.Proximal : for penalties without a smooth form, and budgets.

    References
    ----------
    Ziyin and Wang (2023), spred: solving L1 penalty with SGD. Kolb, Weber, Bischl and Ruegamer
    (2025), Deep weight factorization.

    Examples
    --------
    >>> import gossamer as gs, torch
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Linear(10, 1, bias=False)
    >>> sparse = sparsify(model, {"*": gs.L1(0.1)})
    >>> optimiser = torch.optim.Adam(sparse.param_groups(lr=0.03))
    >>> X = torch.randn(100, 10); y = X[:, :1]
    >>> for _ in range(500):
    ...     optimiser.zero_grad()
    ...     loss = ((model(X) - y) ** 2).mean() / 2 + sparse.penalty()
    ...     loss.backward()
    ...     optimiser.step()
    ...     sparse.step()
    >>> _ = sparse.finalise()
    >>> int((model.weight != 0).sum())
    1
    """
    if spread is not None:
        finite_number(spread, "spread", 0.0)
    target = keep if keep is None or isinstance(keep, Target) else Target(keep)
    course = Course(schedule, total_steps)
    if total_steps is None and target is not None:
        raise ValueError("total_steps is needed: how many calls of sparse.step() there will be.")
    _check_costs(model, costs or {})
    weights = [_smooth(found, form, costs or {}) for found in match(model, rules)]
    if target is not None:
        _refuse_free(weights)
    kind = ("gain" if target else None) if scale == "auto" else scale
    for weight, share in zip(weights, layer_scales(kind, weights), strict=True):
        weight.scale = share
        factorise_(weight, spread)
    return Sparse(model, weights, course, target)


def _smooth(found: Match, form: str, costs: Mapping[str, float]) -> FactorisedWeight:
    """A weight and its smooth form; the module is not changed yet."""
    if not found.parameter.is_floating_point():
        raise TypeError(f"{found.name!r} is {found.parameter.dtype}: only real weights train.")
    if getattr(found.module, "sparse", False) is True:
        raise ValueError(
            f"{found.name!r} is of an embedding with sparse=True, whose sparse gradients cannot "
            "reach factors: make it with sparse=False."
        )
    try:
        smooth = found.penalty.factorise(tuple(found.parameter.shape), form)
    except ValueError as error:
        raise ValueError(f"{found.penalty!r} on {found.name!r}: {error}") from error
    if smooth is None:
        raise ValueError(
            f"{found.penalty!r} on {found.name!r} has no smooth form. Use "
            "gossamer.nn.Proximal(optimiser, model, rules), which takes any penalty, or an Lq."
        )
    # a module that is used under several names is one place
    places = tuple(
        dict.fromkeys([(found.module, found.tensor_name), *(tied[1:] for tied in found.tied)])
    )
    cost = float(costs.get(found.name, 1.0))
    return FactorisedWeight(found.names, found.penalty, smooth, places, cost=cost)


def _check_costs(model: nn.Module, costs: Mapping[str, float]) -> None:
    known = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    for name, cost in costs.items():
        if name not in known:
            raise ValueError(f"costs: the model has no parameter {name!r}.")
        if not 0 < finite_number(cost, f"costs[{name!r}]"):
            raise ValueError(f"costs[{name!r}] must be > 0, got {cost}.")


def _refuse_free(weights: Sequence[FactorisedWeight]) -> None:
    for weight in weights:
        if weight.free.all():
            raise ValueError(
                f"{weight.penalty!r} on {weight.name!r} charges nothing, so that keep cannot tell "
                "its units apart: give it a strength > 0."
            )
