"""Networks that predict a mean and quantiles, and the calibrated intervals and quantiles of tables."""

import numpy as np
import pytest

from chainrule import Activation, Adam, Dense, Network, TabularRegressor, check_gradients, load, mlp, train
from chainrule.export import to_python
from chainrule.metrics import coverage, coverage_by_part, winkler
from chainrule.model.ensemble import Ensemble
from chainrule.model.quantiles import LEVELS, Distribution, MeanAndQuantiles, in_order, mean_only, shift_quantiles
from chainrule.nn.losses import Quantile, SquaredError

FEW = MeanAndQuantiles((0.1, 0.4, 0.6, 0.95), factor=0.5)


def of_raw_outputs(rng, n=40, k=2, loss=FEW):
    """Return distributions of raw outputs that are out of order, some of them equal."""
    Z = rng.normal(size=(n, k * loss.width)).round(1)
    return Distribution.of(loss, in_order(loss, Z), loss.predict(Z))


# The loss.


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
def test_its_gradient_is_right(k, weighted, rng):
    net = Network([Dense(3, 6), Activation("tanh"), Dense(6, k * FEW.width)], FEW, seed=0, dtype="float64")
    weight = rng.uniform(size=9) if weighted else None
    assert check_gradients(net, rng.normal(size=(9, 3)), rng.normal(size=(9, k)), sample_weight=weight).ok


def test_its_value_is_half_the_squared_error_and_a_share_of_the_mean_quantile_loss(rng):
    Z, Y, weight = rng.normal(size=(7, 10)), rng.normal(size=(7, 2)), rng.uniform(size=7)
    expected = SquaredError()(Z[:, ::5], Y, weight)[0]
    for j in range(2):
        Q = Z[:, 5 * j + 1 : 5 * j + 5]
        expected += 0.5 * Quantile(FEW.levels)(Q, np.repeat(Y[:, [j]], 4, axis=1), weight)[0] / 4
    assert FEW(Z, Y, weight)[0] == pytest.approx(expected)


def test_a_network_predicts_the_means(rng):
    net = mlp(3, 4, 2 * FEW.width, loss=FEW, seed=0)
    X = rng.normal(size=(5, 3))
    np.testing.assert_array_equal(net(X), net.outputs(X)[:, [0, 5]])
    with pytest.raises(ValueError, match="y must be 2-D with 2 columns"):
        net.loss_and_grad(X, rng.normal(size=(5, 3)))


def test_it_finds_mean_and_quantiles(rng):
    y = rng.exponential(size=4000)
    net = Network([Dense(1, 20, "zeros", "zeros")], MeanAndQuantiles(), seed=0)
    train(net, np.zeros((4000, 1)), y, optimizer=Adam(0.1), epochs=60, batch_size=500, schedule="cosine", seed=0)
    mean, *quantiles = net.outputs(np.zeros((1, 1)))[0]
    assert mean == pytest.approx(y.mean(), abs=0.02)
    np.testing.assert_allclose(quantiles, np.quantile(y, LEVELS), atol=0.1)


@pytest.mark.parametrize("levels", [(), (0.5,), (0.1, 0.9), (0.5, 0.1, 0.9), (0.1, 0.1, 0.9), (0.1, 0.5, 1.0)])
def test_levels_that_do_not_increase_are_refused(levels):
    with pytest.raises(ValueError, match="levels must"):
        MeanAndQuantiles(levels)


def test_without_its_quantiles_a_network_predicts_the_same_means(rng):
    net, X = mlp(3, 4, 2 * FEW.width, loss=FEW, seed=0), rng.normal(size=(5, 3))
    plain = mean_only(net)
    assert (plain.n_out, plain.loss) == (2, SquaredError())
    np.testing.assert_allclose(plain(X), net(X), rtol=1e-6)
    assert mean_only(plain) is plain
    ensemble = Ensemble((net, net), bounds=np.array([[-0.1, -0.1], [0.1, 0.1]]), scores=np.zeros((999, 2)))
    np.testing.assert_allclose(ensemble.means.predict(X), ensemble.predict(X), rtol=1e-6)
    np.testing.assert_array_equal(ensemble.distribution(X.astype("float32")).means, ensemble.predict(X))


def test_a_shift_moves_the_quantiles_and_not_the_means(rng):
    net, X = mlp(3, 4, 2 * FEW.width, loss=FEW, seed=0, dtype="float64"), rng.normal(size=(5, 3))
    Z = net.outputs(X)
    shifted = shift_quantiles([net], Z, np.array([0.5, -2.0]))
    np.testing.assert_allclose(shifted, Z + np.array([0, *[0.5] * 4, 0, *[-2.0] * 4]))
    np.testing.assert_allclose(net.outputs(X), shifted)


# Distributions.


def test_a_score_is_the_inverse_of_its_quantile(rng):
    distribution = of_raw_outputs(rng)
    for scores in rng.normal(scale=3, size=(50, 2)):
        np.testing.assert_allclose(distribution.scores(distribution.at(scores)), np.tile(scores, (40, 1)), atol=1e-6)


def test_quantiles_never_cross(rng):
    distribution = of_raw_outputs(rng)
    at = np.stack([distribution.at(np.full(2, score)) for score in np.linspace(-8, 8, 500)])
    assert (np.diff(at, axis=0) > 0).all()
    low, high = (distribution.at(np.full(2, end)) for end in (-np.inf, np.inf))
    assert (low == -np.inf).all()
    assert (high == np.inf).all()


def test_contrast_changes_how_much_spreads_differ_and_keeps_the_medians(rng):
    distribution = of_raw_outputs(rng, loss=MeanAndQuantiles())
    exponents, typical = np.array([0.0, 2.0]), np.array([0.5, 0.5])
    changed = distribution.contrasted(exponents, typical)
    np.testing.assert_allclose(changed.spreads[:, 0], 0.5)
    np.testing.assert_allclose(changed.spreads[:, 1], distribution.spreads[:, 1] ** 2 / 0.5)
    np.testing.assert_allclose(changed.values[:, :, 9], distribution.values[:, :, 9])
    assert (changed.at(np.ones(2)) > changed.at(np.full(2, 0.9))).all()


def test_a_distribution_passes_through_the_sorted_quantiles(rng):
    Z = rng.normal(size=(6, 5))
    distribution = Distribution.of(FEW, in_order(FEW, Z), Z[:, :1])
    for logit, expected in zip(FEW.logits, np.sort(Z[:, 1:], axis=1).T):
        np.testing.assert_allclose(distribution.at(np.array([logit]))[:, 0], expected, atol=5e-3)


def test_the_mean_of_sorted_outputs_is_sorted(rng):
    Z = [in_order(FEW, rng.normal(size=(30, 10))) for _ in range(3)]
    assert (np.diff(sum(Z).reshape(30, 2, 5)[:, :, 1:]) >= 0).all()
    np.testing.assert_array_equal(in_order(FEW, sum(Z)), sum(Z))


def test_quantiles_of_calibrated_outputs_have_their_coverage_at_any_level(rng):
    loss, n = MeanAndQuantiles(), 4000
    net = mlp(1, loss.width, loss=loss, seed=0)
    x = rng.uniform(size=(2 * n, 1))
    Y = rng.standard_t(3, size=(2 * n, 1)) * (0.1 + x)
    too_narrow = x * 0.3 * loss.logits + 0.2  # and shifted
    Z = np.hstack([np.zeros((2 * n, 1)), too_narrow])
    ensemble = Ensemble.of_numbers([net], Z[:n], Y[:n], np.array([[-9.0], [9.0]]))
    new = Distribution.of(loss, Z[n:], np.zeros((n, 1))).contrasted(*ensemble.contrast)
    for level in (0.005, 0.05, 0.3, 0.5, 0.9, 0.99):
        assert np.mean(Y[n:] <= new.at(ensemble.score(level))) == pytest.approx(level, abs=0.02)


def test_contrast_is_removed_where_it_is_noise_and_amplified_where_it_is_too_small(rng):
    loss, n = MeanAndQuantiles(), 2000
    net, bounds, true = mlp(1, loss.width, loss=loss, seed=0), np.array([[-9.0], [9.0]]), np.exp(rng.normal(size=n))
    for spread, expected in ((np.sqrt(true), 2), (true, 1)):
        Z = np.column_stack([np.zeros(n), spread[:, np.newaxis] * loss.logits])
        Y = true[:, np.newaxis] * rng.logistic(size=(n, 1))
        ensemble = Ensemble.of_numbers([net], Z, Y, bounds)
        assert ensemble.contrast[0, 0] == pytest.approx(expected, abs=0.5)
    of_one_width = Ensemble.of_numbers([net], Z, rng.logistic(size=(n, 1)), bounds)
    assert of_one_width.contrast[0, 0] == 0


# Tables.


def noisy(n, rng):
    """Rows whose noise is ten times as large at one end of x0 as at the other."""
    X = rng.uniform(size=(n, 2))
    y = 3 * X[:, 1] + (0.05 + 0.45 * X[:, 0]) * rng.normal(size=n)
    return X, y


@pytest.fixture(scope="module", params=["identity", "log"])
def fitted(request):
    X, y = noisy(1600, np.random.default_rng(0))
    if request.param == "log":
        y = np.exp(y + 3 * X[:, 0])
    model = TabularRegressor(quality="fast", epochs=48, random_state=0).fit(X[:1000], y[:1000])
    assert model.predictor_.target.transform == request.param
    return model, X[1000:], y[1000:]


def test_intervals_widen_with_the_noise(fitted):
    model, X, _ = fitted
    low, high = model.predict_interval(X, 0.8).T
    if model.predictor_.target.transform == "log":
        low, high = np.log(low), np.log(high)
    widths = [np.median((high - low)[rows]) for rows in np.array_split(np.argsort(X[:, 0]), 5)]
    assert widths[4] > 2.5 * widths[0]
    assert (np.diff(widths) > 0).all()


def test_they_cover_as_promised_where_there_is_much_noise_and_where_there_is_little(fitted):
    model, X, y = fitted
    for promised, tolerance in ((0.5, 0.2), (0.8, 0.16), (0.95, 0.09)):  # of one width: 0.44, 0.2, 0.12
        interval = model.predict_interval(X, promised)
        assert coverage(y, interval) == pytest.approx(promised, abs=0.05)
        for by in (X[:, 0], model.predict(X)):
            np.testing.assert_allclose(coverage_by_part(y, interval, by), promised, atol=tolerance)


def test_they_are_better_than_intervals_of_one_width(fitted):
    model, X, y = fitted
    errors = np.sort(model.residuals_[:, 0])
    constant = model.predict(X)[:, np.newaxis] + np.array([-1, 1]) * errors[int(0.8 * len(errors))]
    assert winkler(y, model.predict_interval(X, 0.8), 0.8) < 0.93 * winkler(y, constant, 0.8)


def test_the_quantiles_of_a_table_never_cross(fitted):
    model, X, _ = fitted
    quantiles = model.predict_quantiles(X, np.linspace(0.01, 0.99, 99))
    assert (np.diff(quantiles, axis=1) >= 0).all()
    low, high = model.predict_interval(X, 0.9).T
    np.testing.assert_array_equal(model.predict_quantiles(X, (0.05, 0.95)).T, [low, high])


def test_a_file_and_an_export_have_the_same_intervals(fitted, tmp_path):
    model, X, _ = fitted
    model.save(tmp_path / "model")
    expected = model.predict_interval(X[:20], 0.8)
    np.testing.assert_array_equal(
        load(tmp_path / "model").predict_interval({"x0": X[:20, 0], "x1": X[:20, 1]}, 0.8), expected
    )
    for pure in (False, True):
        to_python(model.predictor_, tmp_path / "model.py", pure)
        namespace = {"__name__": "exported"}
        exec((tmp_path / "model.py").read_text(), namespace)
        rows = [{"x0": a, "x1": b} for a, b in X[:20].tolist()]
        for promised in (0.8, 0.97):
            given = namespace["predict_interval"](rows, promised)
            np.testing.assert_allclose(given, model.predict_interval(X[:20], promised), rtol=1e-5)
        np.testing.assert_allclose(namespace["predict"](rows), model.predict(X[:20]), rtol=1e-6)


def test_the_same_seed_gives_the_same_intervals(rng):
    X, y = noisy(60, rng)
    models = [TabularRegressor(quality="fast", epochs=2, random_state=seed).fit(X, y) for seed in (0, 0, 1)]
    first, same, other = (model.predict_interval(X) for model in models)
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


@pytest.mark.parametrize("sign", [1, -1])
def test_intervals_do_not_reach_beyond_zero_if_no_target_does(sign, rng):
    X = rng.uniform(size=(200, 1))
    y = sign * rng.poisson(2 * X[:, 0]).astype(float)
    model = TabularRegressor(quality="fast", epochs=4, random_state=0).fit(X, y)
    interval = model.predict_interval(X, 0.98)
    assert (sign * interval >= 0).all()
    assert (interval == 0).any()
    np.testing.assert_array_equal(np.sign(model.predict_interval(X, 0.999)[0]), [0, 1] if sign > 0 else [-1, 0])
    both = TabularRegressor(quality="fast", epochs=4, random_state=0).fit(X, y - sign)
    assert (sign * both.predict_interval(X, 0.98) < -1).any()


def test_several_targets_have_intervals_of_their_own(rng):
    X = rng.uniform(size=(600, 1))
    Y = np.hstack([X, 5 * X]) * rng.normal(size=(600, 2)) + [10, 1000]
    model = TabularRegressor(quality="fast", epochs=24, random_state=0).fit(X, Y)
    intervals = model.predict_interval(X, 0.8)
    assert intervals.shape == (600, 2, 2)
    for j in range(2):
        assert coverage(Y[:, j], intervals[:, j]) == pytest.approx(0.8, abs=0.06)
        widths = np.diff(intervals[:, j])[:, 0]
        assert widths[X[:, 0] > 0.8].mean() > 2 * widths[X[:, 0] < 0.2].mean()
    ratios = np.diff(intervals[:, 1]).mean() / np.diff(intervals[:, 0]).mean()
    assert ratios == pytest.approx(5, rel=0.3)


def test_thirty_rows_suffice(rng):
    X, y = noisy(30, rng)
    model = TabularRegressor(quality="fast", random_state=0).fit(X, y)
    low, high = model.predict_interval(X, 0.8).T
    assert np.isfinite(low).all()
    assert np.isfinite(high).all()
    assert np.mean((low <= y) & (y <= high)) >= 0.7
    assert np.isinf(model.predict_interval(X, 0.99)).all()
