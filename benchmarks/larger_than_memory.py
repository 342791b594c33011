"""Training on a table larger than memory: peak memory and time per row, beside training in memory on one that fits.

    python benchmarks/larger_than_memory.py [rows] [rows in memory]

The table has 30 columns: 26 numbers, 3 of few values, and a category. Two networks of the default size and two linear
ones are trained for one epoch, each in a process of its own. Times are of the processors, so that other load matters
little; time per row is that beyond a training on a hundredth of the rows.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from harness import machine, publish, table

LIMIT = 10**9
N_NUMBERS = 26
ROWS = 100_000
"""Rows that are generated together."""

WORK = """
import json, resource, sys, time
from chainrule import TabularRegressor
path, mode = sys.argv[1:]
options = dict(quality="fast", hidden_layer_sizes=(128, 128, 128), n_folds=2, epochs=1, random_state=0, n_jobs=2)
begin = time.perf_counter()
if mode == "parts":
    model = TabularRegressor(**options, max_memory=10**9).fit(path, "y")
else:
    import polars as pl
    frame = pl.read_parquet(path)
    model = TabularRegressor(**options).fit(frame.drop("y"), frame["y"].to_numpy())
print(json.dumps({
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "cpu": time.process_time(),
    "wall": time.perf_counter() - begin,
    "error": min(history.metrics["validation_mse"][-1] for history in model.histories_),
}))
"""


def write(path: Path, n: int) -> None:
    """Write a table of n rows to a Parquet file, a part at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng, writer = np.random.default_rng(0), None
    for start in range(0, n, ROWS):
        m = min(ROWS, n - start)
        columns = {f"x{j}": rng.normal(size=m).astype(np.float32) for j in range(N_NUMBERS)}
        columns |= {f"n{j}": rng.integers(0, 50, m) for j in range(3)}
        signal = np.sin(2 * columns["x0"]) + columns["x1"] * columns["x2"] + 0.05 * columns["n0"]
        columns["city"] = np.char.add("c", rng.integers(0, 20, m).astype(str)).astype(object)
        columns["y"] = signal + 0.3 * rng.normal(size=m)
        part = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, part.schema)
        writer.write_table(part)
    writer.close()


def measured(n: int, mode: str, folder: Path) -> dict[str, float]:
    """Return the peak memory in MB, the seconds and the error of a training on n rows in a fresh process."""
    path = folder / f"{n}.parquet"
    if not path.exists():
        write(path, n)
    done = subprocess.run([sys.executable, "-c", WORK, str(path), mode], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    n_fitting = int(sys.argv[2]) if len(sys.argv) > 2 else 600_000
    rows, per_row = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for mode, of, name in (
            ("memory", n_fitting, "in memory"),
            ("parts", n, f"in parts, within {LIMIT / 1e9:.0f} GB"),
        ):
            small, large = (measured(size, mode, Path(folder)) for size in (of // 100, of))
            per_row[mode] = (large["cpu"] - small["cpu"]) / (of - of // 100) * 1e6
            print(name, small, large, flush=True)
            rows.append(
                [
                    name,
                    f"{of:,}",
                    f"{large['peak']:,.0f}",
                    f"{per_row[mode]:.1f}",
                    f"{large['wall']:,.0f}",
                    f"{large['error']:.4f}",
                ]
            )
    head = ["training", "rows", "peak MB", "us of CPU per row", "s", "validation MSE"]
    publish(
        "larger_than_memory",
        "Training on a table larger than memory",
        machine(["numpy", "polars", "numba"]),
        "30 columns; two networks with three layers of 128 units and two linear ones, one epoch, in two threads.",
        table(head, rows),
        f"Per row, training in parts takes {per_row['parts'] / per_row['memory']:.2f} times as long.",
    )


if __name__ == "__main__":
    main()
