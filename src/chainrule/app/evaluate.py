"""The command `evaluate`: score a model on a table that includes the target."""

from chainrule.app.messages import score_lines
from chainrule.app.options import EvaluateOptions
from chainrule.app.reporter import Reporter
from chainrule.app.results import read_to_score, score_on, training_overlap
from chainrule.display import count


def run(options: EvaluateOptions) -> None:
    """Print the scores, next to those of a baseline that ignores the inputs."""
    reporter = Reporter(as_json=options.as_json)
    predictor, table, source = read_to_score(options, reporter)
    with reporter.step("scoring the model") as show:
        result = score_on(predictor, table, show=show)
        show("comparison with the training rows")
        overlap = training_overlap(predictor, table)
    notices = table.notices + source.notices + result.notices + overlap
    reporter.say(*notices, *score_lines(result, f"on {count(len(table.known), 'row')}"))
    reporter.tell(
        {
            "model": str(options.model),
            "rows": len(table.known),
            "notices": notices,
            **result.uncertainty,
            "scores": result.scores,
            "intervals": result.intervals,
            "baseline": result.baseline,
        }
    )
