r"""One training step as data: every quantity of the way forward, of the way back and of the optimiser's step.

    trace(net, X, y) -> Trace

A trace is a list of quantities. Each knows its formula in two notations, its values, and how it is made of earlier
ones: so a trace can be read, shown, set as an exercise, and proved (`Trace.verify`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import Field, dataclass, fields
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from chainrule.arrays import Array, require
from chainrule.errors import look_up, shorten
from chainrule.insight.tracing.layers import record
from chainrule.insight.tracing.losses import record_loss, record_penalty
from chainrule.insight.tracing.passes import Pass
from chainrule.insight.tracing.quantities import Quantity, Symbol, Tape
from chainrule.insight.tracing.steps import record_steps
from chainrule.nn.layers import Dropout, Layer, Residual
from chainrule.nn.network import Network
from chainrule.training.optimizers import SGD, Optimizer, as_optimizer

if TYPE_CHECKING:
    from chainrule.insight.tracing.exercise import Exercise
    from chainrule.insight.tracing.proof import Proof


@dataclass(frozen=True, eq=False)
class Trace:
    """One training step: its quantities in the order in which they are computed.

    `trace["z1"]` is a quantity by its name; a trace prints as text and shows as a page in a notebook.

    Attributes
    ----------
    quantities : tuple of Quantity
    network : str
        Its layers.
    loss : str
    optimizer : str
    n_rows : int
        Rows of data.
    columns, outputs : tuple of str
        What the columns of X and the network's outputs are called; empty where nobody has said.
    """

    quantities: tuple[Quantity, ...]
    network: str
    loss: str
    optimizer: str
    n_rows: int
    columns: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Quantity:
        return look_up({quantity.name: quantity for quantity in self.quantities}, name, "name")

    def __iter__(self) -> Iterator[Quantity]:
        return iter(self.quantities)

    def __len__(self) -> int:
        return len(self.quantities)

    @property
    def title(self) -> str:
        """What it is a trace of, in a line."""
        rows = "one row" if self.n_rows == 1 else f"{self.n_rows:,} rows"
        return f"One training step on {rows}: {self.network}, {self.loss}, {self.optimizer}"

    @property
    def legend(self) -> list[str]:
        """What the first forty columns and outputs are called, a line each, where that has been said."""
        named = {"columns of X": self.columns, "outputs": self.outputs}
        return [f"{of}: {shorten(names, 40)}" for of, names in named.items() if names]

    def to_text(self, notation: str = "row") -> str:
        """Return all lines as text for a terminal; `notation` is "row" or "column"."""
        from chainrule.insight.tracing.text import as_page

        return as_page(self, notation)

    def to_latex(self, notation: str = "row") -> str:
        """Return the body of a LaTeX document that loads amsmath; `notation` is "row" or "column"."""
        from chainrule.insight.tracing.text import as_latex

        return as_latex(self, notation)

    def to_html(self, notation: str = "row") -> str:
        """Return a page that needs no network, in which a weight's way through the chain rule lights up.

        It opens in the notation "row" or "column" and can be switched to the other.
        """
        from chainrule.insight.tracing.page import as_html

        return as_html(self, notation)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain texts, numbers, lists and dicts, which `json.dumps` takes."""
        from chainrule.insight.tracing.text import as_dict

        return as_dict(self)

    def verify(self) -> Proof:
        """Find every line again from its sources, and hold every derivative against finite differences, in float64."""
        from chainrule.insight.tracing.proof import prove

        return prove(self)

    def exercise(self, blanks: int | str | Sequence[str] = 5, seed: int = 0) -> Exercise:
        """Return the trace with blanks to be filled in: so many, drawn by `seed`, or those of these names."""
        from chainrule.insight.tracing.exercise import Exercise

        return Exercise.of(self, blanks, seed)

    def __repr__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        page = escape(self.to_html(), quote=True)
        return f'<iframe srcdoc="{page}" style="width: 100%; height: 40rem; border: 0" title="trace"></iframe>'


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
    r"""Return every quantity of one training step, without taking it: forward, loss, back, and the optimiser's step.

    All is computed in float64, whatever the network's dtype, so that every digit that is shown holds.

    Parameters
    ----------
    net : Network
        Not changed: the trace is of a copy.
    X, y, sample_weight
        As for `net.loss_and_grad`; one row or several.
    optimizer : str or Optimizer, optional
        Whose step is shown, with the moments that it has; it is not changed. None: `SGD()`, gradient descent.
    rate : float, optional
        The learning rate of the step; None: the optimiser's own.
    rng : Generator, optional
        Given: as in training, with dropout's masks drawn from a copy of it, and the batch's own statistics; None: as at
        inference.
    masks : sequence of arrays, optional
        As in training, with these masks, of ones where a Dropout keeps and zeros where it drops; one for each Dropout,
        in the order of the layers.
    columns, outputs : sequence of str, optional
        What the columns of X and the outputs are called, to be told above the lines.

    Returns
    -------
    Trace

    Raises
    ------
    ValueError
        When an argument breaks its rule.
    GradientError
        When the network has an activation that has no derivative.

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
    require(rng is None or masks is None, "rng", "be None where masks are given", rng)
    require(isinstance(net, Network), "net", "be a Network", net)
    for argument, names, n in (("columns", columns, net.n_in), ("outputs", outputs, net.n_out)):
        require(len(names) in (0, n), argument, f"be {n} names", names)
    optimizer = at_rate(SGD() if optimizer is None else as_optimizer(optimizer), rate)
    whole, net = (net.copy(dtype="float64") for _ in range(2))
    whole.gradients_checked = True  # a wrong derivative is shown, and `verify` names its line
    X, y, weight = whole.check(X, y, sample_weight)
    if masks is not None:
        rng = cast(np.random.Generator, GivenMasks(net.layers, masks, len(X)))
    value, _ = whole.objective(X, y, weight, deepcopy(rng))

    tape = Tape(len(X))
    out = tape.give(Symbol("X", "X", "a", "x,0" if len(X) > 1 else "0"), X)
    rng, ways_back = deepcopy(rng), []
    for i, layer in enumerate(net.layers):
        passing = Pass(tape, f"{i}.", layer, net.params[i], whole.grads[i], (net.l1, net.l2), rng)
        out, back = record(passing, out)
        ways_back.append(back)
    matrices = [tape.parameters[block.full_name] for block in net.blocks if block.kind == "W"]
    penalty = partial(record_penalty, tape, matrices, net.l1, net.l2) if net.l1 or net.l2 else None
    derivative = record_loss(tape, net.loss, out, y, weight, value, penalty)()
    for i in reversed(range(net.first_trainable, len(net.layers))):
        derivative = ways_back[i](derivative, i > net.first_trainable)
    record_steps(tape, whole, optimizer, tape.parameters)
    layers = ", ".join(map(str, net.layers))
    return Trace(tuple(tape), layers, str(net.loss), told(optimizer), len(X), tuple(columns), tuple(outputs))


def at_rate(optimizer: Optimizer, rate: float | None) -> Optimizer:
    """Return a copy of an optimiser, moments and all, with this learning rate if one is given."""
    mover = deepcopy(optimizer)
    if rate is not None:
        require(0 < rate < np.inf, "rate", "be finite and > 0", rate)
        mover.learning_rate = rate
    return mover


def told(optimizer: Optimizer) -> str:
    """Return an optimiser with its rate, what differs from its defaults, and how many steps it has taken."""
    options = [option for option in fields(optimizer) if option.init]
    shown = [f"{option.name}={getattr(optimizer, option.name)}" for option in options if is_told(optimizer, option)]
    begun = f" after {optimizer.steps:,} steps" if optimizer.steps else ""
    return f"{type(optimizer).__name__}({', '.join(shown)}){begun}"


def is_told(optimizer: Optimizer, option: Field[Any]) -> bool:
    """Tell whether an option of an optimiser is shown; a vector would be too long."""
    value = getattr(optimizer, option.name)
    return np.ndim(value) == 0 and (option.name == "learning_rate" or value != option.default)


class GivenMasks:
    """Stands in for a Generator where Dropout draws: what it gives makes the layers' masks the given ones.

    Raises ValueError for masks that are not one for each Dropout, of zeros and ones.
    """

    def __init__(self, layers: Sequence[Layer], masks: Sequence[ArrayLike], n_rows: int) -> None:
        count = sum(layer.rate > 0 for layer in dropouts(layers))
        require(len(masks) == count, "masks", f"hold {count} masks, one for each Dropout", f"{len(masks)} masks")
        self.masks = [np.asarray(mask, np.float64) for mask in masks]
        for i, mask in enumerate(self.masks):
            is_mask = mask.ndim == 2 and len(mask) == n_rows and bool(np.isin(mask, (0, 1)).all())
            require(is_mask, f"masks[{i}]", f"hold zeros and ones in {n_rows} rows", mask.tolist())

    def random(self, shape: tuple[int, ...], dtype: DTypeLike = np.float64) -> Array:
        """Return the next mask as numbers that Dropout holds against its rate: 1 is kept, 0 is not."""
        mask = self.masks.pop(0)
        require(mask.shape == shape, "masks", f"have the shape {shape} of what is dropped", mask.shape)
        return mask


def dropouts(layers: Sequence[Layer]) -> Iterator[Dropout]:
    """Yield the Dropout layers, those inside Residuals too."""
    for layer in layers:
        if isinstance(layer, Dropout):
            yield layer
        elif isinstance(layer, Residual):
            yield from dropouts(layer.layers)
