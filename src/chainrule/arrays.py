"""Input checks: arrays, weights, seeds and options before the mathematics sees them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import inf, isfinite
from typing import Annotated, Any, get_origin, get_type_hints

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from chainrule.errors import look_up

Array = NDArray[Any]

_MIN_LARGEST_WEIGHT, _MAX_LARGEST_WEIGHT = 1e-30, 1e30
"""Bounds on the largest row weight: sums of weights within them fit every dtype."""

_PIECE = 8192

# glibc maps an array of 128 KB or more anew, page by page, and returns memory as soon as twice that is free: a third of
# the time of training on batches of 256 rows. When a larger mapping is freed, it raises both limits to its size.
np.empty(2**22, np.uint8)


def all_finite(X: Array) -> bool:
    """Return whether every element is finite, in one pass and without a temporary array."""
    # A NaN or an infinity survives every sum, so only a sum that overflows needs a second look. The sum of squares is
    # BLAS's: the fastest one, and it raises no warnings. In longer pieces it would start threads, which gain nothing.
    if X.flags.forc:
        flat = X.ravel("K")
        for start in range(0, flat.size, _PIECE):
            piece = flat[start : start + _PIECE]
            if not isfinite(np.vdot(piece, piece)):
                break
        else:
            return True
    with np.errstate(all="ignore"):
        return isfinite(X.sum()) or bool(np.isfinite(X).all())


def as_real(values: ArrayLike, dtype: DTypeLike, name: str) -> Array:
    """Return `values` as an array of `dtype`, without a copy where it already is one.

    Text that reads as a number is converted. Raises ValueError for sparse matrices, complex numbers, dates and masked
    cells, whose conversion would silently lose information.
    """
    require_no_mask(values, name)
    if hasattr(values, "toarray"):
        raise ValueError(f"{name} must be dense, got a {type(values).__name__}. Pass {name}.toarray().")
    try:
        given = np.asarray(values)
        if given.dtype == dtype:
            return given
        if given.dtype.kind not in "cMmV":
            with np.errstate(over="ignore"):
                return given.astype(dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be numeric: {error}") from None
    remedy = ". Convert it to days or seconds." if given.dtype.kind in "mM" else ""
    raise ValueError(f"{name} must hold real numbers, got dtype {given.dtype}{remedy}")


def require_no_mask(values: object, name: str) -> None:
    """Raise ValueError if an array has masked cells."""
    n_masked = int(np.ma.getmaskarray(values).sum()) if isinstance(values, np.ma.MaskedArray) else 0
    if n_masked:
        raise ValueError(f"{name} must have no masked cells, got {n_masked}. Fill or drop them.")


def as_matrix(X: ArrayLike, n_columns: int, dtype: DTypeLike, name: str = "X", finite: bool = True) -> Array:
    """Return `X` as a finite (n, n_columns) array of `dtype`; raise ValueError otherwise.

    The caller's array is returned unchanged when it already fits. With `finite=False` such an array is not searched
    for NaN and infinities.
    """
    matrix = as_real(X, dtype, name)
    if matrix.ndim != 2 or matrix.shape[1] != n_columns:
        remedy = ""
        if matrix.ndim == 1:
            one_column = n_columns == 1
            index, what = ("[:, np.newaxis]", "column") if one_column else ("[np.newaxis]", "row")
            remedy = f". Pass {name}{index} for a single {what}."
        columns = f"{n_columns} column{'s' * (n_columns != 1)}"
        raise ValueError(f"{name} must be 2-D with {columns}, got shape {matrix.shape}{remedy}")
    if finite or matrix is not X:
        require_finite_rows(matrix, name, given=X)
    return matrix


def require_finite_rows(rows: Array, name: str = "X", first: int = 0, given: ArrayLike | None = None) -> None:
    """Raise ValueError naming the first element that is not finite, with its value in `given`.

    `first` is the index of the first row in the larger matrix these rows belong to.
    """
    if all_finite(rows):
        return
    row, column = np.argwhere(~np.isfinite(rows))[0]
    value = np.asarray(rows if given is None else given)[row, column]
    raise ValueError(f"{name} must be finite in {rows.dtype}, got {value} at {name}[{first + row}, {column}]")


def as_array(values: ArrayLike, shape: tuple[int, ...], dtype: DTypeLike, name: str) -> Array:
    """Return `values` as a finite array of `shape` and `dtype`; raise ValueError otherwise."""
    array = as_real(values, dtype, name)
    require(array.shape == shape, name, f"have shape {shape}", array.shape)
    if not all_finite(array):
        place = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
        raise ValueError(f"{name} must be finite, got {array[place]} at index {place}")
    return array


def as_targets(y: ArrayLike, n_out: int, dtype: DTypeLike) -> Array:
    """Return `y` as a finite (n, n_out) array; (n,) is accepted for one output. Raises ValueError otherwise."""
    Y = as_real(y, dtype, "y")
    if Y.ndim == 1 and n_out == 1:
        Y = Y[:, np.newaxis]
    if Y.ndim != 2 or Y.shape[1] != n_out:
        remedy = f". For class numbers pass np.eye({n_out})[y]." if Y.ndim == 1 else ""
        columns = f"{n_out} column{'s' * (n_out != 1)}, one for each output"
        raise ValueError(f"y must be 2-D with {columns}, got shape {Y.shape}{remedy}")
    if not all_finite(Y):
        row = int(np.argwhere(~np.isfinite(Y))[0][0])
        raise ValueError(f"y must be finite in {Y.dtype}, got {np.asarray(y)[row]} at y[{row}]")
    return Y


def as_class_numbers(y: Array, n_classes: int) -> Array:
    """Return `y` (n,) as integers from 0 to n_classes - 1, or raise ValueError."""
    if y.ndim != 1:
        raise ValueError(f"y must be class numbers (n,) or rows (n, {n_classes}), got shape {y.shape}")
    if y.dtype.kind not in "biuf":
        raise ValueError(f"y must be class numbers from 0 to {n_classes - 1}, got dtype {y.dtype}")
    if not all_finite(y) or (y.dtype.kind == "f" and np.any(y != np.floor(y))):
        raise ValueError(
            f"y must be integer class numbers from 0 to {n_classes - 1}. For several labels pass rows (n, k)."
        )
    if len(y) and (y.min() < 0 or y.max() >= n_classes):
        raise ValueError(f"y must be class numbers from 0 to {n_classes - 1}, got {y.min()} to {y.max()}")
    return y.astype(np.intp, copy=False)


def as_dtype(dtype: str) -> np.dtype[Any]:
    """Return float32 or float64; raise ValueError for any other dtype."""
    name = dtype if isinstance(dtype, str) else np.dtype(dtype).name
    return np.dtype(look_up({"float32": np.float32, "float64": np.float64}, name, "dtype"))


def as_generator(seed: int | np.random.Generator | None) -> np.random.Generator:
    """Return the Generator itself, or a new one seeded with `seed`; ValueError if it is neither."""
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError):
        raise ValueError(f"seed must be an integer >= 0, a Generator or None, got {seed!r}") from None


def as_weights(weight: ArrayLike | None, n: int, dtype: DTypeLike) -> Array | None:
    """Return sample weights as an (n,) array of `dtype`: finite, >= 0 and not all zero. None stays None."""
    if weight is None:
        return None
    weights = as_real(weight, dtype, "sample_weight")
    require(weights.shape == (n,), "sample_weight", f"have shape ({n},), one number per row", weights.shape)
    if not all_finite(weights) or weights.min(initial=0) < 0 or not weights.any():
        weights = as_real(weight, np.float64, "sample_weight")  # the message shows the value as it was given
    if not all_finite(weights) or weights.min(initial=0) < 0:
        row = int(np.argmin(np.isfinite(weights) & (weights >= 0)))
        raise ValueError(f"sample_weight must be finite and >= 0, got {weights[row]} in row {row}")
    if not weights.any():
        raise ValueError("sample_weight must be positive in at least one row, got all zeros")
    require_representable_weights(weights)
    return weights


def require_representable_weights(weights: Array) -> None:
    """Raise ValueError if the largest weight is so large or small that sums of weights are not representable."""
    largest = weights.max()
    if not _MIN_LARGEST_WEIGHT <= largest <= _MAX_LARGEST_WEIGHT:
        bounds = f"[{_MIN_LARGEST_WEIGHT:g}, {_MAX_LARGEST_WEIGHT:g}]"
        raise ValueError(f"the largest sample_weight must be in {bounds}, got {largest:g}. Rescale the weights.")


def same_shape(array: Array, like: Array, name: str) -> Array:
    """Return a copy of `array` in the dtype of `like`, whose shape it must have."""
    require(np.shape(array) == like.shape, name, f"have shape {like.shape}", np.shape(array))
    return array.astype(like.dtype)


def digest(*arrays: Array | None) -> str:
    """Return a SHA-256 of the arrays' dtypes, shapes and values, in hexadecimal."""
    from hashlib import sha256

    total = sha256()
    for array in arrays:
        total.update(repr(None if array is None else (array.dtype.str, array.shape)).encode())
        if array is not None:
            total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


class Checked:
    """Base class of dataclasses whose annotations carry rules, as in `gamma: Annotated[float, "in (0, 1]"] = 0.1`."""

    def __post_init__(self) -> None:
        kind: Any = type(self)
        for name, rule in _rules_of(kind).items():
            value = getattr(self, name)
            try:
                holds = _RULES[rule](value)
            except (TypeError, ValueError):  # no number
                holds = False
            require(holds, name, f"be {rule}", value)


_RULES: dict[str, Callable[[Any], bool]] = {
    "an integer >= 1": lambda value: is_integer(value, 1),
    "> 0": lambda value: value > 0,
    ">= 0": lambda value: bool(np.all(np.asarray(value) >= 0)),
    ">= 1": lambda value: value >= 1,
    "finite and > 0": lambda value: 0 < value < inf,
    "in [0, 1]": lambda value: 0 <= value <= 1,
    "in [0, 1)": lambda value: 0 <= value < 1,
    "two numbers in [0, 1)": lambda value: len(value) == 2 and all(0 <= v < 1 for v in value),
    "in (0, 1]": lambda value: 0 < value <= 1,
    "strictly between 0 and 1": lambda value: all(0 < v < 1 for v in np.atleast_1d(value)),
}


@cache
def _rules_of(kind: type) -> dict[str, str]:
    try:
        hints = get_type_hints(kind, include_extras=True)
    except NameError:  # a custom class with names that only a type checker knows
        return {}
    return {name: hint.__metadata__[0] for name, hint in hints.items() if get_origin(hint) is Annotated}


def require_integer(value: object, argument: str, least: int = 1) -> None:
    """Raise ValueError unless `value` is an integer >= `least`."""
    require(is_integer(value, least), argument, f"be an integer >= {least}", value)


def is_integer(value: object, least: int) -> bool:
    """Return whether `value` is an integer >= `least`; a bool is none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= least)


def require(condition: bool, argument: str, rule: str, value: object) -> None:
    """Raise the ValueError `argument must rule, got value` unless the condition holds."""
    if not condition:
        shown = f"shape {value}" if rule.startswith(("have shape", "have at least one row")) else repr(value)
        raise ValueError(f"{argument} must {rule}, got {shown}")
