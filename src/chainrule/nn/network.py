"""A network: layers in a row, a loss at the end, and one vector that holds every parameter.

`theta` is the only home of the parameters; `params[i]` are named views into it, and `grad` with its views `grads[i]`
mirrors it. So an optimiser step, a copy, an average or an all-reduce is one operation on one vector.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from chainrule.arrays import (
    Array,
    all_finite,
    as_array,
    as_generator,
    as_matrix,
    as_weights,
    require,
    require_finite_rows,
    require_integer,
)
from chainrule.errors import GradientError, OutOfRangeError, look_up
from chainrule.nn.activations import ACTIVATIONS, ActivationFunction, zero_row
from chainrule.nn.initializers import SUITED_TO
from chainrule.nn.layers import Activation, Backward, Dense, Dropout, Layer, Params, as_layers, chain
from chainrule.nn.losses import Loss, RowLosses, as_loss
from chainrule.nn.own import is_own, require_forward
from chainrule.nn.vector import lay_out, size_of, views

PREDICT_ELEMENTS, PREDICT_ROWS = 2**21, 2048
"""Numbers that a layer may give at once at inference, and rows that may go through: measured to suit the caches."""
RELU = Activation("relu")
PROOF_ROWS = 10
"""Rows on which the gradient of a user's own loss, activation or layer is proved."""


class Network:
    """Layers in a row and a loss.

    Parameters
    ----------
    layers : sequence of Layer
        Their sizes must chain; at least one must say how many columns it takes.
    loss : str, Loss or function
        A name of `chainrule.nn.losses`, a loss object, or a function `(Z, Y) -> (losses, dZ)`.
    l1, l2 : float
        Penalties on the weight matrices `W`: l1 * sum |W| + l2 / 2 * sum W^2 is added to the loss.
    seed : int, Generator or None
        Draws the initial weights; None draws others each time.
    dtype : "float32" or "float64"

    Attributes
    ----------
    layers : tuple of Layer
    loss : Loss
    theta : array (n_parameters,)
        Every parameter. Assigning copies the values in.
    grad : array (n_parameters,)
        The last gradient, which the next one overwrites; `grads` are its views, layer by layer.
    params : list of dict
        For each layer its named arrays: views into `theta` and, for running statistics, into `buffers`.
    buffers : array
        Running statistics, which training keeps up and gradients do not touch.
    blocks : list of Block
        Where each parameter array lies in `theta`.
    n_in, n_out : int
        Columns taken and given.
    first_trainable : int
        The first layer with parameters: no derivative is asked of those before it.
    gradients_proved : bool
        False until a user's own loss, activation or layer has passed `check_gradients`.

    Raises
    ------
    ValueError
        When sizes do not chain (both layers are named), or an argument breaks its rule.

    Examples
    --------
    >>> net = Network([Dense(2, 3), Activation("sigmoid"), Dense(3, 1)], loss="squared_error", seed=0)
    >>> net.theta.shape, net.params[0]["W"].shape
    ((13,), (2, 3))
    >>> net.predict([[0.0, 1.0], [1.0, 0.0]]).shape
    (2, 1)
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        loss: str | Loss | RowLosses = "squared_error",
        *,
        l1: float = 0.0,
        l2: float = 0.0,
        seed: int | np.random.Generator | None = None,
        dtype: str = "float32",
    ) -> None:
        self._set_up(layers, loss, l1, l2, dtype)
        rng = as_generator(seed)
        for layer, params in zip(self.layers, self.params, strict=True):
            layer.init(params, rng)

    @classmethod
    def empty(cls, layers: Sequence[Layer], loss: str | Loss, *, l1: float, l2: float, dtype: str) -> Self:
        """Return a network whose every number is zero, for one who has the numbers; nothing is drawn."""
        network = cls.__new__(cls)
        network._set_up(layers, loss, l1, l2, dtype)
        return network

    def _set_up(self, layers: Sequence[Layer], loss: str | Loss | RowLosses, l1: float, l2: float, dtype: str) -> None:
        """Check the arguments and make everything but the initial values."""
        self.layers = as_layers(layers)
        sizes = chain(self.layers)
        if sizes is None:
            raise ValueError("layers must hold one layer at least that knows its size, such as Dense(2, 3)")
        self.n_in, self.n_out = sizes
        self.loss = as_loss(loss)
        require(0 <= l1 < np.inf, "l1", "be finite and >= 0", l1)
        require(0 <= l2 < np.inf, "l2", "be finite and >= 0", l2)
        self.l1, self.l2 = float(l1), float(l2)
        self.dtype = as_dtype(dtype)
        self.gradients_proved = not (is_own(self.loss) or any(map(is_own, self.layers)))
        self._allocate()

    def _allocate(self) -> None:
        """Make the vectors and the views into them."""
        self.blocks = lay_out([layer.shapes for layer in self.layers])
        running = lay_out([layer.buffer_shapes for layer in self.layers])
        self._theta = np.zeros(size_of(self.blocks), self.dtype)
        self.grad = np.zeros_like(self._theta)
        self.buffers = np.zeros(size_of(running), self.dtype)
        depth = len(self.layers)
        self.grads = views(self.grad, self.blocks, depth)
        kept = views(self.buffers, running, depth)
        self.params = [own | statistics for own, statistics in zip(views(self._theta, self.blocks, depth), kept)]
        widest = max(layer.sizes[1] for layer in self.layers if layer.sizes)
        # A relu may write over what Dense has just made: nobody else holds it.
        in_place = (layer == RELU and isinstance(before, Dense) for before, layer in pairwise((None, *self.layers)))
        self._steps = list(zip(self.layers, self.params, in_place))
        self._at_once = min(max(PREDICT_ELEMENTS // widest, 1), PREDICT_ROWS)
        self.first_trainable = min((block.layer for block in self.blocks), default=depth)

    @property
    def theta(self) -> Array:
        """Every parameter, one vector."""
        return self._theta

    @theta.setter
    def theta(self, values: ArrayLike) -> None:
        self._theta[...] = as_array(values, self._theta.shape, self.dtype, "theta")

    # Forward and backward: the whole of it.

    def forward(self, X: Array, rng: np.random.Generator | None = None) -> tuple[Array, list[Backward]]:
        """Return the raw outputs Z (n, n_out) and each layer's backward closure; `rng` given: training."""
        backwards = []
        for layer, params in zip(self.layers, self.params, strict=True):
            X, backward = layer.forward(X, params, rng)
            backwards.append(backward)
        return X, backwards

    def objective(
        self, X: Array, y: Array, weight: Array | None = None, rng: np.random.Generator | None = None
    ) -> tuple[float, Array]:
        """Return the loss with its penalties, and its gradient in theta, for arrays that `check` has returned.

        The gradient is `self.grad` itself, which the next call overwrites.
        """
        Z, backwards = self.forward(X, rng)
        value, dY = self.loss(Z, y, weight)
        for i in reversed(range(self.first_trainable, len(backwards))):
            dY = backwards[i](dY, self.grads[i], i > self.first_trainable)
        if self.l2:
            for W, dW in self._weight_matrices():
                dW += self.l2 * W
        if self.l1:
            for W, dW in self._weight_matrices():
                dW += self.l1 * np.sign(W)
        return value + self.penalty(), self.grad

    def penalty(self) -> float:
        """Return l1 * sum |W| + l2 / 2 * sum W^2 over the weight matrices."""
        value = 0.0
        if self.l2:
            value += 0.5 * self.l2 * sum(float(np.vdot(W, W)) for W, _ in self._weight_matrices())
        if self.l1:
            value += self.l1 * sum(float(np.abs(W).sum()) for W, _ in self._weight_matrices())
        return value

    def _weight_matrices(self) -> Iterator[tuple[Array, Array]]:
        """Yield each W and its gradient, as flat views."""
        for block in self.blocks:
            if block.kind == "W":
                yield self._theta[block.slice], self.grad[block.slice]

    # What a user calls.

    def predict(self, X: ArrayLike) -> Array:
        """Return the answers (n, n_out) for rows X (n, n_in), through the loss's link: a classifier's probabilities.

        Raises OutOfRangeError rather than answer NaN where rows are so large that a layer's output is not finite.
        """
        return self.loss.predict(self.outputs(X))

    def outputs(self, X: ArrayLike) -> Array:
        """Return the last layer's raw outputs Z (n, n_out): logits, for a classifier."""
        return self.infer(as_matrix(X, self.n_in, self.dtype, finite=False))

    def activations(self, X: ArrayLike) -> list[Array]:
        """Return each layer's output at inference, first to last, for rows X (n, n_in)."""
        outputs = [as_matrix(X, self.n_in, self.dtype)]
        for layer, params in zip(self.layers, self.params):
            outputs.append(layer.forward(outputs[-1], params)[0])
        return outputs[1:]

    def loss_and_grad(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        rng: np.random.Generator | None = None,
    ) -> tuple[float, Array]:
        """Return the loss with its penalties, and its gradient, a new vector of theta's shape.

        Parameters
        ----------
        X : (n, n_in)
        y : (n,) or (n, n_out)
            Class numbers, one-hot rows or numbers, as the loss takes them.
        sample_weight : (n,), optional
            What each row counts for in the mean.
        rng : Generator, optional
            Given: as in training, with dropout and the batch's own statistics; None: as at inference.
        """
        value, grad = self.objective(*self.check(X, y, sample_weight), rng)
        return value, grad.copy()

    def evaluate(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the loss with its penalties, at inference; arguments as for `loss_and_grad`."""
        return self.value(*self.check(X, y, sample_weight))

    def get_weights(self) -> list[Params]:
        """Return a copy of every layer's named arrays, running statistics included."""
        return [{name: array.copy() for name, array in params.items()} for params in self.params]

    def set_weights(self, weights: Sequence[Mapping[str, ArrayLike]]) -> None:
        """Copy each layer's named arrays in; all are checked before the first is changed.

        Raises ValueError naming the layer and array whose name, shape or values do not fit.
        """
        n_layers = len(self.layers)
        require(isinstance(weights, Sequence), "weights", "be a list, a dict for each layer", weights)
        require(len(weights) == n_layers, "len(weights)", f"be {n_layers}, a dict for each layer", len(weights))
        checked = []
        for i, (given, params) in enumerate(zip(weights, self.params)):
            require(isinstance(given, Mapping), f"weights[{i}]", f"be a dict with the names {list(params)}", given)
            require(set(given) == set(params), f"weights[{i}]", f"have the names {list(params)}", list(given))
            for name, array in params.items():
                checked.append((array, as_array(given[name], array.shape, self.dtype, f"weights[{i}][{name!r}]")))
        for array, values in checked:
            array[...] = values

    def per_parameter(self, values: Mapping[str, float], default: float = 1.0) -> Array:
        """Return a vector of theta's shape that holds one number a block.

        A key is a full name ("0.W"), or a kind ("W", "b", "scale", "gamma") for all blocks of it; the full name wins,
        and blocks not named get `default`.
        """
        known = {key for block in self.blocks for key in (block.full_name, block.kind)}
        for key in values:
            require(key in known, "a block", f"be one of {', '.join(sorted(known))}", key)
        vector = np.full_like(self._theta, default)
        for block in self.blocks:
            vector[block.slice] = values.get(block.full_name, values.get(block.kind, default))
        return vector

    def copy(self, dtype: str | None = None) -> Self:
        """Return an independent network with the same layers and values, in `dtype` if given."""
        twin = object.__new__(type(self))
        twin.__setstate__(self.__getstate__() | ({"dtype": as_dtype(dtype)} if dtype else {}))
        return twin

    def __getstate__(self) -> dict[str, Any]:
        """Views would come back as arrays of their own; so only what they are made from is kept."""
        left_out = ("blocks", "grad", "grads", "params", "_at_once", "_steps", "first_trainable")
        return {name: value for name, value in self.__dict__.items() if name not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        theta, buffers = state["_theta"], state["buffers"]
        self.__dict__.update(state)
        self._allocate()
        self._theta[...] = theta
        self.buffers[...] = buffers

    def __str__(self) -> str:
        rows = [("layer", "output", "parameters")]
        width = self.n_in
        for i, layer in enumerate(self.layers):
            width = layer.width_after(width)
            count = sum(block.size for block in self.blocks if block.layer == i)
            rows.append((f"{i}  {layer}", f"(n, {width})", f"{count:,}"))
        rows.append((f"loss {self.loss}", "", f"{self._theta.size:,}"))
        left, middle, right = (max(len(row[k]) for row in rows) for k in range(3))
        lines = [f"{a:<{left}}  {b:<{middle}}  {c:>{right}}" for a, b, c in rows]
        rule = "-" * len(lines[0])
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])

    def summary(self) -> None:
        """Print the layers as a table: what each gives and how many parameters it has."""
        print(self)

    # What training asks.

    def check(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[Array, Array, Array | None]:
        """Return X, y and weights in the form `objective` takes, or raise a ValueError that says what does not fit.

        The first call of a network with a user's own loss, activation or layer also proves its gradient on the first
        rows, and raises GradientError where it is wrong.
        """
        X = as_matrix(X, self.n_in, self.dtype)
        if not len(X):
            raise ValueError(f"X must have one row at least, got shape {X.shape}")
        y = self.loss.targets(y, self.n_out, self.dtype)
        if len(X) != len(y):
            raise ValueError(f"X and y must have as many rows, got {len(X)} and {len(y)}")
        weight = as_weights(sample_weight, len(X), self.dtype)
        self.prove_gradients(X[:PROOF_ROWS], y[:PROOF_ROWS])
        return X, y, weight

    def value(self, X: Array, y: Array, weight: Array | None = None) -> float:
        """Return what `evaluate` does, for arrays that `check` has returned."""
        total = 0.0
        for rows in self._slices(len(X)):
            part = None if weight is None else weight[rows]
            mean, _ = self.loss(self._through(X[rows]), y[rows], part)
            total += mean * (len(X[rows]) if part is None else float(part.sum()))
        return total / (len(X) if weight is None else float(weight.sum()) or 1) + self.penalty()

    def prove_gradients(self, X: Array, y: Array) -> None:
        """Raise GradientError if a user's own loss, activation or layer is wrong on these rows; look only once."""
        if self.gradients_proved:
            return
        from chainrule.nn.gradcheck import check_gradients  # a network that only answers has no use for it

        report = check_gradients(self, X, y)
        if not report.ok:
            raise GradientError(f"a loss, activation or layer of your own has a wrong derivative; {report}")
        self.gradients_proved = len(X) > 1  # one row cannot tell a mean from a sum

    def first_non_finite(self, X: Array, y: Array, weight: Array | None = None) -> str:
        """Name the first place, on the way forward and then back, where a number is not finite; "" if all are."""
        for i, A in enumerate(self.activations(X)):
            if not np.isfinite(A).all():
                return f"the output of layer {i}, {self.layers[i]}"
        value, grad = self.objective(X, y, weight)
        if not np.isfinite(value):
            return f"the loss, {self.loss}"
        for block in reversed(self.blocks):
            if not np.isfinite(grad[block.slice]).all():
                return f"the gradient of {block.full_name}"
        return ""

    def largest_output(self, X: Array) -> str:
        """Name the layer whose output is the largest for rows X, and the number, with its size."""
        sizes = [float(np.abs(A).max()) for A in self.activations(X)]
        i = int(np.argmax(sizes))
        return f"the output of layer {i}, {self.layers[i]}: {sizes[i]:.3g}"

    # How rows are answered: slice by slice.

    def infer(self, X: Array) -> Array:
        """Return what `outputs` does for rows (n, n_in) of the network's dtype, read in slices.

        Raises ValueError naming row and column of what is not finite.
        """
        if not self.gradients_proved:
            require_finite_rows(X[:PROOF_ROWS])
            require_forward(self, X[:PROOF_ROWS])
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is looked for
            if len(X) <= self._at_once:
                Z = self._outputs_of_slice(X[:])
            else:
                Z = np.concatenate([self._outputs_of_slice(X[rows], rows.start) for rows in self._slices(len(X))])
        self._require_finite(Z, X)
        return Z

    def _outputs_of_slice(self, X: Array, first: int = 0) -> Array:
        """Return the last layer's output for a few rows, those from `first` on, as `infer` does."""
        layer, params, _ = self._steps[0]
        A = layer.forward(X, params)[0]
        # A row that is not finite leaves no output of a Dense layer finite, and there are fewer of these to look at.
        if not (isinstance(layer, Dense) and all_finite(A)):
            require_finite_rows(X, first=first)
        return self._through(A, 1)

    def _through(self, X: Array, first: int = 0) -> Array:
        """Return what the layers from the `first` on make of a few rows; an output is kept until the next is there."""
        for layer, params, in_place in self._steps[first:]:
            X = np.maximum(X, zero_row(X), out=X) if in_place else layer.forward(X, params)[0]
        return X

    def _slices(self, n: int) -> list[slice]:
        """Cut n rows into slices that go through the network at once."""
        return [slice(start, start + self._at_once) for start in range(0, max(n, 1), self._at_once)]

    def _require_finite(self, Z: Array, X: Array) -> None:
        """Raise OutOfRangeError, naming row and layer, unless the outputs Z for rows X are finite."""
        if all_finite(Z):
            return
        row = int(np.argmin(np.isfinite(Z).all(axis=1)))
        with np.errstate(all="ignore"):
            sound = [bool(np.isfinite(A).all()) for A in self.activations(X[row : row + 1])]
        i = sound.index(False) if False in sound else len(sound) - 1
        raise OutOfRangeError(
            f"X must be small enough for {self.dtype}, got for X[{row}], whose largest number is "
            f"{np.abs(X[row : row + 1]).max():.3g}, the output of layer {i}, {self.layers[i]} is not finite"
        )


def mlp(
    *sizes: int,
    activation: str | ActivationFunction = "relu",
    output_activation: str | ActivationFunction = "identity",
    loss: str | Loss | RowLosses = "squared_error",
    weights: str | None = None,
    biases: str = "zeros",
    dropout: float = 0.0,
    l1: float = 0.0,
    l2: float = 0.0,
    seed: int | np.random.Generator | None = None,
    dtype: str = "float32",
) -> Network:
    """Return a multilayer perceptron: Dense layers of these sizes with an activation after each but the last.

    Parameters
    ----------
    *sizes : int
        Inputs, hidden units of each layer, outputs: `mlp(784, 30, 10)`.
    activation, output_activation : str or function
        After every hidden layer, and after the last.
    weights, biases : str
        Initialisers; `weights=None` takes the one suited to the activation, He's for relu and its like.
    dropout : float
        Share of each hidden layer's units dropped in training.
    loss, l1, l2, seed, dtype
        As for `Network`.

    Examples
    --------
    >>> mlp(2, 3, 2, activation="sigmoid", loss="cross_entropy", seed=0).summary()
    layer                                   output  parameters
    ----------------------------------------------------------
    0  Dense(2, 3)                          (n, 3)           9
    1  Activation('sigmoid')                (n, 3)           0
    2  Dense(3, 2)                          (n, 2)           8
    ----------------------------------------------------------
    loss CrossEntropy(label_smoothing=0.0)                  17
    """
    require(len(sizes) >= 2, "sizes", "hold inputs and outputs, two numbers at least", sizes)
    for i, size in enumerate(sizes):
        require_integer(size, f"sizes[{i}]")
    require(0 <= dropout < 1, "dropout", "be in [0, 1)", dropout)
    for argument, function in (("activation", activation), ("output_activation", output_activation)):
        if isinstance(function, str):
            look_up(ACTIVATIONS, function, argument)
    if weights is None:
        weights = SUITED_TO.get(activation, "glorot_uniform") if isinstance(activation, str) else "glorot_uniform"
    layers: list[Layer] = []
    for n_in, n_out in pairwise(sizes[:-1]):
        layers += [Dense(n_in, n_out, weights, biases), Activation(activation)]
        if dropout:
            layers.append(Dropout(dropout))
    layers.append(Dense(sizes[-2], sizes[-1], weights, biases))
    if output_activation != "identity":
        layers.append(Activation(output_activation))
    return Network(layers, loss, l1=l1, l2=l2, seed=seed, dtype=dtype)


def as_dtype(dtype: str) -> np.dtype[Any]:
    """Return float32 or float64, or raise ValueError."""
    name = dtype if isinstance(dtype, str) else np.dtype(dtype).name
    return np.dtype(look_up({"float32": np.float32, "float64": np.float64}, name, "dtype"))
