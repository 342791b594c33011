"""Right answers are right, and each classic mistake, made by hand, is called by its name."""

import re

import numpy as np
import pytest

from chainrule import SGD, Adam, BatchNorm, Dense, Dropout, Network, Residual, mlp, trace


@pytest.fixture
def sigmoid_step(rng):
    """Three rows through 2-2-2 sigmoids under a squared error: square matrices, so nothing gives itself away."""
    net = mlp(2, 2, 2, activation="sigmoid", output_activation="sigmoid", biases="normal", seed=1, dtype="float64")
    return trace(net, rng.normal(size=(3, 2)), rng.uniform(size=(3, 2)), SGD(0.5))


@pytest.fixture
def softmax_step(rng):
    net = mlp(2, 4, 3, activation="tanh", loss="cross_entropy", biases="normal", seed=1, dtype="float64", l2=0.1)
    return trace(net, rng.normal(size=(4, 2)), rng.integers(0, 3, 4), Adam(0.1))


def remark(step, name, answer):
    """What is said of a wrong answer."""
    mark = step.exercise([name]).grade({name: answer})[name]
    assert not mark.right
    return mark.remark


def test_right_answers_are_right_and_rounding_to_four_digits_does_not_matter(sigmoid_step):
    exercise = sigmoid_step.exercise(blanks=len([q for q in sigmoid_step if q.kind != "given"]))
    predictions = {
        name: [[float(f"{v:.4g}") for v in row] for row in np.atleast_2d(sigmoid_step[name].values)]
        for name in exercise.blanks
    }
    predictions["C"] = float(sigmoid_step["C"].values)
    grades = exercise.grade(predictions)
    assert grades.ok, str(grades)
    assert str(grades).startswith(f"{len(exercise.blanks)} of {len(exercise.blanks)} right")


def test_what_is_off_by_more_than_the_tolerance_is_wrong_and_no_mistake_is_made_up(sigmoid_step):
    right = sigmoid_step["dW1"].values
    assert remark(sigmoid_step, "dW1", right * 1.002) == ""
    exercise = sigmoid_step.exercise(["dW1"])
    assert exercise.grade({"dW1": right * 1.002}, tolerance=0.01).ok
    assert not exercise.grade({"dW1": right * np.nan}).ok


# The mistakes, each made by hand.


def test_a_missing_1_over_n_is_named_where_it_is_made_and_where_it_arrives(sigmoid_step):
    step = sigmoid_step
    residual = step["a2"].values - step["y"].values
    assert remark(step, "da2", residual) == "1/n is missing"
    assert remark(step, "dW2", 3 * step["dW2"].values) == "1/n is missing, in da2"
    assert remark(step, "step b1", 3 * step["step b1"].values) == "1/n is missing, in da2"
    assert remark(step, "C", step["L"].values.sum()) == "1/n is missing"


def test_a_missing_slope_is_named_and_its_layer(sigmoid_step):
    step = sigmoid_step
    assert remark(step, "delta2", step["da2"].values) == "sigmoid' is missing, in slope z2"
    assert remark(step, "delta1", step["da1"].values) == "sigmoid' is missing, in slope z1"
    assert remark(step, "dW1", step["X"].values.T @ step["da1"].values) == "sigmoid' is missing, in slope z1"
    delta2 = step["da2"].values
    delta1 = (delta2 @ step["W2"].values.T) * step["slope z1"].values
    assert remark(step, "delta1", delta1) == "sigmoid' is missing, in slope z2"
    assert remark(step, "delta1", delta2 @ step["W2"].values.T) == "sigmoid' is missing, everywhere"
    Z, A = step["z1"].values, step["a1"].values
    assert remark(step, "delta1", step["da1"].values * A) == "sigmoid itself stands for its slope, in slope z1"
    assert remark(step, "slope z1", A) == "sigmoid itself stands for its slope"
    assert remark(step, "a1", Z) == "sigmoid is forgotten"


def test_a_w_that_is_not_transposed_is_named(sigmoid_step):
    step = sigmoid_step
    assert remark(step, "da1", step["delta2"].values @ step["W2"].values) == "W is not transposed"
    delta1 = (step["delta2"].values @ step["W2"].values) * step["slope z1"].values
    assert remark(step, "delta1", delta1) == "W is not transposed, in da1"
    assert remark(step, "z1", step["X"].values @ step["W1"].values.T + step["b1"].values) == "W is transposed"


def test_a_transposed_answer_is_named(sigmoid_step, softmax_step):
    assert remark(sigmoid_step, "dW1", sigmoid_step["dW1"].values.T) == "the gradient is transposed"
    assert remark(softmax_step, "dW1", softmax_step["dW1"].values.T) == "it is the transpose of the answer"


def test_a_forgotten_bias_is_named(sigmoid_step):
    step = sigmoid_step
    z1 = step["X"].values @ step["W1"].values
    assert remark(step, "z1", z1) == "the bias is forgotten"
    a1 = 1 / (1 + np.exp(-z1))
    assert remark(step, "a1", a1) == "the bias is forgotten, in z1"
    assert remark(step, "z2", a1 @ step["W2"].values) == "the bias is forgotten, everywhere"
    assert remark(step, "db1", step["delta1"].values.mean(axis=0)) == "1/n is taken twice"


def test_a_wrong_sign_is_named(sigmoid_step):
    step = sigmoid_step
    assert remark(step, "da2", (step["y"].values - step["a2"].values) / 3) == "its sign is wrong"
    assert remark(step, "dW1", -step["dW1"].values) == "its sign is wrong"
    assert remark(step, "step W1", 0.5 * step["dW1"].values) == "its sign is wrong"


def test_a_step_without_the_learning_rate_is_named(sigmoid_step):
    assert remark(sigmoid_step, "step W1", -sigmoid_step["dW1"].values) == "the learning rate is forgotten"


def test_a_squares_factor_is_named(rng):
    net = Network([Dense(2, 2)], "squared_error", seed=0)
    step = trace(net, rng.normal(size=(3, 2)), rng.normal(size=(3, 2)))
    residual = (step["z1"].values - step["y"].values) / 3
    assert remark(step, "delta1", residual / 2) == "the square's factor 2 is missing"
    assert remark(step, "delta1", residual * 2) == "the factor before the square is missing"


def test_a_losss_gradient_without_softmax_is_named(softmax_step):
    step = softmax_step
    delta2 = (step["z2"].values - step["y"].values) / 4
    assert remark(step, "delta2", delta2) == "the loss's gradient is taken without softmax, in P"
    db2 = delta2.sum(axis=0)
    assert remark(step, "db2", db2) == "the loss's gradient is taken without softmax, in P"
    assert remark(step, "P", np.exp(step["z2"].values)) == "the exponentials are not divided by their sum"


def test_a_forgotten_penalty_and_an_uncorrected_adam_are_named(softmax_step):
    step = softmax_step
    assert remark(step, "dW2", step["a1"].values.T @ step["delta2"].values) == "the penalty is forgotten"
    assert remark(step, "C", step["L"].values.mean()) == "the penalty is forgotten"
    g = step["dW1"].values
    uncorrected = -0.1 * 0.1 * g / (np.sqrt(0.001) * np.abs(g) + 1e-8)
    assert remark(step, "step W1", uncorrected) == "the moments are not corrected for their start"


def test_what_binary_cross_entropy_is_got_wrong_by_is_named(rng):
    net = Network([Dense(2, 1)], "binary_cross_entropy", seed=0)
    step = trace(net, rng.normal(size=(3, 2)), [0, 1, 1])
    P, Y = step["P"].values, step["y"].values
    assert remark(step, "delta1", (P - Y) * P * (1 - P) / 3) == "sigmoid' is taken once too often"
    assert remark(step, "delta1", (step["z1"].values - Y) / 3) == "the loss's gradient is taken without sigmoid, in P"


def test_mistakes_in_other_layers_are_named(rng):
    net = Network([Dense(2, 3), BatchNorm(3), Dropout(0.5), Residual([Dense(3, 3)]), Dense(3, 1)], seed=0)
    step = trace(net, rng.normal(size=(6, 2)), rng.normal(size=6), rng=rng)
    values = {quantity.name: quantity.values for quantity in step}
    assert remark(step, "delta1", values["dh1"] / values["tau1"]) == "mean and deviation are taken for constants"
    assert remark(step, "dn1", values["dd1"]) == "the mask is forgotten on the way back"
    assert remark(step, "dd1", values["du1"]) == "the way past the block is forgotten"
    assert remark(step, "dd1", values["dr2"]) == "the way through the block is forgotten"


def test_what_follows_from_an_own_wrong_answer_is_told(sigmoid_step):
    step = sigmoid_step
    exercise = step.exercise(["delta1", "dW1"])
    wrong = step["delta1"].values + 1
    grades = exercise.grade({"delta1": wrong, "dW1": step["X"].values.T @ wrong})
    assert grades["dW1"].remark == "it follows from your answer to delta1"
    assert grades.n_right == 0


def test_a_mistake_that_is_none_for_these_numbers_is_not_blamed(rng):
    """For one row 1/n is 1, and for zero biases nothing is forgotten."""
    net = mlp(2, 2, 2, activation="sigmoid", output_activation="sigmoid", seed=1, dtype="float64")
    step = trace(net, [[0.5, 0.1]], [[0.0, 1.0]])
    exercise = step.exercise(["z1", "da2"])
    predictions = {"z1": step["X"].values @ step["W1"].values, "da2": step["a2"].values - step["y"].values}
    assert exercise.grade(predictions).ok


# The exercise.


def test_blanks_are_hidden_with_the_steps_that_would_give_them_away(sigmoid_step):
    exercise = sigmoid_step.exercise(["dW2"])
    assert exercise.hidden == ("dW2", "step W2")
    for text in (str(exercise), exercise.to_latex()):
        for row in sigmoid_step["dW2"].values:
            assert f"{row[0]:.6f}"[:7] not in text
    lines = str(exercise).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("  dW2 "))
    assert lines[at + 1].split() == ["?", "?"]
    assert lines[-2:] == ["To be found", "  dW2         (2, 2)"]


def test_the_page_has_question_marks_and_no_numbers_in_the_blanks(sigmoid_step):
    exercise = sigmoid_step.exercise(["dW2"])
    page = exercise.to_html()
    assert "To be found, where a ? stands: <b>dW2</b>&nbsp;2&nbsp;×&nbsp;2." in page
    for quantity in sigmoid_step:
        cells = re.findall(rf'<td data-q="{re.escape(quantity.name)}"([^>]*)>([^<]*)</td>', page)
        assert len(cells) == 2 * quantity.values.size
        blank = quantity.name in exercise.hidden
        assert all(("data-v" not in place, text == "?") == (blank, blank) for place, text in cells), quantity.name


def test_the_seed_draws_the_blanks(sigmoid_step):
    drawn = [sigmoid_step.exercise(4, seed).blanks for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == 4
    assert all(sigmoid_step[name].kind != "given" for names in drawn for name in names)


def test_an_answer_that_is_missing_or_of_another_shape_is_told(sigmoid_step):
    exercise = sigmoid_step.exercise(["z1", "db1"])
    grades = exercise.grade({"db1": [1.0, 2.0, 3.0]})
    assert grades["z1"].remark == "no answer"
    assert grades["db1"].remark == "its shape is (3,) and must be (2,)"
    assert "0 of 2 right" in str(grades)


def test_one_row_may_be_given_as_a_list_a_row_or_a_column():
    step = trace(mlp(2, 2, seed=0), [[1.0, 2.0]], [[0.0, 0.0]])
    exercise, (a, b) = step.exercise(["z1"]), step["z1"].values[0]
    for answer in ([a, b], [[a, b]], [[a], [b]]):
        assert exercise.grade({"z1": answer}).ok


def test_answers_may_be_in_the_column_form(sigmoid_step):
    exercise = sigmoid_step.exercise(["dW1", "z1", "db1"])
    predictions = {name: sigmoid_step[name].grid("column") for name in exercise.blanks}
    assert exercise.grade(predictions, notation="column").ok
    assert exercise.to_text("column").endswith(
        "To be found\n  z1          (2, 3)\n  dW1         (2, 2)\n  db1         (2, 1)"
    )
    predictions["dW1"] = 3 * predictions["dW1"]
    assert exercise.grade(predictions, notation="column")["dW1"].remark == "1/n is missing, in da2"


@pytest.mark.parametrize(
    ("blanks", "rule"),
    [
        (0, "blanks must be a whole number"),
        (1000, "blanks must be 20 at most"),
        ([], "blanks must name one quantity"),
        (["X"], "blanks must be names out of z1, a1"),
    ],
)
def test_wrong_blanks_are_told(blanks, rule, sigmoid_step):
    with pytest.raises(ValueError, match=rule):
        sigmoid_step.exercise(blanks)


@pytest.mark.parametrize(
    ("answers", "rule"),
    [
        ({"z2": [1]}, "answers must have names out of z1"),
        ({"z1": "three"}, "answers must hold numbers, however that to 'z1'"),
    ],
)
def test_wrong_answers_are_told(predictions, rule, sigmoid_step):
    with pytest.raises(ValueError, match=rule):
        sigmoid_step.exercise(["z1"]).grade(predictions)
