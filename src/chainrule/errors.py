"""Exceptions.

    ChainruleError
    ├── GradientError (ValueError)         a derivative is wrong or does not exist
    ├── DivergenceError (ArithmeticError)  training diverged and could not be recovered
    ├── OutOfRangeError (ValueError)       a value overflowed its dtype inside a network
    ├── ModelFileError (ValueError)        a file is not a valid model or checkpoint
    ├── TableError (ValueError)            a table cannot be read or does not fit the model
    ├── MissingExtraError (ImportError)    an optional dependency is not installed
    └── ClusterError (RuntimeError)        a Dask cluster was lost while it computed

An invalid argument is a plain `ValueError`. Every message has one form: `<name> must be <rule>, got <value>`, followed
by a remedy where one helps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

__all__ = [
    "ChainruleError",
    "ClusterError",
    "DivergenceError",
    "GradientError",
    "MissingExtraError",
    "ModelFileError",
    "OutOfRangeError",
    "TableError",
]

_T = TypeVar("_T")
_F = TypeVar("_F", bound=Callable[..., Any])


class ChainruleError(Exception):
    """Base class of the exceptions defined here."""


class GradientError(ChainruleError, ValueError):
    """A derivative is wrong, or was requested of a function that has none."""


class DivergenceError(ChainruleError, ArithmeticError):
    """Training diverged, and lowering the learning rate did not help."""


class OutOfRangeError(ChainruleError, ValueError):
    """A value overflowed its dtype on its way through a network."""


class ModelFileError(ChainruleError, ValueError):
    """A file is not a valid model or checkpoint."""


class TableError(ChainruleError, ValueError):
    """A table cannot be read or does not fit the model."""


class ClusterError(ChainruleError, RuntimeError):
    """A Dask cluster, its scheduler or all of its workers, was lost while it computed."""


class MissingExtraError(ChainruleError, ImportError):
    """A feature needs an optional dependency that is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} requires the extra {extra!r}. Install it: pip install 'chainrule[{extra}]'")


def look_up(table: Mapping[str, _T], name: object, argument: str) -> _T:
    """Return `table[name]`, or raise a ValueError that lists the valid names and suggests the closest one."""
    if isinstance(name, str) and name in table:
        return table[name]
    options = ", ".join(map(repr, table))
    raise ValueError(f"{argument} must be one of {{{options}}}, got {name!r}{did_you_mean(name, table)}")


def did_you_mean(name: object, options: Iterable[str]) -> str:
    """Return `". Did you mean 'relu'?"` for the option closest to `name`, or an empty string."""
    from difflib import get_close_matches

    by_lower = {option.lower(): option for option in options}
    close = get_close_matches(name.lower(), by_lower, n=1) if isinstance(name, str) else []
    return f". Did you mean {by_lower[close[0]]!r}?" if close else ""


def require_names(columns: Mapping[str, Any], names: Iterable[str]) -> None:
    """Raise a TableError that lists every name that is not a column, and suggests close ones."""
    required = dict.fromkeys(names)
    missing = [name for name in required if name not in columns]
    if not missing:
        return
    others = [name for name in columns if name not in required]
    suggestions = {name: close for name in missing[:_MAX_SUGGESTIONS] if (close := _close_names(name, others))}
    if len(missing) == 1:
        subject = f"column {missing[0]!r} is"
        hints = [" or ".join(map(repr, close)) for close in suggestions.values()]
    else:
        subject = f"columns {shorten(list(map(repr, missing)), _MAX_SUGGESTIONS)} are"
        hints = [f"{close[0]!r} for {name!r}" for name, close in suggestions.items()]
    has = f"It has {shorten(list(columns))}." if columns else "It has no columns."
    hint = f"Did you mean {', '.join(hints)}?" if suggestions else has
    raise TableError(f"{subject} missing from the table. {hint}")


_MAX_SUGGESTIONS = 20
"""Missing columns that are listed, with suggestions."""


def _close_names(name: str, names: Sequence[str]) -> list[str]:
    """Return up to three of the names that resemble a name, the closest first."""
    from difflib import get_close_matches

    lower = {other.lower(): other for other in names}
    return [lower[match] for match in get_close_matches(name.lower(), lower, n=3, cutoff=0.6)]


_SYNONYMS = {
    "lr": "learning_rate",
    "eta": "learning_rate",
    "learning_rate_init": "learning_rate",
    "validation_data": "validation",
    "verbose": "progress",
    "n_epochs": "epochs",
    "max_iter": "epochs",
    "batch": "batch_size",
    "random_state": "seed",
    "rng": "seed",
    "callback": "callbacks",
    "criterion": "loss",
    "weights": "sample_weight",
    "class_names": "labels",
    "units": "n_out",
    "n_units": "n_out",
    "out_features": "n_out",
    "in_features": "n_in",
    "p": "rate",
    "eps": "epsilon",
    "kernel_initializer": "weights",
    "hidden_layer_sizes": "sizes",
}
_REMEDIES = {
    "lr": "Pass optimizer=Adam(0.01)",
    "learning_rate": "Pass optimizer=Adam(0.01)",
    "validation_split": "Split the rows first, and pass validation=(X, y)",
    "activation": "Add a layer: Activation('relu')",
    "beta_1": "Pass betas=(0.9, 0.999)",
    "beta_2": "Pass betas=(0.9, 0.999)",
}


_NETWORK_REMEDIES = {
    "fit": "Use train(net, X, y)",
    "backward": "Use net.loss_and_grad(X, y)",
    "weights": "Use net.params, net.get_weights() or net.theta",
    "parameters": "Use net.theta, or net.params for named arrays",
    "score": "Use net.evaluate(X, y) for the loss",
}


def remedy_for(attribute: str, attributes: Iterable[str]) -> str:
    """Return what to use instead of an attribute that networks do not have, as a sentence to append to a message."""
    remedy = _NETWORK_REMEDIES.get(attribute)
    return f". {remedy}." if remedy else did_you_mean(attribute, attributes)


def suggest_keywords(function: _F) -> _F:
    """Decorate a function or class: a wrong keyword raises TypeError naming the right one."""
    from functools import wraps
    from inspect import signature

    if isinstance(function, type):
        function.__init__ = suggest_keywords(function.__init__)  # type: ignore[misc]
        return function
    parameters = signature(function).parameters
    name = function.__qualname__.removesuffix(".__init__")

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        for wrong in kwargs.keys() - parameters.keys():
            meant = _SYNONYMS.get(wrong)
            if meant in parameters:
                remedy = f". Did you mean {meant!r}?"
            elif wrong in _REMEDIES:
                remedy = f". {_REMEDIES[wrong]}."
            else:
                remedy = did_you_mean(wrong, parameters)
            raise TypeError(f"{name}() got an unexpected keyword argument {wrong!r}{remedy}")
        return function(*args, **kwargs)

    return call  # type: ignore[return-value]


def shorten(values: Sequence[object], n_shown: int = 8) -> str:
    """Return the first few values, comma-separated."""
    more = f", ... ({len(values)} in total)" if len(values) > n_shown else ""
    return ", ".join(map(str, values[:n_shown])) + more


def first_line(error: BaseException) -> str:
    """Return an error's message up to its first line break."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
