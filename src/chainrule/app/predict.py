"""The command `predict`: predictions for every row of a table, in batches."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl
import typer

from chainrule.app.models import load_predictor, open_table, text_columns, warnings_as
from chainrule.app.options import PredictOptions
from chainrule.app.paths import shown
from chainrule.app.progress import Step
from chainrule.app.reporter import Reporter
from chainrule.app.tables import TableFile, with_numbers, write_csv, write_table
from chainrule.arrays import Array
from chainrule.data.columns import NumberColumn, RawColumn
from chainrule.data.targets import ClassTarget
from chainrule.display import printable
from chainrule.errors import TableError, require_names
from chainrule.model.predictor import Predictor
from chainrule.model.threads import ahead


def run(options: PredictOptions) -> None:
    """Write a table with one column named after the target, and those that options ask for."""
    predictor = load_predictor(options.model)
    is_classifier = isinstance(predictor.target, ClassTarget)
    if options.proba and not is_classifier:
        raise TableError(f"--proba requires a classification model, got {options.model}, a regression model")
    source = open_table(predictor, options.file, options.table)
    predictions = _Predictions(predictor, source, options)
    rows_are_seen = options.out is None and sys.stdout.isatty()
    with Reporter(quiet=rows_are_seen).step(f"predicting {shown(options.file)}") as show:
        if options.out is not None:
            write_table(predictions.frames(show), options.out)
        else:
            write_csv(predictions.frames(show), sys.stdout.buffer)
            sys.stdout.flush()


@dataclass
class _Predictions:
    """The predictions for a table. Notices about it are printed to standard error, one per subject."""

    predictor: Predictor
    source: TableFile
    options: PredictOptions
    noted: set[str] = field(default_factory=set)

    def frames(self, show: Step) -> Iterator[pl.DataFrame]:
        """Yield the predictions in batches; show the number of rows so far."""
        encoder, row = self.predictor.encoder, 0
        text = text_columns(encoder, self.predictor.target)
        numbers = (column.name for column in encoder.columns if isinstance(column, NumberColumn | RawColumn))
        numeric = [name for name in numbers if name not in text]
        plain = set(numeric) - {*(self.options.identifier or ()), *self.predictor.metadata.get("id", [])}
        # The fraction is read by the thread that reads the file: at any other time the file may be closed meanwhile.
        for frame, fraction in ahead((frame, self.source.fraction) for frame in self.source.batches(text, plain)):
            copied = self._copied(frame)
            notices: list[str] = []
            with warnings_as(notices):
                columns = self._columns(with_numbers(frame, numeric), row)
            self._note([*notices, *(self._first_notices(frame, copied) if not row else [])])
            yield pl.DataFrame({name: frame[name] for name in copied} | columns)
            row += len(frame)
            show(f"{row:,} rows", fraction)
        self._note(self.source.notices)

    def _copied(self, frame: pl.DataFrame) -> Sequence[str]:
        """Return the columns to copy; TableError if one is missing, or is predicted."""
        names = self.options.identifier
        self.source.require_scalars(names or ())
        if names is None:
            return [name for name in self.predictor.metadata.get("id", []) if name in frame.columns]
        require_names(dict.fromkeys(frame.columns), names)
        for name in self.predictor.target.output_names:
            if name in names:
                raise TableError(f"--id must not name the predicted column, got {name!r}")
        return names

    def _columns(self, table: object, first_row: int) -> dict[str, object]:
        """Return the predictions for a table, then intervals or sets, and probabilities, if they are asked for."""
        target, coverage, predictor = self.predictor.target, self.options.coverage, self.predictor
        if not isinstance(target, ClassTarget):
            distribution = predictor.distribution(table, first_row)
            columns = self._named(target.decode(distribution.means))
            for end, score in zip((" low", " high"), () if coverage is None else predictor.ensemble.ends(coverage)):
                columns |= self._named(predictor.decode_end(distribution.at(score)), end)
            return columns
        P = predictor.predictions(table, first_row)
        columns = self._named(target.decode(P))
        if coverage is not None:
            columns[f"{target.name} set"] = ["|".join(map(str, labels)) for labels in predictor.sets_of(P, coverage)]
        if self.options.proba:
            columns |= {f"{target.name}={label}": P[:, k] for k, label in enumerate(target.labels)}
        return columns

    def _named(self, decoded: Array, end: str = "") -> dict[str, object]:
        """Return one column per output, with `end` appended to its name."""
        names = self.predictor.target.output_names
        return {name + end: column.tolist() for name, column in zip(names, decoded.reshape(-1, len(names)).T)}

    def _first_notices(self, frame: pl.DataFrame, copied: Sequence[str]) -> list[str]:
        """Return notices about the file and about columns that training did not use."""
        metadata, target = self.predictor.metadata, self.predictor.target
        used = [name for use in ("weight", "group", "time") for name in metadata.get(use, [])]
        expected = [target.name, *target.output_names, *copied, *used]
        return [*self.source.notices, *self.predictor.encoder.notices_for(frame.drop(expected, strict=False))]

    def _note(self, notices: Sequence[str]) -> None:
        """Print the first notice about each subject, although every batch may have its own."""
        for notice in notices:
            subject = notice.partition(":")[0]
            if subject not in self.noted:
                self.noted.add(subject)
                typer.echo(f"note: {printable(notice)}", err=True)
