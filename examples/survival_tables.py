"""Real survival tables, read as :mod:`real_tables` reads others: y is (n, 2), time and event."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from real_tables import Table, _islp, _one_hot, _rdataset, _standardised, _table, package_folder


def _survival(name: str, frame: pd.DataFrame, time: str, event: str, note: str) -> Table:
    X: Any = _one_hot(frame.drop(columns=[time, event]))
    y = frame[[time, event]].to_numpy(dtype=float)
    return _table(name, _standardised(X.to_numpy(dtype=float)), y, X.columns, "cox", note)


@lru_cache
def brain_cancer() -> Table:
    """87 patients with brain tumours, 35 deaths."""
    return _survival("brain_cancer", _islp("BrainCancer.csv").dropna(), "time", "status", "small")


@lru_cache
def publication() -> Table:
    """244 clinical trials: the time until their results were published."""
    table = _islp("Publication.csv")
    return _survival("publication", table, "time", "status", "one categorical of 14 levels")


@lru_cache
def flchain() -> Table:
    """6521 residents: free light chains in the blood and death, 1959 of them; tied days."""
    table = _rdataset("survival", "flchain").drop(columns="chapter").dropna()
    table = table.assign(futime=table["futime"] + 1)
    return _survival("flchain", table, "futime", "death", "n >> p, ties")


@lru_cache
def rotterdam() -> Table:
    """2982 patients with breast cancer: the time until death, 1272 of them."""
    table = _rdataset("survival", "rotterdam").drop(columns=["pid", "rtime", "recur"])
    table[["pgr", "er"]] = np.log1p(table[["pgr", "er"]])
    return _survival("rotterdam", table, "dtime", "death", "n >> p")


@lru_cache
def nafld() -> Table:
    """12588 people, some with a fatty liver: 1018 deaths."""
    table = _rdataset("survival", "nafld1").drop(columns=["id", "case.id"]).dropna()
    table = table[table["futime"] > 0]
    return _survival("nafld", table, "futime", "status", "n >> p, heavily censored")


@lru_cache
def dlbcl() -> Table:
    """240 patients with a lymphoma, 7399 expressions of genes, 138 deaths.

    From the package SurvSet, which is not among those that `make test` installs.
    """
    frame = pd.read_pickle(package_folder("SurvSet") / "resources" / "pickles" / "DLBCL.pickle")
    return _survival("dlbcl", frame.drop(columns="pid"), "time", "event", "p >> n")


SURVIVAL_TABLES = {
    table.__name__: table for table in (brain_cancer, publication, flchain, rotterdam, nafld, dlbcl)
}
