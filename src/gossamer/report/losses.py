"""Each loss in the words of its field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Task = Literal["classification", "regression", "counts", "survival"]


@dataclass(frozen=True)
class LossWords:
    """What a loss is called in a report.

    formula : of one sample.
    score : the cross-validated loss as statisticians know it, which is `factor` times the loss.
    share : what a good model explains of the target.
    effect : what a coefficient changes, by one unit of the feature.
    """

    formula: str
    score: str
    factor: float = 1.0
    task: Task = "regression"
    share: str = "deviance"
    effect: str = "the prediction"


_ODDS = "the logarithm of the odds"
_RATE = "the logarithm of the mean"

WORDS: Mapping[str, LossWords] = {
    "Quadratic": LossWords("½ (z − y)²", "mean squared error", 2.0, share="variance"),
    "SquareRoot": LossWords("√mean (z − y)²", "root mean squared error", share="variance"),
    "Huber": LossWords("huber(z − y)", "Huber loss", share="Huber loss"),
    "LeastAbsolute": LossWords("|z − y|", "mean absolute error", share="absolute deviations"),
    "Quantile": LossWords("max(τ (y − z), (τ − 1)(y − z))", "pinball loss", share="pinball loss",
                          effect="the quantile"),
    "Logistic": LossWords("log(1 + exp z) − y z", "log loss", task="classification", effect=_ODDS),
    "Multinomial": LossWords("log Σ exp z_k − z_y", "log loss", task="classification",
                             effect="the score of the class"),
    "Ordinal": LossWords("−log P(y | z)", "log loss", task="classification",
                         effect="the logarithm of the odds of a higher class"),
    "Hinge": LossWords("max(0, 1 − y z)", "hinge loss", task="classification",
                       effect="the score of the second class"),
    "SquaredHinge": LossWords("½ max(0, 1 − y z)²", "squared hinge loss", task="classification",
                              effect="the score of the second class"),
    "Poisson": LossWords("exp z − y z", "Poisson deviance", 2.0, "counts", effect=_RATE),
    "NegativeBinomial": LossWords("−log NB(y | exp z)", "negative binomial deviance", 2.0, "counts",
                                  effect=_RATE),
    "Gamma": LossWords("y exp(−z) + z", "gamma deviance", 2.0, effect=_RATE),
    "Tweedie": LossWords("Tweedie deviance / 2", "Tweedie deviance", 2.0, effect=_RATE),
    "Cox": LossWords("log Σ at risk exp z − z, per event", "partial likelihood deviance", 2.0,
                     "survival", share="deviance", effect="the logarithm of the hazard"),
}  # fmt: skip


def words_of(loss: str) -> LossWords:
    """The words of a loss, by the name of its class; plain ones for a loss of the user's own."""
    return WORDS.get(loss, LossWords(loss, loss.lower() + " loss", share="loss"))
