"""Random networks against PyTorch in float64: losses, gradients and whole trainings. Skipped without PyTorch."""

import numpy as np
import pytest

from chainrule import (
    SGD,
    Activation,
    Adam,
    AdamW,
    BatchNorm,
    Dense,
    LayerNorm,
    Network,
    Residual,
    RMSProp,
    Scale,
    train,
)
from chainrule.losses import BinaryCrossEntropy, CrossEntropy, Huber, Poisson, SquaredError

torch = pytest.importorskip("torch")
F = torch.nn.functional

ACTIVATIONS = {
    "identity": lambda Z: Z,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "leaky_relu": lambda Z: F.leaky_relu(Z, 0.01),
    "elu": F.elu,
    "selu": F.selu,
    "softplus": F.softplus,
    "silu": F.silu,
    "gelu": lambda Z: F.gelu(Z, approximate="tanh"),
    "mish": F.mish,
}
LOSSES = {
    "squared error": (SquaredError(), lambda Z, y: 0.5 * ((Z - y) ** 2).sum(1).mean()),
    "huber": (Huber(0.7), lambda Z, y: F.huber_loss(Z, y, delta=0.7, reduction="none").sum(1).mean()),
    "poisson": (Poisson(), lambda Z, y: F.poisson_nll_loss(Z, y, reduction="none").sum(1).mean()),
    "binary cross-entropy": (
        BinaryCrossEntropy(),
        lambda Z, y: F.binary_cross_entropy_with_logits(Z, y, reduction="none").sum(1).mean(),
    ),
    "cross-entropy": (CrossEntropy(), F.cross_entropy),
    "smoothed cross-entropy": (CrossEntropy(0.1), lambda Z, y: F.cross_entropy(Z, y, label_smoothing=0.1)),
}
OPTIMIZERS = {
    "sgd": (SGD(0.05, 0.9), lambda p: torch.optim.SGD(p, 0.05, momentum=0.9)),
    "rmsprop": (RMSProp(0.01), lambda p: torch.optim.RMSprop(p, 0.01, alpha=0.9)),
    "adam": (Adam(0.01), lambda p: torch.optim.Adam(p, 0.01)),
    "adamw": (AdamW(0.01, weight_decay=0.1), lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1)),
}


def random_layers(rng, width, n_out):
    layers = []
    for _ in range(rng.integers(1, 4)):
        n_in, width = width, int(rng.integers(2, 9))
        activation = str(rng.choice(list(ACTIVATIONS)))
        layers += [Scale(n_in)] * int(rng.integers(2)) + [Dense(n_in, width), Activation(activation)]
        extra = rng.integers(4)
        if extra < 2:
            layers.append([LayerNorm, BatchNorm][extra](width))
        elif extra == 2:
            layers.append(Residual([Dense(width, 3), Activation("tanh"), Dense(3, width)]))
    return [*layers, Dense(width, n_out)]


def forward(layers, params, X):
    """The network in PyTorch's own functions, in training mode."""
    for i, layer in enumerate(layers):
        own = {name.removeprefix(f"{i}."): p for name, p in params.items() if name.startswith(f"{i}.")}
        if isinstance(layer, Dense):
            X = X @ own["W"] + own["b"]
        elif isinstance(layer, Activation):
            X = ACTIVATIONS[layer.function](X)
        elif isinstance(layer, Scale):
            X = X * own["scale"]
        elif isinstance(layer, LayerNorm):
            X = F.layer_norm(X, (layer.n,), own["gamma"], own["beta"], layer.epsilon)
        elif isinstance(layer, BatchNorm):
            X = F.batch_norm(X, None, None, own["gamma"], own["beta"], training=True, eps=layer.epsilon)
        else:
            X = X + forward(layer.layers, own, X)
    return X


def case(seed):
    rng = np.random.default_rng(seed)
    loss, theirs = LOSSES[list(LOSSES)[seed % len(LOSSES)]]
    n_in, n_out = int(rng.integers(1, 6)), int(rng.integers(2, 5))
    net = Network(random_layers(rng, n_in, n_out), loss, seed=seed, dtype="float64")
    net.theta += 0.1 * rng.normal(size=net.theta.size)
    X = rng.normal(size=(30, n_in))
    if isinstance(loss, CrossEntropy):
        y = rng.integers(0, n_out, 30)
    elif isinstance(loss, BinaryCrossEntropy | Poisson):
        y = rng.integers(0, 2, (30, n_out)).astype(float)
    else:
        y = rng.normal(size=(30, n_out))
    params = {block.full_name: torch.tensor(net.theta[block.slice].reshape(block.shape)) for block in net.blocks}
    for tensor in params.values():
        tensor.requires_grad_()
    return net, X, y, params, lambda X, y: theirs(forward(net.layers, params, torch.tensor(X)), torch.tensor(y))


def flat(net, tensors):
    theta = np.empty(net.theta.size)
    for block in net.blocks:
        theta[block.slice] = tensors[block.full_name].detach().numpy().ravel()
    return theta


@pytest.mark.parametrize("seed", range(60))
def test_loss_and_gradient_are_those_of_pytorch(seed):
    net, X, y, params, loss = case(seed)
    value, grad = net.loss_and_grad(X, y, rng=np.random.default_rng(0))
    theirs = loss(X, y)
    theirs.backward()
    if not isinstance(net.loss, Poisson):  # PyTorch's leaves out a constant
        assert value == pytest.approx(theirs.item(), rel=1e-12, abs=1e-14)
    expected = flat(net, {name: tensor.grad for name, tensor in params.items()})
    np.testing.assert_allclose(grad, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_twenty_epochs_end_at_pytorchs_weights(name, seed):
    optimizer, theirs = OPTIMIZERS[name]
    net, X, y, params, loss = case(seed)
    their_optimizer = theirs(list(params.values()))
    train(net, X, y, epochs=20, batch_size=10, shuffle=False, optimizer=optimizer)
    for _ in range(20):
        for start in range(0, 30, 10):
            their_optimizer.zero_grad()
            loss(X[start : start + 10], y[start : start + 10]).backward()
            their_optimizer.step()
    np.testing.assert_allclose(net.theta, flat(net, params), rtol=1e-7, atol=1e-9)
