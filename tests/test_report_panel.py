"""The panel of the report: the model runs in the page, from disk and without a network, as it does in Python."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from chainrule import Activation, Dense, Network, Predictor
from chainrule.app import report
from chainrule.app.plan import Table
from chainrule.app.report import panel
from chainrule.app.report.study import Study
from chainrule.app.results import score_on
from chainrule.data.reading import read_columns
from chainrule.data.targets import fit_target
from exported import calibrated

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
N = 80
RNG = np.random.default_rng(0)
TABLE = {
    "size": RNG.normal(100, 30, N).round(1),
    "rooms": np.where(RNG.random(N) < 0.1, np.nan, RNG.integers(1, 6, N)),
    "</script>": RNG.choice(["Köln", "a & <b>", "Ulm"], N),
    "built": (np.datetime64("1990-01-01") + RNG.integers(0, 9000, N)).astype(str),
}
TARGETS = {
    "numbers": 20 * TABLE["size"] + RNG.normal(0, 100, N),
    "classes": np.where(TABLE["size"] > 100, "large", np.where(TABLE["size"] > 80, "<i>medium</i>", "small")),
}


EXACT, PORTRAIT = "the model itself", "a portrait"


@pytest.fixture(scope="module")
def tab():
    """A tab as wide as a phone, without a network."""
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(viewport={"width": 390, "height": 800}, offline=True)
        tab = context.new_page()
        tab.set_default_timeout(60_000)
        yield tab
        browser.close()


def study_of(kind, monkeypatch, shown=EXACT):
    """Return a study of an untrained model on its own rows."""
    if shown == PORTRAIT:
        monkeypatch.setattr(panel, "MAX_WEIGHTS", 0)
        monkeypatch.setattr(panel, "EPOCHS", 2)
    columns, values = read_columns(TABLE), read_columns({"y": TARGETS[kind]})["y"]
    model = calibrated(columns, fit_target("price", values), members=2)
    model.background = model.encoder.transform(columns)[:8]
    return Study(score_on(model, Table.of(columns, "price", values, [])))


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")
@pytest.mark.parametrize(("kind", "shown"), [("numbers", EXACT), ("classes", PORTRAIT), ("numbers", PORTRAIT)])
def test_the_reader_sees_what_the_model_predicts(kind, shown, tab, tmp_path, monkeypatch):
    study = study_of(kind, monkeypatch, shown)
    monkeypatch.setattr(report, "SECTIONS", (panel.section,))  # the other sections are drawn, which takes time
    report.write_report(tmp_path / "report.html", study.result, baselines=False)
    model = panel.shown_model(study)
    assert (model is study.predictor) == (shown == EXACT)
    requested, errors = [], []
    tab.on("request", lambda request: requested.append(request.url))
    tab.on("console", lambda message: errors.append(message.text))
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto((tmp_path / "report.html").as_uri())
    assert ("portrait" in tab.locator("section").inner_text()) == (shown == PORTRAIT)
    for row in ROWS:
        predictions = tab.evaluate("row => [model.predict(row), model.explain(row)]", row)
        contributions = model.explain([row]).to_dict()["rows"][0]["outputs"]
        scale = max(1, *(abs(output["prediction"]) for output in contributions.values()))
        for name, output in contributions.items():
            assert predictions[1][name]["contributions"] == pytest.approx(output["contributions"], abs=1e-5 * scale)
        choose(tab, row)
        answer, certain = (tab.locator(f"[data-{name}]").inner_text() for name in ("answer", "certain"))
        if kind == "numbers":
            expected = model.predict([row])[0]
            assert predictions[0] == pytest.approx(expected, rel=1e-5)
            assert number(answer) == pytest.approx(expected, abs=0.6)
            ends = [number(end) for end in certain.removeprefix("90% interval: ").split(" to ")]
            assert ends == pytest.approx(model.predict_interval([row])[0].tolist(), abs=0.6)
        else:
            assert predictions[0] == answer == model.predict([row])[0]
            P = tab.evaluate("row => Object.values(model.predictProba(row))", row)
            np.testing.assert_allclose(P, model.predict_proba([row])[0], atol=1e-5)
            assert certain == f"Plausible at 90%: {', '.join(model.predict_set([row])[0])}"
            bars = [number(text.split()[-1]) for text in tab.locator("[data-class]").all_inner_texts()]
            assert bars == pytest.approx((100 * np.array(P)).tolist(), abs=0.1)
        name = answer if kind == "classes" else "price"
        moves = dict(zip(TABLE, moves_of(tab)))
        assert moves == pytest.approx(contributions[name]["contributions"], abs=0.6 if kind == "numbers" else 0.006)
    assert requested == [(tmp_path / "report.html").as_uri()]
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert errors == []


ROWS = [
    {"size": 61.5, "rooms": 2, "</script>": "Köln", "built": "1999-05-06"},
    {"size": 140, "rooms": None, "</script>": "a & <b>", "built": "2011-01-31"},
    {"size": None, "rooms": 4, "</script>": None, "built": None},
]


def number(text):
    return float(re.sub("[,%<>]", "", text).replace("\u2212", "-"))


def cell(tab, name):
    return tab.locator("[data-column]").filter(has=tab.locator(f"[aria-label={json.dumps(name)}]"))


def choose(tab, row):
    """Fill in the cells of a row, and wait for the contributions, which follow."""
    for name, value in row.items():
        field = cell(tab, name).locator("label").locator("select, input")
        if name == "</script>":
            field.select_option(label=value or "missing or unknown")
        else:
            field.fill("" if value is None else str(value))
    tab.wait_for_timeout(600)


def moves_of(tab):
    return [number(cell(tab, name).locator("[data-move] span").inner_text()) for name in TABLE]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")
@pytest.mark.parametrize("kind", TARGETS)
def test_what_would_change_the_answer_does(kind, tab, tmp_path, monkeypatch):
    study = study_of(kind, monkeypatch)
    monkeypatch.setattr(report, "SECTIONS", (panel.section,))
    report.write_report(tmp_path / "report.html", study.result, baselines=False)
    tab.goto((tmp_path / "report.html").as_uri())
    labels = tab.locator("[data-rows] option").all_inner_texts()
    assert any("explained above" in label for label in labels)
    for k in (0, len(labels) - 1):
        tab.locator("[data-rows]").select_option(index=k)
        number_of_row = int(re.match(r"Row (\d+)", labels[k])[1])
        row = {name: cells[number_of_row - 1].item() for name, cells in read_columns(TABLE).items()}
        before = study.predictor.predict([row])[0]
        shown = tab.locator("[data-own-answer]").inner_text()
        assert shown.startswith(before) if kind == "classes" else number(shown) == pytest.approx(before, abs=0.6)
        tab.wait_for_timeout(800)
        change = tab.locator("[data-changes] button").first
        text = change.inner_text()
        change.click()
        assert not tab.locator("[data-own]").is_visible()
        after = tab.locator("[data-answer]").inner_text()
        if kind == "classes":
            assert after != before
            assert re.search(rf": {re.escape(after)} \(", text)
        else:
            goal = float(tab.locator("[data-goal]").input_value())
            assert (number(after) >= goal) != (before >= goal)
        tab.locator("[data-reset]").click()
        assert tab.locator("[data-own]").is_visible()


def test_a_small_model_without_training_rows_is_compared_with_the_rows_of_the_report(monkeypatch):
    study = study_of("numbers", monkeypatch)
    study.predictor.background = None
    model = panel.shown_model(study)
    assert model.ensemble is study.ensemble
    assert len(model.background) == 64
    assert "portrait" not in str([block.text for block in panel.section(study).blocks[:-1]])


def test_wide_tables_are_compared_with_fewer_rows(monkeypatch):
    study = study_of("numbers", monkeypatch)
    monkeypatch.setattr(panel, "MAX_PREDICTIONS", 4 * 2 ** len(TABLE))
    study.predictor.background = study.predictor.encoder.transform(TABLE)[:60]
    assert len(panel.shown_model(study).background) == 8


def test_a_model_that_cannot_be_exported_has_no_panel(monkeypatch):
    study = study_of("numbers", monkeypatch)
    own = Network([Dense(study.ensemble.n_in, 2), Activation(lambda Z: (Z, lambda dA: dA)), Dense(2, 1)])
    predictor = Predictor(study.predictor.encoder, own, study.target)
    assert panel.section(Study(replace(study.result, predictor=predictor))) is None
