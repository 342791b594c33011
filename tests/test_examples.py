"""Each example does what its text says: it reaches its scores and draws its figures."""

import importlib.util
import os
import re
import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from chainrule import datasets

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(f"examples_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def assert_drawn(folder, *names, animations=()):
    """Assert that exactly these PNGs, and these GIFs, are in the folder, and that each PNG shows something in color."""
    expected = [f"{name}.png" for name in names] + [f"{name}.gif" for name in animations]
    assert sorted(path.name for path in folder.iterdir()) == sorted(expected)
    for name in names:
        pixels = plt.imread(folder / f"{name}.png")[..., :3].reshape(-1, 3)
        assert 0.5 < np.mean(pixels.min(axis=1) > 0.7) < 0.999, "a picture is mostly background, but not blank"
        assert np.ptp(pixels, axis=1).max() > 0.3, "a picture has color"
    assert plt.get_fignums() == [], "figures are closed"


def test_every_example_has_an_introduction_and_is_run_here():
    tested = Path(__file__).read_text()
    for path in EXAMPLES.glob("*.py"):
        assert len(load(path.stem).__doc__) > 300, path
        assert f'load("{path.stem}")' in tested, path


def test_perceptrons_compute_gates_and_sums_and_learn(tmp_path):
    result = load("perceptron").main(tmp_path)
    assert result["wrong"] == dict.fromkeys(["and", "or", "nand", "xor from nand", "half adder", "4-bit adder"], 0)
    assert result["mistakes"] == 0
    assert_drawn(tmp_path, "perceptron")


@pytest.mark.parametrize("seed", range(5))
def test_the_learning_rule_converges_on_separable_data(seed):
    perceptron = load("perceptron")
    X, y = datasets.half_plane(seed=seed)
    net = perceptron.perceptron()
    perceptron.learn(net, X, y)
    np.testing.assert_array_equal(net(X)[:, 0], y)


def test_the_learning_rule_gives_up_on_xor():
    perceptron = load("perceptron")
    with pytest.raises(RuntimeError, match="still making mistakes after 50 epochs"):
        perceptron.learn(perceptron.perceptron(), *datasets.truth_table("xor"), max_epochs=50)


@pytest.mark.parametrize("seeds", [range(4), pytest.param(range(20), marks=pytest.mark.slow)], ids=len)
def test_the_single_neuron_learns_the_line_from_each_seed(tmp_path, seeds):
    accuracies = load("neuron").main(tmp_path, seeds)["accuracies"]
    assert len(accuracies) == len(seeds)
    assert min(accuracies) >= 0.97
    assert_drawn(tmp_path, "neuron")


@pytest.mark.parametrize("seeds", [range(1), pytest.param(range(5), marks=pytest.mark.slow)], ids=len)
def test_three_hidden_neurons_enclose_the_disc(tmp_path, seeds):
    result = load("disc").main(tmp_path, seeds=seeds)
    assert len(result["accuracies"]) == len(seeds)
    assert min(result["accuracies"]) >= 0.95
    assert_drawn(tmp_path, "disc")


def test_all_three_batch_sizes_learn_the_spiral(tmp_path):
    accuracies = load("spiral").main(tmp_path, frames=2)["accuracies"]
    assert list(accuracies) == ["batch", "mini-batch of 32", "single sample"]
    assert min(accuracies.values()) >= 0.97
    assert_drawn(tmp_path, "spiral", "spiral_paths", animations=["spiral"])


def test_twelve_layers_learn_with_relu_but_not_with_sigmoid(tmp_path):
    result = load("layers").main(tmp_path)
    assert result["accuracies"]["relu"] > 0.95
    assert result["accuracies"]["sigmoid"] < 0.7
    assert result["ratios"]["sigmoid"] < 1e-6 < 1e-2 < result["ratios"]["relu"]
    assert_drawn(tmp_path, "layers_sigmoid", "layers_relu")


def test_custom_parts_are_checked_resist_outliers_and_extrapolate(tmp_path):
    result = load("own_parts").main(tmp_path)
    assert 2 * result["errors"]["log cosh"] < result["errors"]["squared error"]
    assert result["errors"]["harmonics"] < 0.25
    assert result["beyond"] < 0.3
    assert "WRONG, most of all in 0.f[0]" in result["rejected"]
    assert_drawn(tmp_path, "own_parts")


def test_held_out_penguins_are_recognized_by_their_bills(tmp_path):
    result = load("quality").main(tmp_path)
    assert result["accuracy"] > 0.95
    assert result["ranking"][0] == "bill_length_mm"
    assert_drawn(tmp_path, "quality", "quality_columns")


def test_the_figures_are_drawn(tmp_path):
    pictures = load("figures").main(tmp_path)["pictures"]
    assert_drawn(tmp_path, *pictures)
    assert pictures == ["one_neuron", "network", "graph"]


def test_the_mnist_example_states_what_was_measured():
    results = (EXAMPLES.parent / "benchmarks" / "results" / "mnist.md").read_text()
    seconds, percent = re.search(
        r"30 epochs .* chainrule ([\d.]+) s \(([\d.]+)% of the test rows right", results
    ).groups()
    introduction = " ".join(load("mnist").__doc__.split())
    assert f"takes {seconds} s for 30 epochs and is right on {percent} % of the test images" in introduction


@pytest.mark.skipif("CHAINRULE_MNIST" not in os.environ, reason="CHAINRULE_MNIST is not set")
def test_two_epochs_of_mnist_nearly_reach_the_final_accuracy(tmp_path):
    """A short run with lower thresholds; `python examples/mnist.py` trains 30 epochs for at least 95.0 % and 97.8 %."""
    accuracies = load("mnist").main(out=tmp_path, epochs=2)["accuracies"]
    assert accuracies["784-30-10, squared error"] >= 0.92
    assert accuracies["784-100-10, cross-entropy"] >= 0.96
    assert_drawn(tmp_path, "mnist_loss", "mnist_weights")


def test_the_mnist_example_runs_on_any_images_of_that_shape(tmp_path, monkeypatch, rng):
    """Ten noisy patterns stand in for the digits."""
    monkeypatch.setattr(datasets, "MNIST_SHAPE", (700, 28, 28))
    monkeypatch.setattr(datasets, "MNIST_TRAINING_ROWS", 600)
    y = np.tile(np.arange(10, dtype=np.uint8), 70)
    patterns = rng.integers(0, 200, (10, 28, 28))
    np.savez(tmp_path / "mnist.npz", X=(patterns[y] + rng.integers(0, 50, (700, 28, 28))).astype(np.uint8), y=y)
    accuracies = load("mnist").main(tmp_path / "mnist.npz", tmp_path / "out", epochs=5)["accuracies"]
    assert min(accuracies.values()) > 0.95
    assert_drawn(tmp_path / "out", "mnist_loss", "mnist_weights")


@pytest.mark.parametrize(
    ("arguments", "message"), [([], "skipped: pass the path of the MNIST file"), (["x.npz"], "no MNIST file at x")]
)
def test_without_its_data_the_mnist_example_is_skipped(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("CHAINRULE_MNIST", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["mnist.py", *arguments])
    runpy.run_path(str(EXAMPLES / "mnist.py"), run_name="__main__")
    assert message in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["perceptron", "figures"])
def test_an_example_is_a_command_with_an_output_folder(name, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", [f"{name}.py", "--out", str(tmp_path / "pictures")])
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    assert list((tmp_path / "pictures").glob("*.png"))
