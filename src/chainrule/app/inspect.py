"""The command `inspect`: describe a model."""

from chainrule.app.messages import model_lines
from chainrule.app.options import InspectOptions
from chainrule.app.reporter import Reporter
from chainrule.app.results import load_predictor


def run(options: InspectOptions) -> None:
    """Print a model's target, columns, networks, scores and training."""
    reporter = Reporter(as_json=options.as_json)
    predictor, size = load_predictor(options.model), options.model.stat().st_size
    networks = predictor.ensemble.networks
    reporter.say(*model_lines(predictor, size))
    reporter.tell(
        {
            "model": str(options.model),
            "bytes": size,
            "task": predictor.target.task,
            "target": predictor.target.name,
            "networks": len(networks),
            "parameters": sum(network.theta.size for network in networks),
            "layers": [str(layer) for layer in networks[0].layers],
            "background_rows": 0 if predictor.background is None else len(predictor.background),
            "features": predictor.encoder.get_feature_names_out().tolist(),
            "metadata": predictor.metadata,
        }
    )
