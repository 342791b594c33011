"""Figures of `learn/trace.md`."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from chainrule import trace
from chainrule.insight.trace import Trace
from chainrule.insight.trace.mistakes import mistakes
from chainrule.insight.trace.quantity import Quantity
from chainrule.typeset import TEXT, formula
from chainrule.viz import draw_graph
from figures.graph import X, Y, network_of_page

_BLANKS = ("z1", "a1", "z2", "a2", "da2", "slope z2", "delta2", "dW2", "da1", "slope z1", "delta1", "dW1")


def graph() -> list[Axes]:
    """The graph of the network."""
    return [draw_graph(network_of_page())]


def start() -> dict[str, Any]:
    """Return what the figure to play with asks for, with the values of right answers and of common mistakes.

    The first exercise has the numbers of the page, the others have random ones.
    """
    rng = np.random.default_rng(0)
    steps = [trace(network_of_page(), [X], [Y], rate=0.5)]
    for _ in range(4):
        net = network_of_page()
        net.theta = rng.uniform(-1, 1, net.theta.size).round(2)
        steps.append(trace(net, [rng.uniform(-1, 1, 2).round(2)], [Y], rate=0.5))
    return {"exercises": [_exercise(step) for step in steps]}


def _exercise(step: Trace) -> list[dict[str, Any]]:
    values = {quantity.name: quantity.values for quantity in step}
    return [_blank(step, step[name], values) for name in _BLANKS]


def _blank(step: Trace, quantity: Quantity, values: dict[str, Any]) -> dict[str, Any]:
    """Return a quantity with the results of mistakes in its own formula and in those of its sources."""
    wrong = {"the sign is wrong": -quantity.values}
    wrong |= {remark: quantity.recompute(values, term) for remark, term in mistakes(quantity).items()}
    for source in (step[name] for name in quantity.sources if step[name].term is not None):
        for remark, term in mistakes(source).items():
            changed = values | {source.name: source.recompute(values, term)}
            wrong[f"{remark}, in {source.name}"] = quantity.recompute(changed)
    return {
        "name": quantity.name,
        "formula": f"{quantity.name}: {formula(quantity.term, TEXT)}",
        "shape": list(quantity.shape),
        "given": [[name, values[name].round(5).tolist()] for name in quantity.sources],
        "right": quantity.values.ravel().tolist(),
        "mistakes": [[remark, array.ravel().tolist()] for remark, array in wrong.items()],
    }
