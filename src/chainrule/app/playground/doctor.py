"""The findings of `chainrule.diagnose` during training, each with the change of settings that remedies it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from chainrule.app.playground.settings import LIMITS, Setup
from chainrule.app.playground.training import Training
from chainrule.insight.diagnosis import Finding, diagnose

Remedy = tuple[str, dict[str, Any]]
"""The label of the button, and the settings it changes; without any it continues training."""


def examine(training: Training) -> list[dict[str, Any]]:
    """Return the findings, the most harmful first, with their remedies; of several of a kind the first, and a count."""
    setup, sample, run = training.setup, training.sample, training.run
    X, y, _ = run.rows
    held_out = None if run.validation is None else run.validation[:2]
    history = run.history if len(run.history) else None
    labels = sample.labels or None
    grad = training.net.grad.copy()  # that of the last batch, which the page shows
    findings = diagnose(training.net, X, y, history, validation=held_out, names=sample.columns, labels=labels)
    training.net.grad[...] = grad
    kinds = [finding.kind for finding in findings]
    first = {finding.kind: finding for finding in reversed(findings)}
    return [_describe(first[kind], kinds.count(kind) - 1, setup) for kind in dict.fromkeys(kinds)]


def _describe(finding: Finding, n_more: int, setup: Setup) -> dict[str, Any]:
    label, changes = REMEDIES[finding.kind](setup)
    return asdict(finding) | {"more": n_more, "label": label, "changes": changes}


def _rate(factor: float) -> Callable[[Setup], Remedy]:
    """Return the remedy that multiplies the learning rate, within its limits."""

    def remedy(setup: Setup) -> Remedy:
        _, low, high = LIMITS["rate"]
        rate = float(f"{min(max(setup.rate * factor, low), high):.3g}")
        return f"Set the learning rate to {rate:g}", {"rate": rate}

    return remedy


def _activation(name: str) -> Callable[[Setup], Remedy]:
    """Return the remedy that gives all hidden layers another activation."""
    return lambda setup: (f"Use {name}", {"layers": [asdict(layer) | {"activation": name} for layer in setup.layers]})


def _dead(setup: Setup) -> Remedy:
    """Another initialization if it leaves all units alike, else an activation whose units do not die."""
    if setup.init in ("zeros", "ones"):
        return "Choose the initial weights by the activation", {"init": "auto"}
    return _activation("leaky_relu")(setup)


def _saturated(setup: Setup) -> Remedy:
    """Smaller weights, if they are not already, else another activation."""
    if setup.init not in ("auto", "glorot_normal"):
        return "Initialize with glorot_normal", {"init": "glorot_normal", "biases": "zeros"}
    return _activation("relu")(setup)


def _gradients(setup: Setup) -> Remedy:
    """Another activation if that is the reason, else LayerNorm."""
    if any(layer.activation in ("sigmoid", "tanh") for layer in setup.layers):
        return _activation("relu")(setup)
    return "Add LayerNorm", {"layers": [asdict(layer) | {"norm": "layer"} for layer in setup.layers]}


def _overfitting(setup: Setup) -> Remedy:
    """Dropout, then a penalty, then more rows."""
    if setup.layers and not any(layer.dropout for layer in setup.layers):
        return "Add dropout of 20 %", {"layers": [asdict(layer) | {"dropout": 0.2} for layer in setup.layers]}
    if setup.l2 < 1e-3:
        return "Set L2 to 0.001", {"l2": 1e-3}
    return _more_rows(setup)


def _more_rows(setup: Setup) -> Remedy:
    """More rows to train on."""
    if setup.data in ("points", "table") or setup.rows >= 2_000:
        return "Train on 90 % of the rows", {"ratio": 0.9}
    return f"Draw {2 * setup.rows:,} rows", {"rows": 2 * setup.rows}


REMEDIES: dict[str, Callable[[Setup], Remedy]] = {
    "target leakage": lambda setup: ("Draw a new sample", {"sample": setup.sample + 1}),
    "duplicated validation rows": lambda setup: ("Train on 90 % of the rows", {"ratio": 0.9}),
    "class collapse": lambda setup: ("Continue training", {}),
    "learning rate too high": _rate(0.1),
    "unscaled inputs": lambda setup: ("Standardize", {"standardize": True}),
    "unscaled targets": lambda setup: ("Standardize the targets", {"standardize": True}),
    "dead units": _dead,
    "saturated units": _saturated,
    "vanishing or exploding gradients": _gradients,
    "learning rate too low": _rate(10),
    "overfitting": _overfitting,
    "too few epochs": lambda setup: ("Continue training", {}),
    "possible label errors": lambda setup: ("Remove the noise", {"noise": 0.0}),
    "rare classes": _more_rows,
}
"""Kind of a finding -> its remedy. A test holds the kinds against those of `diagnose`."""
