"""Small datasets for experiments: random points in the plane, truth tables, penguins, and MNIST from its files."""

import csv
import gzip
from os import PathLike
from pathlib import Path
from zipfile import BadZipFile, is_zipfile

import numpy as np

from chainrule.arrays import Array, as_generator, require
from chainrule.errors import TableError, look_up

__all__ = ["GATES", "MNIST_SHAPE", "MNIST_TRAINING_ROWS", "disc", "half_plane", "load_mnist", "spiral", "truth_table"]

Rows = tuple[Array, Array]
"""`(X, y)`: inputs (n, d) and class numbers (n,)."""

GATES: dict[str, tuple[int, int, int, int]] = {
    "and": (0, 0, 0, 1),
    "or": (0, 1, 1, 1),
    "nand": (1, 1, 1, 0),
    "nor": (1, 0, 0, 0),
    "xor": (0, 1, 1, 0),
    "xnor": (1, 0, 0, 1),
}
"""Output of each gate for 00, 01, 10 and 11. A single neuron can represent all of them except xor and xnor."""

MNIST_SHAPE = (70_000, 28, 28)
MNIST_TRAINING_ROWS = 60_000


def truth_table(gate: str) -> Rows:
    """Return a gate's inputs X (4, 2), in the order 00, 01, 10, 11, and its outputs y (4,).

    Examples
    --------
    >>> X, y = truth_table("xor")
    >>> [(int(a), int(b), int(c)) for (a, b), c in zip(X, y)]
    [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)]
    """
    outputs = look_up(GATES, gate, "gate")
    return np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float64), np.array(outputs)


def half_plane(n: int = 100, *, seed: int | np.random.Generator = 0) -> Rows:
    """Return n points, uniform in the square [-1, 1]^2, with class 1 where x1 - 1.5 x2 > 0.4: linearly separable.

    X (n, 2), y (n,).
    """
    X = _uniform_in_square(n, seed)
    return X, (X @ (1.0, -1.5) > 0.4).astype(np.intp)


def disc(n: int = 300, radius: float = 0.7, *, seed: int | np.random.Generator = 0) -> Rows:
    """Return n points, uniform in the square [-1, 1]^2, with class 1 inside a circle around 0: not linearly separable.

    X (n, 2), y (n,).
    """
    require(radius > 0, "radius", "be > 0", radius)
    X = _uniform_in_square(n, seed)
    return X, (np.linalg.norm(X, axis=1) < radius).astype(np.intp)


def spiral(n_per_arm: int = 100, arms: int = 3, noise: float = 0.15, *, seed: int | np.random.Generator = 0) -> Rows:
    """Return the points of `arms` interleaved spirals, one class per arm, arm after arm.

    Along an arm t grows from 0.1 to 1. The point at t has radius t and an angle of 4 t + N(0, noise^2) radians from the
    direction of its arm. X (arms * n_per_arm, 2), y (arms * n_per_arm,).
    """
    require(n_per_arm >= 1, "n_per_arm", "be >= 1", n_per_arm)
    require(arms >= 1, "arms", "be >= 1", arms)
    require(noise >= 0, "noise", "be >= 0", noise)
    rng = as_generator(seed)
    y = np.repeat(np.arange(arms), n_per_arm)
    t = np.tile(np.linspace(0.1, 1, n_per_arm), arms)
    angle = 2 * np.pi * y / arms + 4 * t + noise * rng.standard_normal(len(t))
    return np.column_stack([t * np.cos(angle), t * np.sin(angle)]), y


def _uniform_in_square(n: int, seed: int | np.random.Generator) -> Array:
    require(n >= 1, "n", "be >= 1", n)
    return as_generator(seed).uniform(-1, 1, (n, 2))


def penguins() -> dict[str, Array]:
    """Return the 344 Palmer penguins (Horst, Hill and Gorman 2020) as a table: columns by name, `species` the last.

    Measurements are numbers, NaN where they are missing; `island`, `sex` and `species` are text, "" where missing.

    Examples
    --------
    >>> table = penguins()
    >>> list(table)[:3], len(table["species"])
    (['island', 'bill_length_mm', 'bill_depth_mm'], 344)
    """
    installed = Path(__file__).with_name("penguins.csv")
    checkout = Path(__file__).parents[2] / "examples" / "data" / "penguins.csv"
    with (installed if installed.is_file() else checkout).open(newline="") as file:
        names, *rows = csv.reader(file)
    table = dict(zip(names, np.array(rows).T, strict=True))
    numeric = [name for name in names if name not in ("island", "sex", "species")]
    return table | {name: np.array([float(cell or "nan") for cell in table[name]]) for name in numeric}


def load_mnist(path: str | PathLike[str]) -> tuple[Rows, Rows]:
    """Read the handwritten digits from a file or a folder and return (X_train, y_train), (X_test, y_test).

    Parameters
    ----------
    path : str or Path
        One of

        - the folder of the four original IDX files, such as train-images-idx3-ubyte, compressed (.gz) or not;
        - Keras' mnist.npz, with the arrays x_train, y_train, x_test and y_test;
        - an .npz file with the arrays X (70000, 28, 28), bytes from 0 (background) to 255 (ink), and y (70000,), the
          digits.

    Returns
    -------
    (X_train, y_train), (X_test, y_test)
        The 60,000 images for training and the 10,000 for testing, as rows of 784 float32 values from 0 to 1.

    Raises
    ------
    FileNotFoundError
        If the file, or one of the four in the folder, does not exist.
    TableError
        If the file is none of these.
    """
    path = Path(path)
    X, y = _read_idx_files(path) if path.is_dir() else _read_mnist_archive(path)
    if X.shape != MNIST_SHAPE or X.dtype != np.uint8:
        raise TableError(f"{path}: X must be uint8 of shape {MNIST_SHAPE}, got {X.dtype} of shape {X.shape}")
    if y.shape != MNIST_SHAPE[:1] or y.dtype.kind not in "iu" or y.min() < 0 or y.max() > 9:
        raise TableError(f"{path}: y must be {len(X)} digits from 0 to 9, got {y.dtype} of shape {y.shape}")
    parts = slice(None, MNIST_TRAINING_ROWS), slice(MNIST_TRAINING_ROWS, None)
    train, test = ((_as_unit_rows(X[rows]), y[rows].astype(np.intp)) for rows in parts)
    return train, test


def _read_mnist_archive(path: Path) -> Rows:
    """Return all images and digits of an .npz file, those for training first."""
    arrays = _read_archive(path)
    for names in (("X", "y"), ("x_train", "x_test", "y_train", "y_test")):
        if set(names) <= set(arrays):
            half = len(names) // 2
            X, y = (np.concatenate([arrays[name] for name in part]) for part in (names[:half], names[half:]))
            return X, y
    raise TableError(
        f"{path} must contain the arrays X and y, or x_train, y_train, x_test and y_test, got {', '.join(arrays)}"
    )


def _read_idx_files(folder: Path) -> Rows:
    """Return all images and digits of the original files, those for training first."""
    X, y = (
        np.concatenate([_read_idx(folder, f"{part}-{kind}") for part in ("train", "t10k")])
        for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
    )
    return X, y


def _read_idx(folder: Path, name: str) -> Array:
    """Return the bytes of an IDX file: 0, 0, 8, the number d of axes, d lengths of 4 bytes, and the values."""
    variants = [variant + end for variant in (name, name.replace("-idx", ".idx")) for end in ("", ".gz")]
    path = next((folder / variant for variant in variants if (folder / variant).is_file()), None)
    if path is None:
        raise FileNotFoundError(f"{folder}: no file {name} or {name}.gz")
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise TableError(f"{path} cannot be decompressed: {error}") from error
    d = int(name[-7])  # of "idx3-ubyte"
    shape = tuple(np.frombuffer(content[4 : 4 + 4 * d], ">i4").tolist())
    if content[:4] != bytes((0, 0, 8, d)) or len(content) != 4 + 4 * d + np.prod(shape):
        raise TableError(f"{path} must be an IDX file of bytes with {d} axes, got something else, or a part of one")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * d).reshape(shape)


def _read_archive(path: Path) -> dict[str, Array]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if not is_zipfile(path):
        raise TableError(f"{path}: not an .npz archive, or truncated")
    try:
        # Without pickles nothing in the file is executed.
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except (ValueError, BadZipFile, OSError) as error:
        raise TableError(f"{path} cannot be read as an .npz archive: {error}") from error


def _as_unit_rows(images: Array) -> Array:
    """Return images of bytes, (n, height, width), as float32 rows from 0 to 1."""
    rows = images.reshape(len(images), -1).astype(np.float32)
    rows /= 255
    return rows
