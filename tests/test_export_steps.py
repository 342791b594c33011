import numpy as np
import pytest

from chainrule import Activation, BatchNorm, Dense, LayerNorm, Network, Residual, Scale
from chainrule.data.columns import CategoryColumn, DateColumn
from chainrule.export.golden import golden_of
from chainrule.export.steps import (
    LINKS,
    LOWERED,
    Affine,
    Elementwise,
    ResidualBlock,
    fold,
    infer,
    program_of,
    quantize,
    run,
)
from chainrule.model.embeddings import LAYERS
from chainrule.model.ensemble import Ensemble
from chainrule.nn.losses import LOSSES
from exported import DATES, NETWORKS, TABLES, TARGETS, perturbed, predictions_of, predictor_of, rows_for


def test_every_layer_and_loss_has_steps():
    assert set(LOWERED) == set(LAYERS.values())
    assert set(LINKS) >= set(LOSSES.values())


@pytest.mark.parametrize("name", NETWORKS)
def test_folding_preserves_predictions(name):
    network, X = NETWORKS[name](), rows_for(name, 50)
    (steps,) = program_of(network).members
    expected = network(X)
    for version in (steps, fold(steps)):
        np.testing.assert_allclose(run(version, X), expected, rtol=1e-5, atol=1e-5 * max(1, np.abs(expected).max()))


def test_affine_steps_are_folded_into_the_weights():
    inner = Residual([Dense(4, 4), BatchNorm(4), Activation("relu")])
    layers = [Scale(3), Dense(3, 4), BatchNorm(4), Activation("tanh"), inner, LayerNorm(4), Dense(4, 2), Scale(2)]
    (steps,) = program_of(perturbed(Network(layers, seed=0))).members
    folded = fold(steps)
    names = [type(step).__name__ for step in folded]
    assert names == ["Affine", "Elementwise", "ResidualBlock", "Normalized", "Affine"]
    assert [type(step) for step in folded[2].steps] == [Affine, Elementwise]


def test_consecutive_scalings_are_merged(rng):
    network = perturbed(Network([Scale(3), BatchNorm(3), Activation("tanh"), Dense(3, 1)], seed=0, dtype="float64"))
    (steps,) = program_of(network).members
    folded, X = fold(steps), rng.normal(size=(20, 3))
    assert [type(step).__name__ for step in folded] == ["AffineElementwise", "Elementwise", "Affine"]
    np.testing.assert_allclose(run(folded, X), network(X), atol=1e-6)


def test_temperature_smoothing_and_target_scaling_add_no_steps():
    regressor = program_of(predictor_of(TABLES["numbers"], TARGETS["numbers"]))
    assert [type(step) for step in fold(regressor.members[0])] == [Affine, Elementwise, Affine]
    np.testing.assert_allclose(regressor.bounds, 5e4 + np.array([[-1.4], [1.1]]) * 1e3, rtol=0.02)


@pytest.mark.parametrize("target", TARGETS)
def test_the_sum_of_the_members_is_the_prediction(target):
    predictor = predictor_of(TABLES["all kinds"], TARGETS[target])
    X = predictor.encoder.transform(TABLES["all kinds"])
    np.testing.assert_allclose(
        infer(program_of(predictor), X), predictions_of(predictor, TABLES["all kinds"]), rtol=1e-5, atol=1e-6
    )


def test_quantized_weights_are_within_half_a_scale(rng):
    step = Affine(3, rng.normal(size=(20, 3)), rng.normal(size=3))
    step.W[:, 1] = 0
    quantized, block = quantize([step, ResidualBlock(3, (step,))])
    assert quantized.W.dtype == np.int8
    assert np.all(np.abs(quantized.W * quantized.scale - step.W) <= quantized.scale / 2 * (1 + 1e-9))
    np.testing.assert_array_equal(block.steps[0].W, quantized.W)


def test_golden_rows_cover_every_kind_of_cell():
    predictor = predictor_of(TABLES["all kinds"], TARGETS["numbers"])
    golden, again = golden_of(predictor), golden_of(predictor)
    assert golden.rows == again.rows
    assert set(golden.rows[-1].values()) == {None}
    for column in predictor.encoder.columns:
        cells = [row[column.name] for row in golden.rows[:-1]]
        if isinstance(column, CategoryColumn):
            assert set(cells) == {*column.categories, "unseen", None}
        elif isinstance(column, DateColumn):
            assert {len(cell) for cell in cells if cell is not None} == {19 if column.name == "seen" else 10}
        else:
            numbers = np.array([cell for cell in cells if cell is not None])
            assert None in cells
            assert np.median(numbers) == pytest.approx(column.center, abs=1 / column.scale)
    assert set(DATES) < set(golden.rows[0])


def test_a_difference_is_relative_to_the_largest_prediction():
    classifier = golden_of(predictor_of(TABLES["numbers"], TARGETS["text"]))
    assert classifier.difference(classifier.predictions + 0.25) == pytest.approx(0.25)
    regressor = golden_of(predictor_of(TABLES["numbers"], TARGETS["numbers"]))
    assert regressor.difference(regressor.predictions + regressor.predictions.max() / 4) == pytest.approx(0.25)
    assert np.isnan(classifier.difference(classifier.predictions * np.nan))
    with pytest.raises(ValueError, match="must match the model"):
        classifier.require_close(np.nan)


def test_members_may_differ_in_trivial_steps():
    layers = [Scale(3), Dense(3, 2)]
    trained, fresh = perturbed(Network(layers, seed=0)), Network(layers, seed=1)
    ensemble = Ensemble((trained, fresh))
    X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_allclose(infer(program_of(ensemble), X), ensemble.predict(X), rtol=1e-5, atol=1e-6)
