"""The model and the command-line interface of the file."""

from __future__ import annotations

import csv
import math
import os
import sys
from base64 import b64decode
from bisect import bisect_left
from io import BytesIO, StringIO
from typing import Any

from chainrule.export.standalone.cells import as_dicts, encode, prepare
from chainrule.export.standalone.pure import infer, read_array


def fill(description: Any, arrays: dict[str, Any]) -> Any:
    """Return the description with {"$array": name} replaced by that array, and {"$float": text} by that number."""
    if isinstance(description, list):
        return [fill(part, arrays) for part in description]
    if not isinstance(description, dict):
        return description
    if "$array" in description:
        return arrays[description["$array"]]
    if "$float" in description:
        return float(description["$float"])
    return {name: fill(part, arrays) for name, part in description.items()}


def require_coverage(coverage: float) -> None:
    """Raise ValueError unless the coverage is a probability between 0 and 1."""
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must be strictly between 0 and 1, got {coverage!r}")


def at_level(table: Any, level: float) -> Any:
    """Return the row of a level in a table from 0.001 to 0.999, rounded outwards; infinite beyond its ends."""
    place = round(level * (len(table) + 1), 9)
    k = math.floor(place) if level < 0.5 else math.ceil(place)
    if 1 <= k <= len(table):
        return table[k - 1]
    return [-math.inf if level < 0.5 else math.inf] * len(table[0])


class Model:
    """An ensemble of networks with its preprocessing."""

    def __init__(self, description: dict[str, Any], shapes: dict[str, Any], arrays: str) -> None:
        data = BytesIO(b64decode(arrays))
        named = {name: read_array(kind, shape, data) for name, (kind, *shape) in shapes.items()}
        self.__dict__.update(fill(description, named))
        if self.columns is not None:
            self.columns = [prepare(column) for column in self.columns]

    schema: Any
    target: str
    labels: Any
    columns: Any
    n_in: int
    members: Any
    bounds: Any
    exponential: bool
    logits: Any
    scores: Any
    set_limits: Any
    contrast: Any
    golden_rows: Any
    golden_predictions: Any
    golden_units: Any

    def sums(self, rows: Any) -> Any:
        """Return the sums over the networks, one row each: probabilities, or values or their logarithms.

        Each value is followed by its quantiles, at the levels with these logits.
        """
        if self.columns is not None:
            rows = encode(self.columns, as_dicts(self.columns, rows))
        elif any(len(row) != self.n_in or not all(map(math.isfinite, row)) for row in rows):
            raise ValueError(f"each row must have {self.n_in} finite values")
        return infer(self.members, self.bounds, rows) if len(rows) else []

    def predictions(self, rows: Any) -> Any:
        """Return the networks' predictions, one row each: probabilities, or values in the target's unit."""
        sums, width = self.sums(rows), 1 + len(self.logits)
        sums = sums[:, ::width] if hasattr(sums, "shape") else [row[::width] for row in sums]
        return [list(map(math.exp, row)) for row in sums] if self.exponential else sums

    def predict(self, rows: Any) -> Any:
        """Return a label or a number for each row, a dict of cells; for a bare network, its outputs."""
        predictions = self.predictions(rows)
        if self.labels is not None:
            return [self.labels[max(range(len(row)), key=row.__getitem__)] for row in predictions]
        one_output = self.columns is not None and len(self.golden_units) == 1
        return [row[0] for row in predictions] if one_output else predictions

    def predict_proba(self, rows: Any) -> Any:
        """Return the probabilities of `MODEL.labels` for each row."""
        if self.labels is None:
            raise ValueError("predict_proba requires a classifier; this model predicts numbers. Call predict.")
        return self.predictions(rows)

    def predict_interval(self, rows: Any, coverage: float = 0.9) -> Any:
        """Return a prediction interval (low, high) with the given coverage for each row; a list for several outputs."""
        require_coverage(coverage)
        if self.scores is None:
            raise ValueError("predict_interval requires a regressor calibrated on held-out rows")
        low, high = (at_level(self.scores, level) for level in ((1 - coverage) / 2, (1 + coverage) / 2))
        width, intervals = 1 + len(self.logits), []
        for row in self.sums(rows):
            outputs = [row[width * j : width * (j + 1)] for j in range(len(low))]
            ends = [[self.at(j, output, score[j]) for score in (low, high)] for j, output in enumerate(outputs)]
            intervals.append([tuple(pair) for pair in ends])
        return [row[0] for row in intervals] if len(low) == 1 else intervals

    def predict_set(self, rows: Any, coverage: float = 0.9, by_class: bool = False) -> Any:
        """Return the plausible labels for each row, the most probable first; with `by_class`, plausible by class."""
        require_coverage(coverage)
        if self.set_limits is None:
            raise ValueError("predict_set requires a classifier calibrated on held-out rows")
        first, *of_class = at_level(self.set_limits, coverage)
        limits = of_class if by_class else [first] * len(of_class)
        sets = []
        for row in self.predictions(rows):
            order = sorted(range(len(row)), key=lambda k: -row[k])
            sets.append([self.labels[k] for k in order if k == order[0] or 1 - row[k] <= limits[k]])
        return sets

    def at(self, j: int, output: Any, score: float) -> float:
        """Return the value of number j at a score: between its quantiles, beyond them, or that far from its mean."""
        inverse = math.exp if self.exponential else float
        values, logits = output[1:], self.logits
        if not logits:
            return self.in_range(j, inverse(output[0] + score))
        k, middle = bisect_left(logits, score), len(logits) // 2
        knot = max(k - 1, 0)
        a, b = (k - 1, k) if 0 < k < len(logits) else (middle, knot)
        slope = (values[b] - values[a]) / (logits[b] - logits[a])
        value = values[knot] + slope * (score - logits[knot])
        return self.in_range(j, inverse(values[middle] + self.factor(j, values) * (value - values[middle])))

    def factor(self, j: int, values: Any) -> float:
        """Return by how much the distances between the quantiles of number j are to be corrected."""
        if self.contrast is None:
            return 1.0
        (exponent, typical), q = [row[j] for row in self.contrast], len(values)
        spread = max(values[q - 1 - q // 4] - values[q // 4], 2.0**-23 * typical)
        return float((spread / typical) ** (exponent - 1))

    def in_range(self, j: int, value: float) -> float:
        """Return 0 for a value beyond it if all values in training were on the other side."""
        if self.bounds is None or self.exponential:
            return value
        low, high = (ends[j * (1 + len(self.logits))] for ends in self.bounds)
        rounding = 1e-9 * (high - low)
        return max(value, 0.0) if low >= -rounding else min(value, 0.0) if high <= rounding else value

    def difference(self) -> float:
        """Return the largest difference between the predictions for the golden rows and the stored ones."""
        rows = self.golden_rows
        if self.columns is not None:
            rows = [dict(zip((column["name"] for column in self.columns), row)) for row in rows]
        largest = 0.0
        for predicted, expected in zip(self.predictions(rows), self.golden_predictions):
            for y, golden, unit in zip(predicted, expected, self.golden_units):
                difference = float(abs(y - golden) / unit)
                largest = difference if not difference <= largest else largest
                if math.isnan(largest):
                    return math.inf
        return largest

    def read_csv(self, text: str) -> Any:
        """Return the rows of a CSV, whose separator is the most frequent candidate in the header."""
        separator = max(",;\t|", key=text.partition("\n")[0].count)
        lines = list(csv.reader(StringIO(text, newline=""), delimiter=separator))
        if self.columns is not None:
            header, *rest = lines or [[]]
            if len(set(header)) < len(header) or not any(header):
                raise ValueError(f"the first line must be a header of unique column names, got {header}")
            rows = [cells or [""] for cells in rest if cells or len(header) == 1]
            for i, cells in enumerate(rows):
                if len(cells) != len(header):
                    raise ValueError(f"row {i + 1}: expected {len(header)} cells, got {len(cells)}")
            return [dict(zip(header, cells)) for cells in rows]
        lines = [cells for cells in lines if cells]
        try:
            return [list(map(float, cells)) for cells in lines]
        except ValueError:
            return [list(map(float, cells)) for cells in lines[1:]]

    def main(self, arguments: list[str]) -> int:
        """Run the self-test, or predict the CSV on standard input, one line per row; return the exit status."""
        if arguments == ["--test"]:
            difference = self.difference()
            print(f"{len(self.golden_predictions)} golden rows: largest difference {difference:.1e}")
            return int(not difference <= 1e-5)
        if arguments:
            print("usage: python FILE --test, or python FILE < rows.csv", file=sys.stderr)
            return 2
        try:
            predictions = self.predict(self.read_csv(sys.stdin.buffer.read().decode("utf-8-sig")))
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
        n_out = len(self.golden_units)
        multiple = self.labels is None and (n_out > 1 or self.columns is None)
        try:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow([f"{self.target}{j}" for j in range(n_out)] if multiple else [self.target])
            writer.writerows(predictions if multiple else ([label] for label in predictions))
            sys.stdout.flush()
        except BrokenPipeError:  # the reader, for example `head`, has closed the pipe
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
