"""The command `inspect`: describe a model."""

from typing import Any

import typer

from chainrule.app.card import model_card
from chainrule.app.messages import model_lines, network_lines
from chainrule.app.options import InspectOptions
from chainrule.app.reporter import Reporter
from chainrule.app.results import load_model, load_predictor
from chainrule.files.model import digest_of
from chainrule.model.predictor import Predictor


def run(options: InspectOptions) -> None:
    """Print a model's target, columns, networks, scores and training, or its card; of a bare network, its layers."""
    reporter = Reporter(as_json=options.as_json)
    if options.markdown:
        typer.echo("\n".join(model_card(load_predictor(options.model))))
        return
    model, size = load_model(options.model), options.model.stat().st_size
    networks = model.ensemble.networks if isinstance(model, Predictor) else (model,)
    reporter.say(*(model_lines(model, size) if isinstance(model, Predictor) else network_lines(model, size)))
    described: dict[str, Any] = {"model": str(options.model), "bytes": size, "sha256": digest_of(model)}
    if isinstance(model, Predictor):
        described |= {"task": model.target.task, "target": model.target.name}
    described |= {
        "networks": len(networks),
        "parameters": sum(network.theta.size for network in networks),
        "layers": [str(layer) for layer in networks[0].layers],
    }
    if isinstance(model, Predictor):
        described |= {
            "background_rows": 0 if model.background is None else len(model.background),
            "features": model.encoder.get_feature_names_out().tolist(),
            "metadata": model.metadata,
        }
    reporter.tell(described)
