"""The function `trace`: one training step of a network, recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import fields
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from chainrule.arrays import Array, require
from chainrule.insight.trace.layers import Pass, record
from chainrule.insight.trace.losses import record_loss
from chainrule.insight.trace.model import Trace
from chainrule.insight.trace.steps import record_steps
from chainrule.insight.trace.tape import Tape
from chainrule.nn.layers import Dropout, Layer, Residual
from chainrule.nn.network import Network
from chainrule.terms import Symbol
from chainrule.training.optimizers import SGD, Optimizer, as_optimizer
from chainrule.typeset import Look


def trace(
    net: Network,
    X: ArrayLike,
    y: ArrayLike,
    optimizer: str | Optimizer | None = None,
    sample_weight: ArrayLike | None = None,
    *,
    rate: float | None = None,
    rng: np.random.Generator | None = None,
    masks: Sequence[ArrayLike] | None = None,
    columns: Sequence[str] = (),
    outputs: Sequence[str] = (),
) -> Trace:
    r"""Return every quantity of one training step, without taking it.

    Everything is computed in float64, whatever the dtype of the network, so that all displayed digits are correct.

    Parameters
    ----------
    net : Network
        Not changed.
    X, y, sample_weight
        As for `net.loss_and_grad`; one row or several.
    optimizer : str or Optimizer, optional
        The optimizer whose step to show, with its current moments; not changed. Default: `SGD()`, gradient descent.
    rate : float, optional
        The learning rate; default: that of the optimizer.
    rng : Generator, optional
        If given, run in training mode, with batch statistics and with dropout masks drawn from a copy of the generator.
        Default: inference mode.
    masks : sequence of arrays, optional
        If given, run in training mode with these masks, one for each Dropout in the order of the layers; 1 keeps a
        value and 0 drops it.
    columns, outputs : sequence of str, optional
        Names of the columns of X and of the outputs, shown as a legend.

    Returns
    -------
    Trace

    Raises
    ------
    ValueError
        If an argument is invalid.
    GradientError
        If the network has an activation without a derivative.

    Examples
    --------
    >>> from chainrule import mlp, trace
    >>> net = mlp(2, 2, 2, activation="sigmoid", output_activation="sigmoid", seed=0)
    >>> step = trace(net, [[0.05, 0.10]], [[0.01, 0.99]], rate=0.5)
    >>> [quantity.name for quantity in step if quantity.kind == "derivative"]
    ['da2', 'delta2', 'da1', 'delta1']
    >>> step["delta1"].sources
    ('da1', 'slope z1')
    >>> step.verify().ok
    True
    """
    require(rng is None or masks is None, "rng", "be None if masks are given", rng)
    require(isinstance(net, Network), "net", "be a Network", net)
    for argument, names, n in (("columns", columns, net.n_in), ("outputs", outputs, net.n_out)):
        require(len(names) in (0, n), argument, f"contain {n} names", names)
    optimizer = _with_rate(SGD() if optimizer is None else as_optimizer(optimizer), rate)
    whole, net = (net.copy(dtype="float64") for _ in range(2))
    whole.gradients_checked = True  # show a wrong derivative instead of raising; `verify` reports it
    X, y, weight = whole.check(X, y, sample_weight)
    if masks is not None:
        rng = cast(np.random.Generator, _MaskSequence(net.layers, masks, len(X)))
    value, _ = whole.objective(X, y, weight, deepcopy(rng))

    tape = Tape(len(X))
    above = "x,0" if len(X) > 1 else "0"
    out = tape.give(Symbol("X", "rc", Look("a", "X", above, index="j")), X)
    rng = deepcopy(rng)
    for i, layer in enumerate(net.layers):
        out = record(Pass(tape, f"{i}.", layer, net.params[i], whole.grads[i], rng), out)
    record_loss(tape, net.loss, out, y, weight, value, net.l1, net.l2)
    tape.derive()
    record_steps(tape, whole, optimizer)
    layers = ", ".join(map(str, net.layers))
    name = _describe_optimizer(optimizer)
    return Trace(tuple(tape), layers, str(net.loss), name, len(X), tuple(columns), tuple(outputs))


def _with_rate(optimizer: Optimizer, rate: float | None) -> Optimizer:
    """Return a copy of an optimizer, including its moments, with another learning rate unless it is None."""
    copy = deepcopy(optimizer)
    if rate is not None:
        require(0 < rate < np.inf, "rate", "be finite and > 0", rate)
        copy.learning_rate = rate
    return copy


def _describe_optimizer(optimizer: Optimizer) -> str:
    """Return an optimizer with its learning rate, the scalar options that are not the default, and its steps so far."""
    options = [(option, getattr(optimizer, option.name)) for option in fields(optimizer) if option.init]
    scalars = [(option, value) for option, value in options if np.ndim(value) == 0]
    shown = [
        f"{option.name}={value}"
        for option, value in scalars
        if option.name == "learning_rate" or value != option.default
    ]
    steps = f" after {optimizer.steps:,} steps" if optimizer.steps else ""
    return f"{type(optimizer).__name__}({', '.join(shown)}){steps}"


class _MaskSequence:
    """A stand-in for the Generator of Dropout layers that returns predefined masks.

    Raise ValueError unless there is one mask for each Dropout, made of zeros and ones.
    """

    def __init__(self, layers: Sequence[Layer], masks: Sequence[ArrayLike], n_rows: int) -> None:
        count = sum(layer.rate > 0 for layer in _dropout_layers(layers))
        require(len(masks) == count, "len(masks)", f"be {count}, one mask for each Dropout", len(masks))
        self.masks = [np.asarray(mask, np.float64) for mask in masks]
        for i, mask in enumerate(self.masks):
            is_mask = mask.ndim == 2 and len(mask) == n_rows and bool(np.isin(mask, (0, 1)).all())
            require(is_mask, f"masks[{i}]", f"contain zeros and ones in {n_rows} rows", mask.tolist())

    def random(self, shape: tuple[int, ...], dtype: DTypeLike = np.float64) -> Array:
        """Return the next mask; Dropout keeps a value whose random number is at least its rate, so 1 but not 0."""
        mask = self.masks.pop(0)
        require(mask.shape == shape, "masks", f"have shape {shape}, that of the values to drop", mask.shape)
        return mask


def _dropout_layers(layers: Sequence[Layer]) -> Iterator[Dropout]:
    """Yield the Dropout layers, including those inside Residual blocks."""
    for layer in layers:
        if isinstance(layer, Dropout):
            yield layer
        elif isinstance(layer, Residual):
            yield from _dropout_layers(layer.layers)
