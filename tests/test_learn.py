"""The tables of the learning pages contain the numbers that their formulas give, and listings fit the column."""

import re
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from chainrule import SGD, Adam, RMSProp

sys.path.append(str(Path(__file__).parent.parent / "docs"))
import figures
from figures import learning_curves

DOCS = Path(__file__).parent.parent / "docs"
LEARN = DOCS / "learn"
PAGES = sorted(LEARN.glob("*.md"))
MAX_COLUMNS = 88


def row(page, label, start=""):
    """Return the numbers of the table row of a page with this label, whose second cell begins with `start`."""
    lines = (LEARN / f"{page}.md").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"| {label} | {start}")]
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", line.removeprefix(f"| {label} |"))]


def assert_rows(page, expected, digits=4):
    for label, values in expected.items():
        np.testing.assert_allclose(row(page, label), np.ravel(values), rtol=0, atol=0.51 * 10**-digits, err_msg=label)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


X2, Y2 = np.array([[1, 2], [2, -1]]), np.array([1, 0])


def two_rows(theta):
    """Return what the worked example of the neuron computes for w = theta[:2] and b = theta[2]."""
    z = X2 @ theta[:2] + theta[2]
    a = sigmoid(z)
    delta = (a - Y2) * a * (1 - a)
    return z, a, (a - Y2) ** 2 / 2, delta, np.append(X2.T @ delta, delta.sum()) / 2


def test_the_worked_example_of_the_neuron():
    z, a, L, delta, _ = two_rows(np.array([0.5, -1, 0.25]))
    expected = {r"$z = 0.5\,x_1 - x_2 + 0.25$": z, r"$a = \sigma(z)$": a, "$a (1 - a)$": a * (1 - a)}
    expected |= {r"$L = \frac12 (a - y)^2$": L, r"$\delta = (a - y)\,a (1 - a)$": delta}
    assert_rows("neuron", expected | {r"$\delta x$": delta[:, np.newaxis] * X2})


def test_the_falls_that_the_gradient_predicts():
    start = np.array([0.5, -1, 0.25])
    *_, L, _, g = two_rows(start)
    for rate in ("0.2", "2", "4", "10", "20"):
        fall = L.mean() - two_rows(start - float(rate) * g)[2].mean()
        assert_rows("descent", {rate: [float(rate) * g @ g, fall]})


@pytest.mark.parametrize("rate", ["0.05", "0.10", "0.15", "0.20", "0.21"])
def test_the_steps_in_the_valley(rate):
    t, steps = np.array([10.0, 1.0]), []
    for _ in range(4):
        t = t - float(rate) * np.array([1, 10]) * t
        steps.append(t[1])
    assert row("descent", rate)[:4] == pytest.approx(steps, abs=5e-5)
    assert row("descent", rate)[4] == pytest.approx((t[0] ** 2 + 10 * t[1] ** 2) / 2, abs=5e-3)


def test_the_errors_of_both_losses():
    _, a, _, delta, _ = two_rows(np.array([0.5, -1, 0.25]))
    assert_rows(
        "logistic", {r"squared error, $\delta = (a - y)\, a (1 - a)$": delta, r"wanted, $\delta = a - y$": a - Y2}
    )


W1, B1 = np.array([[0.5, -1], [1, 0.5]]), np.array([0.2, -0.1])
W2 = np.array([[1, -0.5], [1, 0.5]])


def test_the_worked_example_of_the_graph():
    x, y = np.array([0.05, 0.10]), np.array([0.01, 0.99])
    z1 = W1 @ x + B1
    a1 = sigmoid(z1)
    z2 = W2 @ a1
    a2 = sigmoid(z2)
    delta2 = (a2 - y) * a2 * (1 - a2)
    paths = delta2[:, np.newaxis] * W2
    expected = {"$z^1$": z1, "$a^1$": a1, r"$\sigma'(z^1)$": a1 * (1 - a1), "$z^2$": z2, "$a^2$": a2}
    expected |= {r"$\sigma'(z^2)$": a2 * (1 - a2), "$a^2 - y$": a2 - y, r"$\delta^2$": delta2}
    expected |= {r"$\partial L / \partial a^1$, their sum": paths.sum(axis=0)}
    expected |= {r"$\delta^1$": paths.sum(axis=0) * a1 * (1 - a1)}
    assert_rows("graph", expected)
    for i in (1, 2):
        found = row("graph", rf"path over output {i}, $\delta^2_{i} w^2_{{{i}j}}$")
        np.testing.assert_allclose(found, paths[i - 1], rtol=0, atol=5.1e-5)


def test_the_sum_of_outer_products():
    X, Y = np.array([[0.05, 0.10], [1, 0], [0, 1]]), np.array([[0.01, 0.99], [0.99, 0.01], [0.01, 0.99]])
    A1 = sigmoid(X @ W1.T + B1)
    A2 = sigmoid(A1 @ W2.T)
    dZ2 = (A2 - Y) * A2 * (1 - A2) / 3
    for r in range(3):
        assert_rows("matrices", {str(r + 1): [*dZ2[r], *np.outer(A1[r], dZ2[r]).ravel()]})
    assert_rows("matrices", {"sum": [*dZ2.sum(axis=0), *(A1.T @ dZ2).ravel()]})


def test_the_worked_example_of_softmax():
    z, y = np.array([2.0, 1.0, -1.0]), np.array([0, 1, 0])
    p = np.exp(z) / np.exp(z).sum()
    J = np.diag(p) - np.outer(p, p)
    expected = {"$p$": p, r"$\partial p_2 / \partial z_j$": J[1], "$p - y$": p - y}
    assert_rows("softmax", expected | {r"squared error, $\frac12 \lVert p - y \rVert^2$": J @ (p - y)})
    assert row("softmax", "times $-1/p_2 = -3.8536$") == pytest.approx(-J[1] / p[1], abs=5e-5)
    for s in (0, 1, 2, 4):
        q = sigmoid(2.0 * s)
        assert_rows("softmax", {str(s): [q, 2 * q * q * (1 - q)]})


def test_the_epochs_of_three_batch_sizes():
    x, y = np.arange(1.0, 5), np.array([1, 3, 2, 5])
    assert_rows("batches", {r"$\partial L / \partial w$": [*((0.5 * x - y) * x), np.mean((0.5 * x - y) * x)]})
    for size in (4, 2, 1):
        w, steps = 0.5, []
        for start in range(0, 4, size):
            part = slice(start, start + size)
            w -= 0.05 * np.mean((w * x[part] - y[part]) * x[part])
            steps.append(w)
        assert_rows("batches", {str(size): [*steps, np.mean((w * x - y) ** 2) / 2]})


def test_the_first_steps_of_the_optimizers():
    optimizers = {"SGD": SGD(0.1), "momentum 0.9": SGD(0.1, momentum=0.9), "RMSProp": RMSProp(0.1), "Adam": Adam(0.1)}
    for name, optimizer in optimizers.items():
        theta, steps = np.zeros(2), []
        for _ in range(3):
            optimizer.step(theta, np.array([4, 0.01]))
            steps += theta.tolist()
        assert row("optimizers", name, "(") == pytest.approx(steps, abs=5.1e-5)


def test_the_errors_of_finite_differences():
    def C(w):
        return sigmoid(w) ** 2

    a = sigmoid(1.0)
    right = 2 * a * a * (1 - a)
    assert f"{right:.12f}" in (LEARN / "gradient-checking.md").read_text()
    for h in ("1e-1", "1e-3", "1e-5", "1e-7", "1e-10"):
        step = float(h)
        errors = abs((C(1 + step) - C(1)) / step - right), abs((C(1 + step) - C(1 - step)) / (2 * step) - right)
        np.testing.assert_allclose(row("gradient-checking", h), errors, rtol=0.5 if step < 1e-6 else 0.02)


@pytest.mark.parametrize("place", [(1, 0, 1), (2, 2, 2)])
def test_the_runs_of_the_learning_curves_are_real(place):
    """Rounding may differ between processors."""
    shown = learning_curves.start()["runs"]
    found, expected = learning_curves.setting_run(*place), shown[" ".join(map(str, place))]
    assert found["findings"] == expected["findings"]
    for part in ("loss", "validation"):
        np.testing.assert_allclose(found[part], expected[part], atol=0.02)
    assert len(shown) == np.prod([len(values) for values in learning_curves.SETTINGS.values()])


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.stem)
def test_listings_fit_the_column(page):
    text = page.read_text()
    listings = re.findall(r"^```(?:python|c|js)\n(.*?)^```", text, flags=re.M | re.S)
    for line in "\n".join(listings).splitlines():
        assert len(line) <= MAX_COLUMNS, line


@pytest.mark.parametrize("script", sorted((DOCS.parent / "examples").glob("*.py")), ids=lambda script: script.stem)
def test_scripts_of_the_gallery_fit_the_column(script):
    assert max(map(len, script.read_text().splitlines())) <= MAX_COLUMNS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_symbols_and_figures_and_answers(page):
    text = page.read_text()
    assert "```{include} symbols.txt" in text
    if page.stem == "glossary":
        return
    assert "## Exercises" in text
    assert ":::{fold} Answers" in text
    assert len(re.findall(r"^```\{drawn\}|^<iframe", text, flags=re.M)) >= 2


def test_every_figure_of_a_page_has_a_function_and_is_drawn_for_light_and_for_dark_pages(tmp_path):
    names = {name for page in DOCS.rglob("*.md") for name in re.findall(r"^```\{drawn\} (\S+)", page.read_text(), re.M)}
    assert len(names) > 50
    for module, _, function in (name.partition(".") for name in sorted(names)):
        assert callable(getattr(import_module(f"figures.{module}"), function))
    first, *_ = sorted(names)
    drawn = figures.save(first, tmp_path)
    assert [len(paths) for paths in drawn.values()] == [len(drawn["light"])] * 2
    light, dark = (drawn[theme][0].read_text() for theme in ("light", "dark"))
    assert light != dark
    assert "#ffffff" not in dark
