"""The variants of the recipe: which a table gets, and what they are for."""

from dataclasses import replace

import numpy as np
import pytest

from chainrule.data.reading import read_columns
from chainrule.data.targets import fit_target
from chainrule.model.embeddings import Periodic, PiecewiseLinear, Unclip
from chainrule.model.fitting import fit_predictor, recipe_of
from chainrule.model.portfolio import MAX_EMBEDDED, MAX_PIECES, QUALITIES, n_first, names, portfolio
from chainrule.model.recipe import CLASSIFICATION, REGRESSION, correlation

ALL = ["plain", "waves", "pieces", "linear"]


def test_the_qualities_are_subsets_of_each_other():
    for task in ("classification", "regression"):
        fast, default, best = (names(quality, task, 3, 5, 100) for quality in ("fast", "default", "best"))
        assert set(fast) | set(default) < set(best)
        assert best[: n_first(best)] == ["plain", "waves", "pieces", "neighbors", "linear"]
        assert n_first(default) == len(default)
        assert ("pieces, shared" in best) == (task == "regression")


@pytest.mark.parametrize("n_numbers", [0, MAX_EMBEDDED + 1])
def test_without_numbers_or_with_very_many_there_are_no_embeddings(n_numbers):
    assert names("fast", "regression", n_numbers, 5, 100) == ["plain", "linear"]
    best = names("best", "classification", n_numbers, 5, 100)
    assert all(name.startswith(("plain", "neighbors", "linear")) for name in best)
    assert "neighbors, other numbers" not in best


def test_a_table_with_more_columns_than_half_its_rows_has_variants_on_few_columns():
    STRONGEST = ["strongest 8", "strongest 8, linear", "strongest 32", "strongest 32, linear"]
    assert names("default", "regression", 60, 60, 100) == ["waves", "neighbors", "linear", *STRONGEST]
    assert (
        names("best", "regression", 60, 60, 100)[: n_first(names("best", "regression", 60, 60, 100))][5:] == STRONGEST
    )
    assert names("default", "regression", 50, 50, 100) == ["waves", "neighbors", "linear"]


def test_the_strength_of_columns_is_their_correlation_with_numbers_or_classes(rng):
    X, weight = rng.normal(size=(50, 4)), rng.integers(1, 3, 50)
    X[:, 3] = 7
    y = rng.integers(0, 2, 50)
    for target in (y, (y + rng.normal(size=50))[:, np.newaxis]):
        expected = [abs(np.corrcoef(np.repeat(x, weight), np.repeat(target, weight))[0, 1]) for x in X.T[:3]]
        np.testing.assert_allclose(correlation(X, target, weight), [*expected, 0])
    three = rng.integers(0, 3, 50)
    squares = [[np.corrcoef(x, three == k)[0, 1] ** 2 for k in range(3)] for x in X.T[:3]]
    np.testing.assert_allclose(correlation(X, three)[:3], np.sqrt(np.mean(squares, axis=1)))


def test_members_select_columns_by_their_own_training_rows_and_never_indices(rng):
    X = rng.normal(size=(40, 60)).astype(np.float32)
    X[:, 5] = rng.integers(0, 60, 40)
    y = (X[:, [5]] / 20 + X[:, [7]]).astype(np.float32)
    recipe = replace(portfolio(REGRESSION, ["strongest 8, linear"], X, [7], {5: 60})[0], epochs=1)
    selected = []
    for rows in (slice(0, 30), slice(10, 40)):
        fitted = recipe.fitted(X[rows], y[rows], None)
        select, unclip = fitted.front
        strength = correlation(X[rows], y[rows])
        strength[5] = 0
        assert select.columns == tuple(sorted(np.argsort(-strength)[:8]))
        assert (unclip, fitted.network(60, 1, seed=0).n_in) == (Unclip(), 60)
        selected.append(select.columns)
    assert selected[0] != selected[1]


def test_a_table_of_indices_alone_has_no_columns_to_select(rng):
    table = {f"code{j}": [f"c{k}" for k in rng.permutation(240) % 60] for j in range(130)}
    y = rng.normal(size=240)
    fitted = fit_predictor(read_columns(table), y, fit_target("y", y), n_folds=2, epochs=1, options={"hidden": (4,)})
    assert fitted.predictor.encoder.indices
    assert len(fitted.predictor.encoder.indices) == fitted.predictor.encoder.n_features
    assert len(fitted.histories) == 2 * len(names("default", "regression", 0, 0, 240))


def test_few_informative_columns_among_very_many_are_found(rng):
    X = rng.normal(size=(400, 300))
    y = X[:, :3].sum(axis=1) + 0.3 * rng.normal(size=400)
    target = fit_target("y", y[:100])
    options = {"hidden": (8,)}
    predictor = fit_predictor(read_columns(X[:100]), y[:100], target, n_folds=3, options=options).predictor
    error = np.sqrt(np.mean((predictor.predict(read_columns(X[100:])) - y[100:]) ** 2))
    assert error < 0.4


@pytest.mark.parametrize(("recipe", "y"), [(CLASSIFICATION, np.arange(100) % 2), (REGRESSION, np.ones((100, 2)))])
def test_every_variant_is_a_network_of_its_own(recipe, y, rng):
    X = np.column_stack([rng.normal(size=100), rng.integers(0, 2, 100), rng.normal(size=100)]).astype(np.float32)
    variants = portfolio(replace(recipe, hidden=(8,)), names("best", "regression", 2, 3, 100), X, [0, 2], {})
    shown = {(str(variant.network(3, 2, seed=0).layers), variant.epochs, variant.name) for variant in variants}
    assert len(shown) == len(variants) == len({variant.name for variant in variants})
    for variant in variants:
        assert variant.fitted(X, y, None).network(3, 2, seed=0)(X).shape == (100, 2)


def test_variants_see_the_numbers_plainly_as_waves_as_pieces_and_linearly(rng):
    X = np.column_stack([rng.normal(size=500), rng.integers(2, size=500), rng.exponential(size=500)])
    plain, waves, pieces, linear = portfolio(REGRESSION, ALL, X.astype(np.float32), [0, 2], {})
    assert [recipe.name for recipe in (plain, waves, pieces, linear)] == ["plain", "waves", "pieces", "linear"]
    assert (plain.front, linear.front, linear.hidden) == ((), (Unclip(),), ())
    assert waves.front == (Periodic(3, (0, 2)),)
    (layer,) = pieces.front
    assert layer.columns == (0, 2)
    for column, edges in zip(layer.columns, layer.edges):
        np.testing.assert_allclose(edges, np.quantile(X[:, column], np.linspace(0, 1, 25)), atol=1e-4)
    for variant in (plain, waves, pieces, linear):
        network = variant.network(3, 2, seed=0)
        assert (network.n_in, network.n_out) == (3, 2 * variant.loss.width)
        assert not network.outputs(X).any()


@pytest.mark.parametrize("n_numbers", [0, 1, 100, MAX_EMBEDDED, MAX_EMBEDDED + 1])
def test_tables_without_numbers_and_with_very_many_have_no_embeddings(n_numbers, rng):
    X = rng.normal(size=(50, n_numbers + 1)).astype(np.float32)
    recipes = portfolio(
        CLASSIFICATION, names("best", "classification", n_numbers, n_numbers + 1, 1000), X, range(n_numbers), {}
    )
    assert any(recipe.front for recipe in recipes if recipe.hidden) == (0 < n_numbers <= MAX_EMBEDDED)
    assert all(recipe.network(n_numbers + 1, 2, seed=0).n_in == n_numbers + 1 for recipe in recipes)
    widths = [layer.width for recipe in recipes for layer in recipe.front if isinstance(layer, PiecewiseLinear)]
    assert all(width <= MAX_PIECES for width in widths)


def test_edges_of_pieces_are_distinct_and_constant_numbers_have_none(rng):
    X = np.column_stack([np.where(rng.random(500) < 0.8, 0.25, rng.normal(size=500)), np.full(500, 0.5)])
    (layer,) = portfolio(REGRESSION, ALL, X.astype(np.float32), [0, 1], {})[2].front
    assert layer.columns == (0,)
    assert 4 <= len(layer.edges[0]) <= 10
    assert np.diff(layer.edges[0]).min() > 9e-4
    assert portfolio(REGRESSION, ALL, X.astype(np.float32), [1], {})[2].front == ()


def test_what_the_user_gives_comes_before_what_the_quality_says():
    target = fit_target("y", np.arange(100.0))
    assert recipe_of(target, "fast", 100).hidden == QUALITIES["fast"].options["hidden"]
    recipe = recipe_of(target, "fast", 100, {"hidden": (5,), "folds": 4, "batch_size": 7, "dropout": None})
    assert (recipe.hidden, recipe.folds, recipe.batch_size_for(10), recipe.dropout) == ((5,), 4, 7, 0.0)
    assert recipe_of(target, "default", 3).folds == 3
    with pytest.raises(ValueError, match="quality must be one of"):
        recipe_of(target, "bets", 100)


def test_dropout_and_weight_decay_reach_the_network(rng):
    recipe = replace(REGRESSION, hidden=(8, 8), dropout=0.2, weight_decay=0.1)
    network = recipe.network(3, 1, seed=0)
    assert str(network.layers).count("Dropout(0.2)") == 2
    decay = recipe.optimizer(network).weight_decay
    np.testing.assert_allclose(np.unique(decay), [0, 0.1])


def test_on_a_linear_table_the_linear_variant_helps(rng):
    X = rng.normal(size=(150, 6))
    columns = read_columns(X)
    y = X @ rng.normal(size=6) + 0.3 * rng.normal(size=150)

    target = fit_target("y", y)
    ensemble = fit_predictor(columns, y, target, n_folds=3, options={"hidden": (32,)}).predictor.ensemble
    linear = [len(network.layers) == 3 for network in ensemble.networks]
    assert sum(weight for weight, is_linear in zip(ensemble.weights, linear) if is_linear) > 0.5


def test_the_best_quality_trains_further_variants_while_there_is_time(rng):
    columns = read_columns({"x": rng.normal(size=60), "z": rng.normal(size=60)})
    y = columns["x"] ** 2
    target = fit_target("y", y)
    options = {"hidden": (4,)}
    fitted = fit_predictor(columns, y, target, quality="best", n_folds=2, epochs=2, options=options, time_limit=30)
    assert len(fitted.histories) == 2 * len(names("best", "regression", 2, 2, 60))
    brief = fit_predictor(columns, y, target, quality="best", n_folds=2, epochs=2000, options=options, time_limit=0.5)
    assert len(brief.histories) < 2 * len(names("best", "regression", 2, 2, 60))


@pytest.mark.parametrize("name", [*ALL, "neighbors"])
def test_every_variant_looks_up_categories_first_and_finds_the_numbers_behind(name, rng):
    X = np.column_stack([rng.integers(0, 60, 300), rng.normal(size=300), rng.integers(0, 2, 300), rng.normal(size=300)])
    variant = portfolio(REGRESSION, [name], X, [1, 3], {0: 60})[0].fitted(X, X[:, 1:2], None)
    lookup, *others = variant.front
    assert (lookup.columns, lookup.n_levels) == ((0,), (60,))
    assert all(embedding.columns == (0, 2) for embedding in others if name not in ("plain", "linear"))
    network = variant.network(4, 1, seed=0)
    assert variant.learning_rate_multipliers(network)["0.E"] == variant.lookup_rate
    assert network(X).shape == (300, 1)


def test_predictions_continue_what_is_linear_but_keep_the_sign_of_the_target(rng):
    X = rng.normal(size=(60, 2))
    far = read_columns(np.array([[6.0, 6.0], [-6.0, -6.0]]))
    predicted = {}
    for offset in (0.0, 3.0):
        y = np.maximum(X.sum(axis=1) + offset, 0.01 if offset else -np.inf)
        target = fit_target("y", y)
        fitted = fit_predictor(read_columns(X), y, target, n_folds=3, options={"hidden": (8,)})
        high, low = fitted.predictor.predict(far)
        assert high == pytest.approx(y.max() + np.ptp(y) / 2, rel=0.02)
        predicted[offset] = low
    assert predicted[0.0] < -4
    assert predicted[3.0] == pytest.approx(0, abs=0.05)
