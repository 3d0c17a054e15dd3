"""Inference on the features of a table, in words that say what is promised: one entry a method."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gossamer.linear.estimators import SparseModelCV
from gossamer.linear.inference import DebiasedLasso, Knockoffs, MultiSplit, StabilitySelection
from gossamer.losses import Logistic, Multinomial, Poisson, Quadratic
from gossamer.report.data import Data
from gossamer.report.fitting import model_asked
from gossamer.report.models import plain_model
from gossamer.report.options import FitOptions
from gossamer.report.pieces import DEFAULT_FDR
from gossamer.report.progress import progress
from gossamer.report.summary import Finding
from gossamer.report.text import counted, number

_FOLDS, _N_ALPHAS = 5, 50
_N_PAIRS, _N_SPLITS = 50, 50
_INDIRECT = (
    "Features that carry the same information share the credit: no method can say which of them is "
    "the cause."
)


@dataclass(frozen=True)
class Method:
    """How one method is run, and which losses and roles of columns it knows.

    losses : None for all.
    """

    run: Callable[[Data, FitOptions, Any], Finding]
    steps: int
    losses: tuple[type, ...] | None
    takes: tuple[str, ...] = ()


def check_inference(asked: FitOptions, data: Data) -> None:
    """Refuse methods that do not suit the data, before time is spent.

    Raises
    ------
    ValueError
        With the remedy.
    """
    for name in asked.inference:
        method = METHODS[name]
        if method.losses is not None and not isinstance(data.loss, method.losses):
            known = ", ".join(kind.__name__.lower() for kind in method.losses)
            raise ValueError(
                f"--inference {name} is for the losses {known}, not for "
                f"{type(data.loss).__name__.lower()}: --inference stability takes any."
            )
        for role in ("weights", "offset", "group_column"):
            if getattr(asked, role) is not None and role not in method.takes:
                raise ValueError(
                    f"--inference {name} takes no --{role.replace('_', '-')}: leave out one, or "
                    "use --inference stability."
                )


def infer(name: str, data: Data, asked: FitOptions) -> Finding:
    """What a method says about the training rows."""
    method = METHODS[name]
    with progress(method.steps, name, enabled=asked.progress) as advance:
        return method.run(data, asked, advance)


def _stability(data: Data, asked: FitOptions, advance: Any) -> Finding:
    model = StabilitySelection(
        plain_model(model_asked(data, asked)), max_false=asked.max_false or 1.0, n_pairs=_N_PAIRS,
        random_state=asked.seed, n_jobs=_jobs(asked),
    )  # fmt: skip
    train = data.train
    model.fit(
        train.X, train.y, train.weights, offset=train.offset, groups=train.groups, on_step=advance
    )
    units, names = _unit_names(model, data)
    chosen = [names[u] for u in np.flatnonzero(model.frequencies_ >= model.threshold_)]
    order = np.argsort(-model.frequencies_, kind="stable")
    order = order[model.frequencies_[order] > 0]
    bound, share = number(model.bound_, 2), f"{model.threshold_:.0%}"
    return Finding(
        method="stability",
        title="Stability selection",
        headline=f"{counted(len(chosen), units)} would be found again: at least {share} of "
        f"{model.n_halves_} random halves of the data chose each of them among the "
        f"{model.n_selected_} that a half may choose.",
        brief=f"at most {bound} false on average",
        promise=f"On average at most {bound} of the features listed are ones that a half of the "
        "data chooses no more often than a random guess would. This holds for any data and any "
        "model, if the number of halves that choose such a feature has a distribution with one "
        "peak.",
        limits="A feature that is not listed may well matter: the list is cautious. " + _INDIRECT,
        selected=chosen,
        columns={
            units: [names[u] for u in order],
            "chosen by": [f"{value:.0%}" for value in model.frequencies_[order]],
            "selected": [bool(value) for value in model.frequencies_[order] >= model.threshold_],
        },
        data={
            "alphas": model.alphas_, "path": model.path_, "threshold": model.threshold_,
            "names": names,
        },
    )  # fmt: skip


def _unit_names(model: StabilitySelection, data: Data) -> tuple[str, list[str]]:
    """What is chosen together, and the name of each: a feature, or several at once."""
    features = np.array(model._names(), dtype=object)
    own = np.array(data.feature_names, dtype=object)
    if len(own) == len(features):
        features = own
    labels = np.asarray(model.units_).reshape(len(features), -1)
    count = int(labels.max()) + 1
    if count == len(features):
        return "feature", features[np.argsort(labels[:, 0])].tolist()
    names = []
    for unit in range(count):
        members = np.unique(np.nonzero(labels == unit)[0])
        more = f" + {len(members) - 1}" if len(members) > 1 else ""
        names.append(f"{features[members[0]]}{more}")
    return "group", names


def _knockoffs(data: Data, asked: FitOptions, advance: Any) -> Finding:
    fdr, train = asked.fdr or DEFAULT_FDR, data.train
    varies = np.flatnonzero(np.ptp(train.X, axis=0) > 0)
    names = np.array(data.feature_names, dtype=object)[varies]
    model = Knockoffs(
        _choosing(data), fdr=fdr, n_draws=1, random_state=asked.seed, n_jobs=_jobs(asked)
    )
    model.fit(train.X[:, varies], train.y, on_step=advance)
    chosen = names[model.selected_].tolist()
    order = np.argsort(-model.statistics_, kind="stable")
    order = order[model.statistics_[order] > 0]
    least = int(np.ceil(1 / fdr))
    return Finding(
        method="knockoffs",
        title="Knockoffs",
        headline=f"{counted(len(chosen), 'feature')} beat a decoy of their own so clearly that "
        f"at most {fdr:.0%} of them are expected to be false."
        if chosen
        else f"No list of features with at most {fdr:.0%} false ones could be made: at least "
        f"{least} features must win before the first is listed.",
        brief=f"at most {fdr:.0%} of them false on average",
        promise=f"On average at most {fdr:.0%} of the features listed add nothing once the others "
        "are known, whatever the target depends on them by, if the features together are close to "
        "Gaussian. Every feature got a decoy, a made-up column that relates to the other features "
        "as it does but knows nothing of the target, and one lasso is fitted to both. Features "
        "that matter win against their decoys, others win and lose by chance, and the losses show "
        "how many of the wins are luck.",
        limits="The decoys are random: another seed may list others at the border. It is the list "
        f"that keeps the rate, not each feature. {_INDIRECT}",
        selected=chosen,
        columns={
            "feature": names[order].tolist(),
            "ahead of its decoy by": [number(float(w), 3) for w in model.statistics_[order]],
            "selected": [bool(flag) for flag in np.isin(order, model.selected_)],
        },
        data={
            "statistics": model.statistics_, "threshold": model.threshold_, "names": names.tolist()
        },
    )  # fmt: skip


def _debiased(data: Data, asked: FitOptions, advance: Any) -> Finding:
    train, level = data.train, asked.confidence
    model = DebiasedLasso(random_state=asked.seed, n_jobs=_jobs(asked))
    model.fit(train.X, train.y, on_step=advance)
    names = np.array(data.feature_names, dtype=object)
    adjusted, limits = model.adjusted_p_values("holm"), model.confidence_intervals(level)
    chosen = np.flatnonzero(adjusted <= 1 - level)
    order = np.argsort(model.p_values_, kind="stable")
    order = order[np.isfinite(model.standard_errors_[order])]
    spread = train.X.std(axis=0)
    return Finding(
        method="debiased",
        title=f"Intervals ({level:.0%})",
        headline=f"{counted(len(chosen), 'feature')} have an effect that is told from zero, with "
        f"a chance of at most {1 - level:.0%} that any of them is false.",
        brief=f"told from zero, {level:.0%} sure of all",
        promise=f"Each interval holds the effect of its feature, others held fixed, with a "
        f"probability of {level:.0%}; a fit shrinks effects, and the intervals make up for it. It "
        "holds if the target is linear in the features, few of them matter, and the noise is of "
        "one size.",
        limits=f"About {max(1, round((1 - level) * len(order))):,} of {len(order):,} intervals "
        "miss their effect. The column \"p, all\" is corrected for looking at all of them (Holm). "
        + _INDIRECT,
        selected=names[chosen].tolist(),
        columns={
            "feature": names[order].tolist(),
            "effect": [number(float(v), 3) for v in model.coef_[order]],
            "from": [number(float(v), 3) for v in limits[order, 0]],
            "to": [number(float(v), 3) for v in limits[order, 1]],
            "p": [number(float(v), 2) for v in model.p_values_[order]],
            "p, all": [number(float(v), 2) for v in adjusted[order]],
        },
        data={
            "names": names[order].tolist(),
            "effects": (model.coef_ * spread)[order],
            "limits": (limits * spread[:, None])[order],
            "selected": np.isin(order, chosen),
        },
    )  # fmt: skip


def _multi_split(data: Data, asked: FitOptions, advance: Any) -> Finding:
    train, fwer = data.train, 1 - asked.confidence
    model = MultiSplit(
        _choosing(data), n_splits=_N_SPLITS, fwer=fwer, random_state=asked.seed,
        n_jobs=_jobs(asked),
    )  # fmt: skip
    model.fit(train.X, train.y, groups=train.groups, on_step=advance)
    names = np.array(data.feature_names, dtype=object)
    order = np.lexsort((-model.frequencies_, model.p_values_))
    order = order[model.frequencies_[order] > 0]
    return Finding(
        method="multisplit",
        title="Sample splitting",
        headline=f"{counted(len(model.selected_), 'feature')} passed a test on rows that had no "
        f"part in their selection; the chance that any of them is false is at most {fwer:.0%}.",
        brief=f"any of them false with a chance of at most {fwer:.0%}",
        promise=f"In each of {model.n_splits_} splits one half of the rows selects, and the other "
        "half tests what was selected. The chance of a single false feature in the list is at most "
        f"{fwer:.0%}, provided that the features that matter are selected on half of the rows.",
        limits="Half of the rows see less than all: weak effects are missed. " + _INDIRECT,
        selected=names[model.selected_].tolist(),
        columns={
            "feature": names[order].tolist(),
            "tested in": [f"{value:.0%}" for value in model.frequencies_[order]],
            "p": [number(float(v), 2) for v in model.p_values_[order]],
            "selected": [bool(value) for value in model.p_values_[order] <= fwer],
        },
    )  # fmt: skip


def _choosing(data: Data) -> SparseModelCV:
    """A lasso with the loss of the data, its strength chosen on what it is given."""
    return SparseModelCV(
        data.loss, standardise=True, cv=_FOLDS, n_alphas=_N_ALPHAS, tol=1e-4, selection="min"
    )


def _jobs(asked: FitOptions) -> int:
    return asked.jobs or os.cpu_count() or 1


METHODS: Mapping[str, Method] = {
    "stability": Method(
        _stability, 2 * _N_PAIRS, None, takes=("weights", "offset", "group_column")
    ),
    "knockoffs": Method(_knockoffs, 1, (Quadratic, Logistic, Multinomial, Poisson)),
    "debiased": Method(_debiased, 30, (Quadratic,)),
    "multisplit": Method(
        _multi_split, _N_SPLITS, (Quadratic, Logistic, Poisson), takes=("group_column",)
    ),
}
