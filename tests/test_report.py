"""The HTML report: its numbers are those computed independently, and what it shows fits every screen."""

import hashlib
import re
import shutil
import sys
from html import unescape
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, log_loss, precision_recall_fscore_support, root_mean_squared_error
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from typer.testing import CliRunner

from chainrule.app import commands, plan
from chainrule.app.report import baselines, members, panel, study, write_report
from chainrule.app.results import Training, score_on
from chainrule.app.tables import TableFile
from chainrule.data.reading import read_columns
from chainrule.files.model import load
from chainrule.insight.evaluation import class_scores, confusion_matrix
from chainrule.insight.thresholds import Goal, threshold_curve
from chainrule.nn.losses import softmax

PENGUINS = Path(__file__).parent.parent / "examples/data/penguins.csv"
QUICK = ["--epochs", 3, "--folds", 2, "--jobs", 1, "--quiet"]
TASKS = {"species": [], "sex": ["--goal", "recall=0.9"], "body_mass_g": ["--drop", "species"]}


def run(*arguments):
    done = CliRunner().invoke(commands.app, [str(argument) for argument in arguments])
    assert (done.exit_code, re.sub("writing the report .*\n", "", done.stderr)) == (0, ""), done.output


@pytest.fixture(scope="module", autouse=True)
def few_evaluations():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(panel, "EPOCHS", 2)
        patch.setattr(study, "MAX_NETWORK_ROWS", 20_000)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a training table, a test table, a model and a report for each task, and one of odd numbers."""
    folder = tmp_path_factory.mktemp("report")
    table = pl.read_csv(PENGUINS, null_values="").with_row_index()
    table.filter(pl.col("index") % 4 > 0).drop("index").write_csv(folder / "train.csv")
    table.filter(pl.col("index") % 4 == 0).drop("index").write_csv(folder / "test.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for target, options in TASKS.items():
            arguments = ["train", folder / "train.csv", "--test", "test.csv", "--target", target, *options, *QUICK]
            patch.setattr(sys, "argv", ["chainrule", *map(str, arguments)])
            run(*arguments, "--out", f"{target}.chainrule", "--report", f"{target}.html")
        odd_table().write_csv("odd.csv")
        run("train", "odd.csv", "--target", "y", *QUICK, "--out", "odd.chainrule", "--report", "odd.html")
    return folder


def odd_table(n=150):
    """Columns of tiny, huge, negative, constant but for one, and long-named values, and dates."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=n)
    return pl.DataFrame(
        {
            "tiny": 1e-9 * rng.random(n),
            "huge": 1e9 * (1 + x),
            "a_very_long_name_of_a_column_without_any_space_in_it": -1e6 * rng.random(n),
            "same": np.where(np.arange(n) == 3, 1e9 + 1, 1e9),
            "day": np.datetime64("2021-01-30") + rng.integers(0, 900, n),
            "kind": [f"an unusually long category, number {i}" for i in rng.integers(0, 12, n)],
            "y": 1e9 + 1e3 * x + rng.normal(size=n),
        }
    )


def page(folder, name):
    return unescape((folder / f"{name}.html").read_text())


def section(text, title):
    return text.partition(f"<h2>{title}</h2>")[2].partition("</section>")[0]


def rows_of(section_text):
    """Return the cells of each row of the first table, without the small text below them."""
    body = section_text.partition("<tbody>")[2].partition("</tbody>")[0]
    plain = re.sub("<small>.*?</small>", "", body)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in plain.split("</tr>")[:-1]]


def read(folder, target, file="test.csv"):
    """Return the rows of a file whose target is known: all inputs as a frame, and the target."""
    table = pl.read_csv(folder / file, null_values="").filter(pl.col(target).is_not_null())
    dropped = [target, *TASKS[target][1:]] if "--drop" in TASKS[target] else [target]
    return table.drop(dropped), table[target].to_numpy()


def result_of(folder, target, file="test.csv"):
    model = load(folder / f"{target}.chainrule")
    return score_on(model, plan.table_to_score(model, TableFile(folder / file))[0])


def study_of(folder, target):
    return study.Study(result_of(folder, target))


# Sections.


@pytest.mark.parametrize(
    ("target", "titles"),
    [
        ("species", {"Classes", "Calibration"}),
        ("sex", {"Classes", "Threshold", "Calibration"}),
        ("body_mass_g", {"Predictions and residuals", "Prediction intervals"}),
    ],
)
def test_each_task_has_its_sections(folder, target, titles):
    found = re.findall("<h2>(.*?)</h2>", page(folder, target))
    special = {"Classes", "Threshold", "Calibration", "Predictions and residuals", "Prediction intervals"}
    assert set(found) & special == titles
    assert {"Scores", "Learning curves", "Disagreement of the members", "Inputs", "Data and reproduction"} < set(found)


def test_every_figure_has_a_sentence(folder):
    for target in TASKS:
        captions = re.findall(r"</svg>\s*<figcaption>(.*?)</figcaption>", page(folder, target), re.DOTALL)
        assert len(captions) >= 9
        assert all(caption.strip().endswith(".") for caption in captions)
        assert not [caption for caption in captions if re.search(r"\bnan\b|\binf\b|None", caption)]


def test_a_report_stays_small(folder):
    for name in (*TASKS, "odd"):
        assert (folder / f"{name}.html").stat().st_size < 700_000


def test_a_report_of_a_trained_model_has_no_curves_and_no_baselines(folder, brief_reports, monkeypatch):
    monkeypatch.chdir(folder)
    run("report", "sex.chainrule", "test.csv", "--out", "again.html")
    again = page(folder, "again")
    assert "<h2>Learning curves</h2>" not in again
    assert "gradient boosting" not in again
    assert rows_of(section(again, "Classes")) == rows_of(section(page(folder, "sex"), "Classes"))
    assert f"test.csv: {file_digest(folder / 'test.csv')}" in section(again, "Data and reproduction")
    assert rows_of(section(again, "Threshold")) == rows_of(section(page(folder, "sex"), "Threshold"))[2:]


# Scores of classes and thresholds.


def test_the_scores_by_class_are_those_of_scikit_learn(folder):
    _, y = read(folder, "species")
    predicted = load(folder / "species.chainrule").predict(folder_table(folder, "species"))
    scores = np.array(precision_recall_fscore_support(y, predicted, labels=sorted(set(y)), zero_division=0)).T
    shown = rows_of(section(page(folder, "species"), "Classes"))
    assert [row[0] for row in shown] == sorted(set(y))
    assert [row[1:] for row in shown] == [[f"{p:.3f}", f"{r:.3f}", f"{f:.3f}", f"{n:.0f}"] for p, r, f, n in scores]


def folder_table(folder, target):
    return read_columns(read(folder, target)[0])


def test_scores_of_a_class_that_is_never_predicted_are_zero():
    scores = class_scores(confusion_matrix([0, 0, 1], [0.1, 0.2, 0.3]))
    assert scores.precision.tolist() == [pytest.approx(2 / 3), 0]
    assert scores.recall.tolist() == [1, 0]
    assert scores.f1.tolist() == [pytest.approx(0.8), 0]
    assert scores.support.tolist() == [2, 1]


def guesses(n=400, seed=0):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.3).astype(int)
    return y, np.round(1 / (1 + np.exp(-rng.normal(2 * y - 1, 1.2))), 2)


def by_hand(goal, y, p, threshold):
    """Return what is to be maximal, and whether the goal's condition holds."""
    hits, taken, n = int(((p >= threshold) & (y == 1)).sum()), int((p >= threshold).sum()), int(y.sum())
    precision, recall = hits / taken if taken else 0.0, hits / n
    specificity = ((p < threshold) & (y == 0)).sum() / (y == 0).sum()
    return {
        "f1": (2 * hits / (taken + n), True),
        "balanced": ((recall + specificity) / 2, True),
        "recall=0.9": (precision, recall >= 0.9),
        "precision=0.8": (recall, precision >= 0.8),
        "cost=5:1": (-5 * (n - hits) - (taken - hits), True),
    }[goal]


@pytest.mark.parametrize("goal", ["f1", "balanced", "recall=0.9", "precision=0.8", "cost=5:1"])
@pytest.mark.parametrize("seed", range(3))
def test_no_threshold_meets_the_goal_better(goal, seed):
    y, p = guesses(seed=seed)
    value, holds = by_hand(goal, y, p, Goal.parse(goal).best_threshold(threshold_curve(y, p)))
    everywhere = [by_hand(goal, y, p, threshold) for threshold in np.linspace(0, 1.01, 2_021)]
    assert holds
    assert value == pytest.approx(max(other for other, fits in everywhere if fits))


def test_a_goal_that_no_threshold_meets_is_met_as_far_as_possible():
    y, p = np.array([1, 0, 1, 0]), np.array([0.9, 0.9, 0.1, 0.1])
    assert Goal.parse("precision=0.99").best_threshold(threshold_curve(y, p)) < 0.9


def test_certain_probabilities_have_a_threshold_too():
    y, p = np.array([0, 0, 1, 1]), np.array([0.0, 0.0, 1.0, 1.0])
    curve = threshold_curve(y, p)
    assert Goal.parse("f1").best_threshold(curve) == 0.5
    assert curve.thresholds[0] > 1
    assert (curve.true_positives[0], curve.false_positives[0]) == (0, 0)


@pytest.mark.parametrize("text", ["", "f2", "recall", "recall=2", "recall=0", "cost=5", "cost=0:1", "cost=5:0", "F1 "])
def test_other_goals_are_refused(text):
    with pytest.raises(ValueError, match=r"goal must be f1, balanced, recall=0\.9"):
        Goal.parse(text)


def test_the_goal_is_met_out_of_fold_and_measured_on_held_out_rows(folder):
    chosen = load(folder / "sex.chainrule").metadata["threshold"]
    assert (chosen["class"], chosen["goal"]) == ("male", "recall=0.9")
    rows = rows_of(section(page(folder, "sex"), "Threshold"))
    assert [row[0] for row in rows] == [f"{chosen['value']:.3f}", "0.500"] * 2
    assert float(rows[0][2]) >= 0.9
    y, p = held_out(folder)
    precision, recall, f1, _ = precision_recall_fscore_support(y, p >= chosen["value"], average="binary")
    assert rows[2][1:4] == [f"{precision:.3f}", f"{recall:.3f}", f"{f1:.3f}"]
    missed = int((y & (p < chosen["value"])).sum())
    assert f"{missed} of {y.sum()} rows of male are missed" in page(folder, "sex")


def held_out(folder):
    X, y = read(folder, "sex")
    return y == "male", load(folder / "sex.chainrule").predict_proba(read_columns(X))[:, 1]


def test_the_threshold_is_chosen_on_the_rows_that_have_a_prediction_out_of_fold(folder):
    target = load(folder / "sex.chainrule").target
    y, p = guesses()
    P = np.column_stack([1 - p, p])
    P[::3] = np.nan
    values = np.where(y, "male", "female").astype(object)
    chosen = Training({}, values, None, P, 1.0).threshold(target, "recall=0.9")
    known = np.arange(len(y)) % 3 > 0
    assert chosen["value"] == Goal.parse("recall=0.9").best_threshold(threshold_curve(y[known], p[known]))
    assert Training({}, values[:0], None, P[:0], 1.0).threshold(target, "f1") is None


# Baselines.


def prepared(folder, target):
    """Return numbers and categories of the training and the test rows, as pandas and scikit-learn would be used."""
    tables = [read(folder, target, file)[0] for file in ("train.csv", "test.csv")]
    names = [name for name, kind in tables[0].schema.items() if kind.is_numeric()]
    others = [name for name in tables[0].columns if name not in names]
    numbers = [table.select(names).cast(pl.Float64).to_numpy() for table in tables]
    return numbers, [table.select(others).to_numpy() for table in tables]


def by_scikit_learn(folder, target, linear, boosted):
    numbers, categories = prepared(folder, target)
    y = read(folder, target, "train.csv")[1]
    imputer, scaler, one_hot = SimpleImputer(strategy="median", add_indicator=True), StandardScaler(), OneHotEncoder()
    one_hot.set_params(handle_unknown="ignore", sparse_output=False)
    dense = [scaler.fit_transform(imputer.fit_transform(numbers[0])), scaler.transform(imputer.transform(numbers[1]))]
    X = [
        np.hstack([a, b])
        for a, b in zip(dense, (one_hot.fit_transform(categories[0]), one_hot.transform(categories[1])))
    ]
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    trees = [
        np.hstack([numbers[0], codes.fit_transform(categories[0])]),
        np.hstack([numbers[1], codes.transform(categories[1])]),
    ]
    is_category = [False] * numbers[0].shape[1] + [True] * categories[0].shape[1]
    boosted.set_params(categorical_features=is_category, random_state=0)
    return linear.fit(X[0], y), X[1], boosted.fit(trees[0], y), trees[1]


def fitted(folder, target, weights=None):
    """Return the baselines by name."""
    (X, y), (X_test, y_test) = read(folder, target, "train.csv"), read(folder, target)
    seen = Training(read_columns(X), y, weights, np.zeros((len(y), 1)), 1.0)
    model = load(folder / f"{target}.chainrule")
    return {made.name: made for made in baselines.fit_baselines(model, seen, read_columns(X_test), y_test)}


def assert_shown(folder, target, column, row, value):
    """Check a cell of the score table, which is rounded."""
    text = section(page(folder, target), "Scores")
    head = re.findall("<th>(.*?)</th>", text.partition("</thead>")[0])
    shown = {cells[0]: cells for cells in rows_of(text)}[row][head.index(column)].replace(",", "")
    assert abs(float(shown) - value) <= 0.51 * 10.0 ** -len(shown.partition(".")[2]), (target, column, row)


@pytest.mark.parametrize("target", ["species", "sex"])
def test_baselines_of_classes_are_those_of_scikit_learn(folder, target):
    models = by_scikit_learn(folder, target, LogisticRegression(max_iter=300), HistGradientBoostingClassifier())
    y, ours = read(folder, target)[1], fitted(folder, target)
    for name, model, X in (("logistic regression", *models[:2]), ("gradient boosting", *models[2:])):
        loss, accuracy = log_loss(y, model.predict_proba(X)), accuracy_score(y, model.predict(X))
        assert ours[name].scores["log_loss"] == pytest.approx(loss, rel=1e-4)
        assert_shown(folder, target, name, "log loss", loss)
        assert_shown(folder, target, name, "accuracy", accuracy)


def test_baselines_of_numbers_are_those_of_scikit_learn(folder):
    models = by_scikit_learn(folder, "body_mass_g", Ridge(), HistGradientBoostingRegressor())
    y, ours = read(folder, "body_mass_g")[1], fitted(folder, "body_mass_g")
    for name, model, X in (("ridge regression", *models[:2]), ("gradient boosting", *models[2:])):
        value = root_mean_squared_error(y, model.predict(X))
        assert ours[name].scores["rmse"] == pytest.approx(value, rel=1e-6)
        assert_shown(folder, "body_mass_g", name, "rmse", value)


def test_a_baseline_is_trained_with_the_weights_of_the_rows(folder):
    n = len(read(folder, "body_mass_g", "train.csv")[1])
    late = np.where(np.arange(n) < n / 2, 1e-6, 1.0)
    plain, same, other = (fitted(folder, "body_mass_g", weights) for weights in (None, np.ones(n), late))
    for name, model in plain.items():
        assert same[name].scores["rmse"] == pytest.approx(model.scores["rmse"], rel=1e-6)
        assert other[name].scores["rmse"] != pytest.approx(model.scores["rmse"], rel=1e-3)


def test_many_classes_take_fewer_rounds():
    assert [baselines.rounds(k) for k in (1, 2, 3, 6, 20, 1000)] == [100, 100, 100, 100, 30, 10]


def test_baselines_can_be_left_out(folder, brief_reports, monkeypatch):
    monkeypatch.chdir(folder)
    run("train", "train.csv", "--target", "sex", *QUICK, "--no-baselines", "--out", "m", "--report", "plain.html")
    assert "gradient boosting" not in page(folder, "plain")


def test_without_scikit_learn_there_are_no_baselines(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert fitted(folder, "sex") == {}


def test_a_report_is_written_where_a_baseline_fails(folder, brief_reports, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    run("train", "train.csv", "--target", "sex", *QUICK, "--out", "m", "--report", "without.html")
    scores = section(page(folder, "without"), "Scores")
    assert "logistic regression failed: " in scores
    assert "<th>logistic regression</th>" not in scores
    assert "<th>gradient boosting</th>" in scores


# Curves, calibration, members, intervals.


def test_learning_curves_show_what_chose_the_epoch_and_no_floor(folder):
    classes, numbers = (section(page(folder, name), "Learning curves") for name in ("species", "body_mass_g"))
    label, rest = 0.9 + 0.1 / 3, 0.1 / 3
    entropy = -label * np.log(label) - 2 * rest * np.log(rest)
    assert "Validation Brier score by epoch" in classes
    assert f"The {entropy:.3f} that label smoothing adds to every loss" in classes
    assert "Validation RMSE by epoch" in numbers
    assert "label smoothing" not in numbers


def test_before_calibration_means_without_any_temperature(folder):
    model = load(folder / "species.chainrule")
    part, ensemble = study_of(folder, "species"), model.ensemble
    X = model.encoder.transform(part.result.inputs).astype(ensemble.dtype)
    expected = 0
    for network, weight, temperature in zip(ensemble.networks, ensemble.weights, model.metadata["temperatures"]):
        trained = network.copy()
        for array in trained.params[-1].values():
            array *= temperature / ensemble.temperature
        expected = expected + weight * softmax(trained.outputs(X))
    np.testing.assert_allclose(part.untempered, expected, rtol=1e-6)
    assert "Before the networks' outputs were divided by a temperature" in page(folder, "species")


def test_the_spread_of_members_is_that_of_each_network_alone(folder):
    part = study_of(folder, "body_mass_g")
    model = part.predictor
    X = model.encoder.transform(part.result.inputs).astype(model.ensemble.dtype)
    alone = [model.target.decode(np.clip(net.outputs(X), *model.ensemble.bounds)) for net in model.ensemble.networks]
    spread, errors = members.spread_and_error(part)
    np.testing.assert_allclose(spread, np.std(alone, axis=0), rtol=1e-6)
    np.testing.assert_allclose(errors, np.abs(read(folder, "body_mass_g")[1] - model.predict(part.result.inputs)))
    part = study_of(folder, "species")
    spread, errors = members.spread_and_error(part)
    y = read(folder, "species")[1]
    assert errors.tolist() == (part.predictor.predict(part.result.inputs) != y).astype(float).tolist()
    assert ((spread >= 0) & (spread <= 0.5)).all()


def test_coverage_is_counted_by_fifths_of_the_prediction(folder):
    X, y = read(folder, "body_mass_g")
    model = load(folder / "body_mass_g.chainrule")
    low, high = model.predict_interval(read_columns(X), 0.9).T
    predicted = model.predict(read_columns(X))
    fifths = np.array_split(np.argsort(predicted, kind="stable"), 5)
    coverage = [((low <= y) & (y <= high))[part].mean() for part in fifths]
    worst = coverage[int(np.abs(np.array(coverage) - 0.9).argmax())]
    text = section(page(folder, "body_mass_g"), "Prediction intervals")
    shown = re.search(r"furthest from 90% in the fifth with the [a-z ]+ predictions: ([\d.]+)%", text)[1]
    assert float(shown) == pytest.approx(100 * worst, abs=0.5)


# Inputs and origin.


def test_inputs_show_missing_cells_and_frequencies(folder):
    text = section(page(folder, "species"), "Inputs")
    X, _ = read(folder, "species", "train.csv")
    cards = {card.partition("</h3>")[0]: card for card in text.split("<h3>")[1:]}
    assert set(cards) == set(X.columns)
    missing = X["sex"].null_count() / len(X)
    assert f"{missing:.0%} missing" in cards["sex"]
    known = X["island"].drop_nulls()
    for island in known.unique():
        share = (known == island).mean()
        assert f'--share: {100 * share:.1f}%"><span>{island}</span>' in cards["island"]
    heights = [float(height) for height in re.findall(r'height="([\d.]+)"', cards["body_mass_g"])]
    counts = np.histogram(X["body_mass_g"].drop_nulls().to_numpy(), 24)[0]
    np.testing.assert_allclose(heights, (counts / counts.max())[counts > 0], atol=1e-3)
    assert re.findall(r'<rect x="(\d+)"', cards["year"]) == ["0", "12", "23"]
    assert "number, median 2008<" in cards["year"]
    assert re.search("<span>2007</span><span>2009</span>", cards["year"])


def file_digest(path):
    rows = path.read_text().count("\n") - 1
    return f"{rows} rows, 8 columns, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_the_origin_has_the_digest_of_the_file_and_no_directory(folder):
    text = section(page(folder, "sex"), "Data and reproduction")
    assert file_digest(folder / "train.csv") in text
    assert "chainrule train train.csv --test test.csv --target sex --goal recall=0.9" in text
    assert str(folder) not in page(folder, "sex")
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", text)


def test_a_goal_needs_two_classes(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for target in ("species", "body_mass_g"):
        done = CliRunner().invoke(commands.app, ["train", "train.csv", "--target", target, "--goal", "f1"])
        assert done.exit_code == 2
        assert "--goal requires a target of two classes" in done.stderr
    done = CliRunner().invoke(commands.app, ["train", "train.csv", "--target", "sex", "--goal", "f2"])
    assert done.stderr == "chainrule: --goal must be f1, balanced, recall=0.9, precision=0.9 or cost=5:1, got 'f2'\n"


def test_a_report_needs_few_rows(folder, monkeypatch):
    monkeypatch.chdir(folder)
    table = pl.read_csv("test.csv", null_values="")
    for target in TASKS:
        table.filter(pl.col(target).is_not_null()).head(1).write_csv("one.csv")
        run("report", f"{target}.chainrule", "one.csv", "--out", "one.html")
        assert "<h2>Scores</h2>" in page(folder, "one")
        assert "nan" not in re.sub(r"<(svg|script).*?</\1>", "", page(folder, "one"), flags=re.DOTALL).lower().split()


# In a browser, if one is installed.

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")

PATIENCE = 120_000
"""Milliseconds after which something has not happened, even on a busy machine."""

TICK_LABELS = """
() => [...document.querySelectorAll("figure svg")].map(svg => [svg.getAttribute("aria-label"),
  [...svg.querySelectorAll('[id^="matplotlib.axis_"]')].map(axis =>
    [...axis.querySelectorAll('[id^="xtick_"] text, [id^="ytick_"] text')].map(text => {
      const box = text.getBoundingClientRect();
      return [text.textContent, box.left, box.top, box.right, box.bottom];
    }))])
"""


@pytest.fixture(scope="module")
def browser():
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=[(1280, "light"), (390, "dark")], ids=lambda p: f"{p[0]}-{p[1]}")
def shared_tab(request, browser):
    """A tab for all tests of a width, and what it has written to the console."""
    width, scheme = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    tab, messages = context.new_page(), []
    tab.set_default_timeout(PATIENCE)
    tab.on("console", lambda message: messages.append(message.text))
    tab.on("pageerror", lambda error: messages.append(str(error)))
    yield tab, messages
    context.close()


@pytest.fixture
def show(shared_tab, folder):
    """Show a report, from its top, in the tab, which must not have written to the console when the test is done.

    A report that is in the tab already is not loaded again, which takes a second.
    """
    tab, messages = shared_tab

    def show(name):
        address = (folder / f"{name}.html").as_uri()
        if tab.url.partition("#")[0] != address:
            tab.goto(address)
        tab.emulate_media(media="screen")
        tab.evaluate("scrollTo({top: 0, behavior: 'instant'})")
        return tab

    yield show
    assert not messages


def overlapping(labels):
    """Return the pairs of labels whose boxes overlap by more than a pixel."""
    return [
        (one[0], other[0])
        for one, other in combinations(labels, 2)
        if min(one[3], other[3]) - max(one[1], other[1]) > 1 and min(one[4], other[4]) - max(one[2], other[2]) > 1
    ]


@in_browser
@pytest.mark.parametrize(
    "name", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("species", "body_mass_g")), "odd", "sex"]
)
def test_a_report_fits_the_screen(show, name):
    tab = show(name)
    width = tab.viewport_size["width"]
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    table = tab.locator("#scores table").bounding_box()
    assert 0 <= table["x"] < table["x"] + table["width"] <= width, "the score table is whole"
    for label, axes in tab.evaluate(TICK_LABELS):
        for labels in axes:
            assert not overlapping(labels), label
    texts = tab.evaluate(
        "[...document.querySelectorAll('h2, h3, figcaption, .card p, .fits td, .fits th')]"
        ".filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth).map(e => e.textContent)"
    )
    assert not texts, "text is wider than its place"


@in_browser
def test_the_contents_lead_to_every_section(show):
    tab = show("sex")
    wide = tab.viewport_size["width"] > 1000
    side, contents = tab.locator("nav.side"), tab.locator("details.contents")
    assert (side.is_visible(), contents.is_visible()) == (wide, not wide)
    titles = tab.locator("h2").all_text_contents()
    links = side if wide else contents
    assert links.locator("a").all_text_contents() == titles
    if not wide:
        assert not links.locator("a").first.is_visible(), "the contents are closed"
        contents.locator("summary").click()
    for title in titles[1:-1]:
        links.get_by_role("link", name=title, exact=True).click()
        tab.wait_for_function(
            "title => { const top = [...document.querySelectorAll('h2')].find("
            "h => h.textContent === title).getBoundingClientRect().top; return top >= 0 && top < 900 }",
            arg=title,
        )
        if wide:
            assert side.bounding_box()["y"] >= 0, "the list stays in view"
        else:
            tab.evaluate("scrollTo({top: 0, behavior: 'instant'})")


@in_browser
def test_ink_follows_the_scheme(show):
    tab = show("sex")
    color = "getComputedStyle(document.querySelector(%r)).color"
    dark = tab.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert tab.evaluate(color % "figure svg") == ("rgb(236, 238, 240)" if dark else "rgb(28, 30, 33)")


@in_browser
def test_printing_leaves_out_the_contents(show):
    tab = show("sex")
    tab.emulate_media(media="print")
    assert not tab.locator("nav.side").is_visible()
    assert not tab.locator("details.contents").is_visible()
    assert tab.evaluate("document.documentElement.scrollWidth") <= tab.viewport_size["width"]


# The file.


def test_the_report_is_complete_or_absent(folder, tmp_path, monkeypatch, brief_reports):
    def fail(*arguments, **values):
        raise OSError("no space")

    monkeypatch.setattr("chainrule.app.report.render", fail)
    with pytest.raises(OSError, match="no space"):
        write_report(tmp_path / "r.html", result_of(folder, "sex"))
    assert not list(tmp_path.iterdir())
