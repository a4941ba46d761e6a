"""The kernel by layers against one backward pass per response: time and peak memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import psutil
import torch
from chapters import process_cost

from bench import work
from bench.timing import Row, by_turns, compare, seconds
from dpofield.formulas import LOSSES
from dpofield.lab.kernel import gram, gram_matrix
from dpofield.lab.logprobs import pair_logprobs

PAIRS = 32
SIZE, SHAPE = "5 M", "mixed"


def _kernel(function: Callable[..., object], **options: Any) -> Callable[[], object]:
    model, batch = work.model(SIZE), work.rows(SHAPE, PAIRS)
    return lambda: function(model, batch, progress=False, **options)


def _step() -> Callable[[], object]:
    """One training step on the same pairs, without shared prefixes, as in the kernel."""
    model, batch = work.model(SIZE), work.rows(SHAPE, PAIRS)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        lw, ll = pair_logprobs(model, batch, share=False)
        LOSSES["dpo"].torch(lw - lw.detach(), ll - ll.detach(), beta=0.1).mean().backward()
        optimizer.step()

    return step


PROGRAMS: dict[str, Callable[[], Callable[[], object]]] = {
    "pairs, by layers": lambda: _kernel(gram),
    "pairs, plain": lambda: _kernel(gram, method="plain"),
    "matrix, by layers": lambda: _kernel(gram_matrix),
    "matrix, plain": lambda: _kernel(gram_matrix, method="plain"),
    "step": _step,
}


def _peak_mb(name: str) -> float:
    """Peak memory (MB) of a program, above the memory in use before it runs."""
    run = PROGRAMS[name]()
    before = psutil.Process().memory_info().rss / 1e6
    run()
    _, peak = process_cost(os.getpid())
    return peak - before if peak else float("nan")


def kernel_rows(rounds: int) -> Iterator[list[Row]]:
    """Times, measured alternately; peak memory, each time in a new process."""
    shape = f"{PAIRS} pairs, {SHAPE}"
    found = by_turns({name: seconds(make()) for name, make in PROGRAMS.items()}, rounds)
    yield [
        compare(f"kernel, {what}: one backward a response / by layers", SIZE, shape,
                found[f"{what}, plain"], found[f"{what}, by layers"])
        for what in ("pairs", "matrix")
    ]  # fmt: skip
    peak: dict[str, list[float]] = {}
    for name in PROGRAMS:
        for _ in range(3):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                peak.setdefault(name, []).append(pool.submit(_peak_mb, name).result())
    yield [
        compare(f"kernel, {what}: peak memory / training step", SIZE, shape,
                peak[f"{what}, by layers"], peak["step"], "MB")
        for what in ("pairs", "matrix")
    ]  # fmt: skip
