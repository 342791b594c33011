"""Correct answers are accepted, and each common mistake, made by hand, is recognized."""

import re

import numpy as np
import pytest

import oracles
from chainrule import (
    SGD,
    Activation,
    Adam,
    AdamW,
    BatchNorm,
    Bounded,
    Dense,
    Dropout,
    LayerNorm,
    Network,
    Residual,
    RMSProp,
    Scale,
    mlp,
    trace,
)
from chainrule.insight.trace.mistakes import mistakes
from chainrule.nn.losses import LOSSES, CrossEntropy, as_loss


@pytest.fixture
def sigmoid_step(rng):
    """Three rows, a 2-2-2 sigmoid network and squared error: square matrices do not reveal a transpose by shape."""
    net = mlp(2, 2, 2, activation="sigmoid", output_activation="sigmoid", biases="normal", seed=1, dtype="float64")
    return trace(net, rng.normal(size=(3, 2)), rng.uniform(size=(3, 2)), SGD(0.5))


@pytest.fixture
def softmax_step(rng):
    net = mlp(2, 4, 3, activation="tanh", loss="cross_entropy", biases="normal", seed=1, dtype="float64", l2=0.1)
    return trace(net, rng.normal(size=(4, 2)), rng.integers(0, 3, 4), Adam(0.1))


def remark(step, name, answer):
    """Return the remark on a wrong answer."""
    mark = step.exercise([name]).grade({name: answer})[name]
    assert not mark.correct
    return mark.remark


def test_correct_answers_rounded_to_four_digits_are_accepted(sigmoid_step):
    exercise = sigmoid_step.exercise(blanks=len([q for q in sigmoid_step if q.kind != "given"]))
    answers = {
        name: [[float(f"{v:.4g}") for v in row] for row in np.atleast_2d(sigmoid_step[name].values)]
        for name in exercise.blanks
    }
    answers["C"] = float(sigmoid_step["C"].values)
    grades = exercise.grade(answers)
    assert grades.ok, str(grades)
    assert str(grades).startswith(f"{len(exercise.blanks)} of {len(exercise.blanks)} correct")


def test_an_answer_beyond_the_tolerance_is_wrong_and_has_no_remark_without_a_known_mistake(sigmoid_step):
    correct = sigmoid_step["dW1"].values
    assert remark(sigmoid_step, "dW1", correct * 1.002) == ""
    exercise = sigmoid_step.exercise(["dW1"])
    assert exercise.grade({"dW1": correct * 1.002}, tolerance=0.01).ok
    assert not exercise.grade({"dW1": correct * np.nan}).ok


# Mistakes, each made by hand.


def test_a_missing_1_over_n_is_located(sigmoid_step):
    step = sigmoid_step
    residual = step["a2"].values - step["y"].values
    assert remark(step, "da2", residual) == "1/n is missing"
    assert remark(step, "dW2", 3 * step["dW2"].values) == "1/n is missing, in da2"
    assert remark(step, "step b1", 3 * step["step b1"].values) == "1/n is missing, in da2"
    assert remark(step, "C", step["L"].values.sum()) == "1/n is missing"


def test_a_missing_activation_derivative_is_located(sigmoid_step):
    step = sigmoid_step
    assert remark(step, "delta2", step["da2"].values) == "sigmoid' is missing, in slope z2"
    assert remark(step, "delta1", step["da1"].values) == "sigmoid' is missing, in slope z1"
    assert remark(step, "dW1", step["X"].values.T @ step["da1"].values) == "sigmoid' is missing, in slope z1"
    delta2 = step["da2"].values
    delta1 = (delta2 @ step["W2"].values.T) * step["slope z1"].values
    assert remark(step, "delta1", delta1) == "sigmoid' is missing, in slope z2"
    assert remark(step, "delta1", delta2 @ step["W2"].values.T) == "sigmoid' is missing, everywhere"
    Z, A = step["z1"].values, step["a1"].values
    assert remark(step, "delta1", step["da1"].values * A) == "sigmoid is used in place of sigmoid', in slope z1"
    assert remark(step, "slope z1", A) == "sigmoid is used in place of sigmoid'"
    assert remark(step, "a1", Z) == "sigmoid is not applied"


def test_a_w_that_is_not_transposed_is_recognized(sigmoid_step):
    step = sigmoid_step
    assert remark(step, "da1", step["delta2"].values @ step["W2"].values) == "W is not transposed"
    delta1 = (step["delta2"].values @ step["W2"].values) * step["slope z1"].values
    assert remark(step, "delta1", delta1) == "W is not transposed, in da1"
    assert remark(step, "z1", step["X"].values @ step["W1"].values.T + step["b1"].values) == "W is transposed"


def test_a_transposed_answer_is_recognized(sigmoid_step, softmax_step):
    assert remark(sigmoid_step, "dW1", sigmoid_step["dW1"].values.T) == "the gradient is transposed"
    assert remark(softmax_step, "dW1", softmax_step["dW1"].values.T) == "it is the transpose of the correct answer"


def test_a_missing_bias_is_recognized(sigmoid_step):
    step = sigmoid_step
    z1 = step["X"].values @ step["W1"].values
    assert remark(step, "z1", z1) == "the bias is missing"
    a1 = 1 / (1 + np.exp(-z1))
    assert remark(step, "a1", a1) == "the bias is missing, in z1"
    assert remark(step, "z2", a1 @ step["W2"].values) == "the bias is missing, everywhere"
    assert remark(step, "db1", step["delta1"].values.mean(axis=0)) == "1/n is applied twice"


def test_a_wrong_sign_is_recognized(sigmoid_step):
    step = sigmoid_step
    assert remark(step, "da2", (step["y"].values - step["a2"].values) / 3) == "the sign is wrong"
    assert remark(step, "dW1", -step["dW1"].values) == "the sign is wrong"
    assert remark(step, "step W1", 0.5 * step["dW1"].values) == "the sign is wrong"


def test_a_missing_learning_rate_is_recognized(sigmoid_step):
    assert remark(sigmoid_step, "step W1", -sigmoid_step["dW1"].values) == "the learning rate is missing"


def test_a_missing_factor_of_the_square_is_recognized(rng):
    net = Network([Dense(2, 2)], "squared_error", seed=0)
    step = trace(net, rng.normal(size=(3, 2)), rng.normal(size=(3, 2)))
    residual = (step["z1"].values - step["y"].values) / 3
    assert remark(step, "delta1", residual / 2) == "the factor 2 from the square is missing"
    assert remark(step, "delta1", residual * 2) == "the factor in front of the square is missing"


def test_a_missing_softmax_is_recognized(softmax_step):
    step = softmax_step
    delta2 = (step["z2"].values - step["y"].values) / 4
    assert remark(step, "delta2", delta2) == "the softmax of the loss is missing, in P"
    db2 = delta2.sum(axis=0)
    assert remark(step, "db2", db2) == "the softmax of the loss is missing, in P"
    assert remark(step, "P", np.exp(step["z2"].values)) == "the exponentials are not divided by their sum"


def test_a_missing_penalty_and_bias_correction_are_recognized(softmax_step):
    step = softmax_step
    assert remark(step, "dW2", step["a1"].values.T @ step["delta2"].values) == "the penalty is missing"
    assert remark(step, "C", step["L"].values.mean()) == "the penalty is missing"
    g = step["dW1"].values
    uncorrected = -0.1 * 0.1 * g / (np.sqrt(0.001) * np.abs(g) + 1e-8)
    assert remark(step, "step W1", uncorrected) == "the bias correction is missing"


def test_mistakes_with_binary_cross_entropy_are_recognized(rng):
    net = Network([Dense(2, 1)], "binary_cross_entropy", seed=0)
    step = trace(net, rng.normal(size=(3, 2)), [0, 1, 1])
    P, Y = step["P"].values, step["y"].values
    assert remark(step, "delta1", (P - Y) * P * (1 - P) / 3) == "there is an extra factor sigmoid'"
    assert remark(step, "delta1", (step["z1"].values - Y) / 3) == "the sigmoid of the loss is missing, in P"


def test_mistakes_in_other_layers_are_recognized(rng):
    net = Network([Dense(2, 3), BatchNorm(3), Dropout(0.5), Residual([Dense(3, 3)]), Dense(3, 1)], seed=0)
    step = trace(net, rng.normal(size=(6, 2)), rng.normal(size=6), rng=rng)
    values = {quantity.name: quantity.values for quantity in step}
    assert (
        remark(step, "delta1", values["dh1"] / values["tau1"])
        == "the mean and standard deviation are treated as constants"
    )
    assert remark(step, "dn1", values["dd1"]) == "the mask is missing"
    assert remark(step, "dd1", values["du1"]) == "the skip connection is missing"
    assert remark(step, "dd1", values["dr2"]) == "the gradient through the block is missing"


CATALOGUE = """
W is not transposed; W is transposed; the gradient is transposed; the bias is missing; the factor is missing;
sigmoid is not applied; sigmoid is used in place of sigmoid'; sigmoid' is missing; there is an extra factor sigmoid';
1/n is missing; 1/n is applied twice; the sign is wrong (target minus prediction);
the factor 2 from the square is missing; the factor in front of the square is missing; the derivative is not clipped;
q and 1 - q are swapped; the exp of the loss is missing; the sigmoid of the loss is missing;
the softmax of the loss is missing; softmax is applied twice; the exponentials are not divided by their sum;
label smoothing is missing; the penalty is missing; the factor 1/2 is missing; the factor high - low is missing;
the mask is missing; the division by 1 - rate is missing; gamma is missing; beta is missing;
the mean is not subtracted; the division by the standard deviation is missing;
the mean and standard deviation are treated as constants; the skip connection is missing;
the gradient through the block is missing; the learning rate is missing; the momentum is missing;
the Nesterov look-ahead is missing; the bias correction is missing; the weight decay is missing;
the sign is wrong (gradient ascent)
"""


def test_the_catalogue_of_mistakes_is_complete(rng):
    layers = [Dense(3, 3), Bounded(-1, 2), LayerNorm(3), BatchNorm(3), Scale(3), Dropout(0.5), Residual([Dense(3, 3)])]
    X, found = rng.normal(size=(4, 3)), set()
    for loss in (*map(as_loss, LOSSES), CrossEntropy(0.1)):
        for optimizer in (SGD(0.1), SGD(0.1, 0.9), SGD(0.1, 0.9, nesterov=True), RMSProp(), AdamW()):
            net = Network([*layers, Activation("sigmoid")], loss, l1=0.1, l2=0.1, seed=0)
            y = oracles.targets_for(type_name(loss), 4, 3, rng)
            for training in (None, rng):
                step = trace(net, X, y, optimizer, rng=training)
                found |= {remark for quantity in step for remark in mistakes(quantity)}
    assert found == {remark.strip() for remark in CATALOGUE.replace("\n", " ").split(";")}


def type_name(loss):
    return next(name for name, kind in LOSSES.items() if isinstance(loss, kind))


def test_a_consequence_of_an_earlier_wrong_answer_is_recognized(sigmoid_step):
    step = sigmoid_step
    exercise = step.exercise(["delta1", "dW1"])
    wrong = step["delta1"].values + 1
    grades = exercise.grade({"delta1": wrong, "dW1": step["X"].values.T @ wrong})
    assert grades["dW1"].remark == "it follows from your answer for delta1"
    assert grades.n_correct == 0


def test_a_mistake_without_effect_is_not_reported(rng):
    """For one row 1/n is 1, and a zero bias may be left out."""
    net = mlp(2, 2, 2, activation="sigmoid", output_activation="sigmoid", seed=1, dtype="float64")
    step = trace(net, [[0.5, 0.1]], [[0.0, 1.0]])
    exercise = step.exercise(["z1", "da2"])
    answers = {"z1": step["X"].values @ step["W1"].values, "da2": step["a2"].values - step["y"].values}
    assert exercise.grade(answers).ok


# The exercise.


def test_blanks_are_hidden_together_with_steps_that_would_reveal_them(sigmoid_step):
    exercise = sigmoid_step.exercise(["dW2"])
    assert exercise.hidden == ("dW2", "step W2")
    for text in (str(exercise), exercise.to_latex()):
        for row in sigmoid_step["dW2"].values:
            assert f"{row[0]:.6f}"[:7] not in text
    lines = str(exercise).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("  dW2 "))
    assert lines[at + 1].split() == ["?", "?"]
    assert lines[-2:] == ["Fill in", "  dW2         (2, 2)"]


def test_the_page_shows_question_marks_and_no_values_in_the_blanks(sigmoid_step):
    exercise = sigmoid_step.exercise(["dW2"])
    page = exercise.to_html()
    assert "Fill in the entries marked ?: <b>dW2</b>&nbsp;2&nbsp;×&nbsp;2." in page
    for quantity in sigmoid_step:
        cells = re.findall(rf'<td data-q="{re.escape(quantity.name)}"([^>]*)>([^<]*)</td>', page)
        assert len(cells) == 2 * quantity.values.size
        blank = quantity.name in exercise.hidden
        assert all(("data-v" not in place, text == "?") == (blank, blank) for place, text in cells), quantity.name


def test_the_seed_determines_the_blanks(sigmoid_step):
    drawn = [sigmoid_step.exercise(4, seed).blanks for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == 4
    assert all(sigmoid_step[name].kind != "given" for names in drawn for name in names)


def test_a_missing_answer_and_a_wrong_shape_are_reported(sigmoid_step):
    exercise = sigmoid_step.exercise(["z1", "db1"])
    grades = exercise.grade({"db1": [1.0, 2.0, 3.0]})
    assert grades["z1"].remark == "no answer"
    assert grades["db1"].remark == "the shape must be (2,), got (3,)"
    assert "0 of 2 correct" in str(grades)


def test_a_single_row_may_be_a_list_a_row_or_a_column():
    step = trace(mlp(2, 2, seed=0), [[1.0, 2.0]], [[0.0, 0.0]])
    exercise, (a, b) = step.exercise(["z1"]), step["z1"].values[0]
    for answer in ([a, b], [[a, b]], [[a], [b]]):
        assert exercise.grade({"z1": answer}).ok


def test_answers_may_be_in_column_form(sigmoid_step):
    exercise = sigmoid_step.exercise(["dW1", "z1", "db1"])
    answers = {name: sigmoid_step[name].grid("column") for name in exercise.blanks}
    assert exercise.grade(answers, notation="column").ok
    assert exercise.to_text("column").endswith(
        "Fill in\n  z1          (2, 3)\n  dW1         (2, 2)\n  db1         (2, 1)"
    )
    answers["dW1"] = 3 * answers["dW1"]
    assert exercise.grade(answers, notation="column")["dW1"].remark == "1/n is missing, in da2"


@pytest.mark.parametrize(
    ("blanks", "rule"),
    [
        (0, "blanks must be an integer >= 1, got 0"),
        (1000, "blanks must be at most 20, got 1000"),
        ([], "blanks must contain at least one name"),
        (["X"], "blanks must be among z1, a1.* got 'X'"),
    ],
)
def test_invalid_blanks_raise(blanks, rule, sigmoid_step):
    with pytest.raises(ValueError, match=rule):
        sigmoid_step.exercise(blanks)


@pytest.mark.parametrize(
    ("answers", "rule"),
    [
        ({"z2": [1]}, "answers must have names among z1, got 'z2'"),
        ({"z1": "three"}, "the answer for 'z1' must be numeric"),
    ],
)
def test_invalid_answers_raise(answers, rule, sigmoid_step):
    with pytest.raises(ValueError, match=rule):
        sigmoid_step.exercise(["z1"]).grade(answers)
