"""Losses: how a prediction is judged. One file each."""

from gossamer.losses.cox import Cox
from gossamer.losses.gamma import Gamma
from gossamer.losses.hinge import Hinge
from gossamer.losses.huber import Huber
from gossamer.losses.least_absolute import LeastAbsolute
from gossamer.losses.logistic import Logistic
from gossamer.losses.moreau import MoreauEnvelope
from gossamer.losses.multinomial import Multinomial
from gossamer.losses.negative_binomial import NegativeBinomial
from gossamer.losses.ordinal import Ordinal
from gossamer.losses.poisson import Poisson
from gossamer.losses.quadratic import Quadratic
from gossamer.losses.quantile import Quantile
from gossamer.losses.square_root import SquareRoot
from gossamer.losses.squared_hinge import SquaredHinge
from gossamer.losses.tweedie import Tweedie

__all__ = [
    "Cox",
    "Gamma",
    "Hinge",
    "Huber",
    "LeastAbsolute",
    "Logistic",
    "MoreauEnvelope",
    "Multinomial",
    "NegativeBinomial",
    "Ordinal",
    "Poisson",
    "Quadratic",
    "Quantile",
    "SquareRoot",
    "SquaredHinge",
    "Tweedie",
]
