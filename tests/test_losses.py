import numpy as np
import pytest

import oracles
from chainrule import Dense, Loss, Network, check_gradients, mlp, train
from chainrule.errors import GradientError
from chainrule.nn.losses import (
    ALIASES,
    LOSSES,
    BinaryCrossEntropy,
    CrossEntropy,
    Huber,
    Quantile,
    SquaredError,
    as_loss,
)
from oracles import targets_for

OUTPUTS = (1, 2, 3)
CASES = [(name, k) for name in LOSSES for k in OUTPUTS if not (name == "cross_entropy" and k == 1)]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("name", "k"), CASES)
def test_value_is_the_mean_over_rows_of_the_sum_over_outputs(name, k, weighted, rng):
    Z, y = rng.normal(size=(12, k)), targets_for(name, 12, k, rng)
    weight = rng.random(12) if weighted else None
    value, _ = as_loss(name)(Z, y, weight)
    assert value == pytest.approx(oracles.reduced(oracles.LOSSES[name], Z, y, weight), rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("name", "k"), CASES)
def test_dZ_is_the_derivative_of_the_value(name, k, weighted, rng):
    Z, y = rng.normal(size=(6, k)), targets_for(name, 6, k, rng)
    weight = rng.random(6) if weighted else None
    loss = as_loss(name)
    _, dZ = loss(Z, y, weight)
    for i, j in np.ndindex(Z.shape):
        above, below = Z.copy(), Z.copy()
        above[i, j] += 1e-6
        below[i, j] -= 1e-6
        difference = (loss(above, y, weight)[0] - loss(below, y, weight)[0]) / 2e-6
        assert dZ[i, j] == pytest.approx(difference, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize(("name", "k"), CASES)
def test_an_integer_weight_equals_that_many_copies_of_the_row(name, k, rng):
    Z, y = rng.normal(size=(5, k)), targets_for(name, 5, k, rng)
    counts = np.array([2, 0, 1, 3, 1])
    loss = as_loss(name)
    value, dZ = loss(Z, y, counts.astype(float))
    repeated, d_repeated = loss(np.repeat(Z, counts, axis=0), np.repeat(y, counts, axis=0))
    assert value == pytest.approx(repeated, rel=1e-12)
    summed = [d_repeated[start : start + c].sum(axis=0) for start, c in zip(np.cumsum(counts) - counts, counts)]
    np.testing.assert_allclose(dZ, summed, atol=1e-15)


@pytest.mark.parametrize(("name", "k"), CASES)
def test_raw_outputs_and_targets_are_not_modified(name, k, rng):
    Z, y = rng.normal(size=(5, k)), targets_for(name, 5, k, rng)
    Z_before, y_before = Z.copy(), y.copy()
    as_loss(name)(Z, y, np.ones(5))
    np.testing.assert_array_equal(Z, Z_before)
    np.testing.assert_array_equal(y, y_before)


@pytest.mark.parametrize(("name", "k"), [c for c in CASES if c[0] != "poisson"])
def test_huge_raw_outputs_give_finite_values_and_gradients(name, k, rng):
    Z = np.where(rng.random((8, k)) < 0.5, -1e4, 1e4).astype(np.float32)
    y = as_loss(name).targets(targets_for(name, 8, k, rng), k, np.float32)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        value, dZ = as_loss(name)(Z, y)
        predictions = as_loss(name).predict(Z)
    assert np.isfinite(value)
    assert np.isfinite(dZ).all()
    assert np.isfinite(predictions).all()


def test_poisson_predictions_stay_finite_where_the_loss_overflows():
    Z = np.array([[1e4]], np.float32)
    loss = as_loss("poisson")
    assert np.isfinite(loss.predict(Z)).all()
    assert loss(Z, np.ones((1, 1), np.float32))[0] == np.inf


def test_poisson_is_zero_for_a_perfect_prediction():
    y = np.array([[0.0], [1.0], [7.0]])
    Z = np.log(np.maximum(y, 1e-300))
    assert as_loss("poisson")(Z, y)[0] == pytest.approx(0, abs=1e-12)


def test_class_numbers_and_one_hot_rows_give_the_same_loss(rng):
    Z, y = rng.normal(size=(9, 4)), rng.integers(0, 4, 9)
    for loss in (CrossEntropy(), CrossEntropy(label_smoothing=0.1)):
        a, dA = loss(Z, y)
        b, dB = loss(Z, np.eye(4)[y])
        assert a == pytest.approx(b, rel=1e-14)
        np.testing.assert_allclose(dA, dB, atol=1e-16)


@pytest.mark.parametrize("smoothing", [0.05, 0.3])
def test_label_smoothing_is_cross_entropy_against_smoothed_targets(smoothing, rng):
    Z, y = rng.normal(size=(9, 4)), rng.integers(0, 4, 9)
    value, _ = CrossEntropy(smoothing)(Z, y)
    assert value == pytest.approx(oracles.reduced(lambda z, t: oracles.cross_entropy(z, t, smoothing), Z, y), rel=1e-12)
    B = rng.integers(0, 2, (9, 4)).astype(float)
    value, _ = BinaryCrossEntropy(smoothing)(Z, B)
    expected = oracles.reduced(lambda z, t: oracles.binary_cross_entropy(z, t, smoothing), Z, B)
    assert value == pytest.approx(expected, rel=1e-12)


def test_probability_rows_are_valid_targets(rng):
    Z, Y = rng.normal(size=(6, 3)), rng.dirichlet(np.ones(3), 6)
    assert CrossEntropy()(Z, Y)[0] == pytest.approx(oracles.reduced(oracles.cross_entropy, Z, Y), rel=1e-12)


def test_probability_rows_that_sum_to_1_up_to_rounding_are_normalized(rng):
    Y = CrossEntropy().targets([[0.3333, 0.3333, 0.3333], [0.5, 0.5004, 0.0]], 3, np.float64)
    np.testing.assert_allclose(Y.sum(axis=1), 1, rtol=1e-15)


def test_softmax_rows_sum_to_one_and_are_invariant_to_a_shift(rng):
    Z = rng.normal(scale=5, size=(7, 4))
    P = CrossEntropy().predict(Z)
    np.testing.assert_allclose(P.sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_allclose(CrossEntropy().predict(Z + 1000), P, rtol=1e-10)
    np.testing.assert_allclose(P, [oracles.softmax(z) for z in Z], rtol=1e-12)


def test_a_common_offset_of_the_logits_loses_no_precision_in_float32():
    y = np.array([1])
    near = CrossEntropy()(np.array([[0.0, 1.0]], np.float32), y)[0]
    far = CrossEntropy()(np.array([[8192.0, 8193.0]], np.float32), y)[0]
    assert far == pytest.approx(near, rel=1e-6)


def test_the_squared_error_is_proportional_to_its_factor(rng):
    Z, Y = rng.normal(size=(4, 2)), rng.normal(size=(4, 2))
    (half, d_half), (whole, d_whole) = SquaredError()(Z, Y), SquaredError(factor=1.0)(Z, Y)
    assert whole == pytest.approx(2 * half)
    np.testing.assert_allclose(d_whole, 2 * d_half)


@pytest.mark.parametrize(("level", "expected"), [(0.1, 10), (0.5, 50), (0.9, 90)])
def test_the_quantile_loss_has_its_minimum_at_the_quantile(level, expected):
    y = np.arange(101.0)[:, np.newaxis]
    values = [Quantile(level)(np.full((101, 1), float(z)), y)[0] for z in range(101)]
    assert np.argmin(values) == expected


def test_several_levels_share_one_target_column(rng):
    loss = Quantile((0.1, 0.9))
    y = rng.normal(size=8)
    Y = loss.targets(y, 2, np.float64)
    assert Y.shape == (8, 2)
    Z = rng.normal(size=(8, 2))
    parts = [Quantile(q)(Z[:, [j]], y[:, np.newaxis])[0] for j, q in enumerate((0.1, 0.9))]
    assert loss(Z, Y)[0] == pytest.approx(sum(parts), rel=1e-12)
    assert loss.targets(Y, 2, np.float64).shape == (8, 2)
    with pytest.raises(ValueError, match=r"levels .*3 outputs, got \(0\.1, 0\.9\)"):
        loss.targets(y, 3, np.float64)


@pytest.mark.parametrize("delta", [0.3, 2.0])
def test_huber_is_linear_beyond_delta(delta, rng):
    Z, Y = rng.normal(scale=3, size=(9, 2)), rng.normal(size=(9, 2))
    expected = oracles.reduced(lambda z, y: oracles.huber(z, y, delta), Z, Y)
    assert Huber(delta)(Z, Y)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "y", "k", "message"),
    [
        ("squared_error", [1.0, 2.0], 2, r"y .*2 columns, one for each output, got shape \(2,\).*np\.eye\(2\)\[y\]"),
        ("squared_error", [[1.0, 2.0]], 1, r"y .*1 column, .*, got shape \(1, 2\)"),
        ("squared_error", [np.nan], 1, r"y .*finite in float32, got nan at y\[0\]"),
        ("squared_error", [1e300], 1, r"y .*finite in float32, got 1e\+300 at y\[0\]"),
        ("squared_error", ["a"], 1, "y must be numeric: .*'a'"),
        ("squared_error", [1j], 1, "y .*real numbers, got dtype complex128"),
        ("squared_error", np.ma.masked_less([0, 1], 1), 1, "y .*masked cells, got 1"),
        ("cross_entropy", np.ma.masked_less([0, 1], 1), 2, "y .*masked cells, got 1"),
        ("poisson", [1.0, -1.0], 1, r"y .*>= 0 for poisson, got -1\.0"),
        ("binary_cross_entropy", [0, 2], 1, r"y .*\[0, 1\] for binary_cross_entropy, got 0\.0 to 2\.0"),
        ("cross_entropy", [0, 3], 3, "y .*class numbers from 0 to 2, got 0 to 3"),
        ("cross_entropy", [-1, 0], 3, "y .*class numbers from 0 to 2, got -1 to 0"),
        ("cross_entropy", [0.5, 1], 3, "y .*integer class numbers from 0 to 2"),
        ("cross_entropy", ["a", "b"], 3, "y .*class numbers from 0 to 2, got dtype <U1"),
        ("cross_entropy", [[0.5, 0.2]], 2, "y .*probabilities for cross_entropy: .*each row summing to 1"),
        ("cross_entropy", [[[1]]], 2, r"y .*rows \(n, 2\), got shape \(1, 1, 1\)"),
        ("cross_entropy", [0, 1], 1, "cross_entropy .*two outputs, got 1.*binary_cross_entropy"),
    ],
)
def test_targets_that_do_not_fit_are_refused_with_the_reason(name, y, k, message):
    with pytest.raises(ValueError, match=message):
        as_loss(name).targets(y, k, np.float32)


@pytest.mark.parametrize("y", [[0, 2, 1], [0.0, 2.0, 1.0], np.array([0, 2, 1], np.uint8), [False, True, True]])
def test_class_numbers_may_have_any_numeric_type(y):
    assert CrossEntropy().targets(y, 3, np.float32).dtype == np.intp


@pytest.mark.parametrize(
    "make",
    [
        lambda: Huber(0),
        lambda: Quantile(1.0),
        lambda: Quantile((0.5, 0)),
        lambda: CrossEntropy(1.0),
        lambda: BinaryCrossEntropy(-0.1),
        lambda: SquaredError(0),
        lambda: as_loss("mean_squared"),
        lambda: as_loss(None),
    ],
)
def test_invalid_options_are_refused_when_the_loss_is_made(make):
    with pytest.raises(ValueError, match="must"):
        make()


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("mse", "squared_error"),
        ("mean_squared_error", "squared_error"),
        ("mae", "absolute_error"),
        ("mean_absolute_error", "absolute_error"),
        ("bce", "binary_cross_entropy"),
        ("cross-entropy", "cross_entropy"),
        ("Cross Entropy", "cross_entropy"),
        *((alias, name) for alias, name in ALIASES.items()),
        *((name, name) for name in LOSSES),
    ],
)
def test_an_alias_in_any_case_is_the_loss_itself(alias, name):
    for spelling in (alias, alias.upper(), alias.title(), alias.replace("_", "-")):
        assert as_loss(spelling) == LOSSES[name]()
        assert type(mlp(2, 2, loss=spelling).loss) is LOSSES[name]


@pytest.mark.parametrize(
    ("given", "meant"), [("cross_entrpy", "cross_entropy"), ("Hubert", "huber"), ("squarederror", "squared_error")]
)
def test_a_misspelled_loss_is_refused_with_the_closest_name(given, meant):
    with pytest.raises(ValueError, match=rf"loss .*'squared_error'.*Did you mean '{meant}'\?$"):
        as_loss(given)


def log_cosh(Z, Y):
    return np.log(np.cosh(Z - Y)), np.tanh(Z - Y)


class LogCosh(Loss):
    """The same loss as an object."""

    def per_row(self, Z, Y):
        losses, dZ = log_cosh(Z, Y)
        return losses.sum(axis=1), dZ


@pytest.mark.parametrize("custom", [log_cosh, LogCosh()])
def test_a_custom_loss_works_where_a_name_does_and_is_checked_once(custom, rng):
    net = mlp(3, 4, 2, loss=custom, activation="tanh", seed=0)
    X, Y = rng.normal(size=(10, 3)), rng.normal(size=(10, 2))
    assert not net.gradients_checked
    net.loss_and_grad(X, Y, sample_weight=rng.random(10))
    assert net.gradients_checked
    assert check_gradients(net, X, Y).ok


@pytest.mark.parametrize("first_use", [Network.loss_and_grad, train])
@pytest.mark.parametrize("factor", [2.001, -1, 0])
def test_a_custom_loss_with_a_wrong_derivative_is_found_at_its_first_use(factor, first_use, rng):
    net = Network([Dense(3, 1)], lambda Z, Y: ((Z - Y) ** 2, factor * (Z - Y)), seed=0)
    theta = net.theta.copy()
    with pytest.raises(GradientError, match=r"WRONG, most of all in 0\.[Wb]"):
        first_use(net, rng.normal(size=(10, 3)), rng.normal(size=10))
    np.testing.assert_array_equal(net.theta, theta)
    assert not net.gradients_checked


def test_evaluating_a_custom_loss_does_not_check_its_derivative(rng):
    net = Network([Dense(3, 1)], lambda Z, Y: ((Z - Y) ** 2, 0 * Z), seed=0)
    assert net.evaluate(rng.normal(size=(10, 3)), rng.normal(size=10)) > 0
    assert not net.gradients_checked


def test_a_single_row_is_not_enough_to_check_a_loss(rng):
    net = Network([Dense(3, 1)], lambda Z, Y: ((Z - Y) ** 2, 2 * (Z - Y) / len(Z)), seed=0)
    net.loss_and_grad(rng.normal(size=(1, 3)), [1.0])
    with pytest.raises(GradientError, match="WRONG"):
        net.loss_and_grad(rng.normal(size=(10, 3)), rng.normal(size=10))


def test_a_custom_loss_of_the_wrong_shape_is_refused_with_the_right_one(rng):
    net = Network([Dense(3, 2)], lambda Z, Y: (((Z - Y) ** 2).mean(), Z - Y), seed=0)
    with pytest.raises(ValueError, match=r"loss .*\(10,\) or \(10, 2\).* \(10, 2\), got \(\) and \(10, 2\)"):
        net.loss_and_grad(rng.normal(size=(10, 3)), rng.normal(size=(10, 2)))


@pytest.mark.parametrize("first_use", [Network.loss_and_grad, train])
def test_a_loss_with_swapped_arguments_is_refused_with_a_hint(first_use, rng):
    def swapped(Y, Z):
        return (Z - Y) ** 2, 2 * (Z - Y)

    net = Network([Dense(3, 1)], swapped, seed=0)
    with pytest.raises(GradientError, match=r"negative.*does your loss take its arguments as \(Z, Y\)\?"):
        first_use(net, rng.normal(size=(10, 3)), rng.normal(size=10))
