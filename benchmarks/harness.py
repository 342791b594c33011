"""Shared by the benchmarks: interleaved timing, medians, a description of the machine, and tables in results/."""

import os
import platform
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

import numpy as np

RESULTS = Path(__file__).parent / "results"
PAUSE = 0.05
"""Seconds between two contestants, so that the threads of the first one are idle again."""


def seconds(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def interleaved(contestants: dict[str, Callable[[], float]], rounds: int = 7) -> dict[str, float]:
    """Return the median of each contestant's own measurements; every round runs all of them, one after another."""
    measured: dict[str, list[float]] = {name: [] for name in contestants}
    for work in contestants.values():
        work()  # the first run compiles, allocates and warms the caches
    for _ in range(rounds):
        for name, work in contestants.items():
            sleep(PAUSE)
            measured[name].append(work())
    return {name: median(times) for name, times in measured.items()}


def present(*packages: str) -> list[str]:
    """Return the installed packages among these, and print a line for each missing one."""
    found = []
    for package in packages:
        try:
            version(package)
            found.append(package)
        except PackageNotFoundError:
            print(f"skipped {package}: not installed")
    return found


def peak() -> float:
    """Return the operations per second of a large single-precision matrix product, the best of ten."""
    n = 2048
    A = np.ones((n, n), np.float32)
    return 2 * n**3 / min(seconds(lambda: A @ A) for _ in range(10))


def machine(packages: Iterable[str]) -> str:
    """Return the processor, the number of cores and the versions of the packages in one line."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        model = next((line.split(":")[1].strip() for line in info.open() if line.startswith("model name")), model)
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    cores = len(os.sched_getaffinity(0))
    return f"{cores} core{'s' * (cores > 1)}, {model}; Python {platform.python_version()}, {versions}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with aligned columns."""
    widths = [max(len(row[k]) for row in [header, *rows]) for k in range(len(header))]
    rule = ["-" * (width - 1) + (":" if k else "-") for k, width in enumerate(widths)]

    def line(row: Sequence[str]) -> str:
        cells = [cell.rjust(width) if k else cell.ljust(width) for k, (cell, width) in enumerate(zip(row, widths))]
        return f"| {' | '.join(cells)} |"

    return "\n".join(map(line, [header, rule, *rows]))


def publish(name: str, title: str, *parts: str) -> None:
    """Print the parts and write them to results/<name>.md."""
    text = "\n\n".join(parts)
    print(f"\n{text}", flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(f"# {title}\n\n{text}\n")
