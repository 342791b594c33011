"""What the measurements share: contestants in turn, medians, the machine, and a table on the screen and in results/."""

import os
import platform
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

import numpy as np

RESULTS = Path(__file__).parent / "results"
BREATH = 0.05
"""Seconds between two contestants, in which the threads of the last one fall asleep."""


def seconds(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def interleaved(contestants: dict[str, Callable[[], float]], rounds: int = 7) -> dict[str, float]:
    """Return the median of what each contestant measures of itself; all take their turn in every round."""
    measured: dict[str, list[float]] = {name: [] for name in contestants}
    for work in contestants.values():
        work()  # the first time compiles, allocates and warms
    for _ in range(rounds):
        for name, work in contestants.items():
            sleep(BREATH)
            measured[name].append(work())
    return {name: median(times) for name, times in measured.items()}


def present(*packages: str) -> list[str]:
    """Return those of the packages that are installed; each of the others is a line."""
    found = []
    for package in packages:
        try:
            version(package)
            found.append(package)
        except PackageNotFoundError:
            print(f"{package} is not installed and left out")
    return found


def peak() -> float:
    """Return the operations a second that a large single-precision matrix product reaches, the best of ten."""
    n = 2048
    A = np.ones((n, n), np.float32)
    return 2 * n**3 / min(seconds(lambda: A @ A) for _ in range(10))


def machine(packages: Iterable[str]) -> str:
    """Return processor, cores and versions in a line."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        model = next((line.split(":")[1].strip() for line in info.open() if line.startswith("model name")), model)
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    return f"{len(os.sched_getaffinity(0))} cores, {model}; Python {platform.python_version()}, {versions}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, its columns aligned."""
    widths = [max(len(row[k]) for row in [header, *rows]) for k in range(len(header))]
    rule = ["-" * (width - 1) + (":" if k else "-") for k, width in enumerate(widths)]

    def line(row: Sequence[str]) -> str:
        cells = [cell.rjust(width) if k else cell.ljust(width) for k, (cell, width) in enumerate(zip(row, widths))]
        return f"| {' | '.join(cells)} |"

    return "\n".join(map(line, [header, rule, *rows]))


def publish(name: str, title: str, *parts: str) -> None:
    """Print the parts and write them as results/<name>.md."""
    text = "\n\n".join(parts)
    print(f"\n{text}", flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(f"# {title}\n\n{text}\n")
