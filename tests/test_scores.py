"""Confidence intervals of scores."""

import numpy as np
import pytest

from chainrule.app.scores import score, score_interval
from chainrule.data.targets import fit_target


def of_groups(rng, n_groups, rows_per_group):
    """Targets and predictions whose errors are mostly those of the group."""
    groups = np.repeat(np.arange(n_groups), rows_per_group)
    errors = rng.normal(size=n_groups)[groups] + 0.1 * rng.normal(size=len(groups))
    return groups, rng.normal(size=len(groups)), errors


def test_intervals_for_groups_cover_the_score_of_new_groups(rng):
    covered = {"rows": 0, "groups": 0}
    for _ in range(50):
        groups, y, errors = of_groups(rng, 30, 10)
        target = fit_target("y", y)
        predictions = (y + errors - target.means[0])[:, np.newaxis] / target.stds[0]
        for name, given in (("rows", None), ("groups", groups)):
            low, high = score_interval(target, y, predictions, groups=given)["rmse"]
            covered[name] += low <= np.sqrt(1.01) <= high
    assert covered["groups"] >= 39  # of 45 expected: the bootstrap is optimistic for 30 groups
    assert covered["rows"] <= 30


def test_groups_of_one_row_are_rows(rng):
    _, y, errors = of_groups(rng, 200, 1)
    target = fit_target("y", y)
    predictions = errors[:, np.newaxis]
    by_row, by_group = (score_interval(target, y, predictions, groups=g) for g in (None, np.arange(200)))
    for name in score(target, y, predictions):
        assert by_group[name] == pytest.approx(by_row[name], rel=0.1)


def test_the_accuracy_of_groups_that_are_all_right_has_an_interval():
    labels = np.array(["a", "b"] * 20, object)
    target = fit_target("y", labels)
    predictions = np.eye(2)[target.encode(labels)] * 0.8 + 0.1
    low, high = score_interval(target, labels, predictions, groups=np.arange(40) // 4)["accuracy"]
    assert 0.8 < low < high == 1


def test_wrong_groups_widen_the_interval_of_the_accuracy(rng):
    labels = np.array(["a", "b"] * 100, object)
    target = fit_target("y", labels)
    groups = np.arange(200) // 20
    right = np.eye(2)[target.encode(labels)] * 0.8 + 0.1
    predictions = np.where((groups < 3)[:, np.newaxis], 1 - right, right)
    by_row, by_group = (score_interval(target, labels, predictions, groups=g)["accuracy"] for g in (None, groups))
    assert by_group[1] - by_group[0] > 2 * (by_row[1] - by_row[0])
