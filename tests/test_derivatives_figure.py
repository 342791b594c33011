"""The figure of derivatives in `docs/learn/graph.md`: its formulas, checked numerically, their colors and places."""

import math
import re
import sys
from pathlib import Path as FilePath

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.path import Path

from chainrule import Activation, BatchNorm, Dense, Network, mlp
from chainrule.nn.losses import SquaredError
from chainrule.viz.style import ON_LIGHT
from drawn import assert_texts_are_apart, color_of, sigmoid_net

sys.path.append(str(FilePath(__file__).parent.parent / "docs"))
from derivatives import Formulas, draw_derivatives


def number(formulas, values):
    """Return the value of a product of formulas: adjacent ones are multiplied."""
    code = []
    for formula in formulas:
        formula = formula.replace("\\", "").replace(",", " ").replace("sigma'", "derivative").strip()
        formula = re.sub(r"([azbw]|delta)_\{(\d+)\}\^\{(\d)\}", r"\1[\2, \3]", formula)
        formula = re.sub(r"^([\d.]+)\s*\(", r"\1*(", re.sub(r"y_(\d)", r"y[\1]", formula))
        if formula in ("=", ""):
            continue
        if code and formula not in "+)" and code[-1] not in "+(":
            code.append("*")
        code.append(formula)
    return eval(" ".join(code), {}, values)


@pytest.mark.parametrize("factor", [0.5, 1.0])
@pytest.mark.parametrize("sizes", [(2, 1), (2, 2, 2), (2, 3, 2), (3, 2, 1)], ids=str)
def test_every_product_written_out_equals_the_gradient(sizes, factor, rng):
    net = sigmoid_net(*sizes, loss=SquaredError(factor)).copy(dtype="float64")
    x, y = rng.normal(size=sizes[0]), rng.random(sizes[-1])
    net.loss_and_grad(x[np.newaxis], y[np.newaxis])
    layers = net.activations(x[np.newaxis])
    dense = [k for k, params in enumerate(net.params) if params]
    a = {(i + 1, 0): value for i, value in enumerate(x)}
    z, w, gradients = {}, {}, {}
    for l, k in enumerate(dense, start=1):
        a |= {(i + 1, l): value for i, value in enumerate(layers[k + 1][0])}
        z |= {(i + 1, l): value for i, value in enumerate(layers[k][0])}
        for (j, i), value in np.ndenumerate(net.params[k]["W"]):
            w[int(f"{i + 1}{j + 1}"), l] = value
            gradients[f"w_{{{i + 1}{j + 1}}}^{{{l}}}"] = net.grads[k]["W"][j, i]
        gradients |= {f"b_{{{i + 1}}}^{{{l}}}": value for i, value in enumerate(net.grads[k]["b"])}
    values = {"a": a, "z": z, "w": w, "y": {i + 1: value for i, value in enumerate(y)}}
    values["derivative"] = lambda z: math.exp(-z) / (1 + math.exp(-z)) ** 2
    # The delta of a unit is the gradient with respect to its bias.
    values["delta"] = {(i, l): gradients[f"b_{{{i}}}^{{{l}}}"] for i, l in z}

    formulas = Formulas.of(net)
    blocks = [formulas.last_layer(), *([formulas.first_layer()] if len(sizes) == 3 else [])]
    for line in (line for block in blocks for unit in block.units for line in unit):
        parameter = re.search(r"partial ([wb]_\{\d+\}\^\{\d\})\}$", line.name)[1]
        value = number([text for text, _ in line.product], values)
        assert value == pytest.approx(gradients.pop(parameter), rel=1e-10), parameter
    assert gradients == {}


def test_factors_have_the_colors_of_the_edges():
    ax = draw_derivatives(sigmoid_net(2, 2, 2))
    colors = {}
    for text in ax.texts:
        colors.setdefault(text.get_text().strip("$"), set()).add(color_of(text))
    assert colors[r"\dfrac{\partial C_1}{\partial a_{1}^{2}}"] == {ON_LIGHT.orange}
    assert colors[r"\dfrac{\partial a_{1}^{2}}{\partial z_{1}^{2}}"] == {ON_LIGHT.red}
    assert colors[r"\dfrac{\partial z_{1}^{2}}{\partial w_{12}^{2}}"] == {ON_LIGHT.purple}
    assert colors[r"\dfrac{\partial z_{1}^{2}}{\partial a_{2}^{1}}"] == {ON_LIGHT.purple}
    assert colors[r"\dfrac{\partial a_{2}^{1}}{\partial z_{2}^{1}}"] == {ON_LIGHT.green}
    assert colors[r"\dfrac{\partial z_{2}^{1}}{\partial w_{21}^{1}}"] == {ON_LIGHT.blue}
    assert colors[r"\delta_{1}^{2}"] == {ON_LIGHT.ink}


def test_the_results_are_boxed():
    formulas = Formulas.of(sigmoid_net(2, 2, 2))
    boxed = ["".join(formula for formula, _ in result) for result in formulas.first_layer().results]
    assert [formula.replace(r"\,", "") for formula in boxed] == [
        r"\delta^{1}=(W^{2})^{T}\delta^{2}\odot\sigma'(z^{1})",
        r"\dfrac{\partial L}{\partial W^{1}}=\delta^{1}(a^{0})^{T}",
        r"\dfrac{\partial L}{\partial b^{1}}=\delta^{1}",
    ]
    outlines = [patch.get_path() for patch in draw_derivatives(sigmoid_net(2, 2, 2)).patches]
    frames = [outline for outline in outlines if outline.codes is not None and Path.CLOSEPOLY in outline.codes]
    assert len(frames) == 5


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (sigmoid_net(2, 2, 2, 2), "net must have at most two Dense layers, got 3"),
        (sigmoid_net(2, 4, 2), "net must have layers of at most 3 units, got"),
        (mlp(2, 2, 2), "net must have an activation after each Dense layer"),
        (sigmoid_net(2, 2, 2, loss="absolute_error"), "net must have a squared error as its loss, got"),
    ],
)
def test_networks_without_written_derivatives_are_rejected(net, message):
    with pytest.raises(ValueError, match=message):
        draw_derivatives(net)


@pytest.mark.parametrize(("sizes", "inches"), [((2, 1), 5), ((2, 2, 2), None), ((2, 3, 2), 10)], ids=str)
def test_the_formulas_do_not_overlap_and_are_not_clipped(sizes, inches):
    assert_texts_are_apart(lambda ax: draw_derivatives(sigmoid_net(*sizes), ax), inches)


def test_it_is_drawn_on_the_given_axes():
    _, ax = plt.subplots()
    assert draw_derivatives(sigmoid_net(2, 2, 2), ax) is ax
    assert len(plt.get_fignums()) == 1


def test_other_layers_are_rejected_by_name():
    with pytest.raises(ValueError, match=r"net must consist of Dense layers.*, got BatchNorm\(2\) as layer 1"):
        draw_derivatives(Network([Dense(2, 2), BatchNorm(2), Activation("tanh")]))
