"""Networks that share their hidden layers: one in training, several afterwards."""

from dataclasses import replace

import numpy as np
import pytest

from chainrule import Scale, check_gradients
from chainrule.data.reading import read_columns
from chainrule.data.targets import fit_target
from chainrule.files.checkpoint import CheckpointFile
from chainrule.model.embeddings import Periodic
from chainrule.model.executors import Serial, Threads
from chainrule.model.fitting import fit_predictor
from chainrule.model.recipe import CLASSIFICATION, REGRESSION
from chainrule.model.shared import apart
from chainrule.training.callbacks import Callback

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
TARGETS = {"classes": (CLASSIFICATION, RNG.integers(0, 3, 40), 3), "numbers": (REGRESSION, RNG.normal(size=(40, 2)), 2)}


def together(recipe, n_out, k=4):
    """Return k networks in one, in float64, that have moved away from where they begin."""
    recipe = replace(recipe, hidden=(8, 8), front=(Periodic(3, (0, 2)),), shared_by=k)
    network = recipe.network(3, n_out, seed=0).copy(dtype="float64")
    network.theta = network.theta + 0.3 * np.random.default_rng(1).normal(size=network.theta.shape)
    return recipe, network


@pytest.mark.parametrize(("recipe", "y", "n_out"), TARGETS.values(), ids=TARGETS)
def test_the_gradient_of_the_common_objective_is_that_of_finite_differences(recipe, y, n_out):
    _, network = together(recipe, n_out)
    assert check_gradients(network, X, y).ok
    assert check_gradients(network, X, y, RNG.random(40)).ok


@pytest.mark.parametrize(("recipe", "y", "n_out"), TARGETS.values(), ids=TARGETS)
def test_apart_each_is_an_ordinary_network_with_the_same_outputs(recipe, y, n_out):
    recipe, network = together(recipe, n_out)
    networks = apart(network)
    raw = np.stack([single.outputs(X) for single in networks], axis=1).reshape(40, -1)
    np.testing.assert_allclose(network.outputs(X), raw, rtol=0, atol=1e-12)
    np.testing.assert_allclose(network(X), np.mean([single(X) for single in networks], axis=0), rtol=0, atol=1e-12)
    losses = [single.evaluate(X, y) for single in networks]
    assert np.ptp(losses) > 0.01
    assert network.evaluate(X, y) == pytest.approx(np.mean(losses), abs=1e-12)
    alone = replace(recipe, shared_by=1).network(3, n_out, seed=0)
    assert apart(alone) == (alone,)
    for single in networks:
        assert (len(single.layers), single.loss) == (len(alone.layers), alone.loss)
        assert [(type(one), one.sizes) for one in single.layers] == [(type(one), one.sizes) for one in alone.layers]
        for layer, params, first in zip(single.layers, single.params, networks[0].params):
            own = single is not networks[0] and (isinstance(layer, Scale) or layer is single.layers[-1])
            assert all(np.array_equal(params[name], first[name]) != own for name in params)


class StoppedError(Exception):
    pass


class Die(Callback):
    def on_batch_end(self, run):
        if run.epoch == 2:
            raise StoppedError


def test_members_are_the_same_bits_in_threads_and_after_they_were_stopped(tmp_path):
    columns, y = read_columns({"x": X[:, 0], "z": X[:, 1]}), X[:, 0] ** 2

    def fitted(executor, kept=None, dies=False):
        options = {"hidden": (4,), "shared_by": 3}
        result = fit_predictor(
            columns, y, fit_target("y", y), quality="fast", n_folds=2, epochs=4, options=options, executor=executor,
            callbacks_for=lambda k: [*([Die()] if dies and k == 2 else []), *([kept.checkpoint(k)] if kept else [])],
        )  # fmt: skip
        assert len(result.histories) == 4
        return result.predictor.predict_interval(columns), result.out_of_fold, result.predictor.ensemble

    whole = fitted(Serial())
    with pytest.raises(StoppedError):
        fitted(Threads(2), CheckpointFile(tmp_path / "c", 4), dies=True)
    resumed = fitted(Threads(2), CheckpointFile(tmp_path / "c", 4, resume=True))
    np.testing.assert_array_equal(whole[0], resumed[0])
    np.testing.assert_array_equal(whole[1], resumed[1])
    assert len(whole[2].networks) in (6, 12)
    assert whole[2].loss == REGRESSION.loss
