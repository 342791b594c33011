"""Models in files, and how they read tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from warnings import catch_warnings, simplefilter

from chainrule.app.options import ReadingOptions
from chainrule.app.tables import TableFile
from chainrule.data.columns import CategoryColumn, NumberColumn
from chainrule.data.formats import PLAIN
from chainrule.data.tabular import TabularEncoder
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.errors import ModelFileError
from chainrule.files.model import load
from chainrule.model.predictor import Predictor


def load_predictor(path: Path) -> Predictor:
    """Return the predictor in a model file."""
    model = load(path)
    if not isinstance(model, Predictor):
        raise ModelFileError(f"{path} contains a bare network, not a model of a table. Load it in Python.")
    return model


def open_table(predictor: Predictor, path: Path, options: ReadingOptions) -> TableFile:
    """Return a table for a model, to be read like the training table unless options say otherwise."""
    names = [column.name for column in predictor.encoder.columns]
    return TableFile(path, options.kind, options.reading(predictor.metadata.get("reading"), names))


def text_columns(encoder: TabularEncoder, target: ClassTarget | NumberTarget) -> list[str]:
    """Return the columns that the model reads as text, even if they look like numbers in another file."""
    names = [
        column.name
        for column in encoder.columns
        if isinstance(column, CategoryColumn) or (isinstance(column, NumberColumn) and column.format[:3] != PLAIN[:3])
    ]
    return [*names, target.name] if isinstance(target, ClassTarget) and target.dtype == "str" else names


@contextmanager
def warnings_as(notices: list[str]) -> Iterator[None]:
    """A context in which warnings to the user are not printed but added to a list."""
    with catch_warnings(record=True) as caught:
        simplefilter("always", UserWarning)
        yield
    notices += [str(warning.message) for warning in caught]
