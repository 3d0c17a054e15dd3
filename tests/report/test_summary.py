"""`FitSummary` and the sentences made of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import d2_tweedie_score, r2_score

from gossamer import Certificate
from gossamer.report import FitSummary, wording

Makers = dict[str, Callable[[], FitSummary]]


def test_import_is_light() -> None:
    code = (
        "import sys, gossamer.report; "
        "sys.exit(any(m in sys.modules for m in ('matplotlib', 'jinja2', 'rich', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_resolves() -> None:
    from gossamer import report

    assert all(callable(getattr(report, name)) for name in report.__all__)
    with pytest.raises(AttributeError, match="plot_nonsense"):
        _ = report.plot_nonsense


@pytest.mark.parametrize("field", ["feature_names", "cv_mean", "stability", "y_test", "coef"])
def test_lengths_must_agree(field: str, make: Makers) -> None:
    summary = make["regression"]()
    with pytest.raises(ValueError, match=f"^{field} has length"):
        replace(summary, **{field: getattr(summary, field)[:-1]})


def test_classes_belong_to_classification(make: Makers) -> None:
    with pytest.raises(ValueError, match="give classes for a classification"):
        replace(make["regression"](), classes=["a"])


def test_certificate_must_be_whole(make: Makers) -> None:
    with pytest.raises(ValueError, match="certificate lacks kind, gap"):
        replace(make["counts"](), certificate={"value": 0.0})


def test_certificate_of_the_library_fits(make: Makers) -> None:
    support = np.array([2])
    certificate = Certificate(1e-7, 1e-6, "global", 1e-7, 1e-8, 0.5, 1.0, support)
    summary = replace(make["counts"](), certificate=certificate.to_dict())
    assert wording.verdict(summary) == "Proved optimal"


def test_selected_is_largest_first(make: Makers) -> None:
    coef = np.zeros(14)
    coef[[3, 5, 9]] = [1.0, -4.0, 2.0]
    assert replace(make["counts"](), coef=coef).selected.tolist() == [5, 9, 3]


def test_explained_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    mu = rng.uniform(0.1, 8, 200)
    y = rng.poisson(mu)
    assert wording.explained(y, mu, counts=False) == pytest.approx(r2_score(y, mu))
    expected = d2_tweedie_score(y, mu, power=1)
    assert wording.explained(y, mu, counts=True) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("prediction", "said"),
    [
        ([1.0, 2.0, 3.0], "100% of the variance explained"),
        ([3.0, 2.0, 1.0], "no better than the mean"),
    ],
)
def test_quality_of_numbers(prediction: list[float], said: str, make: Makers) -> None:
    y = np.array([1.0, 2.0, 3.0])
    summary = replace(
        make["regression"](), n_test=3, y_test=y, prediction_test=np.array(prediction)
    )
    assert said in wording.quality(summary)
    assert "constant" in wording.quality(replace(summary, y_test=np.ones(3)))


def test_one_feature_predicts(make: Makers) -> None:
    coef = np.zeros(14)
    coef[2] = 1.0
    headline = wording.headline(replace(make["counts"](), coef=coef))
    assert headline.startswith("1 of 14 features predicts visits: ")


def test_path_certificates_are_counted(make: Makers) -> None:
    summary = make["counts"]()
    values = np.full(50, 1e-9)
    values[:4] = 1e-3
    said = wording.path_certificates(replace(summary, path_certificates=values))
    assert said == "46 of 50 fits along the path meet the asked tolerance."
