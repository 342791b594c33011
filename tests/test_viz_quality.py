"""Figures of model quality, in plain cases and edge cases: one class, one row, a million rows."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.dates import ConciseDateFormatter, num2date

from chainrule import viz
from chainrule.insight.dependence import Dependence
from chainrule.insight.evaluation import (
    Importance,
    area_under,
    calibration_curve,
    calibration_error,
    precision_recall_curve,
    roc_curve,
    wilson_interval,
)
from chainrule.viz.style import MAX_POINTS, ON_LIGHT


def classified(n, K, seed=0):
    rng = np.random.default_rng(seed)
    y = np.append(np.arange(K), rng.integers(0, K, n - K))
    P = np.exp(rng.normal(size=(n, K)) + 2 * np.eye(K)[y])
    return y, P / P.sum(axis=1, keepdims=True)


def regressed(n, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.gamma(3, 100, n)
    return y, y * rng.normal(1, 0.2, n)


LONG = ["the first of two very long names of a class", "the second of two very long names, $5 to $10"]
ALPHABET = [chr(97 + k) for k in range(26)]
CLASSIFICATION_CASES = {
    "two classes": (*classified(60, 2), None),
    "one column": (classified(60, 2)[0], classified(60, 2)[1][:, 1], ["ill", "well"]),
    "three classes": (*classified(90, 3), ["a", "b", "c"]),
    "26 classes": (*classified(400, 26), ALPHABET),
    "long names": (*classified(60, 2), LONG),
    "one row": ([1], [[0.2, 0.8]], None),
    "class 0 alone": (np.zeros(20, int), classified(20, 2)[1], None),
    "class 1 alone": (np.ones(20, int), classified(20, 2)[1], None),
    "perfect": (classified(60, 2)[0], np.eye(2)[classified(60, 2)[0]], None),
    "all equal": (classified(60, 2)[0], np.full((60, 2), 0.5), None),
    "a million": (np.tile(classified(1000, 2)[0], 1000), np.tile(classified(1000, 2)[1], (1000, 1)), None),
}
CLASSIFICATION_FIGURES = {"confusion": viz.confusion, "roc": viz.roc, "precision_recall": viz.precision_recall}
CLASSIFICATION_FIGURES |= {"calibration": viz.calibration}
REGRESSION_CASES = {
    "plain": regressed(300),
    "one row": ([1.0], [2.0]),
    "perfect": (regressed(300)[0], regressed(300)[0]),
    "predictions equal": (regressed(300)[0], np.full(300, 7.0)),
    "all equal": (np.zeros(300), np.zeros(300)),
    "rows (n, 1)": tuple(column[:, np.newaxis] for column in regressed(30)),
    "a million": tuple(np.tile(column, 1000) for column in regressed(1000)),
}
REGRESSION_FIGURES = {"predicted_against_actual": viz.predicted_against_actual, "residuals": viz.residuals}
COLUMN_FIGURES = {
    "importance": lambda ax=None: viz.importance(Importance("rmse", 1.0, {"a": np.ones(3), "b": np.zeros(3)}), ax),
    "partial_dependence": lambda ax=None: viz.partial_dependence(number_dependence(), ax),
}


def number_dependence(k=1):
    predictions = np.outer(np.arange(5.0), np.arange(1, k + 1))
    return Dependence("age", np.array([1.0, 2, 3, 5, 9]), predictions, tuple(f"output {j}" for j in range(k)))


def assert_sound(ax):
    """Check that Axes are drawn without warnings and contain no NaN."""
    ax.figure.draw_without_rendering()
    for line in ax.lines:
        assert np.isfinite(np.asarray(line.get_ydata(), float)).all()
    for limits in (ax.get_xlim(), ax.get_ylim()):
        assert np.isfinite(limits).all()
        assert limits[0] != limits[1]


@pytest.mark.parametrize(
    ("case", "inches"),
    [*((case, None) for case in CLASSIFICATION_CASES), ("26 classes", 2.5), ("long names", 2.5)],
)
@pytest.mark.parametrize("name", CLASSIFICATION_FIGURES)
def test_every_classification_figure_handles_edge_cases(name, case, inches):
    y, P, labels = CLASSIFICATION_CASES[case]
    ax = plt.subplots(figsize=(inches, inches), layout="constrained")[1] if inches else None
    drawn = CLASSIFICATION_FIGURES[name](y, P, labels, ax)
    assert ax is None or drawn is ax
    assert drawn.figure.axes == [drawn]
    assert_sound(drawn)


@pytest.mark.parametrize(("case", "inches"), [*((case, None) for case in REGRESSION_CASES), ("plain", 2.5)])
@pytest.mark.parametrize("name", REGRESSION_FIGURES)
def test_every_regression_figure_handles_edge_cases(name, case, inches):
    ax = plt.subplots(figsize=(inches, inches), layout="constrained")[1] if inches else None
    drawn = REGRESSION_FIGURES[name](*REGRESSION_CASES[case], "price", ax)
    assert ax is None or drawn is ax
    assert drawn.figure.axes == [drawn]
    assert len(drawn.collections[0].get_offsets()) == min(len(REGRESSION_CASES[case][0]), MAX_POINTS)
    assert_sound(drawn)


@pytest.mark.parametrize("name", COLUMN_FIGURES)
def test_a_column_figure_is_drawn_on_the_given_axes_or_new_ones(name):
    _, ax = plt.subplots()
    assert COLUMN_FIGURES[name](ax) is ax
    own = COLUMN_FIGURES[name]()
    assert own.figure.axes == [own]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: viz.confusion([0, 1], [0.1, np.nan]), "P must be finite"),
        (lambda: viz.roc([0, 1], [0.1, 0.2], ["only one"]), "labels must name 2 classes"),
        (lambda: viz.calibration([0, 2], [0.1, 0.2]), "y must be class numbers from 0 to 1"),
        (lambda: viz.residuals([1.0, np.nan], [1.0, 2.0]), "y must be finite"),
        (lambda: viz.residuals([1.0, 2.0], [1.0]), r"predictions must have shape \(2,\)"),
        (
            lambda: viz.predicted_against_actual(np.ones((4, 2)), np.ones((4, 2))),
            r"y must have shape \(n,\) with n >= 1, got shape \(4, 2\)",
        ),
        (lambda: viz.predicted_against_actual([], []), r"y must have shape \(n,\) with n >= 1, got shape \(0,\)"),
    ],
)
def test_invalid_arguments_are_rejected(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Classes.


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_a_cell_has_its_count_and_the_shade_of_its_fraction():
    y, P = [0, 0, 0, 1], [0.1, 0.2, 0.9, 0.8]
    ax = viz.confusion(y, P, ["no", "yes"])
    assert {text.get_position(): text.get_text() for text in ax.texts} == {(0, 0): "2", (1, 0): "1", (1, 1): "1"}
    (mesh,) = ax.collections
    np.testing.assert_allclose(mesh.get_array().reshape(2, 2), [[2 / 3, 1 / 3], [0, 1]])
    assert mesh.get_clim() == (0, 1)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["no", "yes"]
    assert ax.get_ylim() == (1.5, -0.5), "the first class is at the top"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Predicted class", "Actual class")


@pytest.mark.parametrize(
    ("rows", "text"), [(9_999, "9999"), (12_345, "12k"), (3_600_000, "3600k"), (36_000_000, "36M")]
)
def test_large_counts_are_abbreviated(rows, text):
    from chainrule.viz.classifiers import format_count

    assert format_count(rows) == text


def test_illegible_text_is_left_out():
    y, P, labels = CLASSIFICATION_CASES["26 classes"]
    large, small = viz.confusion(y, P, labels), viz.confusion(y, P, labels, plt.subplots(figsize=(2, 2))[1])
    assert len(large.texts) > 26
    assert [text.get_text() for text in large.get_xticklabels()] == ALPHABET
    assert not small.texts
    assert not small.get_xticklabels()


def test_long_names_are_elided_and_dollar_signs_escaped():
    ax = viz.confusion(*CLASSIFICATION_CASES["long names"])
    for text in [label.get_text() for label in ax.get_yticklabels()]:
        assert "\N{HORIZONTAL ELLIPSIS}" in text
        assert len(text) <= 26
        assert text.count("$") == text.count(r"\$")


def test_two_classes_have_the_roc_curve_of_class_1():
    y, P, _ = CLASSIFICATION_CASES["two classes"]
    ax = viz.roc(y, P, ["ill", "well"])
    chance, curve = ax.lines
    false_positives, true_positives, _ = roc_curve(y, P[:, 1])
    np.testing.assert_array_equal(curve.get_xdata(), false_positives)
    np.testing.assert_array_equal(curve.get_ydata(), true_positives)
    assert legend(ax) == ["chance level (0.500)", f"well ({area_under(false_positives, true_positives):.3f})"]
    assert list(chance.get_xdata()) == list(chance.get_ydata()) == [0, 1]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("False positive rate", "True positive rate")


def test_two_classes_have_the_precision_recall_curve_of_class_1():
    y, P, _ = CLASSIFICATION_CASES["two classes"]
    ax = viz.precision_recall(y, P, ["ill", "well"])
    chance, curve = ax.lines
    precision, recall, _ = precision_recall_curve(y, P[:, 1])
    np.testing.assert_array_equal(curve.get_xdata(), recall)
    np.testing.assert_array_equal(curve.get_ydata(), precision)
    assert list(chance.get_ydata()) == [y.mean()] * 2
    assert legend(ax)[1].startswith("well (")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Recall", "Precision")


@pytest.mark.parametrize("draw", [viz.roc, viz.precision_recall])
def test_each_of_three_classes_has_a_one_vs_rest_curve(draw):
    y, P, labels = CLASSIFICATION_CASES["three classes"]
    curves = [line for line in draw(y, P, labels).lines if line.get_label()[1] == " "]
    assert [line.get_label()[0] for line in curves] == labels
    assert len({line.get_color() for line in curves}) == len({line.get_linestyle() for line in curves}) == 3


@pytest.mark.parametrize("draw", [viz.roc, viz.precision_recall])
def test_of_many_classes_the_worst_five_are_named(draw):
    y, P, labels = CLASSIFICATION_CASES["26 classes"]
    ax = draw(y, P, labels)
    areas = [float(text.split("(")[1].rstrip(")")) for text in legend(ax) if text[1] == " " and text[0] in ALPHABET]
    assert len(areas) == 5
    others = legend(ax)[-1]
    assert others.startswith("21 others (")
    assert max(areas) <= float(others.split("(")[1].split(" to ")[0])
    assert sum(line.get_color() == ON_LIGHT.pale and len(line.get_xdata()) > 2 for line in ax.lines) == 21


def test_classes_with_the_same_name_have_separate_curves():
    y, P, _ = CLASSIFICATION_CASES["26 classes"]
    assert sum(len(line.get_xdata()) > 2 for line in viz.roc(y, P, ["same"] * 26).lines) == 26


@pytest.mark.parametrize(
    ("draw", "case"), [(viz.roc, "class 0 alone"), (viz.roc, "one row"), (viz.precision_recall, "class 0 alone")]
)
def test_an_undefined_curve_is_explained(draw, case):
    (text,) = draw(*CLASSIFICATION_CASES[case]).texts
    assert text.get_text() == "undefined:\na class has no rows"


@pytest.mark.parametrize("draw", [viz.roc, viz.precision_recall])
def test_the_curve_of_a_million_rows_is_thinned_out_but_its_area_is_exact(draw):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 1_000_000)
    p = 1 / (1 + np.exp(-rng.normal(2 * y - 1, 1)))
    ax = draw(y, p)
    curve = ax.lines[-1]
    assert len(curve.get_xdata()) <= MAX_POINTS
    assert {curve.get_xdata()[0], curve.get_xdata()[-1]} == {0, 1}
    false_positives, true_positives, _ = roc_curve(y, p)
    if draw is viz.roc:
        assert legend(ax)[-1] == f"class 1 ({area_under(false_positives, true_positives):.3f})"


def test_calibration_shows_the_frequency_interval_and_size_of_each_bin():
    y, P, _ = CLASSIFICATION_CASES["two classes"]
    ax = viz.calibration(y, P, ["ill", "well"], n_bins=5)
    observed, predicted, counts = calibration_curve(y, P[:, 1], 5)
    intervals, dots = ax.collections
    np.testing.assert_allclose(dots.get_offsets(), np.column_stack([predicted, observed]))
    assert np.array_equal(np.argsort(dots.get_sizes(), kind="stable"), np.argsort(counts, kind="stable"))
    ends = np.array([segment[:, 1] for segment in intervals.get_segments()])
    np.testing.assert_allclose(ends.T, wilson_interval(observed, counts))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Predicted probability of well", "Observed fraction of well")
    assert legend(ax)[-1] == f"ECE = {calibration_error(observed, predicted, counts):.3f}"


def test_calibration_counts_the_rows_of_each_bin_below_the_curve():
    y, P, _ = CLASSIFICATION_CASES["two classes"]
    ax = viz.calibration(y, P, n_bins=5)
    counts = calibration_curve(y, P[:, 1], 5)[2]
    heights = np.array([bar.get_height() for bar in ax.patches])
    np.testing.assert_allclose(heights / heights.max(), counts / counts.max())
    assert [text.get_text() for text in ax.texts] == [str(count) for count in counts]
    assert all(bar.get_y() + bar.get_height() < 0 for bar in ax.patches)
    low = np.array([bar.get_x() for bar in ax.patches])
    predicted = calibration_curve(y, P[:, 1], 5)[1]
    assert ((low - 1e-9 <= predicted) & (predicted <= low + 0.2 + 1e-9)).all()


def test_calibration_is_compared_with_that_before():
    y, P, _ = CLASSIFICATION_CASES["two classes"]
    before = np.full_like(P, 0.5)
    ax = viz.calibration(y, P, before=before)
    (curve,) = [line for line in ax.lines if line.get_label().startswith("before")]
    assert (curve.get_xdata(), curve.get_ydata()) == (0.5, y.mean())
    assert curve.get_label() == f"before, ECE = {abs(0.5 - y.mean()):.3f}"


def test_for_several_classes_the_predicted_one_is_calibrated():
    y, P, labels = CLASSIFICATION_CASES["three classes"]
    ax = viz.calibration(y, P, labels)
    observed, predicted, _ = calibration_curve(P.argmax(axis=1) == y, P.max(axis=1))
    np.testing.assert_allclose(ax.collections[1].get_offsets(), np.column_stack([predicted, observed]))
    assert ax.get_ylabel() == "Accuracy"


# Numbers.


def test_predictions_are_drawn_over_actual_values_with_equal_limits():
    y, predictions = regressed(50)
    ax = viz.predicted_against_actual(y, predictions, "price")
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), np.column_stack([y, predictions]))
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_xlim()[0] < min(y.min(), predictions.min())
    assert ax.get_xlim()[1] > max(y.max(), predictions.max())
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Actual price", "Predicted price")


def test_residuals_are_drawn_over_predictions():
    y, predictions = regressed(50)
    ax = viz.residuals(y, predictions)
    np.testing.assert_allclose(ax.collections[0].get_offsets(), np.column_stack([predictions, y - predictions]))
    assert ax.get_legend() is None, "too few rows to summarize"


def test_the_median_of_many_residuals_shows_bias():
    rng = np.random.default_rng(0)
    predictions = rng.random(5000)
    errors = np.where(predictions > 0.5, 2.0, 0.0) + 0.01 * rng.normal(size=5000)
    ax = viz.residuals(predictions + errors, predictions)
    (median,) = [line for line in ax.lines if line.get_label() == "median"]
    np.testing.assert_allclose(median.get_ydata(), [0] * 5 + [2] * 5, atol=0.02)
    np.testing.assert_allclose(median.get_xdata(), np.arange(0.05, 1, 0.1), atol=0.02)


# Columns.


def test_importances_are_sorted_with_means_and_standard_deviations():
    worse = {"little": np.array([0.0, 0.2]), "much": np.array([3.0, 5.0]), "none": np.zeros(2)}
    ax = viz.importance(Importance("log_loss", 0.3, worse))
    assert [text.get_text() for text in ax.get_yticklabels()] == ["much", "little", "none"]
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([4, 0.1, 0])
    bars = ax.collections[0].get_segments()
    np.testing.assert_allclose([segment[:, 0] for segment in bars], [[3, 5], [0, 0.2], [0, 0]], atol=1e-12)
    assert ax.get_xlabel() == "Drop in performance (log loss)"
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the first is at the top"


def test_of_many_columns_the_least_important_are_counted():
    ax = viz.importance(Importance("rmse", 1.0, {f"x{j}": np.array([50.0 - j]) for j in range(50)}), max_columns=5)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["x0", "x1", "x2", "x3", "x4", "45 others"]


def test_the_dependence_on_a_number_is_a_line_over_ticks():
    ax = viz.partial_dependence(number_dependence())
    line, ticks = ax.lines
    assert line.get_xdata().tolist() == ticks.get_xdata().tolist() == [1, 2, 3, 5, 9]
    assert line.get_ydata().tolist() == [0, 1, 2, 3, 4]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("age", "Mean output 0")
    assert ax.get_legend() is None


def test_the_dependence_on_a_single_value_is_visible():
    result = Dependence("x", np.array([2.0]), np.array([[3.0]]), ("price",))
    assert viz.partial_dependence(result).lines[0].get_marker() == "o"


def test_the_dependence_on_a_category_is_a_marker_per_name():
    result = Dependence("who", np.array(["bob", "ann"]), np.array([[3.0], [1.0]]), ("price",))
    ax = viz.partial_dependence(result)
    (markers,) = ax.lines
    assert (markers.get_linestyle(), markers.get_ydata().tolist()) == ("None", [3, 1])
    assert [text.get_text() for text in ax.get_xticklabels()] == ["bob", "ann"]


def test_dates_have_a_date_axis():
    days = np.array(["2024-01-01", "2024-02-01", "2024-06-01"], "M8[us]")
    ax = viz.partial_dependence(Dependence("day", days, np.ones((3, 1)), ("price",)))
    assert isinstance(ax.xaxis.get_major_formatter(), ConciseDateFormatter)
    ax.figure.draw_without_rendering()
    assert {num2date(tick).year for tick in ax.get_xticks()} <= {2023, 2024}


def test_probabilities_of_two_classes_are_one_line_from_0_to_1():
    p = np.array([0.2, 0.9])
    result = Dependence("x", np.array([0.0, 1.0]), np.column_stack([1 - p, p]), ("no", "yes"))
    ax = viz.partial_dependence(result)
    assert ax.lines[0].get_ydata().tolist() == [0.2, 0.9]
    assert ax.get_ylabel() == "Mean probability of yes"
    assert ax.get_ylim() == (-0.02, 1.02)


def test_of_many_outputs_those_that_vary_most_are_shown():
    ax = viz.partial_dependence(number_dependence(k=9))
    assert legend(ax) == [f"output {j}" for j in (4, 5, 6, 7, 8)]
    assert [to_hex(line.get_color()) for line in ax.lines[:5]] == list(ON_LIGHT.classes)
