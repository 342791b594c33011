"""Cards of the encoder of a table, of a predictor and of an explanation."""

from xml.etree.ElementTree import Element

from chainrule.data.tabular import TabularEncoder, notices_of
from chainrule.display import count, printable
from chainrule.errors import shorten
from chainrule.insight.explanation import Explanation
from chainrule.model.predictor import Predictor
from chainrule.notebook.elements import Content, bullets, card, element, folded, pale, signed_bar, table, to_html
from chainrule.notebook.networks import diagram

_MOST_ROWS = 100
"""Columns of a table that are listed."""


@to_html.register
def _(encoder: TabularEncoder) -> str:
    if not encoder.columns:
        return card("TabularEncoder", "not fitted")
    notices = [notice for notice in encoder.notices if notice not in notices_of(encoder.left_out)]
    facts = f"{count(len(encoder.columns), 'column')} → {count(encoder.n_features, 'network input')}"
    return card("TabularEncoder", facts, columns(encoder), *bullets(notices))


def columns(encoder: TabularEncoder) -> Element:
    """Return a table of the columns, with the inputs of the network that each becomes."""
    rows: list[list[Content]] = [
        [
            element("b", printable(column.name)),
            column.kind,
            str(column.n_features),
            pale(shorten(column.feature_names, 6)),
        ]
        for column in encoder.columns[:_MOST_ROWS]
    ]
    if len(encoder.columns) > _MOST_ROWS:
        rows.append([f"{len(encoder.columns) - _MOST_ROWS:,} more", "", "", ""])
    rows += [
        [pale(printable(name)), pale("left out"), "", pale(reason)]
        for name, reason in list(encoder.left_out.items())[:_MOST_ROWS]
    ]
    return table(["column", "kind", "inputs", ""], rows, numbers=(2,))


@to_html.register
def _(predictor: Predictor) -> str:
    encoder, networks, target = predictor.encoder, predictor.ensemble.networks, predictor.target
    n_parameters = sum(network.theta.size for network in networks)
    title = f"Predictor of {printable(target.name)}"
    facts = f"{target.task} from {count(len(encoder.columns), 'column')}"
    made = f"{count(len(networks), 'network')}, {n_parameters:,} parameters"
    made += f", trained on {predictor.metadata['rows']['training']:,} rows" if "rows" in predictor.metadata else ""
    made += f", {predictor.metadata['date'][:10]}" if "date" in predictor.metadata else ""
    largest = max(networks, key=lambda network: network.theta.size)
    which = "the network" if len(networks) == 1 else "the largest network"
    notices = bullets(predictor.metadata.get("notices", []))
    parts = [folded("the columns", columns(encoder)), folded(which, diagram(largest))]
    return card(title, facts, element("div", made), *notices, *parts)


@to_html.register
def _(explanation: Explanation) -> str:
    ranking, texts = explanation.ranking(), explanation.texts()
    largest = max(abs(entry.contribution) for entry in ranking)
    rows: list[list[Content]] = [
        [element("b", column), value, number, signed_bar(entry.contribution, largest)]
        for entry, (column, value, number, _) in zip(ranking, texts)
    ]
    shown = table(["column", "value", "contribution", ""], rows, numbers=(2,))
    return card("Explanation", explanation.headline(), shown, element("footer", pale(explanation.method)))
