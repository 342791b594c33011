"""The model: what answers rows, and the command that the file is."""

from __future__ import annotations

import csv
import math
import sys
from base64 import b64decode
from io import BytesIO, StringIO
from typing import Any

from chainrule.export.standalone.cells import encode
from chainrule.export.standalone.pure import answer, read_array


def fill(described: Any, numbers: BytesIO) -> Any:
    """Return a description with each array, told as a tuple of its kind and shape, read from the numbers in order."""
    if isinstance(described, tuple):
        return read_array(described[0], list(described[1:]), numbers)
    if isinstance(described, dict):
        return {name: fill(part, numbers) for name, part in described.items()}
    return [fill(part, numbers) for part in described] if isinstance(described, list) else described


class Model:
    """Networks with all that they need to answer rows: `predict`, `predict_proba`, `predict_interval`."""

    def __init__(self, description: dict[str, Any], numbers: str) -> None:
        self.__dict__.update(fill(description, BytesIO(b64decode(numbers))))

    target: str
    labels: Any
    columns: Any
    n_in: int
    members: Any
    bounds: Any
    residuals: Any
    golden_rows: Any
    golden_predictions: Any
    golden_units: Any

    def predictions(self, rows: Any) -> Any:
        """Return the networks' answers, a row each: probabilities, or numbers in the target's unit."""
        if self.columns is not None:
            alone = isinstance(rows, dict) or not hasattr(rows, "__iter__")
            rows = encode(self.columns, [rows] if alone else list(rows))
        elif len(rows) and len(rows[0]) != self.n_in:
            raise ValueError(f"a row must hold {self.n_in} numbers, got {len(rows[0])}")
        return answer(self.members, self.bounds, rows) if len(rows) else []

    def predict(self, rows: Any) -> Any:
        """Return a label or a number for each row, a dict of its cells; a bare network's answers as they are."""
        predictions = self.predictions(rows)
        if self.labels is not None:
            return [self.labels[max(range(len(row)), key=list(row).__getitem__)] for row in predictions]
        one_number = self.columns is not None and len(self.golden_units) == 1
        return [float(row[0]) for row in predictions] if one_number else predictions

    def predict_proba(self, rows: Any) -> Any:
        """Return the probabilities of `MODEL.labels` for each row."""
        if self.labels is None:
            raise ValueError("predict_proba must be asked of a classifier, and this model answers numbers")
        return self.predictions(rows)

    def predict_interval(self, rows: Any, coverage: float = 0.9) -> Any:
        """Return (low, high) for each row, which hold the true number in that share of new rows; of several a list."""
        if not 0 < coverage < 1:
            raise ValueError(f"coverage must be strictly between 0 and 1, got {coverage!r}")
        if self.residuals is None:
            raise ValueError("predict_interval must be asked of a model that answers numbers and was calibrated for it")
        n_levels = len(self.residuals)
        below = math.floor(round((1 - coverage) / 2 * (n_levels + 1), 9))
        above = math.ceil(round((1 + coverage) / 2 * (n_levels + 1), 9))
        endless = [math.inf] * len(self.golden_units)
        low = self.residuals[below - 1] if below >= 1 else [-end for end in endless]
        high = self.residuals[above - 1] if above <= n_levels else endless
        ends = [[(float(y + a), float(y + b)) for y, a, b in zip(row, low, high)] for row in self.predictions(rows)]
        return [row[0] for row in ends] if len(self.golden_units) == 1 else ends

    def difference(self) -> float:
        """Return how far the answers to the golden rows are from the golden answers, at most."""
        rows = self.golden_rows
        if self.columns is not None:
            rows = [dict(zip((column["name"] for column in self.columns), row)) for row in rows]
        greatest = 0.0
        for given, expected in zip(self.predictions(rows), self.golden_predictions):
            for y, golden, unit in zip(given, expected, self.golden_units):
                apart = float(abs(y - golden) / unit)
                greatest = apart if not apart <= greatest else greatest
                if math.isnan(greatest):
                    return math.inf
        return greatest

    def read_csv(self, text: str) -> Any:
        """Return the rows in a CSV, the separator being the one that the header holds most of."""
        separator = max(",;\t|", key=text.partition("\n")[0].count)
        lines = list(csv.reader(StringIO(text, newline=""), delimiter=separator))
        if self.columns is not None:
            header, *rest = lines or [[]]
            if len(set(header)) < len(header) or not any(header):
                raise ValueError(f"the first line must name the columns, differently, got {header}")
            rows = [cells or [""] for cells in rest if cells or len(header) == 1]
            for i, cells in enumerate(rows):
                if len(cells) != len(header):
                    raise ValueError(f"a row must hold {len(header)} cells, got row {i + 1} holds {len(cells)}")
            return [dict(zip(header, cells)) for cells in rows]
        lines = [cells for cells in lines if cells]
        try:
            return [list(map(float, cells)) for cells in lines]
        except ValueError:
            return [list(map(float, cells)) for cells in lines[1:]]

    def main(self, arguments: list[str]) -> int:
        """Test, or answer the CSV on standard input with a line a row; return the exit status."""
        if arguments == ["--test"]:
            difference = self.difference()
            print(f"{len(self.golden_predictions)} golden rows: the greatest difference is {difference:.1e}")
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
        written = csv.writer(sys.stdout, lineterminator="\n")
        several = self.labels is None and (n_out > 1 or self.columns is None)
        written.writerow([f"{self.target}{j}" for j in range(n_out)] if several else [self.target])
        written.writerows(map(list, predictions) if several else ([label] for label in predictions))
        return 0
