"""Record the optimal objectives of R's glmnet in glmnet_reference.json.

Needs R with glmnet, which the tests do not: they read the recorded numbers. Run it again, from
the root of the repository, when a table or a case changes::

    PYTHONPATH=tests python tests/linear/glmnet_reference.py
"""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from real_tables import TABLES
from references import Model, at_ratio, null_objective
from scipy.io import mmwrite
from scipy.sparse import csc_matrix, issparse

HERE = Path(__file__).parent
FAMILIES = {
    "quadratic": "gaussian",
    "logistic": "binomial",
    "multinomial": "multinomial",
    "poisson": "poisson",
}
# table, l1_ratio, unit
CASES = [
    ("permeability", 1.0, "elements"),
    ("permeability", 0.5, "elements"),
    ("meats", 1.0, "elements"),
    ("hitters", 1.0, "elements"),
    ("hitters", 0.5, "elements"),
    ("meats_multi", 1.0, "rows"),
    ("birthwt_low", 1.0, "elements"),
    ("nci60_melanoma", 1.0, "elements"),
    ("caravan", 1.0, "elements"),
    ("newsgroups", 1.0, "elements"),
    ("newsgroups", 0.5, "elements"),
    ("khan", 1.0, "elements"),
    ("khan", 0.5, "elements"),
    ("tissue", 1.0, "elements"),
    ("nci60", 1.0, "elements"),
    ("nmes1988", 1.0, "elements"),
    ("nmes1988", 0.5, "elements"),
    ("doctor_visits", 1.0, "elements"),
    ("bikeshare", 1.0, "elements"),
]
RATIOS = (0.1, 0.02)


def model_of(table: str, l1_ratio: float, on: str) -> Model:
    t = TABLES[table]()
    penalty = "l1" if l1_ratio == 1.0 else "elastic_net"
    return Model(t.X, t.y, t.loss, penalty, parameter=l1_ratio, on=on)


def export(folder: Path) -> list[dict]:
    """Write the tables and one row a problem, in glmnet's parametrisation."""
    cases = []
    for table, l1_ratio, on in CASES:
        model = model_of(table, l1_ratio, on)
        # With y of variance 1, l1 and ridge strengths mean the same to glmnet as to us.
        sd = model.y.std() if model.loss == "quadratic" and model.y.ndim == 1 else 1.0
        mmwrite(folder / f"{table}.mtx", csc_matrix(model.X), precision=17)
        np.savetxt(folder / f"{table}_y.csv", model.y / sd, delimiter=",", fmt="%.17g")
        for ratio in RATIOS:
            strength = at_ratio(model, ratio).strength
            lasso, ridge = strength * l1_ratio / sd, strength * (1 - l1_ratio)
            cases.append(
                {
                    "table": table,
                    "l1_ratio": l1_ratio,
                    "on": on,
                    "ratio": ratio,
                    "strength": strength,
                    "null_objective": null_objective(model),
                    "family": "mgaussian" if on == "rows" else FAMILIES[model.loss],
                    "sparse": str(issparse(model.X)).upper(),
                    "alpha": lasso / (lasso + ridge),
                    "lambda": lasso + ridge,
                    "scale": sd**2,
                }
            )
    with (folder / "cases.csv").open("w", newline="") as file:
        rows = csv.DictWriter(file, list(cases[0]))
        rows.writeheader()
        rows.writerows(cases)
    return cases


def record() -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        cases = export(folder)
        subprocess.run(["Rscript", HERE / "glmnet_reference.R", folder], check=True)
        with (folder / "objectives.csv").open(newline="") as file:
            solved = list(csv.DictReader(file))
    kept = ("table", "l1_ratio", "on", "ratio", "strength", "null_objective")
    records = [
        {key: case[key] for key in kept} | {"objective": float(row["objective"])}
        for case, row in zip(cases, solved, strict=True)
    ]
    reference = {"made_by": f"R glmnet {solved[0]['version']}", "problems": records}
    (HERE / "glmnet_reference.json").write_text(json.dumps(reference, indent=1) + "\n")


if __name__ == "__main__":
    record()
