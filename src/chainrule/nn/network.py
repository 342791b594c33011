"""A network: a chain of layers, a loss, and one vector that contains every parameter.

`theta` owns the parameters; `params[i]["W"]` and its like are views of it, and `grad` with its views `grads[i]` mirrors
it. An optimizer step, a copy, an average or an all-reduce is therefore one operation on one vector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from os import PathLike
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from chainrule.arrays import Array, as_array, as_dtype, as_generator, as_matrix, as_weights, require, require_integer
from chainrule.display import Shown, text_table
from chainrule.errors import look_up, remedy_for, suggest_keywords
from chainrule.nn import inference
from chainrule.nn.activations import ActivationFunction, find_activation
from chainrule.nn.custom import is_custom
from chainrule.nn.initializers import DEFAULT_INITIALIZERS
from chainrule.nn.layers import Activation, Backward, Dense, Dropout, Layer, Params, as_layers, chain
from chainrule.nn.losses import Loss, RowLosses, as_loss
from chainrule.nn.vector import lay_out, size_of, views


@suggest_keywords
class Network(Shown):
    """A chain of layers and a loss.

    Parameters
    ----------
    layers : sequence of Layer
        The output size of each must be the input size of the next; at least one must know its sizes.
    loss : str, Loss or function
        A name from `chainrule.losses`, a Loss, or a function `(Z, Y) -> (losses, dZ)`.
    l1, l2 : float
        Penalties on the weight matrices `W`: l1 * sum |W| + l2 / 2 * sum W^2 is added to the loss.
    seed : int, Generator or None
        Seed for the initial weights; None draws different ones each time.
    dtype : "float32" or "float64"

    Attributes
    ----------
    layers : tuple of Layer
    loss : Loss
    theta : array (n_parameters,)
        Every parameter. Assigning to it copies the values in.
    grad : array (n_parameters,)
        The latest gradient, overwritten by the next one; `grads` are its views, layer by layer.
    params : list of dict
        The named arrays of each layer: views of `theta` and, for running statistics, of `buffers`.
    buffers : array
        Running statistics, updated in training mode; they have no gradient.
    alpha : float
        scikit-learn's L2 penalty, alpha / 2 * sum W^2 divided by the total weight of the batch; default: 0. A term of
        `objective` alone: on rows that were not trained on it has no meaning.
    blocks : list of Block
        The position of each parameter array in `theta`.
    n_in, n_out : int
        Number of inputs and outputs.
    first_trainable : int
        Index of the first layer with parameters; no derivative is computed below it.
    gradients_checked : bool
        False until a custom loss, activation or layer has passed `check_gradients`.

    Raises
    ------
    ValueError
        If the sizes of two layers do not fit (both are named), or an argument is invalid.

    Examples
    --------
    >>> net = Network([Dense(2, 3), Activation("sigmoid"), Dense(3, 1)], loss="squared_error", seed=0)
    >>> net.theta.shape, net.params[0]["W"].shape
    ((13,), (2, 3))
    >>> net.predict([[0.0, 1.0], [1.0, 0.0]]).shape
    (2,)
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
        """Return a network whose parameters are all zero, to be filled by the caller; nothing is drawn."""
        network = cls.__new__(cls)
        network._set_up(layers, loss, l1, l2, dtype)
        return network

    def _set_up(self, layers: Sequence[Layer], loss: str | Loss | RowLosses, l1: float, l2: float, dtype: str) -> None:
        self.layers = as_layers(layers)
        sizes = chain(self.layers)
        if sizes is None:
            raise ValueError("layers must include at least one that knows its sizes, such as Dense(2, 3)")
        self.n_in, self.n_out = sizes
        self.loss = as_loss(loss)
        require(0 <= l1 < np.inf, "l1", "be finite and >= 0", l1)
        require(0 <= l2 < np.inf, "l2", "be finite and >= 0", l2)
        self.l1, self.l2, self.alpha = float(l1), float(l2), 0.0
        self.dtype = as_dtype(dtype)
        self.gradients_checked = not (is_custom(self.loss) or any(map(is_custom, self.layers)))
        self._allocate()

    def _allocate(self, theta: Array | None = None) -> None:
        """Make the vectors, of which theta may be given, and the views of them."""
        self.blocks = lay_out([layer.shapes for layer in self.layers])
        statistics = lay_out([layer.buffer_shapes for layer in self.layers])
        self._theta = np.zeros(size_of(self.blocks), self.dtype) if theta is None else theta
        self.grad = np.zeros_like(self._theta)
        self.buffers = np.zeros(size_of(statistics), self.dtype)
        depth = len(self.layers)
        self.grads = views(self.grad, self.blocks, depth)
        weights, running = views(self._theta, self.blocks, depth), views(self.buffers, statistics, depth)
        self.params = [own | kept for own, kept in zip(weights, running)]
        self.plan = inference.Plan.of(self.layers, self.params)
        self.first_trainable = min((block.layer for block in self.blocks), default=depth)
        self._weight_matrices = [
            (self._theta[block.slice], self.grad[block.slice]) for block in self.blocks if block.kind == "W"
        ]

    @property
    def theta(self) -> Array:
        """Every parameter, as one vector."""
        return self._theta

    @theta.setter
    def theta(self, values: ArrayLike) -> None:
        self._theta[...] = as_array(values, self._theta.shape, self.dtype, "theta")

    # Forward and backward: all of it.

    def forward(self, X: Array, rng: np.random.Generator | None = None) -> tuple[Array, list[Backward]]:
        """Return the raw outputs Z (n, n_out) and the backward closure of each layer. With `rng`: training mode."""
        backwards = []
        for layer, params in zip(self.layers, self.params, strict=True):
            X, backward = layer.forward(X, params, rng)
            backwards.append(backward)
        return X, backwards

    def objective(
        self, X: Array, y: Array, weight: Array | None = None, rng: np.random.Generator | None = None
    ) -> tuple[float, Array]:
        """Return the loss with its penalties, and its gradient with respect to theta, for arrays returned by `check`.

        The gradient is `self.grad` itself, which the next call overwrites; `loss_and_grad` returns a copy.
        """
        Z, backwards = self.forward(X, rng)
        value, dY = self.loss(Z, y, weight)  # dY: with respect to the output of a layer, first of the last one
        for i in reversed(range(self.first_trainable, len(backwards))):
            # The chain rule: layer i writes its dW and db into grads[i], views of grad, and returns its dX, which is
            # the dY of the layer before; nobody needs that of the first one.
            dY = backwards[i](dY, self.grads[i], i > self.first_trainable)
        if self.l1 or self.l2 or self.alpha:
            value += self.penalize(X, weight)
        return value, self.grad

    def penalize(self, X: Array, weight: Array | None) -> float:
        """Add the gradient of the penalties for a batch to `grad`, and return their value."""
        l1, l2 = self.l1, self.l2
        if self.alpha:
            l2 += self.alpha / (len(X) if weight is None else float(weight.sum()) or np.inf)
        if l2:
            for W, dW in self._weight_matrices:
                dW += l2 * W
        if l1:
            for W, dW in self._weight_matrices:
                dW += l1 * np.sign(W)
        return self._penalty(l1, l2)

    def _penalty(self, l1: float, l2: float) -> float:
        """l1 * sum |W| + l2 / 2 * sum W^2 over the weight matrices."""
        value = 0.0
        if l2:
            value += 0.5 * l2 * sum(float(np.vdot(W, W)) for W, _ in self._weight_matrices)
        if l1:
            value += l1 * sum(float(np.abs(W).sum()) for W, _ in self._weight_matrices)
        return value

    # Predictions.

    def __call__(self, X: ArrayLike) -> Array:
        """Return the outputs (n, n_out) through the loss's link function: probabilities for a classifier.

        `X` is (n, n_in). Raises OutOfRangeError where values overflow inside the network, rather than returning NaN.
        """
        return self.loss.predict(self.outputs(X))

    def predict(self, X: ArrayLike) -> Array:
        """Return the predicted class numbers (n,), or numbers: (n,) for one output, (n, n_out) for several.

        A network with `binary_cross_entropy` predicts 0 or 1 for each of its outputs.
        """
        return self.loss.decide(self(X))

    def predict_proba(self, X: ArrayLike) -> Array:
        """Return the probability of each class (n, n_classes), or of each of several labels (n, n_out).

        Raises ValueError if the loss is not one for classes.
        """
        require(self.loss.is_classification, "loss", "be one for classes, such as cross_entropy", str(self.loss))
        P = self(X)
        return np.hstack([1 - P, P]) if self.n_out == 1 else P

    def outputs(self, X: ArrayLike) -> Array:
        """Return the raw outputs Z (n, n_out) of the last layer: logits, for a classifier."""
        return self.infer(as_matrix(X, self.n_in, self.dtype, finite=False))

    def infer(self, X: Array) -> Array:
        """Return the raw outputs for an array (n, n_in) of the network's dtype."""
        return inference.infer(self, X)

    def activations(self, X: ArrayLike) -> list[Array]:
        """Return the output of every layer, in inference mode, for rows X (n, n_in)."""
        return inference.activations(self, as_matrix(X, self.n_in, self.dtype))

    # Losses.

    def loss_and_grad(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        rng: np.random.Generator | None = None,
    ) -> tuple[float, Array]:
        """Return the loss with its penalties, and a copy of its gradient with respect to theta.

        The first call of a network with a custom loss, activation or layer checks its gradient.

        Parameters
        ----------
        X : (n, n_in)
        y : (n,) or (n, n_out)
            Class numbers, one-hot rows or numbers, as the loss requires.
        sample_weight : (n,), optional
            Weight of each row in the mean.
        rng : Generator, optional
            If given, training mode: dropout, and the batch's own statistics. None: inference mode.

        Raises
        ------
        ValueError
            If an argument does not fit.
        GradientError
            If a custom part has a wrong derivative.
        """
        from chainrule.nn.gradcheck import require_gradients  # prediction never needs it

        arrays = self.check(X, y, sample_weight)
        require_gradients(self, *arrays[:2])
        value, grad = self.objective(*arrays, rng)
        return value, grad.copy()

    def evaluate(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the loss with its penalties, in inference mode; arguments as for `loss_and_grad`."""
        return self.value(*self.check(X, y, sample_weight))

    def value(self, X: Array, y: Array, weight: Array | None = None) -> float:
        """Return what `evaluate` returns, for arrays returned by `check`."""
        return inference.mean_loss(self, X, y, weight) + self._penalty(self.l1, self.l2)

    def check(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[Array, Array, Array | None]:
        """Return X, y and weights in the form `objective` requires, or raise ValueError."""
        X = as_matrix(X, self.n_in, self.dtype)
        require(len(X) > 0, "X", "have at least one row", X.shape)
        y = self.loss.targets(y, self.n_out, self.dtype)
        if len(X) != len(y):
            raise ValueError(f"X and y must have the same number of rows, got {len(X)} and {len(y)}")
        return X, y, as_weights(sample_weight, len(X), self.dtype)

    # Parameters.

    def get_weights(self) -> list[Params]:
        """Return a copy of every layer's named arrays, including running statistics."""
        return [{name: array.copy() for name, array in params.items()} for params in self.params]

    def set_weights(self, weights: Sequence[Mapping[str, ArrayLike]]) -> None:
        """Copy every layer's named arrays in; all are checked before the first one changes.

        Raises ValueError naming the layer and array whose name, shape or values do not fit.
        """
        n_layers = len(self.layers)
        require(isinstance(weights, Sequence), "weights", "be a list with a dict for each layer", weights)
        require(len(weights) == n_layers, "len(weights)", f"be {n_layers}, a dict for each layer", len(weights))
        checked = []
        for i, (given, params) in enumerate(zip(weights, self.params)):
            require(isinstance(given, Mapping), f"weights[{i}]", f"be a dict with the keys {list(params)}", given)
            require(set(given) == set(params), f"weights[{i}]", f"have the keys {list(params)}", list(given))
            for name, array in params.items():
                checked.append((array, as_array(given[name], array.shape, self.dtype, f"weights[{i}][{name!r}]")))
        for array, values in checked:
            array[...] = values

    def per_parameter(self, values: Mapping[str, float], default: float = 1.0) -> Array:
        """Return a vector with the shape of theta that has one value for each block.

        A key is a full name ("0.W"), or a kind ("W", "b", "scale", "gamma") for every block of it; the full name takes
        precedence, and blocks that are not named get `default`.
        """
        known = {key for block in self.blocks for key in (block.full_name, block.kind)}
        for key in values:
            look_up(dict.fromkeys(sorted(known)), key, "a block")
        vector = np.full_like(self._theta, default)
        for block in self.blocks:
            vector[block.slice] = values.get(block.full_name, values.get(block.kind, default))
        return vector

    # Copies, files and display.

    def copy(self, dtype: str | None = None) -> Self:
        """Return an independent network with the same layers and values, in `dtype` if given."""
        twin = object.__new__(type(self))
        twin.__setstate__(self.__getstate__() | ({"dtype": as_dtype(dtype)} if dtype else {}))
        return twin

    def __getstate__(self) -> dict[str, Any]:
        # A copied view would be an array of its own: only what the views are made from is kept.
        derived = ("blocks", "grad", "grads", "params", "plan", "first_trainable", "_weight_matrices")
        return {name: value for name, value in self.__dict__.items() if name not in derived}

    def __setstate__(self, state: dict[str, Any]) -> None:
        theta, buffers = state["_theta"], state["buffers"]
        self.__dict__.update(state)
        self._allocate()
        self._theta[...] = theta
        self.buffers[...] = buffers

    def move_to(self, theta: Array) -> None:
        """Keep the parameters in this vector from now on: a row of a matrix with those of other networks, say."""
        theta[...], buffers = self._theta, self.buffers
        self._allocate(theta)
        self.buffers[...] = buffers

    def __getattr__(self, name: str) -> Any:
        # Called only for a name that does not exist.
        raise AttributeError(f"a Network has no attribute {name!r}{remedy_for(name, dir(type(self)))}")

    def save(self, path: str | PathLike[str]) -> None:
        """Save the network to a file; see `chainrule.save`."""
        from chainrule import save

        save(self, path)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Network:
        """Load a network from a file; raises ModelFileError if the file is not a network's."""
        from chainrule import load
        from chainrule.errors import ModelFileError

        network = load(path)
        if not isinstance(network, cls):
            raise ModelFileError(f"{path} contains a {type(network).__name__}. Load it with chainrule.load.")
        return network

    def summary(self) -> None:
        """Print the layers as a table with their output shapes and numbers of parameters."""
        print(self)

    def __repr__(self) -> str:
        rows = [("layer", "output", "parameters")]
        width = self.n_in
        for i, layer in enumerate(self.layers):
            width = layer.width_after(width)
            count = sum(block.size for block in self.blocks if block.layer == i)
            rows.append((f"{i}  {layer}", f"(n, {width})", f"{count:,}"))
        return text_table([*rows, (f"loss {self.loss}", "", f"{self._theta.size:,}")])


@suggest_keywords
def mlp(
    *sizes: int | Sequence[int],
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
    """Return a multilayer perceptron: Dense layers of these sizes, with an activation after each but the last.

    Parameters
    ----------
    *sizes : int
        Inputs, units of each hidden layer, outputs: `mlp(784, 30, 10)`, or `mlp([784, 30, 10])`.
    activation, output_activation : str or function
        Activation of the hidden layers, and of the last one.
    weights, biases : str
        Initializers; `weights=None` takes the one suited to the activation, such as He's for relu.
    dropout : float
        Fraction of the units of each hidden layer that is dropped in training.
    loss, l1, l2, seed, dtype
        As for `Network`.

    Examples
    --------
    >>> mlp(2, 3, 2, activation="sigmoid", loss="cross_entropy", seed=0)
    layer                                   output  parameters
    ----------------------------------------------------------
    0  Dense(2, 3)                          (n, 3)           9
    1  Activation('sigmoid')                (n, 3)           0
    2  Dense(3, 2)                          (n, 2)           8
    ----------------------------------------------------------
    loss CrossEntropy(label_smoothing=0.0)                  17
    """
    given: Any = sizes[0] if len(sizes) == 1 and np.ndim(sizes[0]) == 1 else sizes
    widths = tuple(given)
    require(len(widths) >= 2, "sizes", "have at least two entries, the numbers of inputs and outputs", widths)
    for i, width in enumerate(widths):
        require_integer(width, f"sizes[{i}]")
    require(0 <= dropout < 1, "dropout", "be in [0, 1)", dropout)
    activation = find_activation(activation, "activation")
    output_activation = find_activation(output_activation, "output_activation")
    if weights is None:
        weights = DEFAULT_INITIALIZERS.get(activation, "glorot_uniform") if isinstance(activation, str) else None
    layers: list[Layer] = []
    for n_in, n_out in pairwise(widths[:-1]):
        layers += [Dense(n_in, n_out, weights or "glorot_uniform", biases), Activation(activation)]
        if dropout:
            layers.append(Dropout(dropout))
    layers.append(Dense(widths[-2], widths[-1], weights or "glorot_uniform", biases))
    if output_activation != "identity":
        layers.append(Activation(output_activation))
    return Network(layers, loss, l1=l1, l2=l2, seed=seed, dtype=dtype)
