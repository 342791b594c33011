"""Partial dependence on one column and on two: where it is evaluated, and what it does not hide."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from chainrule import viz
from chainrule.errors import TableError
from chainrule.insight.dependence import partial_dependence, strongest_interaction


@pytest.fixture
def gains(rng):
    """A column that is zero in most rows and large in a few, with one extreme value."""
    gain = np.where(rng.random(2000) < 0.9, 0.0, rng.uniform(1, 20_000, 2000))
    gain[7] = 99_999
    return {"gain": gain, "sex": rng.choice(["f", "m"], 2000).astype(object)}


def steps(table):
    return np.where(table["gain"] > 5_000, 1.0, 0.0) + 0.1 * (table["sex"] == "m")


def test_an_effect_in_the_tail_of_a_skewed_column_is_seen(gains):
    found = partial_dependence(steps, gains, "gain")
    assert np.ptp(found.predictions) == pytest.approx(1)
    assert found.values[-1] == pytest.approx(np.quantile(gains["gain"], 0.99), rel=0.1)
    assert (found.values > 1).sum() >= 8


def test_the_rows_beyond_the_axis_are_counted_on_the_figure(gains):
    ax = viz.partial_dependence(partial_dependence(steps, gains, "gain"))
    n = int((gains["gain"] > ax.lines[-2].get_xdata()[-1]).sum())
    assert [text.get_text() for text in ax.texts] == [f"{n} rows up to 99,999 →"]


def test_the_mean_is_that_of_the_curves_of_all_rows(gains):
    table = {name: cells[:30] for name, cells in gains.items()}
    found = partial_dependence(steps, table, "gain")
    np.testing.assert_allclose(found.curves.mean(axis=0), found.predictions)
    assert len(partial_dependence(steps, gains, "gain").curves) == 40


def test_opposite_effects_cancel_in_the_mean_and_show_in_the_curves(gains):
    found = partial_dependence(lambda t: t["gain"] * np.where(t["sex"] == "m", 1, -1), gains, "gain")
    slopes = np.sign(found.curves[:, -1, 0] - found.curves[:, 0, 0])
    assert set(slopes) == {-1, 1}
    ax = viz.partial_dependence(found)
    assert len(ax.lines) == len(found.curves) + 2
    assert ax.get_ylim()[0] < -5_000 < 5_000 < ax.get_ylim()[1]


def test_categories_are_in_the_order_of_their_predictions(rng):
    grades = ["IF", "VVS", "VS", "SI", "I"]
    table = {"clarity": rng.choice(grades, 400, p=[0.05, 0.15, 0.3, 0.4, 0.1]).astype(object)}
    found = partial_dependence(lambda t: [-float(grades.index(c)) for c in t["clarity"]], table, "clarity")
    assert found.values.tolist() == grades


def test_categories_are_in_the_order_of_the_second_of_two_classes(rng):
    table = {"who": rng.choice(["a", "b", "c"], 90).astype(object)}
    chances = {"a": 0.3, "b": 0.9, "c": 0.1}

    def model(t):
        p = np.array([chances[who] for who in t["who"]])
        return np.column_stack([1 - p, p])

    found = partial_dependence(model, table, "who")
    assert found.values.tolist() == ["b", "a", "c"]


def test_labels_of_categories_are_as_long_as_it_takes_to_tell_them_apart(rng):
    names = ["Married-civ-spouse", "Married-AF-spouse", "Married-spouse-absent"]
    found = partial_dependence(lambda t: [float(len(c)) for c in t["status"]], {"status": names * 5}, "status")
    ax = plt.subplots(figsize=(3, 2))[1]
    viz.partial_dependence(found, ax)
    assert len({text.get_text() for text in ax.get_xticklabels()}) == 3


def test_panels_share_an_axis_that_shows_which_effect_is_small(rng):
    table = {"large": rng.normal(size=300), "small": rng.normal(size=300)}
    found = [partial_dependence(lambda t: 100 * t["large"] + t["small"], table, name) for name in table]
    limits = viz.dependence_limits(found)
    axes = [viz.partial_dependence(one, limits=limits) for one in found]
    assert axes[0].get_ylim() == axes[1].get_ylim() == limits
    heights = [np.ptp(ax.lines[-2].get_ydata()) / np.ptp(limits) for ax in axes]
    assert heights[0] > 0.4 > 0.02 > heights[1]


# Interactions.


def test_the_strongest_interaction_is_that_of_columns_whose_effects_do_not_add_up(rng):
    table = {name: rng.normal(size=300) for name in "abc"}
    found = strongest_interaction(lambda t: 5 * t["a"] + t["b"] * t["c"], table, ["a", "b", "c"])
    assert found.columns == ("b", "c")
    assert 0.7 < found.h <= 1.05
    np.testing.assert_allclose(found.predictions[:, :, 0], np.outer(*found.values) + 5 * offset(table), atol=1e-9)
    assert found.counts.sum() == 300
    assert found.names == ("prediction",)


def offset(table):
    """Return the mean of column a in the rows that the interaction is measured on."""
    found = strongest_interaction(lambda t: t["a"] + 1e-12 * t["b"], table, ["b", "c"])
    return found.predictions.mean()


def test_friedmans_h_is_zero_for_sums_and_equals_its_definition(rng):
    table = {name: rng.normal(size=25) for name in "ab"}
    assert strongest_interaction(lambda t: t["a"] ** 2 + t["b"], table, ["a", "b"]).h == pytest.approx(0, abs=1e-7)

    def model(t):
        return t["a"] + t["b"] + t["a"] * t["b"]

    a, b = table["a"], table["b"]
    joint = model({"a": a, "b": b})
    f, g = (np.array([model(one(x)).mean() for x in own]) for own, one in (
        (a, lambda x: {"a": x, "b": b}), (b, lambda x: {"a": a, "b": x})
    ))  # fmt: skip
    joint, f, g = (values - values.mean() for values in (joint, f, g))
    expected = np.sqrt(((joint - f - g) ** 2).sum() / (joint**2).sum())
    assert strongest_interaction(model, table, ["a", "b"]).h == pytest.approx(expected)


def test_an_interaction_of_categories_is_in_the_order_of_their_effects(rng):
    n = 200
    table = {"who": rng.choice(["x", "y", "z"], n).astype(object), "x": rng.normal(size=n)}
    table["who"][3] = None
    sizes = {"x": 0.0, "y": 3.0, "z": 1.0, None: 0.0}
    found = strongest_interaction(
        lambda t: t["x"] * (t["who"] == "y") + [sizes[who] for who in t["who"]], table, ["who", "x"]
    )
    assert found.values[0].tolist() == ["y", "z", "x"]
    assert found.counts.sum() == n - 1
    ax = viz.interaction(found)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["y", "z", "x"]
    assert len(ax.lines[0].get_xdata()) == (found.counts == 0).sum()


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        (["a"], ValueError, "columns must be at least two different names, got"),
        (["a", "a"], ValueError, "columns must be at least two different names, got"),
        (["a", "d"], TableError, "'d'"),
        (["a", "empty"], TableError, "column 'empty' must have at least one value"),
    ],
)
def test_invalid_columns_of_an_interaction_raise(columns, error, message):
    table = {"a": [1.0, 2.0], "empty": [None, None]}
    with pytest.raises(error, match=message):
        strongest_interaction(lambda t: t["a"], table, columns)
