"""Rules: which weights of a module are penalised, and how."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from numbers import Real
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from gossamer.core.penalty import Penalty

Key = str | type[nn.Module] | Callable[[str, nn.Module], bool]

# What a rule for modules takes of each: of linear, convolutional, embedding, attention and
# recurrent layers. Biases and the scales of norm layers (one axis) are left alone.
_WEIGHT = re.compile(r"weight|.+_weight|weight_[ih]h(_.+)?")
_EXAMPLE = '{"*": gs.L1(1e-4)}'


@dataclass(frozen=True, eq=False)
class Match:
    """A parameter and what its rule says.

    Attributes
    ----------
    name : str
        Qualified, as in ``model.named_parameters()``.
    module, tensor_name
        The parameter is ``getattr(module, tensor_name)``.
    parameter : torch.nn.Parameter
    penalty : Penalty
        Of the first rule that matches, or another kind of value that the caller accepts.
    tied : tuple of (name, module, tensor_name)
        Further places that hold this very parameter.
    """

    name: str
    module: nn.Module
    tensor_name: str
    parameter: nn.Parameter
    penalty: Any
    tied: tuple[tuple[str, nn.Module, str], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All names of the parameter, the first one first."""
        return (self.name, *(name for name, _, _ in self.tied))


@dataclass(frozen=True, eq=False)
class _Place:
    """A module's own tensor."""

    name: str
    module_name: str
    module: nn.Module
    tensor_name: str
    parameter: nn.Parameter | None  # None: computed by a parametrisation

    @property
    def identity(self) -> int:
        """The same for all places of a shared parameter."""
        return id(self if self.parameter is None else self.parameter)

    @property
    def is_weight(self) -> bool:
        if _WEIGHT.fullmatch(self.tensor_name) is None:
            return False
        if self.parameter is None or nn.parameter.is_lazy(self.parameter):
            return True
        return self.parameter.dim() >= 2


def match(
    model: nn.Module,
    rules: Mapping[Key, Any],
    accepts: type | tuple[type, ...] = Penalty,
    example: str = _EXAMPLE,
) -> list[Match]:
    """The parameters of ``model`` that ``rules`` name, each with the value of its first rule.

    Parameters
    ----------
    model : torch.nn.Module
    rules : mapping
        What each key selects:

        - a pattern of module names (``"conv*"``, ``"layers.*.mlp.*"``, ``"*"``): their weights of
          two axes or more, so neither biases nor the scales of norm layers;
        - a pattern that ends in a parameter's own name (``"fc1.weight"``, ``"*.bias"``): these
          parameters, whatever they are;
        - a module class: the weights of its instances;
        - a callable ``f(name, module) -> bool``: the weights of the modules it accepts.

        A star also matches dots. The first rule that selects a parameter wins; the value
        ``None`` leaves its parameters alone. Frozen parameters are skipped.
    accepts : class or classes
        Of the values.
    example : str
        A mapping that would do, for error messages.

    Returns
    -------
    list of Match
        In the order of ``model.named_parameters()``; a parameter that is used in several places
        comes once.

    Raises
    ------
    TypeError
        For a model that is no module, rules that are no mapping, a key or value of a wrong kind.
    ValueError
        For no rules, a rule that selects nothing (the nearest names are given) or nothing that
        an earlier rule has left over, and a named parameter that is frozen or parametrised.

    Examples
    --------
    >>> import gossamer as gs
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
    >>> for found in match(model, {"0": gs.L1(0.1, on=gs.Channels()), "*": gs.L1(0.2)}):
    ...     print(found.name, found.penalty)
    0.weight L1(strength=0.1, on=Channels(axis=0))
    2.weight L1(strength=0.2)
    """
    _check(model, rules, accepts, example)
    places = list(_places(model))
    chosen = _choose(places, rules)
    same: dict[int, list[_Place]] = {}
    for place in places:
        same.setdefault(place.identity, []).append(place)
    found = []
    for identity, (first, *rest) in same.items():
        value, parameter = chosen.get(identity), first.parameter
        if value is not None and parameter is not None and parameter.requires_grad:
            tied = tuple((place.name, place.module, place.tensor_name) for place in rest)
            found.append(Match(first.name, first.module, first.tensor_name, parameter, value, tied))
    return found


def shares_of(names: Iterable[str], keep: float | Mapping[str, float]) -> dict[str, float]:
    """The share that is kept of each thing: of the first pattern that fits its name.

    Names that no pattern fits are left out.

    Raises
    ------
    ValueError
        For shares that are not in (0, 1].

    Examples
    --------
    >>> shares_of(["0.mlp.up", "0.attention.q", "head"], {"*.attention.*": 0.9, "?.*": 0.5})
    {'0.mlp.up': 0.5, '0.attention.q': 0.9}
    """
    rules = keep if isinstance(keep, Mapping) else {"*": keep}
    for pattern, share in rules.items():
        if isinstance(share, bool) or not isinstance(share, Real) or not 0 < share <= 1:
            raise ValueError(
                f"keep must be shares above 0 and up to 1, got {share!r} ({pattern}): it is what "
                "remains, so that 0.1 is 90 % sparsity."
            )
    found = {
        name: [float(share) for pattern, share in rules.items() if fnmatchcase(name, pattern)]
        for name in names
    }
    return {name: shares[0] for name, shares in found.items() if shares}


def _check(model: Any, rules: Any, accepts: type | tuple[type, ...], example: str) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}.")
    if not isinstance(rules, Mapping):
        raise TypeError(f"rules must be a mapping such as {example}, got {rules!r}.")
    if not rules:
        raise ValueError(f"rules is empty: say what to select, for example {example}.")
    for key, value in rules.items():
        is_module_class = isinstance(key, type) and issubclass(key, nn.Module)
        if not (isinstance(key, str) or is_module_class or _is_predicate(key)):
            raise TypeError(
                "the keys of rules must be patterns of names, module classes or callables "
                f"f(name, module) -> bool, got {key!r}."
            )
        if value is not None and not isinstance(value, accepts):
            raise TypeError(
                f"rules[{_shown(key)}] is {value!r}, which says neither what to do nor (None) to "
                f"leave the weights alone: give a value as in {example}."
            )


def _is_predicate(key: Any) -> bool:
    return callable(key) and not isinstance(key, type | nn.Module)


def _choose(places: list[_Place], rules: Mapping[Key, Any]) -> dict[int, Any]:
    """The value of the first rule that selects it, for each parameter's identity."""
    chosen: dict[int, Any] = {}
    for key, value in rules.items():
        selected = [place for place in places if _selects(key, place)]
        if not selected:
            raise ValueError(_nothing(key, places))
        fresh = [place for place in selected if place.identity not in chosen]
        if not fresh:
            raise ValueError(
                f"rule {_shown(key)} has no effect: earlier rules take all that it selects. Put "
                "the special rules before the general ones."
            )
        if value is not None:
            _refuse_unusable(key, fresh)
        chosen.update({place.identity: value for place in fresh})
    return chosen


def _places(model: nn.Module) -> Iterator[_Place]:
    """Every place of a parameter, shared ones repeatedly, and every parametrised tensor."""
    for module_name, module in model.named_modules(remove_duplicate=False):
        prefix = f"{module_name}." if module_name else ""
        if is_parametrized(module):
            for tensor_name in module.parametrizations:
                yield _Place(prefix + tensor_name, module_name, module, tensor_name, None)
        for tensor_name, parameter in module._parameters.items():
            computed, _, suffix = tensor_name.rpartition("_")
            if suffix in ("orig", "v") and isinstance(getattr(module, computed, None), Tensor):
                # torch's older pruning and weight_norm compute the weight before each forward pass
                yield _Place(prefix + computed, module_name, module, computed, None)
            elif parameter is not None:
                yield _Place(prefix + tensor_name, module_name, module, tensor_name, parameter)


def _selects(key: Key, place: _Place) -> bool:
    if isinstance(key, str):
        if key.rpartition(".")[2] == place.tensor_name and fnmatchcase(place.name, key):
            return True
        return place.is_weight and fnmatchcase(place.module_name, key)
    if not place.is_weight:
        return False
    if isinstance(key, type):
        return isinstance(place.module, key)
    return bool(key(place.module_name, place.module))


def _refuse_unusable(key: Key, selected: list[_Place]) -> None:
    for place in selected:
        if place.parameter is None:
            raise ValueError(
                f"rule {_shown(key)} selects {place.name!r}, which is parametrised already: "
                "finalise that first, or leave it alone with an earlier rule "
                f"{{{place.name!r}: None}}."
            )
        if nn.parameter.is_lazy(place.parameter):
            raise ValueError(
                f"rule {_shown(key)} selects {place.name!r}, whose shape is not known yet: run "
                "the model on one batch first."
            )
    parameters = [place.parameter for place in selected if place.parameter is not None]
    if not any(parameter.requires_grad for parameter in parameters):
        raise ValueError(
            f"rule {_shown(key)} selects frozen parameters only, such as {selected[0].name!r}: "
            "call requires_grad_() on them, or drop the rule."
        )


def _nothing(key: Key, places: list[_Place]) -> str:
    if not isinstance(key, str):
        return f"rule {_shown(key)} selects no module that has a weight."
    names = list(dict.fromkeys([p.module_name for p in places] + [p.name for p in places]))
    inside = [name for name in names if name.startswith(f"{key}.")]
    near = inside or get_close_matches(key, names, n=3, cutoff=0.3) or names
    hint = f" {key + '.*'!r} would select what lies inside it." if inside else ""
    shown = ", ".join(repr(name) for name in near[:3] if name)
    return f"rule {key!r} selects no weight.{hint} Nearest names: {shown or 'none'}."


def _shown(key: Key) -> str:
    return repr(key) if isinstance(key, str) else getattr(key, "__name__", repr(key))
