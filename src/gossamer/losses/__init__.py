"""Losses: how a prediction is judged. One file each."""

from gossamer.losses.cox import Cox
from gossamer.losses.huber import Huber
from gossamer.losses.logistic import Logistic
from gossamer.losses.multinomial import Multinomial
from gossamer.losses.poisson import Poisson
from gossamer.losses.quadratic import Quadratic
from gossamer.losses.square_root import SquareRoot

__all__ = ["Cox", "Huber", "Logistic", "Multinomial", "Poisson", "Quadratic", "SquareRoot"]
