"""Rows that come one by one, with gaps, or from people who do not hand them over."""

from gossamer.linear.online.bandits import (
    Agent,
    LassoBandit,
    LinTS,
    LinUCB,
    SparseTS,
    labelled_rounds,
    play,
)
from gossamer.linear.online.ftrl import FTRL
from gossamer.linear.online.ledger import PrivacyLedger
from gossamer.linear.online.mechanisms import GaussianMechanism, SphereMechanism
from gossamer.linear.online.private import PrivateSparseRegression
from gossamer.linear.online.ridge import OnlineRidge
from gossamer.linear.online.spike_slab import SpikeSlab, SpikeSlabPosterior
from gossamer.linear.online.zero_imputed import ZeroImputedSGD

__all__ = [
    "FTRL",
    "Agent",
    "GaussianMechanism",
    "LassoBandit",
    "LinTS",
    "LinUCB",
    "OnlineRidge",
    "PrivacyLedger",
    "PrivateSparseRegression",
    "SparseTS",
    "SphereMechanism",
    "SpikeSlab",
    "SpikeSlabPosterior",
    "ZeroImputedSGD",
    "labelled_rounds",
    "play",
]
