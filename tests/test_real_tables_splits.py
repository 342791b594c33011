"""Folds and test rows respect copies of rows, groups and time, in Python and at the command line."""

import json
import re
from datetime import date, timedelta
from pathlib import Path
from time import sleep

import numpy as np
import polars as pl
import pytest
from sklearn.model_selection import GroupKFold, cross_validate
from typer.testing import CliRunner

from chainrule import TabularClassifier, TabularRegressor, diagnose, mlp
from chainrule.app import commands
from chainrule.data.hints import group_like, time_like
from chainrule.data.splits import Structure, copies, folds, group_codes, hold_out, latest, time_numbers
from chainrule.data.targets import fit_target
from chainrule.errors import TableError
from chainrule.files.model import load
from chainrule.model.fitting import fit_predictor
from chainrule.model.recipe import LEAST_EPOCHS, affordable_rounds

QUICK = {"quality": "fast", "n_folds": 3, "hidden_layer_sizes": (16,), "epochs": 4, "random_state": 0}

FAST = ["--quality", "fast", "--folds", 2, "--jobs", 1]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*arguments):
    return CliRunner().invoke(commands.app, [str(argument) for argument in arguments])


def train(file, *options):
    """Train briefly and return the JSON document."""
    done = run("train", file, "--target", "y", *FAST, "--epochs", 2, "--json", *options)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def columns_of(X):
    return {f"x{j}": X[:, j] for j in range(X.shape[1])}


# Copies.


@pytest.mark.parametrize("n_columns", [1, 2, 5])
@pytest.mark.parametrize("kind", ["numbers", "classes"])
def test_repeated_rows_are_copies(n_columns, kind, rng):
    X = rng.normal(size=(60, n_columns))
    y = X[:, 0] + rng.normal(size=60)
    y = y if kind == "numbers" else (y > 0).astype(int)
    np.testing.assert_array_equal(copies(columns_of(np.tile(X, (5, 1))), np.tile(y, 5)), np.tile(np.arange(60), 5))
    assert copies(columns_of(X), y) is None


def test_an_oversampled_class_is_found(rng):
    X = rng.normal(size=(400, 2))
    y = (X[:, 0] + rng.normal(size=400) > 1.3).astype(int)
    rows = np.r_[np.arange(400), rng.choice(np.flatnonzero(y), 300)]
    np.testing.assert_array_equal(copies(columns_of(X[rows]), y[rows]), rows)


@pytest.mark.parametrize("target", ["noise", "rule", "numbers"])
def test_equal_rows_of_a_table_of_few_categories_are_no_copies(target, rng):
    table = {name: rng.choice(list("abc"), 600) for name in ("deck", "sex", "class")}
    y = {
        "noise": rng.integers(0, 2, 600),
        "rule": (table["sex"] == "a").astype(int),
        "numbers": rng.integers(0, 30, 600),
    }
    assert copies(table, y[target]) is None


def test_the_rows_of_a_truth_table_are_no_copies():
    X = np.tile([[0, 0], [0, 1], [1, 0], [1, 1]], (100, 1))
    assert copies(columns_of(X), X[:, 0] ^ X[:, 1]) is None


def test_missing_cells_are_equal_and_rounded_numbers_are_no_copies(rng):
    X = rng.normal(size=(40, 2))
    X[:10, 0] = np.nan
    assert copies(columns_of(np.tile(X, (2, 1))), np.tile(np.arange(40.0), 2)) is not None
    x = rng.normal(50, 5, 300).round(0)
    assert copies({"x": x}, (x > 50).astype(int)) is None


@pytest.mark.parametrize("estimator", [TabularRegressor, TabularClassifier])
def test_a_table_of_repeated_rows_is_learned_like_the_table_itself(estimator, rng):
    X, X_new = rng.normal(size=(60, 3)), rng.normal(size=(500, 3))
    y = X[:, 0] + 0.5 * rng.normal(size=60)
    y = y if estimator is TabularRegressor else y > 0
    once = estimator(**QUICK | {"epochs": 10}).fit(X, y)
    repeated = estimator(**QUICK | {"epochs": 10}).fit(np.tile(X, (5, 1)), np.tile(y, 5))
    assert repeated.notices_ == [
        "240 rows repeat another one in all inputs and the target; copies count as one row with their total weight"
    ]
    if estimator is TabularRegressor:
        widths = [np.diff(model.predict_interval(X_new)).mean() for model in (once, repeated)]
        assert widths[1] == pytest.approx(widths[0], rel=0.25)
        assert repeated.residuals_.shape == (300, 1)
    else:
        temperatures = [model.ensemble_.temperature for model in (once, repeated)]
        assert temperatures[1] == pytest.approx(temperatures[0], rel=0.25)
        assert repeated.out_of_fold_proba_.shape == (300, 2)


def test_the_weights_of_copies_add_up(rng):
    X, y = rng.normal(size=(50, 2)), rng.normal(size=50)
    times = rng.integers(1, 4, 50)
    rows = np.repeat(np.arange(50), times)
    weighted = TabularRegressor(**QUICK).fit(X, y, sample_weight=times)
    repeated = TabularRegressor(**QUICK).fit(X[rows], y[rows])
    assert len(repeated.residuals_) == len(rows)
    np.testing.assert_allclose(repeated.predict(X), weighted.predict(X), atol=0.3)


def test_copies_are_on_one_side_of_the_test_split_at_the_command_line(rng):
    X = rng.normal(size=(60, 2))
    table = {"row_id": np.arange(300), **columns_of(np.tile(X, (5, 1))), "y": np.tile(rng.normal(size=60), 5)}
    pl.DataFrame(table).write_csv("t.csv")
    document = train("t.csv")
    assert document["notices"][0].startswith("240 rows repeat another one")
    assert document["rows"] == {"training": 240, "test": 60}
    assert document["scores"]["r2"] < 0.6  # the target is noise


def test_a_finding_about_duplicates_needs_equal_targets_and_more_than_chance(rng):
    X = rng.integers(0, 2, (300, 3)).astype(float)
    y = rng.integers(0, 2, 300)
    net = mlp(3, 8, 2, loss="cross_entropy", seed=0)
    kinds = [finding.kind for finding in diagnose(net, X[:260], y[:260], validation=(X[260:], y[260:]))]
    assert "duplicated validation rows" not in kinds
    X = rng.normal(size=(300, 3))
    kinds = [finding.kind for finding in diagnose(net, X, y, validation=(X[:40], y[:40]))]
    assert "duplicated validation rows" in kinds


# Groups and times.


@pytest.mark.parametrize("seed", range(60))
def test_splits_respect_groups_and_times(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(6, 200))
    strata = rng.integers(0, 3, n)
    groups = np.unique(rng.integers(0, max(2, n // rng.integers(1, 20)), n), return_inverse=True)[1]
    groups[:2] = 0, 1
    times = rng.integers(0, int(rng.choice([2, 10, 1000])), n).astype(float)
    times[:2] = -1, 2000
    for units, clock in ((groups, None), (None, times), (groups, times)):
        rows = Structure(strata, None if units is None else np.unique(units, return_inverse=True)[1], clock)
        for split in [hold_out(rows, 0.2, rng), *folds(rows, 5, seed)]:
            assert len(split.held_out)
            assert not set(split.training) & set(split.held_out)
            if units is not None:
                assert not set(groups[split.training]) & set(groups[split.held_out])
            if clock is not None and len(split.training):
                assert times[split.training].max() <= times[split.held_out].min()
        held = np.concatenate([split.held_out for split in folds(rows, 5, seed)])
        assert len(set(held)) == len(held)
        assert clock is not None or len(held) == n


def test_groups_of_different_sizes_are_spread_evenly_over_folds_and_classes(rng):
    groups = np.repeat(np.arange(40), rng.integers(1, 40, 40))
    y = (rng.random(len(groups)) < 0.2).astype(int)
    splits = folds(Structure(y, groups), 5, seed=0)
    sizes = [len(split.held_out) for split in splits]
    assert max(sizes) - min(sizes) <= 0.05 * len(y)
    assert all(0.1 < y[split.held_out].mean() < 0.3 for split in splits)


def test_the_latest_rows_are_chosen_deterministically():
    assert latest(np.arange(10.0), 0.2).nonzero()[0].tolist() == [8, 9]
    assert latest(np.array([3, 1, 3, 2, 1, 2, 1, 1, 1, 1.0]), 0.2).nonzero()[0].tolist() == [0, 2]
    # Of many equal times, the rows further down are later.
    assert latest(np.array([0.0] + 9 * [1.0]), 0.2).nonzero()[0].tolist() == [8, 9]


@pytest.mark.parametrize("estimator", [TabularRegressor, TabularClassifier])
def test_intervals_and_probabilities_are_calibrated_for_new_groups(estimator, rng):
    def draw(n_groups):
        groups = np.repeat(np.arange(n_groups), 10)
        X = rng.normal(size=(n_groups, 4))[groups] + 0.01 * rng.normal(size=(len(groups), 4))
        return X, 3 * rng.normal(size=n_groups)[groups] + X[:, 0], groups

    (X, y, groups), (X_new, y_new, _) = draw(40), draw(100)
    model = estimator(**QUICK | {"epochs": 20})
    if estimator is TabularRegressor:
        low, high = model.fit(X, y, groups=groups).predict_interval(X_new).T
        assert ((low <= y_new) & (y_new <= high)).mean() > 0.7
    else:
        P = model.fit(X, y > 0, groups=[f"g{k}" for k in groups]).predict_proba(X_new)
        assert -np.log(P[np.arange(1000), (y_new > 0).astype(int)]).mean() < 0.9


def test_with_times_the_members_validate_on_the_latest_rows(rng):
    X, y, days = rng.normal(size=(100, 2)), rng.normal(size=100), rng.permutation(100)
    dates = np.array("2024-01-01", "M8[D]") + days
    model = TabularRegressor(**QUICK).fit(X, y, time=dates)
    np.testing.assert_array_equal(~np.isnan(model.residuals_[:, 0]), days >= 80)
    both = TabularRegressor(**QUICK).fit(X, y, time=dates, groups=days // 5)
    np.testing.assert_array_equal(~np.isnan(both.residuals_[:, 0]), days >= 80)
    text = TabularRegressor(**QUICK).fit(X, y, time=[str(date) for date in dates])
    np.testing.assert_array_equal(text.predict(X), model.predict(X))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": [1] * 20}, "groups must have at least 2 groups, got 1: 1"),
        ({"groups": ["a", None] * 10}, "groups, row 2: expected a value, got a missing cell"),
        ({"groups": [1] * 19}, "groups must have one value per row of X, 20, got 19"),
        (
            {"groups": "site"},
            r"groups must be an array of length n_samples, got 'site'. Pass the column, groups=X\['site'\]",
        ),
        ({"groups": np.zeros((20, 2))}, r"groups must be 1-D, got shape \(20, 2\)"),
        ({"time": [1.0] * 20}, "time must vary, got 1.0 in every row"),
        ({"time": [np.nan, *range(19)]}, "time, row 1: expected a value, got a missing cell"),
        ({"time": list("ab") * 10}, "time must contain dates or numbers, got 'a'"),
        ({"time": range(20), "groups": [0, 1] * 10}, None),
        ({"time": np.repeat([0, 1], 10), "groups": [1, 2, 3, 4] * 5}, None),
    ],
)
def test_groups_and_times_that_cannot_divide_the_rows_are_refused(options, message, rng):
    X, y = rng.normal(size=(20, 2)), rng.normal(size=20)
    if message is None:
        assert np.isfinite(TabularRegressor(**QUICK).fit(X, y, **options).predict(X)).all()
        return
    with pytest.raises(ValueError, match=message):
        TabularRegressor(**QUICK).fit(X, y, **options)


def test_fewer_groups_than_folds_share_the_folds(rng):
    X, y = rng.normal(size=(30, 2)), rng.normal(size=30)
    model = TabularRegressor(n_folds=5, epochs=2, random_state=0).fit(X, y, groups=np.repeat(["a", "b", "c"], 10))
    assert len(model.ensemble_.networks) == 5
    assert model.notices_ == ["3 groups for 5 members: some members hold out the same group"]
    assert np.isfinite(model.residuals_).all()


def test_rows_of_zero_weight_need_no_group(rng):
    X, y = rng.normal(size=(30, 2)), rng.normal(size=30)
    weight = np.r_[0, np.ones(29)]
    model = TabularRegressor(**QUICK).fit(X, y, weight, [None, *"ab" * 14, "c"])
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize("routing", [False, True])
def test_groups_pass_through_cross_validation(routing, rng):
    from sklearn import config_context

    X, y, groups = rng.normal(size=(60, 2)), rng.normal(size=60), np.repeat(np.arange(12), 5)
    with config_context(enable_metadata_routing=routing):
        options = {"params": {"groups": groups}} if routing else {"groups": groups, "params": {"groups": groups}}
        scores = cross_validate(TabularRegressor(**QUICK), X, y, cv=GroupKFold(3), error_score="raise", **options)
    assert np.isfinite(scores["test_score"]).all()


@pytest.fixture
def visits(rng):
    """Rows of patients in the order of time, in a file in another order."""
    patient = np.repeat(np.arange(40), 5)
    table = pl.DataFrame(
        {
            "patient": [f"P{k:03d}" for k in patient],
            "date": np.array("2024-01-01", "M8[D]") + np.arange(200),
            "x": rng.normal(size=200),
            "y": rng.normal(size=200) + 2 * rng.normal(size=40)[patient],
        }
    )
    table.sample(fraction=1, shuffle=True, seed=0).write_csv("t.csv")
    return table


def test_the_command_line_tests_on_new_groups_and_predicts_with_the_column_present(visits):
    document = train("t.csv", "--group", "patient")
    assert document["tested on"] == "40 rows of 8 new groups"
    assert document["group"] == ["patient"]
    assert "patient" not in [column["name"] for column in document["columns"]]
    assert not any("--group" in finding for finding in document["findings"])
    done = run("predict", "t.chainrule", "t.csv")
    assert done.exit_code == 0
    assert done.stderr == ""
    assert run("evaluate", "t.chainrule", "t.csv").exit_code == 0


def test_the_command_line_tests_on_the_latest_rows(visits, brief_reports):
    document = train("t.csv", "--time", "date", "--report", "r.html")
    assert document["tested on"] == "the latest 20% of rows (40)"
    (date,) = [column for column in document["columns"] if column["name"] == "date"]
    assert date["kind"] == "date"
    assert "evaluated on the latest 20% of rows (40)" in Path("r.html").read_text()
    document = train("t.csv", "--time", "date", "--group", "patient", "--drop", "date")
    assert document["tested on"] == "the latest 20% of rows, 8 new groups"
    assert [column["name"] for column in document["columns"]] == ["x"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--group", "holes"], "--group column 'holes', row 4: expected a value, got a missing cell. Fill it in, or"),
        (["--group", "one"], "--group column 'one' must have at least 2 groups, got 1: 1"),
        (["--group", "two"], "--group column 'two' must have at least 2 groups to train on and 1 to test on, got 2"),
        (["--group", "y"], "--group must not name the target, got 'y'"),
        (["--group", "nope"], "column 'nope' is missing from the table"),
        (["--time", "holes"], "--time column 'holes', row 4: expected a value, got a missing cell"),
        (["--time", "one"], "--time column 'one' must vary, got 1 in every row"),
        (["--time", "text"], "--time column 'text' must contain dates or numbers, got 'a'"),
        (["--time", "x", "--group", "x"], "--group and --time must name different columns, got 'x' for both"),
    ],
)
def test_a_column_that_cannot_divide_the_rows_is_reported_in_one_line(options, message, rng):
    holes, one, two, text = [1, 2, 3, None] * 10, [1] * 40, [1, 2] * 20, ["a", "b"] * 20
    x, y = rng.normal(size=(2, 40))
    pl.DataFrame({"holes": holes, "one": one, "two": two, "text": text, "x": x, "y": y}).write_csv("t.csv")
    done = run("train", "t.csv", "--target", "y", *options)
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_columns_that_look_like_groups_or_times_are_findings(visits):
    findings = "\n".join(train("t.csv")["findings"])
    assert re.search(r"patient looks like .* train with --group patient", findings)
    assert re.search(r"date looks like .* train with --time date", findings)


def test_identifiers_that_repeat_look_like_groups(rng):
    few, many = rng.integers(0, 30, 200), rng.permutation(200)
    groups = {"customer_id": few, "userId": few, "patient": few, "code": np.array([f"C-{k:04d}" for k in few], object)}
    others = {"id": many, "age": few, "color": rng.choice(list("abcdef"), 200), "age_group": few, "paid": few}
    assert group_like(groups | others) == list(groups)


def test_dates_and_rising_numbers_named_so_look_like_times(rng):
    day = np.array("2024-01-01", "M8[D]") + np.arange(200)
    times = {"when": rng.permutation(day), "timestamp": np.arange(200), "day": np.array(day.astype(str), object)}
    others = {
        "birth_date": day,
        "size": np.arange(200),
        "year": rng.integers(2000, 2020, 200),
        "x": rng.normal(size=200),
    }
    assert sorted(time_like(times | others)) == sorted(times)


def test_group_and_time_values_of_all_kinds_are_read():
    assert group_codes("g", np.array(["b", "a", "b"], object)).tolist() == [0, 1, 0]
    assert (np.diff(time_numbers("t", np.array(["2024-01-01", "2024-01-02 10:00"], object))) > 0).all()
    with pytest.raises(TableError, match="--time column 't', row 7"):
        time_numbers("t", np.array([1.0, np.nan]), "--time", np.array([2, 6]))


# Time limits.


@pytest.mark.parametrize(
    ("seconds", "epoch_seconds", "rounds"), [(100, 1, 5), (24, 1, 3), (8, 1, 1), (3, 1, 1), (0.1, 10, 1)]
)
def test_fewer_members_are_trained_in_a_short_time(seconds, epoch_seconds, rounds):
    assert LEAST_EPOCHS == 8
    assert affordable_rounds(seconds, epoch_seconds, 64, 5) == rounds


@pytest.mark.parametrize("seconds", [0.001, 0.3])
def test_no_member_is_untrained_and_the_shortage_is_a_finding(seconds, rng):
    X, y = rng.normal(size=(4000, 20)), rng.integers(0, 2, 4000)
    columns, y = columns_of(X), np.array(["no", "yes"])[y]
    fitted = fit_predictor(columns, y, fit_target("y", y), time_limit=seconds)
    assert all(network.params[-1]["W"].any() for network in fitted.predictor.ensemble.networks)
    assert len(fitted.histories) == len(fitted.predictor.ensemble.networks) < 5
    assert any(re.search(r"sufficed for \d of 15 members. Increase the time limit", text) for text in fitted.findings)


def test_a_time_limit_that_is_not_reached_is_no_finding(rng):
    X, y = rng.normal(size=(50, 2)), rng.normal(size=50)
    model = TabularRegressor(**QUICK, time_limit=600).fit(X, y)
    assert model.notices_ == []


def test_what_follows_the_training_is_timed_before_it(visits, monkeypatch):
    from chainrule.app import duration
    from chainrule.app.plan import make_plan

    columns = {"x": visits["x"].to_numpy(), "y": visits["y"].to_numpy()}
    plan = make_plan(columns, "y")
    held = plan.table.part(plan.test)
    scoring, report = (duration.seconds_after_training(plan, held, 2, report) for report in (False, True))
    assert 0 < scoring < report
    diagnose = duration.diagnose_fit
    monkeypatch.setattr(duration, "diagnose_fit", lambda *given: sleep(0.5) or diagnose(*given))
    assert duration.seconds_after_training(plan, held, 2, False) > 0.5


def test_the_time_for_more_rows_is_in_proportion_to_those_beyond_the_timed_ones(monkeypatch):
    from chainrule.app import duration

    now = [0.0]
    monkeypatch.setattr(duration, "perf_counter", lambda: now[0])

    def work(n):
        now[0] += 2 + n / 1_000

    assert duration.seconds_for(work, 5) == pytest.approx(2.005)
    assert duration.seconds_for(work, 500) == pytest.approx(2.5)
    assert duration.seconds_for(work, 100_000) == pytest.approx(102)


@pytest.mark.parametrize(("afterwards", "most"), [(30.0, 70.0), (10_000.0, 30.0)])
def test_a_time_limit_leaves_time_for_what_follows(afterwards, most, visits, monkeypatch):
    from chainrule.app import train as app_train

    given, fit = [], app_train.fit_predictor
    monkeypatch.setattr(app_train, "seconds_after_training", lambda *_: afterwards)
    monkeypatch.setattr(
        app_train,
        "fit_predictor",
        lambda *args, **options: given.append(options["time_limit"]) or fit(*args, **options),
    )
    train("t.csv", "--epochs", 2, "--time-limit", 100)
    assert 0 < given[0] < most  # less what was spent before
    train("t.csv", "--epochs", 2)
    assert given[1] is None


def test_training_ends_with_the_time_limit(visits):
    document = train("t.csv", "--epochs", 10**5, "--time-limit", 1)
    assert load(document["model"]).metadata["seconds"] == document["seconds"]
    assert max(document["epochs"]) < 10**5


@pytest.mark.parametrize(
    "written",
    [
        lambda day: f"{day:%d.%m.%Y}",
        lambda day: f"{day:%m/%d/%Y}",
        lambda day: f"{day:%Y%m%d}",
        lambda day: f"{day:%d-%b-%y}",
        lambda day: f" {day:%Y-%m-%d} ",
        lambda day: f"{day.toordinal():,}",
    ],
    ids=["German", "American", "compact", "named month", "padded", "thousands"],
)
def test_times_are_read_in_the_formats_in_which_inputs_are(written):
    days = [date(2023, 11, 5) + timedelta(days=3 * k) for k in range(60)]
    values = np.array([written(day) for day in days], object)
    steps = np.diff(time_numbers("when", values).astype(np.float64))
    assert (steps == steps[0]).all()
    assert steps[0] > 0
    found = time_like({"x": np.arange(60.0) % 7, "when": values})
    assert found == (["when"] if "," not in values[0] else [])  # of numbers, the name must say that they are times


def test_a_word_for_a_missing_time_is_a_missing_time():
    values = np.array([f"{day:02d}.01.2024" for day in range(1, 29)], object)
    values[4] = "unknown"
    with pytest.raises(TableError, match=r"time, row 5: expected a value, got a missing cell"):
        time_numbers("when", values)
