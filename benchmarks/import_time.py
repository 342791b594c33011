"""Time of a fresh process that imports chainrule, or a part of it, against one that imports NumPy alone.

Fresh processes, interleaved, medians; the time of an empty process is taken off all.
"""

import subprocess
import sys
from statistics import median
from time import perf_counter

ROUNDS = 31
STATEMENTS = (
    "pass",
    "import numpy",
    "import chainrule",
    "import numpy, chainrule",
    "from chainrule import load",
    "from chainrule import mlp, train",
)


def seconds(statement: str) -> float:
    start = perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return perf_counter() - start


def main() -> None:
    times: dict[str, list[float]] = {statement: [] for statement in STATEMENTS}
    for _ in range(ROUNDS):
        for statement in STATEMENTS:
            times[statement].append(seconds(statement))
    empty, numpy, *_ = (median(times[statement]) for statement in STATEMENTS)
    print(f"{'':<36}{'ms':>8}{'times numpy':>14}   (import chainrule: at most 1.5)")
    for statement in STATEMENTS[1:]:
        more = median(times[statement]) - empty
        print(f"{statement:<36}{1000 * more:>8.1f}{more / (numpy - empty):>14.2f}")


if __name__ == "__main__":
    main()
