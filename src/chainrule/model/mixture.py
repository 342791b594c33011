"""A mixture: the networks of each variant of the recipe, a family, weighted by their predictions out of fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, log

import numpy as np

from chainrule.arrays import Array
from chainrule.model.ensemble import Ensemble, best_temperature, minimize, weighted_mean
from chainrule.model.recipe import Member
from chainrule.nn.losses import CrossEntropy, softmax
from chainrule.nn.network import Network

_STEPS = 20
"""Steps of the greedy selection: weights are multiples of a twentieth at most."""


@dataclass(frozen=True)
class Family:
    """Networks of one variant, and their mean raw outputs (m, n_raw) for rows (m,) that they were not trained on."""

    networks: tuple[Network, ...]
    rows: Array
    outputs: Array


def families_of(members: Sequence[Member]) -> list[Family]:
    """Return the members by variant. A family that has not held out the rows of the first one is left out."""
    names = dict.fromkeys(member.variant for member in members)
    families = [_family([member for member in members if member.variant == name]) for name in names]
    return [family for family in families if np.array_equal(family.rows, families[0].rows)]


def _family(members: Sequence[Member]) -> Family:
    pooled = np.concatenate([member.rows for member in members])
    outputs = np.concatenate([member.outputs for member in members]).astype(np.float64)
    rows, places, counts = np.unique(pooled, return_inverse=True, return_counts=True)
    sums = np.zeros((len(rows), outputs.shape[1]))
    np.add.at(sums, places, outputs)
    # In float64 a row's prediction does not depend on the other rows of the batch.
    networks = tuple(network.copy(dtype="float64") for member in members for network in member.networks)
    return Family(networks, rows, sums / counts[:, np.newaxis])


def mix_classes(
    families: Sequence[Family], y: Array, weight: Array | None
) -> tuple[Ensemble, Array, tuple[float, ...]]:
    """Return the ensemble, its probabilities (m, K) for the held-out rows, of classes y (m,), and its temperatures.

    The raw outputs of each trained network are divided by its temperature.
    """
    temperatures = [best_temperature(family.outputs, y, weight) for family in families]
    families = [_tempered(family, temperature) for family, temperature in zip(families, temperatures)]
    log_loss = CrossEntropy()

    def error(P: Array) -> float:
        return log_loss(np.log(np.maximum(P, 1e-12)), y, weight)[0]

    shares = greedy_weights([softmax(family.outputs) for family in families], error)

    def mixed(t: float) -> Array:
        return weighted_mean(shares, [softmax(family.outputs / exp(t)) for family in families])

    temperature = exp(minimize(lambda t: error(mixed(t)), log(0.1), log(10), 20))
    networks, weights = _weighted(families, shares)
    ensemble = Ensemble(networks, weights, temperature, smoothing=1 / len(y))
    used = [
        t * temperature for t, family, share in zip(temperatures, families, shares) if share for _ in family.networks
    ]
    P = ensemble.smoothed(mixed(log(temperature)))
    return ensemble.for_sets(P, y, weight), P, tuple(used)


def _tempered(family: Family, temperature: float) -> Family:
    """Return the family with its raw outputs divided by the temperature, by the weights of the last layers."""
    for network in family.networks:
        for array in network.params[-1].values():
            # Single precision, like all trained parameters: a model file would be twice as large.
            array[...] = (array / temperature).astype(np.float32)
    return Family(family.networks, family.rows, family.outputs / temperature)


def mix_numbers(
    families: Sequence[Family], Y: Array, bounds: Array, weight: Array | None
) -> tuple[tuple[Network, ...], tuple[float, ...], Array]:
    """Return networks, weights, and the raw outputs (m, n_raw) for the held-out rows, of targets Y (m, n_out).

    The weights are those with which the mean of the predictions, clipped to the bounds, has a small squared error.
    """
    loss = families[0].networks[0].loss
    predictions = [np.clip(loss.predict(family.outputs), *bounds) for family in families]

    def error(P: Array) -> float:
        return float(np.average(((P - Y) ** 2).mean(axis=1), weights=weight))

    shares = greedy_weights(predictions, error)
    return *_weighted(families, shares), weighted_mean(shares, [family.outputs for family in families])


def _weighted(families: Sequence[Family], shares: Sequence[float]) -> tuple[tuple[Network, ...], tuple[float, ...]]:
    """Return the networks of families with a share > 0, and the weight of each network."""
    used = [(family, share) for family, share in zip(families, shares) if share]
    networks = tuple(network for family, _ in used for network in family.networks)
    return networks, tuple(share / len(family.networks) for family, share in used for _ in family.networks)


def greedy_weights(predictions: Sequence[Array], error: Callable[[Array], float], steps: int = _STEPS) -> list[float]:
    """Return weights that sum to 1, of predictions whose weighted mean has a small error (Caruana et al. 2004).

    Each step adds that prediction to the mean, again or for the first time, with which its error is smallest; the best
    mean of all steps is taken.
    """
    counts = np.zeros(len(predictions))
    total = np.zeros_like(predictions[0])
    best, best_error = counts, np.inf
    for step in range(1, steps + 1):
        errors = [error((total + P) / step) for P in predictions]
        k = int(np.argmin(errors))
        total = total + predictions[k]
        counts[k] += 1
        if errors[k] < best_error:
            best, best_error = counts.copy(), errors[k]
    return (best / best.sum()).tolist()
