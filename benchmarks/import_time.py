"""Time of a fresh process that imports chainrule, against one that imports NumPy alone.

Fresh processes, interleaved, medians; the floor of an empty process is taken off both.
"""

import subprocess
import sys
from statistics import median
from time import perf_counter

ROUNDS = 31
STATEMENTS = ("pass", "import numpy", "import chainrule")


def seconds(statement: str) -> float:
    start = perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return perf_counter() - start


def main() -> None:
    times: dict[str, list[float]] = {statement: [] for statement in STATEMENTS}
    for _ in range(ROUNDS):
        for statement in STATEMENTS:
            times[statement].append(seconds(statement))
    empty, numpy, chainrule = (median(times[statement]) for statement in STATEMENTS)
    print(f"empty process     {1000 * empty:6.1f} ms")
    print(f"import numpy      {1000 * (numpy - empty):6.1f} ms more")
    print(f"import chainrule  {1000 * (chainrule - empty):6.1f} ms more")
    print(f"ratio             {(chainrule - empty) / (numpy - empty):6.2f}  (at most 1.5)")


if __name__ == "__main__":
    main()
