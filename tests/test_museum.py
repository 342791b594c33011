"""Every slip of the museum is shown and caught; without it nothing is wrong."""

import re
from pathlib import Path

import pytest

from chainrule import check_gradients, diagnose, train
from chainrule.errors import GradientError
from museum import EXHIBITS, X, Y, loss_after

PAGE = Path(__file__).parent.parent / "docs/learn/slips.md"
UNCENTRED = "weights uncentred"
FORM = "column bias"
GRADIENTS = sorted(set(EXHIBITS) - {UNCENTRED, FORM})


@pytest.mark.parametrize("exhibit", EXHIBITS)
def test_without_the_slip_the_gradients_agree(exhibit):
    report = check_gradients(EXHIBITS[exhibit](slip=False), X[:20], Y[:20])
    assert report.ok, report


@pytest.mark.parametrize("exhibit", GRADIENTS)
def test_check_gradients_catches_it_and_training_never_starts(exhibit):
    assert not check_gradients(EXHIBITS[exhibit](slip=True), X[:20], Y[:20]).ok
    net = EXHIBITS[exhibit](slip=True)
    before = net.theta.copy()
    with pytest.raises(GradientError, match="wrong derivative"):
        train(net, X, Y, epochs=1)
    if exhibit != "updated before passed on":  # whose check is a step in itself
        assert (net.theta == before).all()


def test_a_bias_that_broadcasts_is_named_by_its_shape():
    message = r"layer 2, ColumnBias\(12, True\), must return Y of shape \(.0, 12\), got shape \(.0, 12, 12\)"
    for work in (check_gradients, lambda *arguments: train(*arguments, epochs=1)):
        with pytest.raises(ValueError, match=message):
            work(EXHIBITS[FORM](slip=True), X[:20], Y[:20])


def test_diagnose_sees_that_weights_are_uncentred():
    wrong, right = (diagnose(EXHIBITS[UNCENTRED](slip), X, Y) for slip in (True, False))
    added = {finding.kind for finding in wrong} - {finding.kind for finding in right}
    assert added == {"saturated units", "vanishing or exploding gradients"}


def shown():
    """Return what the page says: exhibit -> losses without and with the slip."""
    rows = re.findall(r"^\| ([^|]+) \| ([\d.]+) \| ([\w.]+) \|", PAGE.read_text(), flags=re.M)
    return {name: (right, wrong) for name, right, wrong in rows}


def test_the_page_shows_every_exhibit():
    assert list(shown()) == list(EXHIBITS)


@pytest.mark.parametrize("exhibit", EXHIBITS)
def test_what_the_page_says_of_a_run_is_so(exhibit):
    for slip, said in zip((False, True), shown()[exhibit]):
        found = loss_after(exhibit, slip)
        assert found == (said if said.endswith("Error") else pytest.approx(float(said), rel=0.3))
