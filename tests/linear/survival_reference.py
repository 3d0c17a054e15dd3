"""Record what R's survival and glmnet find in survival_reference.json.

Needs R with glmnet and survival, and SurvSet; the tests read the recorded numbers. Run it again,
from the root of the repository, when a table or a case changes::

    PYTHONPATH=tests:examples python tests/linear/survival_reference.py
"""

from __future__ import annotations

import json
import subprocess
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from survival_cases import problem_of, strata_and_weights
from survival_tables import SURVIVAL_TABLES

HERE = Path(__file__).parent
AS_ROWS: dict = {"orient": "records", "double_precision": 15}
UNPENALISED = ("brain_cancer", "publication", "rotterdam")
RATIOS = (0.3, 0.1)


def cases(folder: Path) -> None:
    """Write the tables, and one row a problem."""
    for name, table in SURVIVAL_TABLES.items():
        t = table()
        extra = np.column_stack(strata_and_weights(len(t.y)))
        np.savetxt(folder / f"{name}_X.csv", t.X, delimiter=",", fmt="%.17g")
        np.savetxt(folder / f"{name}_y.csv", np.hstack([t.y, extra]), delimiter=",", fmt="%.17g")
    options = [
        (table, ties, stratified, weighted)
        for table, ties in product(UNPENALISED, ("breslow", "efron"))
        for stratified, weighted in product((False, True), (False, True))
        # within the strata a level of a category separates: there is no finite optimum
        if not (table == "publication" and stratified)
    ]
    columns = ["table", "ties", "stratified", "weighted"]
    pd.DataFrame(options, columns=columns).to_csv(folder / "coxph_cases.csv", index=False)
    rows = []
    for name in SURVIVAL_TABLES:
        variants = [(False, False, 1.0)]
        if name in UNPENALISED:
            variants += [(True, False, 1.0), (False, True, 1.0), (False, False, 0.5)]
        for (stratified, weighted, l1_ratio), ratio in product(variants, RATIOS):
            case = {"stratified": stratified, "weighted": weighted, "l1_ratio": l1_ratio}
            largest = problem_of(name, **case).strength_max()
            rows.append({"table": name, **case, "ratio": ratio, "lambda": ratio * largest})
    pd.DataFrame(rows).to_csv(folder / "glmnet_cases.csv", index=False, float_format="%.17g")


def record() -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        cases(folder)
        subprocess.run(["Rscript", HERE / "survival_reference.R", folder], check=True)
        found = {
            key: json.loads(pd.read_csv(folder / f"{key}.csv").to_json(**AS_ROWS))
            for key in ("coxph", "glmnet")
        }  # fmt: skip
    for row in found["coxph"] + found["glmnet"]:
        coef = [float(x.replace("NA", "nan")) for x in str(row["coef"]).split()]
        # R leaves out columns that others explain
        row["coef"] = coef if len(coef) < 50 and np.isfinite(coef).all() else None
    reference = {"made_by": f"R glmnet {found['glmnet'][0]['version']} and survival", **found}
    (HERE / "survival_reference.json").write_text(json.dumps(reference, indent=1) + "\n")


if __name__ == "__main__":
    record()
