import gzip

import numpy as np
import pytest

from chainrule import datasets
from chainrule.datasets import GATES, disc, half_plane, load_mnist, spiral, truth_table
from chainrule.errors import TableError

DRAWN = {"half_plane": half_plane, "disc": disc, "spiral": spiral}


@pytest.mark.parametrize("name", DRAWN)
def test_the_same_seed_gives_the_same_points_and_another_seed_different_ones(name):
    (X, y), (again, _), (other, _) = (DRAWN[name](seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(X, again)
    assert not np.array_equal(X, other)
    assert X.shape == (len(y), 2)
    assert y.dtype.kind == "i"


@pytest.mark.parametrize("name", DRAWN)
def test_a_generator_is_advanced(name):
    rng = np.random.default_rng(3)
    np.testing.assert_array_equal(DRAWN[name](seed=rng)[0], DRAWN[name](seed=3)[0])
    assert not np.array_equal(DRAWN[name](seed=rng)[0], DRAWN[name](seed=3)[0])


def test_the_half_plane_is_one_side_of_the_line():
    X, y = half_plane(500)
    assert np.abs(X).max() <= 1
    assert [int(x1 - 1.5 * x2 > 0.4) for x1, x2 in X] == y.tolist()
    assert 0 < y.mean() < 0.5


def test_the_disc_is_the_points_within_the_radius():
    X, y = disc(4000, radius=0.6)
    assert [int(x1 * x1 + x2 * x2 < 0.36) for x1, x2 in X] == y.tolist()
    assert y.mean() == pytest.approx(np.pi * 0.36 / 4, abs=0.02)


def test_without_noise_each_arm_of_the_spiral_is_the_first_one_turned():
    X, y = spiral(50, arms=4, noise=0)
    assert np.bincount(y).tolist() == [50] * 4
    quarter_turn = np.array([[0, 1], [-1, 0]])
    for k in range(3):
        np.testing.assert_allclose(X[y == k] @ quarter_turn, X[y == k + 1], atol=1e-12)


def test_noise_moves_the_spirals_points_along_circles():
    (X, _), (straight, _) = spiral(50, noise=0.3), spiral(50, noise=0)
    np.testing.assert_allclose(np.hypot(*X.T), np.hypot(*straight.T))
    assert not np.allclose(X, straight)


@pytest.mark.parametrize("gate", GATES)
def test_truth_tables_match_pythons_operators(gate):
    formulas = {
        "and": lambda a, b: a and b,
        "or": lambda a, b: a or b,
        "nand": lambda a, b: not (a and b),
        "nor": lambda a, b: not (a or b),
        "xor": lambda a, b: a != b,
        "xnor": lambda a, b: a == b,
    }
    X, y = truth_table(gate)
    assert X.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert y.tolist() == [int(formulas[gate](a, b)) for a, b in X]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: half_plane(0), "n must be >= 1, got 0"),
        (lambda: disc(radius=0), "radius must be > 0, got 0"),
        (lambda: spiral(0), "n_per_arm must be >= 1"),
        (lambda: spiral(arms=0), "arms must be >= 1"),
        (lambda: spiral(noise=-1), "noise must be >= 0"),
        (lambda: truth_table("not"), "gate must be one of {'and', 'or', 'nand'"),
    ],
)
def test_invalid_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.fixture
def small_mnist(monkeypatch):
    """Arrays in the layout of MNIST, with 5 training and 2 test images."""
    monkeypatch.setattr(datasets, "MNIST_SHAPE", (7, 28, 28))
    monkeypatch.setattr(datasets, "MNIST_TRAINING_ROWS", 5)
    X = np.random.default_rng(0).integers(0, 256, (7, 28, 28), np.uint8)
    return X, np.arange(7, dtype=np.uint8)


def idx(array):
    """Return the content of an IDX file of bytes."""
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">i4").tobytes() + array.tobytes()


def write_idx_files(folder, X, y, separator, write=lambda path, content: path.write_bytes(content)):
    for part, rows in (("train", slice(5)), ("t10k", slice(5, None))):
        write(folder / f"{part}-images{separator}idx3-ubyte", idx(X[rows]))
        write(folder / f"{part}-labels{separator}idx1-ubyte", idx(y[rows]))
    return folder


def write_compressed(path, content):
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(content))


def write_archive(path, **arrays):
    np.savez(path, **arrays)
    return path


FORMS = {
    "archive": lambda folder, X, y: write_archive(folder / "mnist.npz", X=X, y=y),
    "Keras": lambda folder, X, y: write_archive(
        folder / "keras.npz", x_train=X[:5], y_train=y[:5], x_test=X[5:], y_test=y[5:]
    ),
    "IDX": lambda folder, X, y: write_idx_files(folder, X, y, "-"),
    "IDX with a dot": lambda folder, X, y: write_idx_files(folder, X, y, "."),
    "IDX, compressed": lambda folder, X, y: write_idx_files(folder, X, y, "-", write_compressed),
}


@pytest.mark.parametrize("form", FORMS)
def test_mnist_is_loaded_as_rows_from_0_to_1_split_into_training_and_test(form, small_mnist, tmp_path):
    X, y = small_mnist
    (X_train, y_train), (X_test, y_test) = load_mnist(FORMS[form](tmp_path, X, y))
    assert (X_train.shape, X_test.shape) == ((5, 784), (2, 784))
    assert X_train.dtype == X_test.dtype == np.float32
    np.testing.assert_allclose(np.vstack([X_train, X_test]), X.reshape(7, 784) / 255, rtol=1e-6)
    assert [*y_train, *y_test] == y.tolist()


def test_a_missing_or_damaged_idx_file_is_named(small_mnist, tmp_path):
    folder = write_idx_files(tmp_path, *small_mnist, "-")
    labels = folder / "t10k-labels-idx1-ubyte"
    for content in (
        b"",
        b"a page that says: not found",
        labels.read_bytes()[:-1],
        (folder / "train-images-idx3-ubyte").read_bytes(),
    ):
        labels.write_bytes(content)
        with pytest.raises(TableError, match="t10k-labels-idx1-ubyte must be an IDX file of bytes with 1 axes"):
            load_mnist(folder)
    labels.unlink()
    (folder / f"{labels.name}.gz").write_bytes(b"not compressed")
    with pytest.raises(TableError, match=r"t10k-labels-idx1-ubyte\.gz cannot be decompressed"):
        load_mnist(folder)
    (folder / f"{labels.name}.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"no file t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte\.gz"):
        load_mnist(folder)


def test_the_penguins_are_a_table_of_numbers_and_text():
    table = datasets.penguins()
    assert {len(column) for column in table.values()} == {344}
    assert sorted(set(table["species"])) == ["Adelie", "Chinstrap", "Gentoo"]
    assert (table["sex"] == "").sum() == 11
    assert np.isnan(table["body_mass_g"]).sum() == 2
    assert np.nanmean(table["body_mass_g"]) == pytest.approx(4201.75, abs=0.01)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"digits\.npz: no such file"):
        load_mnist(tmp_path / "digits.npz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: {"x_train": X, "y_train": y}, "the arrays X and y, or x_train, .* got x_train, y_train"),
        (lambda X, y: {"X": X[:5], "y": y[:5]}, r"X must be uint8 of shape \(7, 28, 28\), got .*\(5, 28, 28\)"),
        (lambda X, y: {"X": X / 255, "y": y}, "X must be uint8 .* float64"),
        (lambda X, y: {"X": X, "y": y + 4}, "y must be 7 digits from 0 to 9"),
        (lambda X, y: {"X": X, "y": y[:5]}, r"y must be 7 digits from 0 to 9, got .* \(5,\)"),
        (lambda X, y: {"X": X, "y": y.astype(object)}, "cannot be read"),
    ],
)
def test_an_archive_with_other_arrays_is_refused(change, message, small_mnist, tmp_path):
    np.savez(tmp_path / "mnist.npz", **change(*small_mnist))
    with pytest.raises(TableError, match=message):
        load_mnist(tmp_path / "mnist.npz")


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 cut off", b"\x93NUMPY cut off"])
def test_a_file_that_is_not_an_archive_is_refused(content, tmp_path):
    path = tmp_path / "mnist.npz"
    path.write_bytes(content)
    with pytest.raises(TableError, match=r"mnist\.npz: not an \.npz archive"):
        load_mnist(path)


def test_a_damaged_archive_is_refused(small_mnist, tmp_path):
    path = tmp_path / "mnist.npz"
    np.savez(path, X=small_mnist[0], y=small_mnist[1])
    content = bytearray(path.read_bytes())
    content[1000:1100] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(TableError, match=r"cannot be read as an \.npz archive: "):
        load_mnist(path)
