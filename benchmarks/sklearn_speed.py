"""Time to fit and to predict, MLPClassifier relative to scikit-learn's with the same dtype; interleaved, medians."""

import warnings
from statistics import median

import numpy as np
import sklearn.neural_network as theirs

from chainrule import MLPClassifier
from harness import machine, publish, seconds, table

SHAPES = [
    ((2, 3, 2), 10, 5000),
    ((30, 100, 2), 200, 40_000),
    ((784, 30, 10), 10, 4000),
    ((784, 128, 10), 128, 8000),
    ((784, 512, 256, 10), 256, 6000),
    ((50, 256, 256, 256, 2), 256, 20_000),
    ((784, 1024, 1024, 10), 1024, 4096),
]
ROUNDS = 5


def measured(sizes, batch_size, n, dtype):
    """Return how many times as fast chainrule is at fitting, at predicting n rows, and at predicting one."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n, sizes[0])).astype(dtype), rng.integers(0, sizes[-1], n)
    times = {"fit": ([], []), "predict": ([], []), "one row": ([], [])}
    for _ in range(ROUNDS):
        for who, cls in enumerate((MLPClassifier, theirs.MLPClassifier)):
            model = cls(sizes[1:-1], batch_size=batch_size, max_iter=1, random_state=0)
            times["fit"][who].append(seconds(lambda: model.fit(X, y)))  # noqa: B023
            many = [seconds(lambda: model.predict_proba(X)) for _ in range(7)]  # noqa: B023
            times["predict"][who].append(median(many))
            one = [seconds(lambda: model.predict_proba(X[:1])) for _ in range(200)]  # noqa: B023
            times["one row"][who].append(median(one))
    return [median(b) / median(a) for a, b in times.values()]


def main():
    warnings.filterwarnings("ignore")
    rows = []
    for sizes, batch_size, n in SHAPES:
        for dtype in (np.float32, np.float64):
            ratios = measured(sizes, batch_size, n, dtype)
            rows.append(["-".join(map(str, sizes)), np.dtype(dtype).name, *(f"{ratio:.2f}" for ratio in ratios)])
            print(*rows[-1], flush=True)
    publish(
        "sklearn_speed",
        "Speed of MLPClassifier relative to scikit-learn's",
        machine(["chainrule", "numpy", "scikit-learn"]),
        table(["shape", "dtype", "fit", "predict_proba, many rows", "predict_proba, one row"], rows),
    )


if __name__ == "__main__":
    main()
