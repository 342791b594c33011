"""What an array must be before the mathematics sees it."""

from __future__ import annotations

from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Array = NDArray[Any]


def all_finite(X: Array) -> bool:
    """Tell whether no element is NaN or infinite, in one pass and without a temporary array."""
    # A NaN or an infinity survives every sum; only a sum that overflowed needs another look. That of the squares is
    # BLAS's, soonest and silent.
    if X.flags.c_contiguous and isfinite(np.vdot(X, X)):
        return True
    with np.errstate(all="ignore"):
        return isfinite(X.sum()) or bool(np.isfinite(X).all())


def as_real(values: ArrayLike, dtype: DTypeLike, name: str) -> Array:
    """Return `values` as an array of `dtype`, the caller's own where it fits; ValueError for what are no numbers.

    Text that reads as a number is one. Complex numbers, dates and masked cells are none: a part of what they say would
    be lost without a word.
    """
    require_no_mask(values, name)
    if hasattr(values, "toarray"):
        raise ValueError(f"{name} must be dense, such as {name}.toarray(), however: it is a {type(values).__name__}")
    try:
        given = np.asarray(values)
        if given.dtype == dtype:
            return given
        if given.dtype.kind not in "cMmV":
            with np.errstate(over="ignore"):
                return given.astype(dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold numbers only; however: {error}") from None
    hint = "; give days, or seconds" if given.dtype.kind in "mM" else ""
    raise ValueError(f"{name} must hold real numbers; however: {name}.dtype={given.dtype}{hint}")


def require_no_mask(values: object, name: str) -> None:
    """Raise ValueError for an array with masked cells, whose numbers mean nothing."""
    n_masked = int(np.ma.getmaskarray(values).sum()) if isinstance(values, np.ma.MaskedArray) else 0
    if n_masked:
        raise ValueError(f"{name} must have no masked cell, however: {n_masked} are masked; fill or drop them")


def as_matrix(X: ArrayLike, n_columns: int, dtype: DTypeLike, name: str = "X", finite: bool = True) -> Array:
    """Return `X` as a finite (n, n_columns) array of `dtype`, or raise a ValueError that says what is wrong.

    The caller's array is returned as it is when it already fits; it is never changed. With `finite` false such an array
    need not be finite.
    """
    matrix = as_real(X, dtype, name)
    if matrix.ndim != 2 or matrix.shape[1] != n_columns:
        hint = ""
        if matrix.ndim == 1:
            hint = (
                f"; did you mean {name}[:, np.newaxis]?" if n_columns == 1 else f"; is it one row? {name}[np.newaxis]"
            )
        columns = f"{n_columns} column{'s' * (n_columns != 1)}"
        raise ValueError(f"{name} must be 2-D with {columns}, however: {name}.shape={matrix.shape}{hint}")
    if finite or matrix is not X:
        require_finite_rows(matrix, name, given=X)
    return matrix


def require_finite_rows(rows: Array, name: str = "X", first: int = 0, given: ArrayLike | None = None) -> None:
    """Raise a ValueError naming the first number that is not finite, as it was `given`.

    The rows are those of a larger matrix from its row `first` on.
    """
    if all_finite(rows):
        return
    row, column = np.argwhere(~np.isfinite(rows))[0]
    value = np.asarray(rows if given is None else given)[row, column]
    raise ValueError(f"{name} must be finite in {rows.dtype}, however: {name}[{first + row}, {column}]={value}")


def as_array(values: ArrayLike, shape: tuple[int, ...], dtype: DTypeLike, name: str) -> Array:
    """Return `values` as a finite array of `shape` and `dtype`, or raise a ValueError that says what is wrong."""
    array = as_real(values, dtype, name)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, however: its shape is {array.shape}")
    if not all_finite(array):
        place = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
        raise ValueError(f"{name} must be finite, however: at {place} it is {array[place]}")
    return array


def as_generator(seed: int | np.random.Generator | None) -> np.random.Generator:
    """Return the generator itself, or one that starts from the seed; ValueError for what is neither."""
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError):
        rule = "be a whole number of at least 0 or a Generator"
        raise ValueError(f"seed must {rule}, however: seed={seed!r}") from None


LIGHTEST, HEAVIEST = 1e-30, 1e30
"""Between these the largest row weight must lie: sums of such weights fit every type."""


def as_weights(weight: ArrayLike | None, n: int, dtype: DTypeLike) -> Array | None:
    """Return row weights as an (n,) array of `dtype`: finite, none negative, not all zero; None stays None."""
    if weight is None:
        return None
    weights = as_real(weight, dtype, "sample_weight")
    if weights.shape != (n,):
        raise ValueError(f"sample_weight must have one number a row, ({n},), however: its shape is {weights.shape}")
    if not all_finite(weights) or weights.min(initial=0) < 0 or not weights.any():
        weights = as_real(weight, np.float64, "sample_weight")  # as they were given
    if not all_finite(weights) or weights.min(initial=0) < 0:
        row = int(np.argmin(np.isfinite(weights) & (weights >= 0)))
        raise ValueError(f"sample_weight must be finite and not negative, however: row {row} weighs {weights[row]}")
    if not weights.any():
        raise ValueError("sample_weight must not be zero in every row")
    require_fair_weights(weights)
    return weights


def require_fair_weights(weights: Array) -> None:
    """Raise ValueError where the largest row weight is too large, or too small, for sums of them to be numbers."""
    largest = weights.max()
    if not LIGHTEST <= largest <= HEAVIEST:
        raise ValueError(
            f"sample_weight must have its largest number between {LIGHTEST:g} and {HEAVIEST:g}, "
            f"however: it is {largest:g}"
        )


def same_shape(array: Array, like: Array, name: str) -> Array:
    """Return a copy of an array in the dtype of another one, whose shape it must have."""
    require(np.shape(array) == like.shape, name, f"have shape {like.shape}", np.shape(array))
    return array.astype(like.dtype)


def digest(*arrays: Array | None) -> str:
    """Return the SHA-256, in hexadecimal, of arrays' types, shapes and numbers: it differs when any of these does."""
    from hashlib import sha256

    total = sha256()
    for array in arrays:
        total.update(repr(None if array is None else (array.dtype.str, array.shape)).encode())
        if array is not None:
            total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def require_whole(value: object, argument: str, least: int = 1) -> None:
    """Raise ValueError unless `value` is a whole number of at least `least`."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= least
    require(bool(whole), argument, f"be a whole number of at least {least}", value)


def require(condition: bool, argument: str, rule: str, value: object) -> None:
    """Raise the ValueError `argument must rule, however: argument=value` unless the condition holds."""
    if not condition:
        raise ValueError(f"{argument} must {rule}, however: {argument}={value!r}")
