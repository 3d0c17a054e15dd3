"""Plots of bandits: what the agents' choices cost."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from gossamer.report.plots.labels import label_ends
from gossamer.report.plots.style import PALETTE, new_axes, quiet, say
from gossamer.report.summary import Array


def plot_regret(
    regrets: Mapping[str, Array], *, best: str | None = None, ax: Axes | None = None
) -> Axes:
    """Cumulative regret of agents: the mean over the games, in a band of two standard errors.

    A line that bends to the horizontal belongs to an agent that has learned which arm to take.

    Parameters
    ----------
    regrets : mapping of name to (n_games, n_rounds) or (n_rounds,) array
        As :func:`gossamer.linear.online.play` returns them, one row a game.
    best : str, optional
        An agent whose line is drawn thicker.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = quiet(new_axes(3.0) if ax is None else ax)
    if not regrets:
        return say(ax, "No agent played.")
    ends, colours = [], []
    for i, (name, games) in enumerate(regrets.items()):
        games = np.atleast_2d(np.asarray(games, dtype=float))
        mean, colour = games.mean(axis=0), PALETTE[i % len(PALETTE)]
        rounds = np.arange(1, len(mean) + 1)
        ax.plot(rounds, mean, color=colour, linewidth=2.2 if name == best else 1.4)
        if len(games) > 1:
            band = 2 * games.std(axis=0, ddof=1) / np.sqrt(len(games))
            ax.fill_between(rounds, mean - band, mean + band, color=colour, alpha=0.15, linewidth=0)
        ends.append(mean[-1])
        colours.append(colour)
    ax.set(xlabel="round", ylabel="cumulative regret", xlim=(1, len(mean)))
    ax.set_ylim(bottom=0)
    label_ends(ax, np.array(ends), list(regrets), colours)
    return ax
