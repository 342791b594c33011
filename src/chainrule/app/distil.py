"""The command `distil`: a small model that predicts what a large one does, and its export."""

from chainrule.app.export import read_sample, write_export
from chainrule.app.options import DistilOptions
from chainrule.app.paths import shown
from chainrule.app.reporter import Reporter
from chainrule.app.results import load_predictor
from chainrule.model.distillation import describe


def run(options: DistilOptions) -> None:
    """Write the small model, print its loss, and export it if that is asked for."""
    teacher, reporter = load_predictor(options.model), Reporter()
    table = None
    if options.file is not None:
        with reporter.step(f"reading {shown(options.file)}"):
            table = read_sample(teacher, options.file, options.table)
    limits = {"sizes": options.sizes, "max_loss": options.max_loss, "max_bytes": options.max_bytes}
    with reporter.step(f"distilling {options.model}"):
        student = teacher.distil(table, intervals=options.intervals, seed=options.seed, **limits)  # type: ignore[arg-type]
    student.save(options.output)
    size = options.output.stat().st_size / 1024
    reporter.say(describe(student.metadata["distillation"]), f"model   {options.output}  ({size:,.0f} KB)")
    if options.to is not None and options.export is not None:
        reporter.say("")
        write_export(student, options.to, options.export, f"exporting {options.output}")
