"""
Four tumours from a few genes
=============================

Khan and colleagues told four kinds of childhood tumours apart by the activity of 2308 genes, from
63 samples, and were asked to name 20 more. Multinomial regression has a coefficient for each gene
and class; the penalty decides what "few genes" means.
"""

# %%
# Each coefficient on its own, or whole genes
# -------------------------------------------
# ``L1()`` lets each class pick its own genes. ``L1(on=Rows())`` keeps or drops a gene for all
# classes at once.
import matplotlib.pyplot as plt
import numpy as np
from real_tables import khan

import gossamer as gs
from gossamer.report import plot_coefficients, plot_confusion

train, test = khan("train"), khan("test")
kinds = np.array(["EWS", "BL", "NB", "RMS"])  # Ewing, Burkitt, neuroblastoma, rhabdomyosarcoma
y, y_test = kinds[train.y.astype(int)], kinds[test.y.astype(int)]

models = {}
for name, structure in {"elements": gs.Elements(), "rows": gs.Rows()}.items():
    model = gs.SparseLogistic(alpha=0.05, penalty=gs.L1(1.0, on=structure)).fit(train.X, y)
    genes = (model.coef_ != 0).any(axis=0).sum()
    right = (model.predict(test.X) == y_test).sum()
    certificate = model.certificate_
    print(f"{name}: {genes} genes, {right} of 20 right, certificate {certificate.value:.0e}")
    models[name] = model

# %%
# Which gene speaks for which class
# ---------------------------------
# With ``Elements``, nearly every gene speaks for one class only.
model = models["elements"]
figure, ax = plt.subplots(figsize=(8, 4.6), layout="constrained")
names = [f"gene {name.removeprefix('V')}" for name in train.features]
plot_coefficients(model.coef_.T, names, classes=list(model.classes_), top=18, ax=ax)

# %%
# On the 20 samples that no one saw
# ---------------------------------
figure, ax = plt.subplots(figsize=(4, 3.6), layout="constrained")
position = {kind: k for k, kind in enumerate(model.classes_)}
truth = np.array([position[kind] for kind in y_test])
predicted = np.array([position[kind] for kind in model.predict(test.X)])
plot_confusion(truth, predicted, list(model.classes_), ax=ax)
