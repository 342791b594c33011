"""Explanations: the contribution of each column of a table to each prediction, as Shapley values.

A coalition S of columns has a value v(S): what the model predicts on average over background rows whose cells in S are
replaced by those of the row to explain. For a number this is the mean prediction, in the target's unit; for classes,
the log-odds of the mean probability, as with `link="logit"` in SHAP's KernelExplainer. The baseline is v of no column,
the prediction v of all of them. The contribution of column j is its Shapley value (Lundberg & Lee 2017, eq. 4)

    phi_j = mean over all orders of the columns of v(columns up to j) - v(columns before j),

so that the contributions of all columns sum to prediction - baseline.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import exp, factorial
from typing import Any, NamedTuple, final

import numpy as np

from chainrule.arrays import Array, as_generator, require, require_integer
from chainrule.data.cells import are_numbers, as_dates_only
from chainrule.data.formats import is_missing, to_number
from chainrule.data.reading import n_rows, read_columns
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.display import Shown, aligned, count, format_number, format_numbers, printable, signed_bar
from chainrule.insight.responses import in_target_unit
from chainrule.model.predictor import Predictor

_MAX_EXACT = 10
"""Columns up to which all coalitions are valued: 1,024 of 10."""
_MAX_PAIRS, _MIN_PAIRS, _COALITIONS = 8, 2, 512
"""Pairs of orders that are sampled at most and at least, and the coalitions at which the number of pairs aims."""
_MAX_NUMBERS, _MAX_ROWS = 2**21, 2**14
"""Numbers and rows that go through the networks at once."""
LEAST_PROBABILITY = 1e-12
"""Smaller probabilities count as this one, so that log-odds are finite."""


class Contribution(NamedTuple):
    """The contribution of a column, and the row's value as text; or of other columns together, without a value."""

    column: str
    value: str
    contribution: float


@dataclass(frozen=True, eq=False)
class Explanation(Shown):
    """The contribution of each of d columns to each of n predictions.

    Attributes
    ----------
    columns : tuple of str
        The columns of the table that the model uses.
    values : (n, d)
        The cells of the rows.
    contributions : (n, d), or (n, d, n_outputs) for several outputs
        They sum over the columns to prediction - baseline.
    baseline : float, or (n_outputs,)
        The mean prediction for the background rows, for classes as log-odds.
    predictions : (n,), or (n, n_outputs)
        In the same unit.
    outputs : tuple of str
        The names of the outputs: the target, or the class. Of two classes it is the second, of more than two classes
        each one against all others.
    unit : str
        "log-odds" for classes, "target" for numbers in the unit of the target.
    rows : (n,)
        Numbers of the rows in their table, from 1.
    n_background : int
        Number of background rows.
    n_evaluated : (n,)
        Number of rows that the networks have evaluated for each one.
    permutations : int, optional
        Number of sampled pairs of orders of the columns; None if the contributions are exact.
    errors : (n, d) or (n, d, n_outputs), optional
        Standard errors of the contributions, if there are several pairs of orders.
    """

    columns: tuple[str, ...]
    values: Array
    contributions: Array
    baseline: Array
    predictions: Array
    outputs: tuple[str, ...]
    unit: str
    rows: Array
    n_background: int
    n_evaluated: Array
    permutations: int | None = None
    errors: Array | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def __getitem__(self, rows: int | slice | Array) -> Explanation:
        """Return the explanation of some of the rows, by their indices from 0."""
        chosen = np.atleast_1d(np.arange(len(self))[rows])
        return replace(
            self,
            values=self.values[chosen],
            contributions=self.contributions[chosen],
            predictions=self.predictions[chosen],
            rows=self.rows[chosen],
            n_evaluated=self.n_evaluated[chosen],
            errors=None if self.errors is None else self.errors[chosen],
        )

    def __iter__(self) -> Iterator[Explanation]:
        """Yield the explanation of each row."""
        return (self[i] for i in range(len(self)))

    def for_output(self, output: str | None = None) -> Explanation:
        """Return the explanation of one output, by default the class that is predicted most often, or the first target.

        Raises ValueError if there is no output of that name.
        """
        names = list(self.outputs)
        if output is not None:
            require(output in names, "output", f"be one of {', '.join(map(repr, names))}", output)
        if len(names) == 1:
            return self
        usual = int(np.bincount(self.predictions.argmax(axis=1)).argmax()) if self.unit == "log-odds" else 0
        k = usual if output is None else names.index(output)
        return replace(
            self,
            contributions=self.contributions[..., k],
            baseline=self.baseline[k],
            predictions=self.predictions[..., k],
            outputs=(names[k],),
            errors=None if self.errors is None else self.errors[..., k],
        )

    @property
    def subject(self) -> str:
        """What is explained: the target, or the log-odds of a class."""
        return f"log-odds of {self.outputs[0]}" if self.unit == "log-odds" else self.outputs[0]

    def ranking(self, max_columns: int = 10, output: str | None = None) -> list[Contribution]:
        """Return the largest contributions to one output, and the sum of the others.

        For a single row they have signs; for several they are the means of the absolute contributions.
        """
        require_integer(max_columns, "max_columns")
        phi = self.for_output(output).contributions
        sizes = np.abs(phi).mean(axis=0)
        shown = phi[0] if len(self) == 1 else sizes
        order = np.argsort(-sizes, kind="stable").tolist()
        first, rest = order[:max_columns], order[max_columns:]
        if len(rest) == 1:
            first, rest = order, []
        texts = [cell_text(self.values[0, j]) if len(self) == 1 else "" for j in first]
        entries = [Contribution(self.columns[j], text, float(shown[j])) for j, text in zip(first, texts)]
        others = [Contribution(f"{len(rest)} other columns", "", float(shown[rest].sum()))] if rest else []
        return entries + others

    def headline(self, output: str | None = None) -> str:
        """Return one line that says what is explained."""
        one = self.for_output(output)
        if len(self) != 1:
            return f"mean absolute contribution to {one.subject} in {count(len(self), 'row')}"
        width = float(np.abs(one.contributions).max())
        ends = format_numbers([float(one.predictions[0]), float(one.baseline)], width)
        if self.unit == "log-odds":
            ends = [f"{end} ({percent(z)})" for end, z in zip(ends, (one.predictions[0], one.baseline))]
        return f"{one.subject} in row {self.rows[0]:,}: {ends[0]}, from a baseline of {ends[1]}"

    @property
    def method(self) -> str:
        """One line about how the contributions were computed, and how precise they are."""
        how = "exact Shapley values"
        if self.permutations is not None:
            how = f"Shapley values from {count(self.permutations, 'pair')} of sampled orders"
        if self.errors is not None:
            how += f", standard error at most {self.errors.max():.2g}"
        background = count(self.n_background, "background row")
        return f"{how}; {background}, {count(int(self.n_evaluated.sum()), 'network row')} evaluated"

    def texts(self, max_columns: int = 10, output: str | None = None) -> list[tuple[str, str, str, str]]:
        """Return the cells of the table that `to_text` prints: column, value, contribution and bar."""
        entries = self.ranking(max_columns, output)
        largest = max(abs(entry.contribution) for entry in entries)
        numbers = format_numbers([entry.contribution for entry in entries], largest)
        signs = ["+" * (len(self) == 1 and entry.contribution > 0) for entry in entries]
        bars = [signed_bar(entry.contribution, largest) for entry in entries]
        bars = bars if len(self) == 1 else [bar.lstrip() for bar in bars]
        return [
            (printable(entry.column), printable(entry.value), sign + number, bar)
            for entry, sign, number, bar in zip(entries, signs, numbers, bars)
        ]

    def to_text(self, max_columns: int = 10, output: str | None = None) -> str:
        """Return the largest contributions to one output as a table with bars."""
        lines = [self.headline(output), "", *aligned(self.texts(max_columns, output)), "", self.method]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain dicts, lists, strings and numbers, ready for JSON."""
        phi = self.contributions.reshape(len(self), len(self.columns), len(self.outputs))
        predictions = self.predictions.reshape(len(self), -1)
        by_output = [
            {
                name: {
                    "prediction": float(predictions[i, k]),
                    "contributions": dict(zip(self.columns, phi[i, :, k].tolist())),
                }
                for k, name in enumerate(self.outputs)
            }
            for i in range(len(self))
        ]
        return {
            "unit": self.unit,
            "baseline": dict(zip(self.outputs, np.ravel(self.baseline).tolist())),
            "permutations": self.permutations,
            "background_rows": self.n_background,
            "evaluated_rows": int(self.n_evaluated.sum()),
            "rows": [
                {"row": int(row), "values": dict(zip(self.columns, map(_plain, cells))), "outputs": outputs}
                for row, cells, outputs in zip(self.rows, self.values, by_output)
            ],
        }

    def plot(self, ax: Any = None, output: str | None = None, max_columns: int = 10) -> Any:
        """Draw a waterfall of a single row, or a beeswarm of several. Requires the extra `plot`."""
        import chainrule

        draw = chainrule.viz.waterfall if len(self) == 1 else chainrule.viz.beeswarm
        return draw(self, ax, output=output, max_columns=max_columns)

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        n, d = self.values.shape
        return f"Explanation({self.unit} of {', '.join(self.outputs)}: {count(n, 'row')}, {count(d, 'column')})"


def probability(log_odds: float) -> float:
    """Return the probability with these log-odds."""
    return 1 / (1 + exp(-log_odds))


def percent(log_odds: float) -> str:
    """Return the probability with these log-odds as text, never 0 % or 100 %.

    Examples
    --------
    >>> percent(0.0), percent(9.0)
    ('50.0%', '>99.9%')
    """
    p = probability(log_odds)
    return "<0.1%" if p < 0.001 else ">99.9%" if p > 0.999 else f"{p:.1%}"


def cell_text(cell: object) -> str:
    """Return a cell of the user's table as text."""
    if is_missing(cell):
        return "missing"
    if isinstance(cell, int | float | np.number) and not isinstance(cell, bool):
        return format_number(float(cell), group_from=10_000)
    return str(cell)


def ranks(cells: Array) -> Array:
    """Return the rank (n,) of each number or date among them, between 0 and 1; NaN for categories and missing cells."""
    missing = np.array([is_missing(cell) for cell in cells])
    known = cells[~missing].tolist()
    found = np.full(len(cells), np.nan)
    if not known:
        return found
    values = np.array([to_number(cell) for cell in known]) if are_numbers(known) else as_dates_only(known)
    if values is not None:
        distinct, codes = np.unique(values, return_inverse=True)
        found[~missing] = codes / max(len(distinct) - 1, 1)
    return found


def _plain(cell: Any) -> object:
    """Return a cell as JSON has it: dates as text, missing ones as None."""
    if is_missing(cell):
        return None
    cell = cell.item() if isinstance(cell, np.generic) and cell.dtype.kind in "iufb" else cell
    return cell if isinstance(cell, int | float | str) else str(cell)


# Computation.


def explain(
    model: Predictor,
    table: object,
    *,
    background: object = None,
    permutations: int | None = None,
    seed: int = 0,
    progress: Callable[[float], object] | None = None,
) -> Explanation:
    """Return the contribution of each column to the prediction for each row of a table.

    With up to 10 columns, contributions are exact: all coalitions of columns are valued. With more, they are averages
    over random orders of the columns, each together with its reverse, which is exact for a model without interactions
    of three or more columns (Mitchell et al. 2022, section 3.2). In both cases they sum to prediction - baseline. All
    rows have the same orders, so that the result for a row does not depend on the others.

    Contributions describe the model, not the world. In the background rows, cells are combined that need not occur
    together if columns are correlated.

    Parameters
    ----------
    model : Predictor
    table : dict of columns, DataFrame or any other input of `read_columns`
        The rows to explain.
    background : table, optional
        The rows to compare with; all of them are used, and the time grows with their number. Default: the sample of
        training rows that the model contains, at most 64.
    permutations : int, optional
        The number of pairs of orders to sample, if that takes less time than all coalitions. Default: all coalitions of
        up to 10 columns; of more, as many pairs from 2 to 8 as make 512 coalitions.
    seed : int
    progress : function, optional
        Called with the fraction of the rows that are explained.

    Raises
    ------
    ValueError
        If the model has no background and none is given, or an argument is invalid.
    TableError
        If the table does not fit the model.

    Examples
    --------
    >>> from chainrule import Adam, Predictor
    >>> table = {"size": [1.0, 2.0, 3.0, 4.0], "age": [3.0, 1.0, 2.0, 5.0], "price": [10.0, 20.0, 30.0, 40.0]}
    >>> model = Predictor.fit(table, target="price", optimizer=Adam(0.05), epochs=300, seed=0)
    >>> explanation = explain(model, [{"size": 4.0, "age": 5.0}])
    >>> total = explanation.baseline + explanation.contributions.sum()
    >>> bool(abs(total - explanation.predictions[0]) < 1e-6)
    True
    >>> explanation.ranking()[0].column
    'size'
    """
    cells = read_columns(table)
    n, columns = n_rows(cells), model.encoder.columns
    if not n:
        raise ValueError("table must have at least one row, got a table without rows")
    game = _Game(model, _background_of(model, background))
    rng = as_generator(seed)
    coalitions = _coalitions(len(columns), permutations, rng)
    X = model.encoder.transform(cells)
    results = []
    for i, x in enumerate(X):
        parts, before = [], game.n_evaluated
        for masks in coalitions.masks(game.n_at_once):
            parts.append(game.values(x, masks))
            if progress is not None:
                progress((i + sum(map(len, parts)) / coalitions.n) / n)
        values = np.concatenate(parts)
        phi, errors = coalitions.shapley(values)
        results.append((phi, errors, values[coalitions.full], values[coalitions.empty], game.n_evaluated - before))
    phi, errors, predictions, baselines, n_evaluated = (np.stack(arrays) for arrays in zip(*results))
    single = phi.shape[2] == 1
    return Explanation(
        tuple(column.name for column in columns),
        np.array([cells[column.name].astype(object) for column in columns], object).T,
        phi[..., 0] if single else phi,
        baselines[0, 0] if single else baselines[0],
        predictions[:, 0] if single else predictions,
        explained_outputs(model.target),
        "log-odds" if isinstance(model.target, ClassTarget) else "target",
        np.arange(1, n + 1),
        len(game.background),
        n_evaluated,
        coalitions.n_pairs,
        None if np.isnan(errors).any() else errors[..., 0] if single else errors,
    )


def explained_outputs(target: ClassTarget | NumberTarget) -> tuple[str, ...]:
    """Return the names of what is explained."""
    if not isinstance(target, ClassTarget):
        return tuple(target.output_names)
    labels = tuple(map(str, target.labels))
    return labels[1:] if len(labels) == 2 else labels


def _background_of(model: Predictor, background: object) -> Array:
    """Return the encoded background rows (n, n_features)."""
    if background is not None:
        rows = model.encoder.transform(background)
        if not len(rows):
            raise ValueError("background must have at least one row, got a table without rows")
        return rows
    if model.background is None:
        raise ValueError("background must be given for a model without a sample of training rows. Pass some of them.")
    return model.background


class _Game:
    """Values coalitions of columns for a row, by the model's predictions for changed background rows.

    A background row with the same cell in a column does not change with it. Networks evaluate equal rows once: rows of
    a coalition are known by the sum of a random 64-bit number for each cell that differs, which two of 100,000
    different rows share with a probability of 3e-10.
    """

    def __init__(self, model: Predictor, background: Array) -> None:
        self.model, self.background = model, background
        widths = [end - start for _, start, end in model.encoder.layout.places]
        self.starts = np.array([start for _, start, _ in model.encoder.layout.places])
        self.sources = np.repeat(np.arange(len(widths)), widths)
        n, n_features = background.shape
        self.n_at_once = max(1, min(_MAX_ROWS, _MAX_NUMBERS // n_features) // n)
        rng = as_generator(0)
        self.of_column, self.of_row = (rng.integers(2**64, size=size, dtype=np.uint64) for size in (len(widths), n))
        self.n_evaluated = 0

    def values(self, x: Array, masks: Array) -> Array:
        """Return the values (m, k) of coalitions (m, d) for an encoded row x."""
        differs = np.logical_or.reduceat(self.background != x, self.starts, axis=1)
        keys = masks.astype(np.uint64) @ (differs * self.of_column).T + self.of_row
        _, first, places = np.unique(keys, return_index=True, return_inverse=True)
        coalition, row = np.divmod(first, len(self.background))
        changed = np.where(masks[coalition][:, self.sources], x, self.background[row])
        predictions = self.predict(changed)[places.reshape(keys.shape)]
        mean = predictions.mean(axis=1, dtype=np.float64)
        return _log_odds(mean) if isinstance(self.model.target, ClassTarget) else mean

    def predict(self, X: Array) -> Array:
        """Return the predictions (n, k) for encoded rows, probabilities or numbers in the target's unit."""
        self.n_evaluated += len(X)
        return in_target_unit(self.model, self.model.ensemble.infer(X.astype(self.model.ensemble.dtype, copy=False)))


def _log_odds(P: Array) -> Array:
    """Return the log-odds (m, K) of each of K classes against all others, or (m, 1) of the second of two."""
    K = P.shape[1]
    others = P @ (1 - np.eye(K))
    P, others = np.maximum(P, LEAST_PROBABILITY), np.maximum(others, LEAST_PROBABILITY)
    return (np.log(P) - np.log(others))[:, K == 2 :]


class _Coalitions(ABC):
    """Base class: coalitions of d columns, and the Shapley values that follow from their values."""

    n: int
    """Number of coalitions."""
    empty: int
    full: int
    """Indices of the coalitions without and with all columns."""
    n_pairs: int | None = None
    """Number of sampled pairs of orders, if not all coalitions are valued."""

    @abstractmethod
    def masks(self, n_at_once: int) -> Iterator[Array]:
        """Yield all coalitions in parts (m, d), true where a column belongs to one."""

    @abstractmethod
    def shapley(self, values: Array) -> tuple[Array, Array]:
        """Return the Shapley values (d, k) for the coalitions' values (n, k), and their standard errors, or NaN."""


@final
class _AllCoalitions(_Coalitions):
    """All 2^d coalitions: column j belongs to coalition i if bit j of i is set."""

    def __init__(self, d: int) -> None:
        self.d, self.n, self.empty, self.full = d, 2**d, 0, 2**d - 1

    def masks(self, n_at_once: int) -> Iterator[Array]:
        for start in range(0, self.n, n_at_once):
            numbers = np.arange(start, min(start + n_at_once, self.n))
            yield (numbers[:, np.newaxis] >> np.arange(self.d)) & 1 == 1

    def shapley(self, values: Array) -> tuple[Array, Array]:
        """phi_j = sum over S without j of |S|! (d - 1 - |S|)! / d! (v(S with j) - v(S))."""
        d = self.d
        numbers = np.arange(2**d)
        phi = np.empty((d, values.shape[1]))
        weights = np.array([factorial(s) * factorial(d - 1 - s) / factorial(d) for s in range(d)])
        for j in range(d):
            without = numbers[(numbers >> j) & 1 == 0]
            sizes = ((without[:, np.newaxis] >> np.arange(d)) & 1).sum(axis=1)
            phi[j] = weights[sizes] @ (values[without + 2**j] - values[without])
        return phi, np.full_like(phi, np.nan)


@final
class _Orders(_Coalitions):
    """The coalitions of the first 0, 1, ..., d columns in random orders and their reverses.

    `places[w, j]` is the place of column j in order w; those of a pair follow each other.
    """

    def __init__(self, d: int, n_pairs: int, rng: np.random.Generator) -> None:
        forward = rng.permuted(np.tile(np.arange(d), (n_pairs, 1)), axis=1)
        self.places = np.stack([forward, d - 1 - forward], axis=1).reshape(2 * n_pairs, d)
        self.n, self.empty, self.full, self.n_pairs = 2 * n_pairs * (d + 1), 0, d, n_pairs

    def masks(self, n_at_once: int) -> Iterator[Array]:
        d = self.places.shape[1]
        for start in range(0, self.n, n_at_once):
            order, length = np.divmod(np.arange(start, min(start + n_at_once, self.n)), d + 1)
            yield self.places[order] < length[:, np.newaxis]

    def shapley(self, values: Array) -> tuple[Array, Array]:
        n_orders, d = self.places.shape
        steps = np.diff(values.reshape(n_orders, d + 1, -1), axis=1)
        by_order = np.take_along_axis(steps, self.places[:, :, np.newaxis], axis=1)
        by_pair = by_order.reshape(n_orders // 2, 2, d, -1).mean(axis=1)
        if len(by_pair) == 1:
            return by_pair[0], np.full_like(by_pair[0], np.nan)
        return by_pair.mean(axis=0), by_pair.std(axis=0, ddof=1) / np.sqrt(len(by_pair))


def orders_of(d: int, seed: int = 0) -> Array | None:
    """Return the orders (w, d) of d columns that `explain` samples by default; None if it values all coalitions."""
    coalitions = _coalitions(d, None, as_generator(seed))
    return np.argsort(coalitions.places, axis=1) if isinstance(coalitions, _Orders) else None


def _coalitions(d: int, n_pairs: int | None, rng: np.random.Generator) -> _Coalitions:
    """Return the coalitions to value: all, or those of sampled orders."""
    if n_pairs is None:
        if d <= _MAX_EXACT:
            return _AllCoalitions(d)
        n_pairs = max(_MIN_PAIRS, min(_MAX_PAIRS, _COALITIONS // (2 * d)))
    require_integer(n_pairs, "permutations")
    return _AllCoalitions(d) if 2**d <= 2 * n_pairs * (d + 1) else _Orders(d, n_pairs, rng)
