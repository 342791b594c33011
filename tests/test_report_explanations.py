"""The sections of a report about the influence of columns: partial dependence and explanations."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from chainrule import Adam, Predictor
from chainrule.app.plan import table_to_score
from chainrule.app.report import dependence, explanations
from chainrule.app.report.blocks import Figure
from chainrule.app.report.study import Study
from chainrule.app.results import score_on
from chainrule.app.tables import TableFile

N = 120


@pytest.fixture(params=["price", "sold"])
def study(request, tmp_path):
    """A model of flats, by their price or by whether they are sold, on the rows it was trained on."""
    rng = np.random.default_rng(0)
    size, city = rng.uniform(30, 200, N).round(1), rng.choice(["Ulm", "Bonn"], N)
    price = 3000 * size * np.where(city == "Bonn", 2, 1)
    target = {"price": price, "sold": np.where(price > np.median(price), "yes", "no")}[request.param]
    frame = pl.DataFrame({"size": size, "city": city, "floor": rng.integers(0, 9, N), request.param: target})
    frame.write_csv(tmp_path / "flats.csv")
    options = {"network": (12,), "optimizer": Adam(0.03), "epochs": 120, "seed": 0}
    model = Predictor.fit(frame, request.param, **options)
    table, _ = table_to_score(model, TableFile(tmp_path / "flats.csv"))
    return Study(score_on(model, table), None, False, lambda part, fraction: None)


def figures(section):
    return [block for block in section.blocks if isinstance(block, Figure)]


def test_explanations_are_drawn_and_interpreted(study):
    section = explanations.section(study)
    swarm, fall = figures(section)
    assert section.title == "Explanations"
    assert swarm.caption.startswith("Each dot is one of 100 rows. On average, size moves the ")
    assert swarm.caption.endswith("High values of size raise the prediction.")
    assert "size = " in fall.caption
    assert " accounts for " in fall.caption
    assert "against" in fall.caption
    assert "64 training rows" in section.blocks[0].text
    for figure in (swarm, fall):
        assert figure.drawn().startswith("<svg")


def test_rows_are_named_by_their_numbers_in_the_file(study):
    study.result = replace(study.result, rows=study.result.rows + 1000)
    _, fall = figures(explanations.section(study))
    assert fall.caption.startswith("Row 1,")
    assert fall.label.startswith("Explanation of row 1,")


def test_a_model_without_background_is_compared_with_the_evaluation_rows(study):
    study.predictor.background = None
    assert "64 rows" in explanations.section(study).blocks[0].text


@pytest.mark.parametrize(("n_columns", "n_rows"), [(1, 100), (14, 78), (100, 11), (5000, 1)])
def test_fewer_rows_are_explained_if_there_are_many_columns(n_columns, n_rows):
    assert explanations.network_rows(10_000, n_columns) == n_rows * 2 * (n_columns + 1) * 64
    assert explanations.network_rows(1, n_columns) == 2 * (n_columns + 1) * 64


def test_panels_of_partial_dependence_share_their_axis_and_the_interaction_is_named(study):
    section = dependence.section(study)
    *panels, pair = figures(section)
    assert len(panels) == 3
    assert len({panel.draw.keywords["limits"] for panel in panels}) == 1
    assert pair.label in ("Strongest interaction: size and city", "Strongest interaction: city and size")
    assert "Friedman's H is 0." in pair.caption
    assert pair.drawn().startswith("<svg")


def test_a_single_column_has_no_interaction(study):
    study.importance = replace(study.importance, worse={"size": np.ones(5)})
    assert len(figures(dependence.section(study))) == 1
    assert dependence.network_rows(200, 1) == 4000
