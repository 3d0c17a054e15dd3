"""Every plot on ordinary and on degenerate data, judged by the artists that it draws."""

from __future__ import annotations

import threading
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy.sparse import csr_array

from gossamer import report
from gossamer.report.plots.labels import spread
from gossamer.report.plots.style import FAINT, LIGHT, new_axes, to_svg

ALPHAS = np.geomspace(1.0, 0.01, 20)


def path_of(*ends: float, p: int = 50) -> np.ndarray:
    """(m, p) coefficients: the first features grow in a line to `ends`, the others stay zero."""
    coefs = np.zeros((ALPHAS.size, p))
    coefs[:, : len(ends)] = np.linspace(0, 1, ALPHAS.size)[:, None] * np.array(ends)
    return coefs


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def feature_lines(ax: Axes) -> list:
    return [line for line in ax.lines if len(line.get_xdata()) == ALPHAS.size]


def drawn(ax: Axes) -> Axes:
    """The axes, after the whole figure went through the renderer."""
    assert to_svg(ax, "test").startswith("<svg viewBox=")
    return ax


def label_heights(ax: Axes) -> np.ndarray:
    renderer = FigureCanvasAgg(ax.figure).get_renderer()
    labels = [text for text in ax.texts if text.arrow_patch is not None]
    # Of the text alone: the extent of an annotation includes its leader.
    boxes = [Text.get_window_extent(label, renderer) for label in labels]
    return np.array(sorted((box.y0, box.y1) for box in boxes))


def test_path_draws_and_names_what_enters() -> None:
    names = [f"f{i}" for i in range(50)]
    ax = drawn(report.plot_path(ALPHAS, path_of(3.0, -2.0, 1.0), names, minimum=12, selected=8))
    assert len(feature_lines(ax)) == 3
    assert {"f0", "f1", "f2", "selected", "minimum"} == set(texts(ax))
    assert ax.get_xlim()[0] > ax.get_xlim()[1] == ALPHAS[-1], "the strongest penalty is at the left"
    (top,) = ax.child_axes
    counts = [label.get_text() for label in top.get_xticklabels()]
    assert counts[0] == "0" and counts[-1] == "3"


def test_path_of_many_features_draws_the_largest_and_counts_the_rest() -> None:
    ends = np.arange(1.0, 501.0)
    ax = drawn(report.plot_path(ALPHAS, path_of(*ends, p=600)))
    lines = feature_lines(ax)
    assert len(lines) == 30
    assert min(line.get_ydata()[-1] for line in lines) == 471
    assert "the 30 largest of 500 features" in ax.get_xlabel()
    assert sum(line.get_color() != FAINT for line in lines) == 12 == len(texts(ax))


def test_path_labels_of_tied_lines_do_not_overlap() -> None:
    ax = drawn(report.plot_path(ALPHAS, path_of(*np.linspace(1, 1.01, 12), -9.0)))
    ax.figure.draw_without_rendering()
    heights = label_heights(ax)
    assert len(heights) == 12
    assert (heights[1:, 0] >= heights[:-1, 1]).all()


def test_path_ranks_by_the_selected_model() -> None:
    coefs = path_of(1.0, 1.0)
    coefs[:, 7] = np.where(np.arange(ALPHAS.size) < 10, 5.0, 0.0)
    ax = report.plot_path(ALPHAS, coefs, selected=5, top=1)
    assert texts(ax)[-1] == "x7"


def test_path_takes_sparse_matrices_of_many_features() -> None:
    wide = csr_array(path_of(2.0, -1.0, p=100_000))
    ax = drawn(report.plot_path(ALPHAS, wide))
    assert len(feature_lines(ax)) == 2


def test_path_of_classes_draws_their_norm() -> None:
    coefs = np.stack([path_of(3.0), path_of(4.0)], axis=2)
    (line,) = feature_lines(report.plot_path(ALPHAS, coefs))
    assert line.get_ydata()[-1] == pytest.approx(5.0)


def test_path_keeps_limits_that_panels_share() -> None:
    first, second = Figure().subplots(1, 2, sharey=True)
    first.set_ylim(-7, 7)
    report.plot_path(ALPHAS, path_of(1.0), ax=first)
    assert first.get_ylim()[0] == second.get_ylim()[0] == -7


def test_path_of_one_strength_has_points() -> None:
    ax = drawn(report.plot_path(np.array([0.1]), np.array([[1.0, 0.0]])))
    assert [line.get_marker() for line in ax.lines if len(line.get_xdata()) == 1] == ["o"]


def test_empty_path_says_so() -> None:
    ax = drawn(report.plot_path(ALPHAS, path_of()))
    assert texts(ax) == ["No feature enters the model at any strength."]


@pytest.mark.parametrize("alphas", [[1.0, 0.0], [0.1, 1.0], []])
def test_path_refuses_strengths_that_a_log_axis_cannot_hold(alphas: list[float]) -> None:
    with pytest.raises(ValueError, match="alphas must be"):
        report.plot_path(np.array(alphas), np.zeros((len(alphas), 2)))


def test_names_must_match() -> None:
    with pytest.raises(ValueError, match="2 names for 3 features"):
        report.plot_coefficients(np.ones(3), ["a", "b"])


def test_cv_marks_the_minimum_and_its_standard_error() -> None:
    mean = (np.arange(20.0) - 12) ** 2 + 3
    ax = drawn(report.plot_cv(ALPHAS, mean, np.full(20, 4.0), minimum=12, selected=10))
    (threshold,) = [line for line in ax.lines if line.get_linestyle() == ":"]
    assert set(threshold.get_ydata()) == {7.0}
    assert set(texts(ax)) == {"selected", "minimum"}
    assert len(ax.collections) == 1


def test_cv_without_errors_has_no_band() -> None:
    ax = drawn(report.plot_cv(ALPHAS, np.ones(20), minimum=0, selected=0))
    assert not ax.collections
    assert texts(ax) == ["selected, at the minimum"]
    low, high = ax.get_ylim()
    assert low < 1 < high


def test_cv_keeps_its_dip_readable_when_the_score_explodes() -> None:
    mean = np.concatenate([np.linspace(2, 1, 15), 10.0 ** np.arange(1, 6)])
    ax = report.plot_cv(ALPHAS, mean)
    assert ax.get_ylim()[1] < 6


def test_cv_with_missing_scores() -> None:
    mean = np.where(np.arange(20) < 15, np.linspace(2, 1, 20), np.nan)
    assert np.isfinite(drawn(report.plot_cv(ALPHAS, mean)).get_ylim()).all()
    ax = drawn(report.plot_cv(ALPHAS, np.full(20, np.nan)))
    assert texts(ax) == ["The criterion is not finite at any strength."]


def row_names(ax: Axes) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


def test_coefficients_are_bars_largest_first() -> None:
    coef = np.array([0.0, 1.0, -3.0, 0.0])
    ax = drawn(report.plot_coefficients(coef, ["a", "b", "c", "d"]))
    assert row_names(ax) == ["c", "b"]
    assert [bar.get_width() for bar in ax.patches] == [-3.0, 1.0]
    low, high = ax.get_ylim()
    assert low > high, "the largest is at the top"


def test_coefficients_count_what_is_left_out() -> None:
    ax = drawn(report.plot_coefficients(np.arange(501.0)))
    assert len(ax.patches) == 30
    assert row_names(ax)[-1] == "… and 470 more"


def test_coefficients_of_classes_stand_in_columns() -> None:
    coef = np.array([[1.0, -2.0, 0.0], [0.0, 0.0, 0.0], [0.5, 0.5, 0.5]])
    ax = drawn(report.plot_coefficients(coef, classes=["one", "two", "three"]))
    assert row_names(ax) == ["x0", "x2"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["one", "two", "three"]
    spans = [
        (min(b.get_x(), b.get_x() + b.get_width()), max(b.get_x(), b.get_x() + b.get_width()))
        for b in ax.patches
    ]
    columns = [spans[:2], spans[2:4], spans[4:]]
    ends = [(min(a for a, _ in c), max(b for _, b in c)) for c in columns]
    assert all(right < left for (_, right), (left, _) in pairwise(ends))


def test_coefficients_of_many_classes_are_norms() -> None:
    ax = drawn(report.plot_coefficients(np.ones((2, 9))))
    assert [bar.get_width() for bar in ax.patches] == [3.0, 3.0]
    assert "9 classes" in ax.get_xlabel()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("$x^", "$x^"),
        ("<b>&amp;", "<b>&amp;"),
        ("line\nbreak", "line break"),
        ("caractéristique_" * 4, "caractéristique…istique_"),
    ],
)
def test_names_are_never_markup(name: str, shown: str) -> None:
    ax = drawn(report.plot_coefficients(np.array([1.0]), [name]))
    assert row_names(ax) == [shown]
    assert texts(drawn(report.plot_path(ALPHAS, path_of(1.0, p=1), [name], n_labels=1)))


def test_names_without_a_glyph_are_drawn_without_a_warning() -> None:
    ax = report.plot_coefficients(np.array([1.0]), ["日本語の特徴"])
    assert "日本語の特徴" in to_svg(ax, "test")


def test_no_coefficients_say_so() -> None:
    assert texts(drawn(report.plot_coefficients(np.zeros(4)))) == ["No feature is in the model."]


def test_stability_fills_the_features_of_the_model() -> None:
    frequency = np.array([0.2, 0.0, 1.0, 0.6])
    ax = drawn(report.plot_stability(frequency, selected=np.array([2]), n_resamples=50))
    assert row_names(ax) == ["x2", "x3", "x0"]
    points = ax.collections[-1]
    assert points.get_offsets()[:, 0].tolist() == [1.0, 0.6, 0.2]
    assert len({tuple(colour) for colour in points.get_facecolors()[1:]}) == 1
    assert tuple(points.get_facecolors()[0]) != tuple(points.get_facecolors()[1])
    assert "50 resamples" in ax.get_xlabel()


def test_stability_of_nothing_says_so() -> None:
    ax = drawn(report.plot_stability(np.zeros(3)))
    assert texts(ax) == ["No feature was selected in any resample."]


def test_knockoffs_show_winners_losers_and_the_line() -> None:
    statistics = np.array([0.0, 3.0, -1.0, 2.0, 0.5])
    ax = drawn(report.plot_knockoffs(statistics, 1.5, list("abcde")))
    assert [bar.get_height() for bar in ax.patches] == [3.0, 2.0, -1.0, 0.5]
    assert set(texts(ax)) == {"b", "d"}
    assert any(list(line.get_ydata()) == [1.5, 1.5] for line in ax.lines)
    assert "2 features selected" in ax.get_xlabel()
    several = drawn(report.plot_knockoffs(statistics, np.nan, selected=np.array([3])))
    assert texts(several) == ["x3"]
    assert (
        "1 feature selected"
        in drawn(report.plot_knockoffs(statistics, np.inf, selected=np.array([1]))).get_xlabel()
    )
    assert texts(drawn(report.plot_knockoffs(np.zeros(3)))) == [
        "No feature and no knockoff entered the model."
    ]


def test_stability_paths_name_what_reaches_the_threshold() -> None:
    path = np.linspace(0, 1, ALPHAS.size)[:, None] * np.array([1.0, 0.3, 0.8, 0.0])
    ax = drawn(report.plot_stability_path(ALPHAS, path, 0.75, list("abcd")))
    assert set(texts(ax)) == {"a", "c"}
    assert len(feature_lines(ax)) == 3
    assert texts(drawn(report.plot_stability_path(ALPHAS, np.zeros((20, 2))))) == [
        "No half of the samples chose a feature."
    ]


def test_confusion_counts_pairs() -> None:
    ax = drawn(report.plot_confusion([0, 0, 1, 2], [0, 1, 1, 2], ["a", "b", "c"]))
    assert sorted(texts(ax)) == ["1", "1", "1", "1"]
    assert len(ax.patches) == 9
    (cell,) = [text for text in ax.texts if text.get_position() == (1, 0)]
    assert cell.get_text() == "1", "true a, predicted b"


def test_confusion_of_many_classes_and_of_none_seen() -> None:
    many = drawn(report.plot_confusion(range(20), range(20), [f"class {i}" for i in range(20)]))
    assert texts(many) == ["1"] * 20
    assert texts(drawn(report.plot_confusion([], [], ["a", "b"]))) == []


def test_calibration_of_honest_probabilities_lies_on_the_diagonal() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(size=20_000)
    y = rng.uniform(size=p.size) < p
    ax = drawn(report.plot_calibration(y, np.column_stack([1 - p, p])))
    predicted, observed = ax.lines[-1].get_data()
    assert len(predicted) == 10
    # Each bin holds 2000 samples: four standard errors are at most 4 * 0.5 / sqrt(2000).
    np.testing.assert_allclose(predicted, observed, atol=0.045)


def test_calibration_of_few_samples_and_constant_probabilities() -> None:
    constant = drawn(report.plot_calibration([0, 1, 1], np.full((3, 2), 0.5)))
    assert len(constant.lines[-1].get_xdata()) == 1
    pooled = drawn(report.plot_calibration([0, 1, 2], np.eye(3)))
    assert pooled.lines[-1].get_ydata().tolist() == [0.0, 1.0]
    assert texts(drawn(report.plot_calibration([], np.zeros((0, 2))))) != []


def test_predicted_and_residuals_draw_each_sample() -> None:
    y, z = np.array([1.0, 2.0, 3.0]), np.array([1.5, 2.0, 2.0])
    ax = drawn(report.plot_predicted(y, z, background=(y, y)))
    assert [len(points.get_offsets()) for points in ax.collections] == [3, 3]
    assert ax.get_xlim() == ax.get_ylim()
    ax = drawn(report.plot_residuals(y, z))
    np.testing.assert_allclose(ax.collections[0].get_offsets()[:, 1], [-0.5, 0.0, 1.0])


def test_residuals_of_counts_are_pearson() -> None:
    ax = drawn(report.plot_residuals([0, 9], [4.0, 4.0], counts=True))
    np.testing.assert_allclose(ax.collections[0].get_offsets()[:, 1], [-2.0, 2.5])
    assert 0.0 in drawn(report.plot_predicted([0, 900], [1.0, 800.0], counts=True)).get_xticks()


def test_constant_and_missing_predictions() -> None:
    same = np.full(5, 3.0)
    low, high = drawn(report.plot_predicted(same, same)).get_xlim()
    assert low < 3 < high
    low, high = drawn(report.plot_residuals(same, same)).get_ylim()
    assert low < 0 < high
    for plot in (report.plot_predicted, report.plot_residuals):
        assert texts(drawn(plot([], []))) == ["There is no sample to compare with."]


def test_many_points_become_pixels() -> None:
    rng = np.random.default_rng(0)
    svg = to_svg(report.plot_residuals(rng.normal(size=100_000), rng.normal(size=100_000)), "r")
    assert "data:image/png" in svg
    assert len(svg) < 500_000


def test_plots_draw_on_given_axes() -> None:
    ax = Figure().add_subplot()
    assert report.plot_coefficients(np.ones(2), ax=ax) is ax


def test_spread_keeps_order_gaps_and_bounds() -> None:
    at = np.array([0.5, 0.5, 0.51, 0.99, 0.0])
    moved = spread(at, 0.1, 0.0, 1.0)
    assert np.diff(np.sort(moved)).min() >= 0.1 - 1e-12
    assert moved.min() >= 0 and moved.max() <= 1
    assert (np.argsort(moved, kind="stable") == np.argsort(at, kind="stable")).all()
    np.testing.assert_array_equal(spread(np.array([0.2, 0.8]), 0.1, 0, 1), [0.2, 0.8])


def test_svg_takes_its_colours_from_the_page_and_is_reproducible() -> None:
    svg = to_svg(report.plot_path(ALPHAS, path_of(1.0, -1.0)), "a")
    assert "var(--ink)" in svg and not any(colour in svg for colour in LIGHT.values())
    assert svg == to_svg(report.plot_path(ALPHAS, path_of(1.0, -1.0)), "a")
    assert "http" not in svg


def test_svg_of_removed_axes_is_refused() -> None:
    ax = new_axes(1.0)
    ax.remove()
    with pytest.raises(ValueError, match="removed from its figure"):
        to_svg(ax, "gone")


def test_plots_are_safe_in_threads() -> None:
    wanted = to_svg(report.plot_path(ALPHAS, path_of(1.0)), "t")
    results: list[str] = []

    def work() -> None:
        results.append(to_svg(report.plot_path(ALPHAS, path_of(1.0)), "t"))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [wanted] * 4


def test_layers_and_what_is_left_of_them() -> None:
    ax = drawn(report.plot_layers({"fc1.weight": (120, 2000), "fc2.weight": (0, 100)}))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["fc1.weight", "fc2.weight"]
    assert "120 of 2,000 (6.0%)" in ax.texts[0].get_text()
    drawn(report.plot_layers({}))


def test_the_sparse_end_of_a_tradeoff_is_spread_out() -> None:
    curves = {"smooth": ([0.9, 0.99], [0.96, 0.95]), "gradual": ([0.9, 0.99], [0.95, 0.9])}
    ax = drawn(report.plot_tradeoff(curves, errors={"smooth": [0.001, 0.002]}))
    assert [label.get_text() for label in ax.get_xticklabels()] == ["90 %", "99 %"]
    assert ax.get_xlim()[0] > ax.get_xlim()[1]
    drawn(report.plot_tradeoff({}))


def test_regret_has_a_band_for_several_games() -> None:
    games = np.cumsum(np.ones((3, 20)) * [[1.0], [2.0], [3.0]], axis=1)
    ax = drawn(report.plot_regret({"a": games, "b": np.arange(20.0)}, best="a"))
    assert [line.get_linewidth() for line in ax.lines] == [2.2, 1.4]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), games.mean(axis=0))
    assert len(ax.collections) == 1 and {"a", "b"} <= set(texts(ax))
    assert texts(drawn(report.plot_regret({}))) == ["No agent played."]
