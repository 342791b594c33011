"""Seconds to fit and to predict, MLPClassifier beside scikit-learn's, at equal dtype; interleaved, medians."""

import warnings
from statistics import median
from time import perf_counter

import numpy as np
import sklearn.neural_network as theirs

from chainrule import MLPClassifier

SHAPES = [
    ((2, 3, 2), 10, 5000),
    ((30, 100, 2), 200, 40_000),
    ((784, 30, 10), 10, 4000),
    ((784, 128, 10), 128, 8000),
    ((784, 512, 256, 10), 256, 6000),
    ((50, 256, 256, 256, 2), 256, 20_000),
    ((784, 1024, 1024, 10), 1024, 4096),
]
ROUNDS = 3


def seconds(work):
    start = perf_counter()
    work()
    return perf_counter() - start


def main():
    warnings.filterwarnings("ignore")
    print(f"{'shape':<24}{'dtype':<9}{'fit':>8}{'predict':>9}{'one row':>9}   times scikit-learn's speed")
    for sizes, batch_size, n in SHAPES:
        for dtype in (np.float32, np.float64):
            rng = np.random.default_rng(0)
            X, y = rng.normal(size=(n, sizes[0])).astype(dtype), rng.integers(0, sizes[-1], n)
            times = {"fit": ([], []), "predict": ([], []), "one row": ([], [])}
            for _ in range(ROUNDS):
                for who, cls in enumerate((MLPClassifier, theirs.MLPClassifier)):
                    model = cls(sizes[1:-1], batch_size=batch_size, max_iter=1, random_state=0)
                    times["fit"][who].append(seconds(lambda: model.fit(X, y)))  # noqa: B023
                    many = [seconds(lambda: model.predict_proba(X)) for _ in range(7)]  # noqa: B023
                    times["predict"][who].append(median(many))
                    row = X[:1]
                    one = [seconds(lambda: model.predict_proba(row)) for _ in range(200)]  # noqa: B023
                    times["one row"][who].append(median(one))
            ratios = [median(b) / median(a) for a, b in times.values()]
            print(
                f"{'-'.join(map(str, sizes)):<24}{np.dtype(dtype).name:<9}"
                + "".join(f"{ratio:>{width}.2f}" for ratio, width in zip(ratios, (8, 9, 9), strict=True)),
                flush=True,
            )


if __name__ == "__main__":
    main()
