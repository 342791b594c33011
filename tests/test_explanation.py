"""Explanations: Shapley values against their definition and against SHAP, in every kind of model."""

import json
import re
import warnings
from itertools import combinations, pairwise
from math import factorial

import matplotlib.pyplot as plt
import numpy as np
import pytest

from chainrule import (
    Adam,
    Dense,
    Network,
    Predictor,
    TabularClassifier,
    TabularEncoder,
    TabularRegressor,
    explain,
    load,
    mlp,
    viz,
)
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.errors import TableError
from chainrule.model.background import background_rows
from chainrule.viz.style import ON_DARK, ON_LIGHT


def people(n, seed=0):
    """A table with numbers, a missing one, categories, dates and a column that is left out."""
    rng = np.random.default_rng(seed)
    return {
        "height": np.where(rng.random(n) < 0.2, np.nan, rng.normal(170, 10, n)),
        "color": rng.choice(["red", "green", "blue"], n).astype(object),
        "day": np.datetime64("2024-01-01", "D") + rng.integers(0, 300, n),
        "member": rng.choice(["yes", "no"], n).astype(object),
        "constant": np.ones(n),
    }


def score_of(table):
    known = np.nan_to_num(table["height"], nan=165) - 170
    return known * (table["color"] == "red") + 5.0 * (table["member"] == "yes")


def trained(target, n=90):
    """Return a predictor for people, trained briefly."""
    table = people(n)
    score = score_of(table)
    values = {
        "two classes": np.where(score > 2, "tall", "short"),
        "three classes": np.where(score > 4, "a", np.where(score > 0, "b", "c")),
        "number": 1000 + 50 * score,
    }[target]
    return Predictor.fit(table | {"y": values}, "y", network=(12,), optimizer=Adam(0.02), epochs=30, seed=0)


def logarithmic():
    """Return a predictor whose target is learned as its logarithm."""
    table = people(60)
    encoder = TabularEncoder().fit(table)
    target = NumberTarget.of("price", np.exp(score_of(table) / 10)[:, np.newaxis], "log")
    X = encoder.transform(table)
    return Predictor(encoder, mlp(X.shape[1], 9, 1, seed=1), target, background=X[:20])


def several_targets():
    """Return a predictor of two numbers."""
    table = people(60)
    encoder = TabularEncoder().fit(table)
    target = NumberTarget("y", (5.0, -3.0), (2.0, 10.0))
    X = encoder.transform(table)
    return Predictor(encoder, mlp(X.shape[1], 9, 2, seed=2), target, background=X[:20])


MODELS = {
    "two classes": lambda: trained("two classes"),
    "three classes": lambda: trained("three classes"),
    "number": lambda: trained("number"),
    "logarithmic": logarithmic,
    "several targets": several_targets,
}


def unit_of(model, predictions):
    """Return mean predictions as the explanation has them: log-odds, or numbers."""
    if not isinstance(model.target, ClassTarget):
        return predictions
    odds = np.log(predictions / (1 - predictions))
    return odds[1:] if len(odds) == 2 else odds


def shapley_values(model, row, background):
    """Return Shapley values (d, k) by their definition, on tables of cells rather than on encoded rows."""
    names = [column.name for column in model.encoder.columns]
    d, n = len(names), len(background[names[0]])

    def value(coalition):
        mixed = {name: np.repeat(row[name], n) if name in coalition else background[name] for name in names}
        if isinstance(model.target, ClassTarget):
            return unit_of(model, model.predict_proba(mixed).mean(axis=0))
        return model.predict(mixed).reshape(n, -1).mean(axis=0)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* are unknown")
        values = {frozenset(S): value(S) for size in range(d + 1) for S in combinations(names, size)}
    phi = []
    for name in names:
        others = [S for S in values if name not in S]
        weights = [factorial(len(S)) * factorial(d - len(S) - 1) / factorial(d) for S in others]
        phi.append(sum(weight * (values[S | {name}] - values[S]) for weight, S in zip(weights, others)))
    return np.array(phi), values[frozenset()], values[frozenset(names)]


@pytest.mark.parametrize("kind", MODELS)
def test_contributions_are_the_shapley_values_of_their_definition(kind):
    model, table, background = MODELS[kind](), people(4, seed=3), people(12, seed=4)
    table["color"][1] = "violet"  # unknown to the model
    table["color"][2] = None
    found = explain(model, table, background=background)
    for i in range(4):
        row = {name: cells[i : i + 1] for name, cells in table.items()}
        phi, baseline, prediction = shapley_values(model, row, background)
        np.testing.assert_allclose(found.contributions[i].reshape(phi.shape), phi, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(np.ravel(found.baseline), baseline, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(np.ravel(found.predictions[i]), prediction, rtol=1e-5, atol=1e-6)


def test_ten_columns_are_explained_exactly(rng):
    table = {f"x{j}": rng.normal(size=40) for j in range(10)}
    y = table["x0"] * table["x1"] + table["x2"]
    model = Predictor.fit(table | {"y": y}, "y", network=(8,), epochs=20, seed=0)
    row = {name: cells[:1] for name, cells in table.items()}
    background = {name: cells[5:7] for name, cells in table.items()}
    found = model.explain(row, background=background)
    phi, _, _ = shapley_values(model, row, background)
    np.testing.assert_allclose(found.contributions[0], phi[:, 0], rtol=1e-5, atol=1e-6)
    assert found.permutations is None
    assert found.n_evaluated.tolist() == [2 * 2**10]


def total(found):
    return found.baseline + found.contributions.sum(axis=1)


@pytest.mark.parametrize("permutations", [None, 1, 3])
@pytest.mark.parametrize("kind", MODELS)
def test_contributions_sum_to_prediction_minus_baseline(kind, permutations):
    model, table = MODELS[kind](), people(6, seed=5)
    found = explain(model, table, permutations=permutations)
    assert np.abs(total(found) - found.predictions).max() < 1e-4 * max(1, np.abs(found.predictions).max())
    if isinstance(model.target, ClassTarget):
        P = model.predict_proba(table)
        expected = np.log(P / (1 - P))[:, P.shape[1] == 2 :].reshape(found.predictions.shape)
    else:
        expected = model.predict(table)
    np.testing.assert_allclose(found.predictions, expected, rtol=1e-5, atol=1e-5)


def linear(d, rng):
    """Return a predictor of a number that is linear in d columns, and its weights."""
    encoder = TabularEncoder.raw([f"x{j}" for j in range(d)])
    network = Network([Dense(d, 1)], "squared_error", seed=0)
    background = rng.normal(size=(8, d)).astype(np.float32)
    model = Predictor(encoder, network, NumberTarget("y", (0.0,), (1.0,)), background=background)
    return model, network.params[0]["W"][:, 0]


def test_contributions_to_a_linear_model_are_weights_times_differences(rng):
    model, weights = linear(30, rng)
    X = rng.normal(size=(3, 30))
    found = model.explain(X)
    expected = weights * (X - model.background.mean(axis=0))
    np.testing.assert_allclose(found.contributions, expected, atol=1e-5)
    assert found.errors.max() < 1e-5
    assert found.permutations == 8


def test_one_pair_of_orders_is_exact_without_interactions_of_three_columns(rng):
    """Reversing an order swaps which of two columns gets the credit for their interaction."""
    d = 6
    encoder = TabularEncoder.raw([f"x{j}" for j in range(d)])
    network = mlp(d, 5, 1, activation=lambda z: (z**2, 2 * z), seed=3) if False else squares(d)
    model = Predictor(encoder, network, NumberTarget("y", (0.0,), (1.0,)), background=rng.normal(size=(4, d)))
    X = rng.normal(size=(2, d))
    sampled, exact = model.explain(X, permutations=1), model.explain(X)
    assert (sampled.permutations, exact.permutations) == (1, None)
    np.testing.assert_allclose(sampled.contributions, exact.contributions, atol=1e-9)
    assert np.abs(exact.contributions).max() > 0.1


def squares(d):
    """Return a network that is a quadratic function of its inputs."""
    return mlp(d, 5, 1, activation=lambda Z: (Z**2, lambda dA: 2 * dA * Z), seed=3, dtype="float64")


def test_sampled_contributions_are_within_their_standard_errors(rng):
    table = {f"x{j}": rng.normal(size=80) for j in range(11)}
    y = np.where(table["x0"] * table["x1"] * table["x2"] + table["x3"] > 0, "a", "b")
    model = Predictor.fit(table | {"y": y}, "y", network=(16,), optimizer=Adam(0.02), epochs=60, seed=0)
    few = explain(model, {name: cells[:4] for name, cells in table.items()})
    exact = explain(model, {name: cells[:4] for name, cells in table.items()}, permutations=150)
    assert (few.permutations, exact.permutations) == (8, None), "more orders than coalitions are all coalitions"
    deviations = np.abs(few.contributions - exact.contributions) / few.errors
    assert 0.4 < np.mean(deviations < 1) < 0.8
    assert np.mean(deviations < 3) > 0.9
    assert np.abs(total(few) - few.predictions).max() < 1e-6


def test_a_row_is_explained_alike_alone_and_among_others():
    model, table = trained("number"), people(5, seed=6)
    together = explain(model, table, permutations=1, seed=4)
    alone = explain(model, {name: cells[3:4] for name, cells in table.items()}, permutations=1, seed=4)
    np.testing.assert_allclose(together[3].contributions, alone.contributions, rtol=1e-9)
    other = explain(model, table, permutations=1, seed=5)
    assert not np.allclose(together.contributions, other.contributions)


def test_a_cell_equal_to_those_of_all_background_rows_contributes_nothing_and_costs_nothing():
    model, table = trained("number"), people(1, seed=6)
    background = people(10, seed=7)
    before = explain(model, table, background=background)
    background["color"] = np.repeat(table["color"], 10)
    found = explain(model, table, background=background)
    assert found.contributions[0, found.columns.index("color")] == 0
    assert found.n_evaluated[0] <= 2**3 * 10 < before.n_evaluated[0] <= 2**4 * 10


def test_the_fraction_done_is_reported_and_never_falls():
    model, done = trained("two classes"), []
    explain(model, people(7), progress=done.append)
    assert done == sorted(done)
    assert done[-1] == pytest.approx(1)


@pytest.mark.parametrize("kind", ["two classes", "three classes", "number"])
def test_contributions_equal_those_of_shap(kind):
    shap = pytest.importorskip("shap")
    rng = np.random.default_rng(0)
    X, background = rng.normal(size=(3, 4)), rng.normal(size=(10, 4))
    y = background[:, 0] * background[:, 1]
    values = {"number": y, "two classes": np.where(y > 0, "a", "b"), "three classes": list("abcabcabca")}[kind]
    columns = {f"x{j}": background[:, j] for j in range(4)}
    model = Predictor.fit(columns | {"y": values}, "y", network=(8,), epochs=20, seed=0)
    predict, link = (model.predict, "identity") if kind == "number" else (model.predict_proba, "logit")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        phi = shap.KernelExplainer(predict, background, link=link).shap_values(X, nsamples=2**4, silent=True)
    phi = phi[..., 1] if kind == "two classes" else phi
    np.testing.assert_allclose(model.explain(X, background=background).contributions, phi, atol=1e-5)


# The background.


def test_a_fitted_model_keeps_a_background_of_64_rows_in_its_file(tmp_path):
    model = trained("two classes")
    assert model.background.shape == (64, model.encoder.n_features)
    model.save(tmp_path / "m")
    again = load(tmp_path / "m")
    np.testing.assert_array_equal(again.background, model.background)
    table = people(2, seed=8)
    np.testing.assert_allclose(again.explain(table).contributions, model.explain(table).contributions, atol=1e-5)
    size = (tmp_path / "m").stat().st_size
    model.background = None
    model.save(tmp_path / "m")
    smaller = (tmp_path / "m").stat().st_size
    assert 0 <= size - smaller - 64 * 4 * model.encoder.n_features < 200
    bare = load(tmp_path / "m")
    with pytest.raises(ValueError, match="background must be given for a model without a sample of training rows"):
        bare.explain(table)
    assert len(bare.explain(table, background=people(9))) == 2


def test_the_background_has_the_shares_of_the_classes_and_the_mean_of_the_numbers(rng):
    X = rng.normal(size=(3000, 2))
    rare = (rng.random(3000) < 0.05).astype(int)
    X[:, 0] = rare
    assert background_rows(X, rare)[:, 0].sum() in (3, 4)
    X[:, 1] = rng.gamma(1, size=3000)
    sample = background_rows(X, X[:, 1:])
    assert sample[:, 1].mean() == pytest.approx(X[:, 1].mean(), rel=0.05)
    assert len(sample) == 64
    weight = np.where(rare == 1, 19.0, 1.0)
    assert 25 < background_rows(X, rare, weight)[:, 0].sum() < 39
    assert len(background_rows(X[:7], rare[:7])) == 7


def test_the_baseline_is_near_the_share_of_the_class():
    model, table = trained("two classes", n=400), people(1)
    baseline = 1 / (1 + np.exp(-model.explain(table).baseline))
    everything = people(400)
    assert baseline == pytest.approx(model.predict_proba(everything)[:, 1].mean(), abs=0.05)


# The estimators.


@pytest.mark.parametrize("estimator", [TabularClassifier, TabularRegressor])
def test_estimators_explain_tables_and_arrays(estimator, rng):
    X = rng.normal(size=(60, 3))
    y = X[:, 0] * 3 + X[:, 1]
    y = y if estimator is TabularRegressor else np.where(y > 0, "up", "down")
    model = estimator(quality="fast", epochs=3, random_state=0).fit(X, y)
    found = model.explain(X[:5])
    assert found.columns == ("x0", "x1", "x2")
    assert np.abs(total(found) - found.predictions).max() < 1e-9
    assert found.contributions.shape == (5, 3)
    assert model.explain(X[:5], background=X[:10]).n_background == 10
    assert found.n_background == 60
    assert found.outputs == (("y",) if estimator is TabularRegressor else ("up",))


# The result.


def test_the_text_of_a_row_lists_its_cells_and_their_contributions():
    model = trained("two classes")
    text = str(explain(model, [{"height": 190.5, "color": "red", "day": "2024-05-01", "member": None}]))
    first, _, *table = text.splitlines()
    assert first.startswith("log-odds of tall in row 1: ")
    assert re.search(r"%\), from a baseline of \S+ \(\d+\.\d%\)$", first)
    lines = {line.split()[0]: line for line in table[:4]}
    assert set(lines) == {"height", "color", "day", "member"}
    assert " 190.5 " in lines["height"]
    assert " missing " in lines["member"]
    assert "│██████████" in table[0]
    assert table[-1].startswith("exact Shapley values; 64 background rows, ")


def test_columns_beyond_the_largest_are_added_up(rng):
    model, _ = linear(12, rng)
    found = model.explain(rng.normal(size=(1, 12)))
    shown = found.ranking(max_columns=3)
    assert [entry.column for entry in shown][3:] == ["9 other columns"]
    assert sum(entry.contribution for entry in shown) == pytest.approx(float(found.contributions.sum()))
    assert len(found.ranking(max_columns=11)) == 12, "a single other column is shown by its name"
    several = model.explain(rng.normal(size=(4, 12)))
    assert several.ranking(2)[0].contribution == np.abs(several.contributions).mean(axis=0).max()
    assert str(several).startswith("mean absolute contribution to y in 4 rows")


def test_an_explanation_is_json():
    found = explain(trained("three classes"), people(3))
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["unit"] == "log-odds"
    assert list(document["baseline"]) == ["a", "b", "c"]
    row = document["rows"][1]
    assert row["values"]["day"].startswith("2024-")
    assert list(row["outputs"]) == ["a", "b", "c"]
    phi = row["outputs"]["b"]["contributions"]
    assert sum(phi.values()) + document["baseline"]["b"] == pytest.approx(row["outputs"]["b"]["prediction"])
    assert document["evaluated_rows"] == found.n_evaluated.sum()


def test_parts_and_outputs_are_selected():
    found = explain(trained("three classes"), people(5))
    assert len(found) == 5
    assert [part.rows.tolist() for part in found] == [[1], [2], [3], [4], [5]]
    assert found[1:3].contributions.shape == (2, 4, 3)
    one = found.for_output("b")
    np.testing.assert_array_equal(one.contributions, found.contributions[..., 1])
    assert one.subject == "log-odds of b"
    predicted = found.outputs[found.predictions[2].argmax()]
    assert found[2].for_output().outputs == (predicted,)
    with pytest.raises(ValueError, match="output must be one of 'a', 'b', 'c', got 'd'"):
        found.for_output("d")
    with pytest.raises(IndexError):
        found[5]
    assert "<table" in found[0]._repr_html_()
    assert repr(found) == "Explanation(log-odds of a, b, c: 5 rows, 4 columns)"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"table": []}, TableError, "table must have at least one row"),
        ({"table": {"height": []}}, ValueError, "table must have at least one row, got a table without rows"),
        ({"table": {"height": [1.0]}}, TableError, "columns 'color', 'day', 'member' are missing"),
        ({"background": {"height": [1.0]}}, TableError, "columns 'color', 'day', 'member' are missing"),
        ({"permutations": 0}, ValueError, "permutations must be an integer >= 1, got 0"),
        ({"seed": -1}, ValueError, "seed must be"),
    ],
)
def test_invalid_arguments_raise(options, error, message):
    table = options.pop("table", people(2))
    with pytest.raises(error, match=message):
        explain(trained("number"), table, **options)


# Figures.


@pytest.mark.parametrize("look", ["default", "dark_background"])
def test_a_waterfall_leads_from_the_baseline_to_the_prediction(look):
    found = explain(trained("two classes"), people(3))
    with plt.style.context(look):
        ax = viz.waterfall(found, row=1)
        ax.figure.canvas.draw()
    bars = ax.patches
    first, last = bars[0], bars[-1]
    assert first.get_x() + first.get_width() == pytest.approx(found.predictions[1])
    assert last.get_x() == pytest.approx(found.baseline)
    for above, below in pairwise(bars):
        assert above.get_x() == pytest.approx(below.get_x() + below.get_width())
    palette = ON_LIGHT if look == "default" else ON_DARK
    for bar in bars:
        wanted = palette.orange if bar.get_width() > 0 else palette.blue
        assert plt.matplotlib.colors.to_hex(bar.get_facecolor()) == wanted
    assert ax.get_title() == "Row 2"
    assert [text.get_text().split(" = ")[0] for text in ax.get_yticklabels()] == [
        entry.column for entry in found[1].ranking()
    ]
    assert "%)" in ax.get_xlabel()


def test_a_beeswarm_has_a_dot_for_each_row_and_column(rng):
    found = explain(trained("number"), people(80, seed=9), permutations=1)
    ax = found.plot()
    ax.figure.canvas.draw()
    names = [text.get_text() for text in ax.get_yticklabels()]
    assert names == [entry.column for entry in found.ranking()]
    for k, name in enumerate(names):
        x, y = ax.collections[k].get_offsets().T
        np.testing.assert_allclose(x, found.contributions[:, found.columns.index(name)])
        assert np.abs(y - k).max() <= 0.41
        assert len(np.unique(np.round(np.column_stack([x, y]), 9), axis=0)) >= 0.9 * len(np.unique(x))


def test_the_colors_of_a_beeswarm_are_the_ranks_of_the_values():
    table = people(30, seed=9)
    ax = viz.beeswarm(explain(trained("number"), table, permutations=1))
    names = [text.get_text() for text in ax.get_yticklabels()]
    colors = ax.collections[names.index("height")].get_facecolors()
    low, high, missing = (
        colors[i]
        for i in (np.nanargmin(table["height"]), np.nanargmax(table["height"]), np.isnan(table["height"]).argmax())
    )
    assert plt.matplotlib.colors.to_hex(low) == ON_LIGHT.blue
    assert plt.matplotlib.colors.to_hex(high) == ON_LIGHT.orange
    np.testing.assert_allclose(missing[:3], 0.6)
    assert len(np.unique(ax.collections[names.index("color")].get_facecolors(), axis=0)) == 1


@pytest.mark.parametrize("n", [1, 2])
def test_a_single_column_and_equal_predictions_are_drawn(n, rng):
    model, _ = linear(1, rng)
    found = model.explain(np.tile(model.background.mean(axis=0), (n, 1)))
    ax = found.plot()
    ax.figure.canvas.draw()
    assert np.isfinite(ax.get_xlim()).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda found: viz.waterfall(found, row=3), "row must be an index of 3 rows, got 3"),
        (lambda found: viz.waterfall(found, output="x"), "output must be one of 'tall', got 'x'"),
        (lambda found: viz.beeswarm([1]), "explanation must be an Explanation, the result of explain, got list"),
        (lambda found: viz.beeswarm(found[:0]), "explanation must have at least one row, got none"),
    ],
)
def test_invalid_arguments_of_figures_are_rejected(call, message):
    found = explain(trained("two classes"), people(3))
    with pytest.raises(ValueError, match=message):
        call(found)
