"""A weight or a bias explained: its gradient as a product along its path, with the numbers of the next batch."""

from __future__ import annotations

from typing import Any

from chainrule.app.playground.training import Training
from chainrule.errors import look_up
from chainrule.insight.trace import Trace
from chainrule.insight.trace.paths import Path, paths
from chainrule.typeset import MATHML

MAX_ROWS = 3
"""Rows whose products are written out."""


def explain(training: Training, name: str, index: tuple[int, ...]) -> dict[str, Any]:
    """Return value, gradient and last update of an entry of a parameter, and the formula with its numbers.

    `name` is the block's, such as "0.W". The gradient is that of the next batch, at the weights as they are.
    """
    blocks = {block.full_name: block for block in training.net.blocks}
    block = look_up(blocks, name, "a parameter")
    number = 1 + [b.full_name for b in training.net.blocks if b.kind == block.kind].index(name)
    step = training.trace()
    quantity = step[f"{block.kind}{number}"]
    path = next(path for path in paths(step) if path.parameter is quantity)
    update = step[f"step {quantity.name}"]
    return {
        "name": name,
        "index": list(index),
        "value": float(quantity.values[index]),
        "gradient": float(path.gradient.values[index]),
        "update": float(training.update[block.slice].reshape(block.shape)[index]),
        "next": float(update.values[index]),
        "formula": _formula(path, index, step.n_rows),
        "rows": _products(step, path, index),
        "of": step.n_rows,
        "penalty": quantity.name in path.gradient.sources,
        "rule": f"<math>{update.equation('row', MATHML)}</math>",
    }


def _formula(path: Path, index: tuple[int, ...], n_rows: int) -> str:
    """Return the gradient as a product of derivatives, in MathML."""
    dot, equals = "<mo>·</mo>", "<mo>=</mo>"
    total = "<munder><mo>∑</mo><mi>x</mi></munder>" if n_rows > 1 else ""
    product = dot.join(factor.fraction for factor in path.factors)
    whole = f"{path.title}{equals}{total}{product}" if product else path.title
    to = f"<mn>{index[-1] + 1}</mn>"
    return f"<math>{whole.replace('<mi>J</mi>', to).replace('<mi>K</mi>', f'<mn>{index[0] + 1}</mn>')}</math>"


def _products(step: Trace, path: Path, index: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return for each of the first rows the factors of its product, and the product."""
    rows = []
    for row in range(min(step.n_rows, MAX_ROWS) if path.factors else 0):
        factors, product = [], 1.0
        for factor in path.factors:
            at = index[0] if factor.place == "k" else index[-1]
            value = float(step[factor.name].values[row, at]) if factor.name else 1.0
            factors.append(value)
            product *= value
        rows.append({"factors": factors, "product": product})
    return rows
