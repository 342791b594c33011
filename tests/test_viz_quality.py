"""What the pictures of a model's quality show, in plain cases and at the edges: one class, one row, a million rows."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.dates import ConciseDateFormatter, num2date

from chainrule import viz
from chainrule.insight.evaluation import (
    Dependence,
    Importance,
    area_under,
    calibration_curve,
    precision_recall_curve,
    roc_curve,
    wilson_interval,
)
from chainrule.viz.style import MOST_POINTS, ON_LIGHT


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plt.close("all")


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
CASES = {
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
OF_CLASSES = {"confusion": viz.confusion, "roc": viz.roc, "precision_recall": viz.precision_recall}
OF_CLASSES |= {"calibration": viz.calibration}
NUMBERS = {
    "plain": regressed(300),
    "one row": ([1.0], [2.0]),
    "perfect": (regressed(300)[0], regressed(300)[0]),
    "answers equal": (regressed(300)[0], np.full(300, 7.0)),
    "all equal": (np.zeros(300), np.zeros(300)),
    "rows (n, 1)": tuple(column[:, np.newaxis] for column in regressed(30)),
    "a million": tuple(np.tile(column, 1000) for column in regressed(1000)),
}
OF_NUMBERS = {"predicted_against_actual": viz.predicted_against_actual, "residuals": viz.residuals}
COLUMNS = {
    "importance": lambda ax=None: viz.importance(Importance("rmse", 1.0, {"a": np.ones(3), "b": np.zeros(3)}), ax),
    "partial_dependence": lambda ax=None: viz.partial_dependence(number_dependence(), ax),
}


def number_dependence(k=1):
    predictions = np.outer(np.arange(5.0), np.arange(1, k + 1))
    return Dependence("age", np.array([1.0, 2, 3, 5, 9]), predictions, tuple(f"answer {j}" for j in range(k)))


def assert_sound(ax):
    """It can be drawn without a warning, at its own size and small, and nothing in it is NaN."""
    ax.figure.canvas.draw()
    for line in ax.lines:
        assert np.isfinite(np.asarray(line.get_ydata(), float)).all()
    for limits in (ax.get_xlim(), ax.get_ylim()):
        assert np.isfinite(limits).all()
        assert limits[0] != limits[1]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", OF_CLASSES)
@pytest.mark.parametrize("inches", [None, 2.5])
def test_every_picture_of_classes_holds_at_the_edges(name, case, inches):
    y, P, labels = CASES[case]
    ax = plt.subplots(figsize=(inches, inches), layout="constrained")[1] if inches else None
    drawn = OF_CLASSES[name](y, P, labels, ax)
    assert ax is None or drawn is ax
    assert drawn.figure.axes == [drawn]
    assert_sound(drawn)


@pytest.mark.parametrize("case", NUMBERS)
@pytest.mark.parametrize("name", OF_NUMBERS)
@pytest.mark.parametrize("inches", [None, 2.5])
def test_every_picture_of_numbers_holds_at_the_edges(name, case, inches):
    ax = plt.subplots(figsize=(inches, inches), layout="constrained")[1] if inches else None
    drawn = OF_NUMBERS[name](*NUMBERS[case], "price", ax)
    assert ax is None or drawn is ax
    assert drawn.figure.axes == [drawn]
    assert len(drawn.collections[0].get_offsets()) == min(len(NUMBERS[case][0]), MOST_POINTS)
    assert_sound(drawn)


@pytest.mark.parametrize("name", COLUMNS)
def test_a_picture_of_columns_is_drawn_on_the_axes_it_is_given_or_on_its_own(name):
    _, ax = plt.subplots()
    assert COLUMNS[name](ax) is ax
    own = COLUMNS[name]()
    assert own.figure.axes == [own]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: viz.confusion([0, 1], [0.1, np.nan]), "P must be finite"),
        (lambda: viz.roc([0, 1], [0.1, 0.2], ["only one"]), "labels must name 2 classes"),
        (lambda: viz.calibration([0, 2], [0.1, 0.2]), "y must be class numbers from 0 to 1"),
        (lambda: viz.residuals([1.0, np.nan], [1.0, 2.0]), "y must be finite"),
        (lambda: viz.residuals([1.0, 2.0], [1.0]), r"answers must have shape \(2,\)"),
        (lambda: viz.predicted_against_actual(np.ones((4, 2)), np.ones((4, 2))), "y must hold a number a row"),
        (lambda: viz.predicted_against_actual([], []), "one row at least"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Classes.


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_a_cell_holds_its_count_and_the_blue_of_its_share():
    y, P = [0, 0, 0, 1], [0.1, 0.2, 0.9, 0.8]
    ax = viz.confusion(y, P, ["no", "yes"])
    assert {text.get_position(): text.get_text() for text in ax.texts} == {(0, 0): "2", (1, 0): "1", (1, 1): "1"}
    (mesh,) = ax.collections
    np.testing.assert_allclose(mesh.get_array().reshape(2, 2), [[2 / 3, 1 / 3], [0, 1]])
    assert mesh.get_clim() == (0, 1)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["no", "yes"]
    assert ax.get_ylim() == (1.5, -0.5), "the first class is on top"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "actual")


@pytest.mark.parametrize(
    ("rows", "text"), [(9_999, "9999"), (12_345, "12k"), (3_600_000, "3600k"), (36_000_000, "36M")]
)
def test_large_counts_are_short(rows, text):
    from chainrule.viz.classifiers import short

    assert short(rows) == text


def test_what_would_be_too_small_to_read_is_left_out():
    y, P, labels = CASES["26 classes"]
    large, small = viz.confusion(y, P, labels), viz.confusion(y, P, labels, plt.subplots(figsize=(2, 2))[1])
    assert len(large.texts) > 26
    assert [text.get_text() for text in large.get_xticklabels()] == ALPHABET
    assert not small.texts
    assert not small.get_xticklabels()


def test_long_names_are_cut_and_dollars_are_no_formulas():
    ax = viz.confusion(*CASES["long names"])
    for text in [label.get_text() for label in ax.get_yticklabels()]:
        assert "\N{HORIZONTAL ELLIPSIS}" in text
        assert len(text) <= 26
        assert text.count("$") == text.count(r"\$")


def test_two_classes_have_the_roc_curve_of_class_1():
    y, P, _ = CASES["two classes"]
    ax = viz.roc(y, P, ["ill", "well"])
    chance, curve = ax.lines
    alarms, hits, _ = roc_curve(y, P[:, 1])
    np.testing.assert_array_equal(curve.get_xdata(), alarms)
    np.testing.assert_array_equal(curve.get_ydata(), hits)
    assert legend(ax) == ["chance (0.500)", f"well ({area_under(alarms, hits):.3f})"]
    assert list(chance.get_xdata()) == list(chance.get_ydata()) == [0, 1]


def test_two_classes_have_the_precision_recall_curve_of_class_1():
    y, P, _ = CASES["two classes"]
    ax = viz.precision_recall(y, P, ["ill", "well"])
    chance, curve = ax.lines
    precision, recall, _ = precision_recall_curve(y, P[:, 1])
    np.testing.assert_array_equal(curve.get_xdata(), recall)
    np.testing.assert_array_equal(curve.get_ydata(), precision)
    assert list(chance.get_ydata()) == [y.mean()] * 2
    assert legend(ax)[1].startswith("well (")


@pytest.mark.parametrize("draw", [viz.roc, viz.precision_recall])
def test_each_of_three_classes_has_a_curve_against_the_rest_with_its_own_colour_and_dash(draw):
    y, P, labels = CASES["three classes"]
    curves = [line for line in draw(y, P, labels).lines if line.get_label()[1] == " "]
    assert [line.get_label()[0] for line in curves] == labels
    assert len({line.get_color() for line in curves}) == len({line.get_linestyle() for line in curves}) == 3


@pytest.mark.parametrize("draw", [viz.roc, viz.precision_recall])
def test_of_many_classes_the_worst_five_are_named(draw):
    y, P, labels = CASES["26 classes"]
    ax = draw(y, P, labels)
    areas = [float(text.split("(")[1].rstrip(")")) for text in legend(ax) if text[1] == " " and text[0] in ALPHABET]
    assert len(areas) == 5
    others = legend(ax)[-1]
    assert others.startswith("21 others (")
    assert max(areas) <= float(others.split("(")[1].split(" to ")[0])
    assert sum(line.get_color() == ON_LIGHT.pale and len(line.get_xdata()) > 2 for line in ax.lines) == 21


def test_classes_of_one_name_are_drawn_apart():
    y, P, _ = CASES["26 classes"]
    assert sum(len(line.get_xdata()) > 2 for line in viz.roc(y, P, ["same"] * 26).lines) == 26


@pytest.mark.parametrize(
    ("draw", "case"), [(viz.roc, "class 0 alone"), (viz.roc, "one row"), (viz.precision_recall, "class 0 alone")]
)
def test_where_there_is_no_curve_it_is_said(draw, case):
    (text,) = draw(*CASES[case]).texts
    assert text.get_text() == "no curve:\nthese rows lack a class"


@pytest.mark.parametrize("draw", [viz.roc, viz.precision_recall])
def test_the_line_of_a_million_rows_has_few_corners_and_the_areas_of_all(draw):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 1_000_000)
    p = 1 / (1 + np.exp(-rng.normal(2 * y - 1, 1)))
    ax = draw(y, p)
    curve = ax.lines[-1]
    assert len(curve.get_xdata()) <= MOST_POINTS
    assert {curve.get_xdata()[0], curve.get_xdata()[-1]} == {0, 1}
    alarms, hits, _ = roc_curve(y, p)
    if draw is viz.roc:
        assert legend(ax)[-1] == f"class 1 ({area_under(alarms, hits):.3f})"


def test_calibration_shows_each_bins_share_its_interval_and_its_rows():
    y, P, _ = CASES["two classes"]
    ax = viz.calibration(y, P, ["ill", "well"], bins=5)
    were, said, counts = calibration_curve(y, P[:, 1], 5)
    intervals, dots = ax.collections
    np.testing.assert_allclose(dots.get_offsets(), np.column_stack([said, were]))
    assert np.array_equal(np.argsort(dots.get_sizes(), kind="stable"), np.argsort(counts, kind="stable"))
    ends = np.array([segment[:, 1] for segment in intervals.get_segments()])
    np.testing.assert_allclose(ends.T, wilson_interval(were, counts))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("probability of well", "share that was well")


def test_of_several_classes_the_answered_one_is_calibrated():
    y, P, labels = CASES["three classes"]
    ax = viz.calibration(y, P, labels)
    were, said, _ = calibration_curve(P.argmax(axis=1) == y, P.max(axis=1))
    np.testing.assert_allclose(ax.collections[1].get_offsets(), np.column_stack([said, were]))
    assert ax.get_ylabel() == "share that was right"


# Numbers.


def test_a_point_is_actual_across_and_predicted_up_within_equal_limits():
    y, predictions = regressed(50)
    ax = viz.predicted_against_actual(y, predictions, "price")
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), np.column_stack([y, predictions]))
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_xlim()[0] < min(y.min(), predictions.min())
    assert ax.get_xlim()[1] > max(y.max(), predictions.max())
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("actual price", "predicted price")


def test_a_residual_is_actual_minus_predicted_over_predicted():
    y, predictions = regressed(50)
    ax = viz.residuals(y, predictions)
    np.testing.assert_allclose(ax.collections[0].get_offsets(), np.column_stack([predictions, y - predictions]))
    assert ax.get_legend() is None, "too few rows to sum up"


def test_of_many_residuals_the_median_of_bins_tells_a_bias():
    rng = np.random.default_rng(0)
    predictions = rng.random(5000)
    left = np.where(predictions > 0.5, 2.0, 0.0) + 0.01 * rng.normal(size=5000)
    ax = viz.residuals(predictions + left, predictions)
    (median,) = [line for line in ax.lines if line.get_label() == "median"]
    np.testing.assert_allclose(median.get_ydata(), [0] * 5 + [2] * 5, atol=0.02)
    np.testing.assert_allclose(median.get_xdata(), np.arange(0.05, 1, 0.1), atol=0.02)


# Columns.


def test_importances_stand_in_their_order_with_means_and_deviations():
    worse = {"little": np.array([0.0, 0.2]), "much": np.array([3.0, 5.0]), "none": np.zeros(2)}
    ax = viz.importance(Importance("log_loss", 0.3, worse))
    assert [text.get_text() for text in ax.get_yticklabels()] == ["much", "little", "none"]
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([4, 0.1, 0])
    bars = ax.collections[0].get_segments()
    np.testing.assert_allclose([segment[:, 0] for segment in bars], [[3, 5], [0, 0.2], [0, 0]], atol=1e-12)
    assert ax.get_xlabel() == "log loss gets worse by"
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the first is on top"


def test_of_many_columns_those_that_matter_least_are_counted():
    ax = viz.importance(Importance("rmse", 1.0, {f"x{j}": np.array([50.0 - j]) for j in range(50)}), most=5)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["x0", "x1", "x2", "x3", "x4", "45 others"]


def test_a_numbers_dependence_is_a_line_over_ticks():
    ax = viz.partial_dependence(number_dependence())
    line, ticks = ax.lines
    assert line.get_xdata().tolist() == ticks.get_xdata().tolist() == [1, 2, 3, 5, 9]
    assert line.get_ydata().tolist() == [0, 1, 2, 3, 4]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("age", "mean answer 0")
    assert ax.get_legend() is None


def test_a_dependence_on_a_single_value_is_seen():
    found = Dependence("x", np.array([2.0]), np.array([[3.0]]), ("price",))
    assert viz.partial_dependence(found).lines[0].get_marker() == "o"


def test_a_categorys_dependence_is_a_mark_a_name():
    found = Dependence("who", np.array(["bob", "ann"]), np.array([[3.0], [1.0]]), ("price",))
    ax = viz.partial_dependence(found)
    (marks,) = ax.lines
    assert (marks.get_linestyle(), marks.get_ydata().tolist()) == ("None", [3, 1])
    assert [text.get_text() for text in ax.get_xticklabels()] == ["bob", "ann"]


def test_dates_have_an_axis_of_dates():
    days = np.array(["2024-01-01", "2024-02-01", "2024-06-01"], "M8[us]")
    ax = viz.partial_dependence(Dependence("day", days, np.ones((3, 1)), ("price",)))
    assert isinstance(ax.xaxis.get_major_formatter(), ConciseDateFormatter)
    ax.figure.canvas.draw()
    assert {num2date(tick).year for tick in ax.get_xticks()} <= {2023, 2024}


def test_probabilities_of_two_classes_are_one_line_from_0_to_1():
    p = np.array([0.2, 0.9])
    found = Dependence("x", np.array([0.0, 1.0]), np.column_stack([1 - p, p]), ("no", "yes"))
    ax = viz.partial_dependence(found)
    assert ax.lines[0].get_ydata().tolist() == [0.2, 0.9]
    assert ax.get_ylabel() == "mean probability of yes"
    assert ax.get_ylim() == (-0.02, 1.02)


def test_of_many_answers_those_that_change_most_are_shown():
    ax = viz.partial_dependence(number_dependence(k=9))
    assert legend(ax) == [f"answer {j}" for j in (4, 5, 6, 7, 8)]
    assert [to_hex(line.get_color()) for line in ax.lines[:5]] == list(ON_LIGHT.classes)
