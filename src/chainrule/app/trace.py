"""The command `trace`: show one training step of a model on rows of a table."""

import json
from collections.abc import Callable, Sequence

import numpy as np
import typer

from chainrule.app.options import Form, Notation, TraceOptions
from chainrule.app.plan import Table
from chainrule.app.reporter import Reporter
from chainrule.app.results import read_to_score
from chainrule.arrays import Array
from chainrule.data.targets import ClassTarget
from chainrule.errors import TableError
from chainrule.files.archive import write_whole
from chainrule.insight.trace import Trace, trace
from chainrule.model.predictor import Predictor
from chainrule.nn.network import Network

_FORMS: dict[Form, Callable[[Trace, Notation], str]] = {
    Form.text: lambda step, notation: step.to_text(notation) + "\n",
    Form.latex: lambda step, notation: step.to_latex(notation),
    Form.html: lambda step, notation: step.to_html(notation),
    Form.json: lambda step, notation: json.dumps(step.to_dict()) + "\n",
}


def run(options: TraceOptions) -> None:
    """Print the trace, or write it to a file, and verify it if asked to."""
    predictor, table, _ = read_to_score(options, Reporter())
    X, y = _encoded(predictor, table, options.row or [1])
    columns, target = predictor.encoder.get_feature_names_out().tolist(), predictor.target
    outputs = [str(label) for label in target.labels] if isinstance(target, ClassTarget) else [target.name]
    network = _member(predictor, options.member)
    with Reporter().step("tracing") as show:
        step = trace(network, X, y, rate=options.rate, columns=columns, outputs=outputs)
        show("verifying" if options.verify else "")
        proof = step.verify() if options.verify else None
        show("writing")
        content = _FORMS[options.to](step, options.notation)
    _write(content, options)
    if proof is not None:
        typer.echo(str(proof).splitlines()[0], err=True)
        if not proof.ok:
            raise typer.Exit(1)


def _member(predictor: Predictor, number: int) -> Network:
    """Return a network of the predictor's ensemble, numbered from 1."""
    networks = predictor.ensemble.means.networks
    if number > len(networks):
        raise TableError(f"--member must be <= {len(networks)}, the number of networks, got {number}")
    return networks[number - 1]


def _encoded(predictor: Predictor, table: Table, numbers: Sequence[int]) -> tuple[Array, Array]:
    """Return the encoded inputs and targets of rows numbered from 1."""
    n_rows, target = len(table.values), predictor.target
    for row in numbers:
        if row > n_rows:
            raise TableError(f"--row must be <= {n_rows:,}, the number of rows, got {row}")
        if row - 1 not in table.known:
            raise TableError(f"the target {target.name!r} must be known in row {row}, got a missing value")
    part = table.part(np.array(numbers) - 1)
    return predictor.encoder.transform(part.inputs), target.encode(part.values)


def _write(content: str, options: TraceOptions) -> None:
    if options.out is None:
        typer.echo(content, nl=False)
    else:
        write_whole(options.out, lambda output: output.write(content.encode()))
        typer.echo(f"trace  {options.out}", err=True)
