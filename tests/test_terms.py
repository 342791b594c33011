"""Every rule of the chain rule equals finite differences, and printed terms have the value of the term."""

import math

import numpy as np
import pytest

from chainrule import terms as t
from chainrule.languages import JAVASCRIPT, NUMPY, PYTHON, C
from chainrule.terms import RULES, Function, Number, Symbol, derivative, evaluator, gradient
from chainrule.typeset import LATEX, MATHML, TEXT, Look, formula, title

A, B, b, column, z = (Symbol("A", "rc"), Symbol("B", "rc"), Symbol("b", "c"), Symbol("column", "r"), Symbol("z"))
square = Function("square", "", lambda a: a**2)
closed = Function("closed", "", lambda a: a**3, rule=lambda y, d, a: (d * 3 * y / a,))
EXAMPLES = {
    "add": A + B,
    "subtract": A - B,
    "multiply": A * B,
    "divide": A / B,
    "power": A**3,
    "negative": -A,
    "matmul": A @ B.T,
    "transpose": A.T @ B,
    "sum": t.total(A, "r") * t.total(B, "c") * t.total(A * B),
    "ones_like": t.ones_like(A) * A,
    "maximum": t.maximum(A, B),
    "minimum": t.minimum(A, B),
    "greater": t.greater(A, B) * A,
    "where": t.where(t.greater(A, B), A * B, A - B),
    "exp": t.exp(A),
    "expm1": t.expm1(A),
    "log": t.log(A),
    "log1p": t.log1p(A),
    "tanh": t.tanh(A),
    "sin": t.sin(A),
    "cos": t.cos(A),
    "sqrt": t.sqrt(A),
    "absolute": t.absolute(A - B),
    "sign": t.sign(A - B) * A,
    "call": square(A) * closed(B),
    "let": t.let("t", t.tanh(A * B)) ** 2,
    "part": t.part(A, "A") * B,
    "instead": t.instead(A, "B in place of A", B) * B,
}


@pytest.fixture
def values(rng):
    """Positive values that differ from each other, so that nothing is at a kink."""
    numbers = rng.permutation(24) / 10 + 0.3
    return {
        "A": numbers[:12].reshape(3, 4),
        "B": numbers[12:].reshape(3, 4),
        "b": rng.normal(size=4),
        "column": rng.normal(size=(3, 1)),
        "z": 0.7,
    }


def by_finite_differences(y, symbol, values, step=1e-6):
    """Return the derivative of the sum of all entries of y."""
    compute, point = evaluator(t.total(y)), values[symbol.name]
    found = np.zeros_like(point)
    for at in np.ndindex(point.shape):
        moved = [point.copy(), point.copy()]
        moved[0][at] += step
        moved[1][at] -= step
        above, below = (compute({**values, symbol.name: each}) for each in moved)
        found[at] = (above - below) / (2 * step)
    return found


def check(y, symbol, values):
    found = np.broadcast_to(evaluator(gradient(t.total(y), symbol))(values), values[symbol.name].shape)
    np.testing.assert_allclose(found, by_finite_differences(y, symbol, values), rtol=1e-6, atol=1e-7)


def test_every_operation_has_an_example():
    assert set(EXAMPLES) == {*RULES, "let"}


@pytest.mark.parametrize("symbol", [A, B], ids=["A", "B"])
@pytest.mark.parametrize("op", EXAMPLES)
def test_every_rule_equals_finite_differences(op, symbol, values):
    check(EXAMPLES[op], symbol, values)


@pytest.mark.parametrize("symbol", [b, column], ids=["bias", "column"])
@pytest.mark.parametrize(
    "y", [A * b + column, t.tanh(A + b * column), (A @ B.T) * column + t.total(b * b)], ids=["sum", "tanh", "matmul"]
)
def test_what_is_shared_by_rows_or_columns_collects_their_derivatives(y, symbol, values):
    check(y, symbol, values)


def test_a_symbol_collects_the_derivatives_of_all_paths(values):
    check(A * A + t.exp(A) * B - A, A, values)


def test_a_wrong_rule_is_found(monkeypatch, values):
    monkeypatch.setitem(RULES, "multiply", lambda y, d, a, b: (d * b, d))
    with pytest.raises(AssertionError, match="Not equal"):
        check(A * B, B, values)


def test_derivatives_are_simplified():
    assert derivative(3 * z, z) == Number(3.0)
    assert derivative(z**2, z) == t.part(2.0, "the factor 2 from the square") * z
    assert derivative(t.tanh(z), z) == 1 - t.tanh(z) ** 2
    assert derivative(z + z * t.exp(z), z) == 1 + t.exp(z) + z * t.exp(z)
    assert derivative(t.where(t.greater(z, 0), z, t.exp(z)), z) == t.where(t.greater(z, 0), 1, t.exp(z))


def test_marks_change_no_value(values):
    y = t.part(A, "A") * t.let("t", t.exp(B)) + t.instead(b, "the sign is wrong", -b)
    expected = values["A"] * np.exp(values["B"]) + values["b"]
    np.testing.assert_allclose(evaluator(y)(values), expected)


def test_what_occurs_twice_is_computed_once():
    calls = []
    counted = Function("counted", value=lambda a: calls.append(1) or a * 2)
    assert (counted(z) * counted(z) + counted(z)).value(z=3.0) == 42
    assert len(calls) == 1


# Code.

x = z
BRACKETS = [
    x - (x - 2),
    x - (x + 2),
    x / (x * 3),
    x / (x / 3),
    (x + 1) * (x - 2),
    -(x + 1),
    -x * 3,
    (-x) ** 3,
    2 - -x,
    t.where(t.greater(x, 0.5), x, -x) * 2,
    t.where(t.greater(x - 1, t.where(t.greater(x, 0), 1, 2)), t.where(t.greater(x, 2), 1, 2), x + 1),
    t.sign(x) + t.greater(x, 0.5) * x,
    t.maximum(x, t.minimum(0.3, -x)) + t.absolute(x),
    t.sqrt(t.absolute(x)) + t.log1p(t.absolute(x)) + t.expm1(x) + t.log(t.absolute(x)) - t.exp(x),
]


@pytest.mark.parametrize("language", [PYTHON, NUMPY])
@pytest.mark.parametrize("y", BRACKETS, ids=[NUMPY.source(y) for y in BRACKETS])
def test_printed_code_has_the_value_of_the_term(y, language):
    namespace = {"math": math, "np": np}
    exec(language.define("f", y), namespace)
    for value in (-1.3, 0.4, 2.5):
        assert namespace["f"](value) == pytest.approx(y.value(z=value))
        assert eval(language.source(y), namespace, {"z": value}) == pytest.approx(y.value(z=value))


def test_code_follows_the_language():
    y = t.where(t.greater(z, 0), z, 0.5 * t.expm1(z))
    assert C.source(y) == "z > 0.0f ? z : 0.5f * expm1f(z)"
    assert C.source(t.maximum(z, t.minimum(z, 0.1))) == "(z > 0.1f ? 0.1f : z) > z ? (z > 0.1f ? 0.1f : z) : z"
    assert PYTHON.source(y) == "z if z > 0.0 else 0.5 * math.expm1(z)"
    assert NUMPY.source(y) == "np.where(z > 0.0, z, 0.5 * np.expm1(z))"
    assert JAVASCRIPT.source(y) == "z > 0.0 ? z : 0.5 * Math.expm1(z)"


def test_what_occurs_twice_becomes_a_local_variable():
    y = t.tanh(z) * (1 - t.tanh(z))
    assert PYTHON.define("f", y) == "def f(z):\n    t1 = math.tanh(z)\n    return t1 * (1.0 - t1)\n"
    assert JAVASCRIPT.define("f", y).count("Math.tanh(z)") == 1


# Formulas.

w = Symbol("W1", "rc", Look("w", "W", "1", "1", "jk"))
a = Symbol("a0", "rc", Look("a", "A", "x,0", "0", "j"))
delta = Symbol("delta1", "rc", Look("z", "Z", "x,1", "1", "j", "derivative"))


@pytest.mark.parametrize(
    ("term", "text", "latex"),
    [
        (z - (z + 1), "z - (z + 1)", "z - (z + 1)"),
        (z + -(2 * z), "z - 2 z", "z - 2 z"),
        (t.exp(-z) ** 2, "(e^(-z))²", "(e^{-z})^{2}"),
        (z / (1 + z), "z/(1 + z)", r"\frac{z}{1 + z}"),
        (0.5 * t.sqrt(z / 3), "1/2 √(z/3)", r"\frac{1}{2} \sqrt{\frac{z}{3}}"),
        (t.maximum(z, 0), "max(0, z)", r"\max(0, z)"),
        (t.absolute(z) * t.greater(z, 1), "|z| [z > 1]", "|z| [z > 1]"),
        (Number(0.1, r"\eta") * Number(3, r"\beta_1") * z, "η β₁ z", r"\eta \beta_{1} z"),
        (t.let("t", t.tanh(z)) ** 2, "t², t = tanh(z)", r"t^{2}, \; t = \tanh(z)"),
    ],
)
def test_formulas(term, text, latex):
    assert formula(term, TEXT) == text
    assert formula(term, LATEX) == latex


@pytest.mark.parametrize(
    ("term", "row", "column"),
    [
        (a @ w, "A₀ W₁", "Σₖ w¹ⱼₖ a^(x,0)ₖ"),
        (delta @ w.T, "dZ₁ W₁ᵀ", "Σᵢ w¹ᵢⱼ δ^(x,1)ᵢ"),
        (a.T @ delta, "A₀ᵀ dZ₁", "Σₓ a^(x,0)ₖ δ^(x,1)ⱼ"),
        (t.total(delta, "r"), "Σ_rows dZ₁", "Σₓ δ^(x,1)ⱼ"),
        (a * delta, "A₀ ⊙ dZ₁", "a^(x,0)ⱼ δ^(x,1)ⱼ"),
        (w**2, "W₁²", "(w¹ⱼₖ)²"),
    ],
)
def test_formulas_of_matrices_are_those_of_entries_in_column_form(term, row, column):
    assert formula(term, TEXT, "row") == row
    assert formula(term, TEXT, "column") == column


def test_titles_show_the_role_of_a_symbol():
    def titled(role):
        shown = Symbol("w", "rc", Look("w", "W", "1", "1", "jk", role))
        return title(shown, TEXT), title(shown, TEXT, "column")

    assert titled("") == ("W₁", "w¹ⱼₖ")
    assert titled("derivative") == ("dW₁", "∂C/∂w¹ⱼₖ")
    assert titled("step") == ("ΔW₁", "Δw¹ⱼₖ")
    assert titled("moment m") == ("m(W₁)", "m(w¹ⱼₖ)")
    assert titled(r"slope \sigma") == ("σ'(W₁)", "σ'(w¹ⱼₖ)")


def test_mathml_is_nested_as_the_formula_is():
    assert formula(w**2 / 2, MATHML) == (
        "<mfrac><mrow><msup><mrow><msub><mi>W</mi><mn>1</mn></msub></mrow><mrow><mn>2</mn></mrow></msup></mrow>"
        "<mrow><mn>2</mn></mrow></mfrac>"
    )
