"""Every bug of the page on common mistakes is caught, and without it nothing is wrong."""

import re
from pathlib import Path

import pytest

from chainrule import check_gradients, diagnose, train
from chainrule.errors import GradientError
from planted_bugs import BUGS, X, Y, loss_after

PAGE = Path(__file__).parent.parent / "docs/learn/common-mistakes.md"
NOT_CENTERED = "weights not centered"
WRONG_SHAPE = "column bias"
WRONG_GRADIENT = sorted(set(BUGS) - {NOT_CENTERED, WRONG_SHAPE})


@pytest.mark.parametrize("name", BUGS)
def test_without_the_bug_the_gradients_agree(name):
    report = check_gradients(BUGS[name](bug=False), X[:20], Y[:20])
    assert report.ok, report


@pytest.mark.parametrize("name", WRONG_GRADIENT)
def test_check_gradients_catches_the_bug_and_training_does_not_start(name):
    assert not check_gradients(BUGS[name](bug=True), X[:20], Y[:20]).ok
    net = BUGS[name](bug=True)
    before = net.theta.copy()
    with pytest.raises(GradientError, match="wrong derivative"):
        train(net, X, Y, epochs=1)
    if name != "updated too early":  # its backward pass is itself a step
        assert (net.theta == before).all()


def test_a_bias_that_broadcasts_is_refused_with_its_shape():
    message = r"layer 2, ColumnBias\(12, True\): .*\(.0, 12\), got \(.0, 12, 12\)"
    for use in (check_gradients, lambda *arguments: train(*arguments, epochs=1)):
        with pytest.raises(ValueError, match=message):
            use(BUGS[WRONG_SHAPE](bug=True), X[:20], Y[:20])


def test_diagnose_finds_weights_that_are_not_centered():
    wrong, right = (diagnose(BUGS[NOT_CENTERED](bug), X, Y) for bug in (True, False))
    added = {finding.kind for finding in wrong} - {finding.kind for finding in right}
    assert added == {"saturated units", "vanishing or exploding gradients"}


def losses_on_the_page():
    """Return bug -> losses without and with it, as the page shows them."""
    rows = re.findall(r"^\| ([^|]+) \| ([\d.]+) \| ([\w.]+) \|", PAGE.read_text(), flags=re.M)
    return {name: (without, with_bug) for name, without, with_bug in rows}


def test_the_page_shows_every_bug():
    assert list(losses_on_the_page()) == list(BUGS)


@pytest.mark.parametrize("name", BUGS)
def test_the_losses_on_the_page_are_those_of_the_runs(name):
    for bug, expected in zip((False, True), losses_on_the_page()[name]):
        loss = loss_after(name, bug)
        if name == NOT_CENTERED and bug:  # its loss oscillates between 4 and 23 without learning
            assert 4 < loss < 23
            continue
        assert loss == (expected if expected.endswith("Error") else pytest.approx(float(expected), rel=0.3))
