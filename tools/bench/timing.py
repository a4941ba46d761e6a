"""Measure programs alternately, and compute their ratios with ranges."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook


@dataclass(frozen=True)
class Row:
    """One line of the table: the ratio of the first program's time or work to the second's.

    `ratio` is the median over rounds of the ratio within a round, `low` and `high` its range.
    `first` and `second` are medians in `unit`. `error` is the largest difference between the
    results of the two programs, where it was measured.
    """

    row: str
    size: str
    shape: str
    ratio: float
    low: float
    high: float
    first: float
    second: float
    unit: str = "s"
    error: float | None = None

    def record(self) -> dict[str, Any]:
        """The row as it is saved, with four significant digits."""
        known = {k: v for k, v in asdict(self).items() if v is not None}
        return {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in known.items()}


def compare(
    row: str,
    size: str,
    shape: str,
    first: Sequence[float],
    second: Sequence[float],
    unit: str = "s",
) -> Row:
    """The row of two sequences of measurements, with one measurement per round.

    >>> compare("a", "", "", [3.0, 4.0, 8.0], [1.0, 2.0, 2.0]).ratio
    3.0
    """
    ratios = sorted(a / b for a, b in zip(first, second, strict=True))
    medians = statistics.median(first), statistics.median(second)
    return Row(row, size, shape, statistics.median(ratios), ratios[0], ratios[-1], *medians, unit)


def by_turns(
    programs: Mapping[str, Callable[[], float]], rounds: int, *, warm_up: bool = True
) -> dict[str, list[float]]:
    """Run every program once per round; return the results of each program by round."""
    if warm_up:
        for program in programs.values():
            program()
    found: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            found[name].append(program())
    return found


def seconds(work: Callable[[], object], repeats: int = 1) -> Callable[[], float]:
    """A program for `by_turns`: the seconds that `work` takes, as a median over `repeats`."""

    def program() -> float:
        taken = []
        for _ in range(repeats):
            start = time.perf_counter()
            work()
            taken.append(time.perf_counter() - start)
        return statistics.median(taken)

    return program


def seconds_a_step(train: Callable[[], object]) -> Callable[[], float]:
    """A program for `by_turns`: median seconds from one optimizer step to the next in `train`.

    The time includes everything that a trainer does between two updates.
    """

    def program() -> float:
        ticks: list[float] = []
        hook = register_optimizer_step_post_hook(lambda *_: ticks.append(time.perf_counter()))
        try:
            train()
        finally:
            hook.remove()
        return statistics.median(b - a for a, b in pairwise(ticks[1:]))

    return program


def sgemm_peak() -> float:
    """Floating-point operations per second of this machine's fastest float32 matrix product."""
    best = 0.0
    for n in (512, 1024, 2048):
        a, b, out = torch.randn(n, n), torch.randn(n, n), torch.empty(n, n)
        for _ in range(8):
            start = time.perf_counter()
            torch.mm(a, b, out=out)
            best = max(best, 2 * n**3 / (time.perf_counter() - start))
    return best
