"""Splits: which rows train a model, and which ones validate or test it.

Rows that belong together are never separated: those of a group, such as a patient, and copies of one row. Where rows
have times, the held-out rows are the latest ones, and no training row is later than any of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from chainrule.arrays import Array, as_generator
from chainrule.data.cells import are_numbers, as_dates, as_numbers, factorize, missing_rows
from chainrule.data.formats import is_missing
from chainrule.data.recognition import as_ordered
from chainrule.errors import TableError

_MIN_DISTINCT_ROWS = 10
"""Tables with fewer different rows, such as truth tables, have none to spare for a fold."""
_MAX_CHANCE = 1 / 3
"""Equal inputs are put down to chance if independent columns would give more than this fraction of them."""
_MAX_CONFLICTS = 0.1
"""Rows with equal inputs are copies if their targets differ less than this fraction as often as unrelated targets."""
_RARELY_EQUAL = 0.02
"""A target of which two rows are less often equal is as good as continuous: equal ones are copies."""
_SPIKE, _SPIKE_RATIO = 0.02, 5.0
"""A number is frequent in its own right, as 0 often is, with this fraction of the rows and multiple of the median."""
_MIN_HELD_OUT = 20
"""A 90 % interval needs at least 19 held-out rows; where the latest rows are held out, aim at so many."""


@dataclass(frozen=True)
class Split:
    """Row numbers to train on and to hold out, each sorted; some rows may be in neither."""

    training: Array
    held_out: Array


@dataclass(frozen=True)
class Structure:
    """What ties rows together: strata, units and times, all (n,).

    Every part of a split gets its share of each stratum (a class number). A unit is never divided: its rows are those
    of a group, or copies of one row. Times are numbers, the later the larger.
    """

    strata: Array
    units: Array | None = None
    times: Array | None = None

    def take(self, rows: Array) -> "Structure":
        """Return the structure of some of the rows."""
        units = None if self.units is None else self.units[rows]
        times = None if self.times is None else self.times[rows]
        return Structure(self.strata[rows], units, times)

    @property
    def n_units(self) -> int:
        """Number of units that can be separated."""
        return len(self.strata) if self.units is None else len(np.unique(self.units))


def strata_of(y: Array) -> Array:
    """Return the strata of encoded targets: class numbers (n,); numbers (n, n_outputs) have a single stratum."""
    return y if y.ndim == 1 else np.zeros(len(y), np.intp)


# Splits.


def hold_out(rows: Structure, fraction: float, rng: np.random.Generator) -> Split:
    """Return a split that holds out about `fraction` of the rows: of every stratum, or the latest ones.

    Without units and times it is exact to within one row per stratum: the rows are sorted by stratum, shuffled within
    each, and every (1 / fraction)-th row is held out. A stratum with a single row keeps it. With units and times, late
    rows of units that are trained on and early rows of units that are held out are in neither part.
    """
    n = len(rows.strata)
    if not fraction:
        return Split(np.arange(n), np.arange(0))
    if rows.times is not None:
        late = latest(rows.times, fraction)
        held = late if rows.units is None else late & _held_units(rows, late, fraction, rng)[rows.units]
        return _without_shared_units(rows, late, held)
    if rows.units is not None:
        held = _assign(rows, (1 - fraction, fraction), rng)[rows.units] == 1
        return Split(np.flatnonzero(~held), np.flatnonzero(held))
    order = rng.permutation(n)
    order = order[np.argsort(rows.strata[order], kind="stable")]
    marks = np.floor(np.arange(n + 1) * fraction + rng.random())
    held = np.zeros(n, np.bool_)
    held[order] = np.diff(marks) > 0
    held &= np.bincount(rows.strata)[rows.strata] > 1
    return Split(np.flatnonzero(~held), np.flatnonzero(held))


def folds(rows: Structure, n_folds: int, seed: int) -> list[Split]:
    """Return `n_folds` splits, or one per unit if there are fewer, which hold out every row once.

    With times, every split holds out the latest rows and trains on those before; with units too, each holds out the
    late rows of some of the units and trains on the early rows of the others.
    """
    rng, n = as_generator(seed), len(rows.strata)
    if rows.times is not None:
        late = latest(rows.times, max(1 / 5, min(1 / 3, _MIN_HELD_OUT / n)))
        if rows.units is None:
            return [_without_shared_units(rows, late, late)]
        of_late = rows.take(late)
        fold = np.full(n, -1)
        fold[late] = _fold_of_rows(of_late, min(n_folds, of_late.n_units), rng)
        return [_without_shared_units(rows, late, fold == k) for k in range(fold.max() + 1)]
    fold = _fold_of_rows(rows, min(n_folds, rows.n_units), rng)
    return [Split(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(fold.max() + 1)]


def _fold_of_rows(rows: Structure, n_folds: int, rng: np.random.Generator) -> Array:
    """Return the fold (n,) of each row: each fold gets the same share of every stratum."""
    n = len(rows.strata)
    if rows.units is not None:
        units = np.unique(rows.units, return_inverse=True)[1]
        return _assign(Structure(rows.strata, units), [1 / n_folds] * n_folds, rng)[units]
    order = rng.permutation(n)
    order = order[np.argsort(rows.strata[order], kind="stable")]
    fold = np.empty(n, np.intp)
    fold[order] = np.arange(n) % n_folds
    return fold


def _assign(rows: Structure, shares: Sequence[float], rng: np.random.Generator) -> Array:
    """Return the part (n_units,) of each unit; part f gets about the fraction `shares[f]` of the rows and strata.

    Units are numbered from 0. The largest come first, each where it increases the sum of size^2 / share least; units of
    one row then fill up the parts. No part is left without a unit if there are enough of them. Of two parts of
    different shares, the first one has rows of every stratum.
    """
    units, strata = rows.units, rows.strata
    assert units is not None
    counts = np.zeros((units.max() + 1, strata.max() + 2))
    np.add.at(counts, (units, strata), 1)
    counts[:, -1] = counts.sum(axis=1)
    sizes, totals = counts[:, -1], counts.sum(axis=0)
    weights = 1 / np.outer(shares, np.maximum(totals, 1) ** 2)
    loads, part = np.zeros(weights.shape), np.empty(len(counts), np.intp)
    order = rng.permutation(len(counts))
    order = order[np.argsort(-sizes[order], kind="stable")]
    n_several = int((sizes > 1).sum())
    for unit in order[:n_several].tolist():
        count = counts[unit]
        part[unit] = ((2 * loads + count) * count * weights).sum(axis=1).argmin()
        loads[part[unit]] += count
    single = order[n_several:]
    stratum_of = counts[single, :-1].argmax(axis=1)
    for k in np.unique(stratum_of).tolist():
        of_stratum = single[stratum_of == k]
        lacking = np.maximum(np.array(shares) * totals[k] - loads[:, k], 0).cumsum()
        ends = np.floor(lacking * (len(of_stratum) / lacking[-1]) + rng.random()).astype(np.intp)
        part[of_stratum] = np.minimum(np.searchsorted(ends, np.arange(len(of_stratum)), "right"), len(shares) - 1)
    _fill_gaps(part, counts, shares)
    return part


def _fill_gaps(part: Array, counts: Array, shares: Sequence[float]) -> None:
    """Move the smallest units to parts that lack units, or of two parts of different shares to the first for strata."""
    sizes = counts[:, -1]
    if len(set(shares)) > 1:
        for k in np.flatnonzero((counts[part == 0].sum(axis=0) == 0) & (counts.sum(axis=0) > 0)).tolist():
            part[int(np.where(counts[:, k] > 0, sizes, np.inf).argmin())] = 0
    for f in range(len(shares)):
        if not (part == f).any():
            crowded = part == np.bincount(part).argmax()
            part[int(np.where(crowded, sizes, np.inf).argmin())] = f


def _held_units(rows: Structure, late: Array, fraction: float, rng: np.random.Generator) -> Array:
    """Return which units (n_units,) to hold out of the late rows: the new ones, if they make up half of them.

    Otherwise most units have early rows too, and a fraction of all units with late rows is held out.
    """
    units = rows.units
    assert units is not None
    early_units = np.zeros(units.max() + 1, np.bool_)
    early_units[units[~late]] = True
    new = ~early_units
    if new[units[late]].sum() >= late.sum() / 2:
        return new
    codes, places = np.unique(units[late], return_inverse=True)
    if len(codes) > 1:
        held = codes[_assign(Structure(rows.strata[late], places), (1 - fraction, fraction), rng) == 1]
    else:
        held = codes
    chosen = np.zeros(len(new), np.bool_)
    chosen[held] = True
    return chosen


def _without_shared_units(rows: Structure, late: Array, held: Array) -> Split:
    """Return a split of the held-out rows and the early rows of the other units."""
    training = ~late
    if rows.units is not None:
        training &= ~np.isin(rows.units, rows.units[held])
    return Split(np.flatnonzero(training), np.flatnonzero(held))


def latest(times: Array, fraction: float) -> Array:
    """Return a boolean array (n,), true for the latest rows: about `fraction` of them.

    Equal times stay together where that changes the fraction by less than a factor of two; otherwise, and so always in
    the same way, the rows further down the table count as later.
    """
    n, order = len(times), np.argsort(times, kind="stable")
    cuts = np.flatnonzero(np.diff(times[order]) > 0) + 1
    sizes, wanted = n - cuts, max(1, round(fraction * n))
    near = (sizes >= wanted / 2) & (sizes <= min(2 * wanted, n - 1))
    cut = cuts[near][np.abs(sizes[near] - wanted).argmin()] if near.any() else n - wanted
    late = np.zeros(n, np.bool_)
    late[order[cut:]] = True
    return late


# Groups and times.


def group_codes(name: str, values: Array, option: str = "groups", rows: Array | None = None) -> Array:
    """Return groups (n,) as numbers from 0, in the order of their first rows; TableError if a cell is missing.

    `rows` are the indices of the values in their table, for the message.
    """
    require_complete(name, missing_rows(name, values), option, rows)
    codes = _numbered(factorize(name, values)[1])
    if len(codes) and not codes.any():
        raise TableError(f"{_subject(name, option)} must have at least 2 groups, got 1: {values.tolist()[0]!r}")
    return codes


def time_numbers(name: str, values: Array, option: str = "time", rows: Array | None = None) -> Array:
    """Return dates or numbers (n,) as numbers; TableError if a cell is missing, is neither, or if all are equal.

    `rows` are the indices of the values in their table, for the message.
    """
    require_complete(name, missing_rows(name, values), option, rows)
    ordered = as_ordered(name, values)
    if ordered is None:
        raise TableError(f"{_subject(name, option)} must contain dates or numbers, got {values.tolist()[0]!r}")
    require_complete(name, missing_rows(name, ordered), option, rows)
    times = ordered.astype(np.int64) if ordered.dtype.kind == "M" else ordered
    if len(times) and times.min() == times.max():
        raise TableError(f"{_subject(name, option)} must vary, got {values.tolist()[0]!s} in every row")
    return times


def _numbered(codes: Array) -> Array:
    """Return equal numbers (n,) for equal codes, from 0 in the order of their first rows."""
    _, first, places = np.unique(codes, return_index=True, return_inverse=True)
    ranks = np.empty(len(first), np.intp)
    ranks[np.argsort(first)] = np.arange(len(first))
    return ranks[places]


def _subject(name: str, option: str) -> str:
    """Return how messages refer to groups or times: as an argument, or as a column, which an option may name."""
    return option if option and not option.startswith("--") else f"{option} column {name!r}".strip()


def require_complete(name: str, missing: Array, option: str = "", rows: Array | None = None) -> None:
    """Raise TableError for the first missing (n,) one of groups or times, with its row in the table."""
    if missing.any():
        first = int(missing.argmax())
        row = (first if rows is None else int(rows[first])) + 1
        remedy = "Fill it in, or remove the row."
        raise TableError(f"{_subject(name, option)}, row {row}: expected a value, got a missing cell. {remedy}")


# Copies.


def copies(columns: Mapping[str, Array], y: Array) -> Array | None:
    """Return the unit (n,) of each row, equal for rows that are copies of each other; None if there are none.

    Copies are equal in all columns and in the target y, (n,) or (n, n_outputs), and more often than by chance. In a
    table of few categories many rows are equal by chance, and to keep them together would hide what they teach. Equal
    rows are therefore no copies if independent columns would be equal about as often, or if rows with equal columns
    often differ in the target. The latter does not matter where targets are hardly ever equal.
    """
    if not columns:
        return None
    n = len(y)
    inputs, target = _hash(_bits(name, values) for name, values in columns.items()), _target_bits(y)
    units = _numbered(_hash([inputs, target]))
    n_units = int(units.max()) + 1 if n else 0
    if n_units == n or n_units < _MIN_DISTINCT_ROWS:
        return None
    _, place, sizes = np.unique(inputs, return_inverse=True, return_counts=True)
    frequencies = np.unique(target, return_counts=True)[1] / n
    if (frequencies**2).sum() >= _RARELY_EQUAL and not _target_follows(place, sizes, units, frequencies):
        return None
    pairs, equal_pairs = n * (n - 1) / 2, float((sizes * (sizes - 1) / 2).sum())
    by_chance = pairs * np.prod([_collision_rate(name, values) for name, values in columns.items()])
    return units if by_chance < _MAX_CHANCE * equal_pairs else None


def fingerprints(columns: Mapping[str, Array], y: Array) -> Array:
    """Return a hash (n,) of each row's columns of numbers and its target, equal for equal rows of any two tables."""
    return _hash([_hash(_bits(name, values) for name, values in columns.items()), _target_bits(y)])


def describe_copies(units: Array) -> str:
    """Return a notice about copies."""
    n_copies = len(units) - len(np.unique(units))
    number = "1 row repeats" if n_copies == 1 else f"{n_copies:,} rows repeat"
    return f"{number} another one in all inputs and the target; copies count as one row with their total weight"


def _target_follows(place: Array, sizes: Array, units: Array, frequencies: Array) -> bool:
    """Return whether the sets of rows with equal inputs hardly ever contain different targets.

    A set of m unrelated rows has one target with the probability sum_k p_k^m.
    """
    repeated = sizes > 1
    several = np.bincount(np.unique(np.column_stack([place, units]), axis=0)[:, 0], minlength=len(sizes)) > 1
    lengths, counts = np.unique(sizes[repeated], return_counts=True)
    expected = sum(count * (1 - (frequencies**m).sum()) for m, count in zip(lengths.tolist(), counts.tolist()))
    return bool((several & repeated).sum() < _MAX_CONFLICTS * expected)


def _collision_rate(name: str, values: Array) -> float:
    """Return the probability that two rows have equal values by chance.

    Of categories it is sum_k p_k^2. Numbers that are repeated in every copy would have a large one, too, so it is
    computed as if they were spread evenly over multiples of their smallest difference, except for frequent ones.
    """
    distinct, codes = factorize(name, values)
    p = np.bincount(codes) / len(codes)
    rate = float((p**2).sum())
    if values.dtype.kind == "b" or not (values.dtype.kind in "iufM" or are_numbers(distinct)):
        return rate
    numbers = np.sort(
        as_dates(name, values).astype(np.float64) if values.dtype.kind == "M" else as_numbers(name, values)
    )
    steps = np.diff(numbers[np.isfinite(numbers)])
    steps = steps[steps > 0]
    if len(steps) < 2:
        return rate
    even = float(steps.min() / (steps.sum() + steps.min()))
    frequent = p[(p >= _SPIKE) & (p >= _SPIKE_RATIO * np.median(p))]
    return min(rate, even + float((frequent**2).sum()))


def _hash(columns: Iterable[Array]) -> Array:
    """Return a hash (n,) of each row of columns of 64 bits: equal for equal rows, otherwise almost surely different."""
    rng, mixed = np.random.default_rng(0), None
    for bits in columns:
        factor = rng.integers(0, 2**64, dtype=np.uint64) | np.uint64(1)
        mixed = np.zeros(len(bits), np.uint64) if mixed is None else mixed
        mixed = (mixed ^ (bits * factor)) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return np.zeros(0, np.uint64) if mixed is None else mixed


def _bits(name: str, values: Array) -> Array:
    """Return cells as 64 bits each, equal for equal cells; all missing ones are equal."""
    if values.dtype.kind in "iufb":
        numbers = values.astype(np.float64) + 0.0  # turns -0.0 into 0.0
        numbers[np.isnan(numbers)] = np.nan
        return numbers.view(np.uint64)
    if values.dtype.kind in "Mm":
        return values.astype(np.int64).view(np.uint64)
    distinct, codes = factorize(name, values)
    missing = np.array([is_missing(value) for value in distinct], np.bool_)
    return np.where(missing[codes], len(distinct), codes).astype(np.uint64)


def _target_bits(y: Array) -> Array:
    return _hash(_bits("y", column) for column in (y[:, np.newaxis] if y.ndim == 1 else y).T)
