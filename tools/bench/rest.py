"""Benchmarks of the whole response set, the field, and the chapters."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import numpy as np
from chapters import read_chapters, side_by_side
from fingerprint import ROOT, kernel_environment
from numpy.typing import NDArray
from torch.nn.modules.module import register_module_forward_hook

from bench.timing import Row, by_turns, compare, seconds
from dpofield.field import gradient
from dpofield.lab.batch import encode_texts
from dpofield.lab.enumeration import Responses
from dpofield.lab.logprobs import reference_logprobs
from dpofield.lab.model import small_gpt2
from dpofield.lab.tokenizer import word_tokenizer
from dpofield.lab.world import World

Floats = NDArray[np.float64]


def enumeration_rows(rounds: int) -> Iterator[list[Row]]:
    """All responses of the small world to one prompt: by prefix tree, and row by row."""
    world, model = World(), small_gpt2(seed=0)
    prompt = world.prompts[0]
    responses = Responses(world, word_tokenizer(), prompt)
    batch = encode_texts(word_tokenizer(), [(prompt, text) for text in responses.texts])
    shape = f"{len(responses.texts)} responses"
    found = by_turns(
        {
            "rows": seconds(lambda: reference_logprobs(model, batch, share=False)),
            "tree": seconds(lambda: responses.logprobs(model)),
        },
        rounds,
    )
    yield [
        compare(
            "response set: row by row / prefix tree", "0.8 M", shape, found["rows"], found["tree"]
        )
    ]
    read: list[int] = []
    last = model.transformer.ln_f
    count = register_module_forward_hook(  # a hook of the module would be called on rows
        lambda module, args, out: read.append(out.shape[:-1].numel()) if module is last else None
    )
    responses.logprobs(model)
    count.remove()
    places = [float(sum(read))], [float(responses.places)]
    yield [compare("response set: places computed / nodes of the tree", "0.8 M", shape, *places,
                   "places")]  # fmt: skip


def field_rows(rounds: int) -> Iterator[list[Row]]:
    """The field printed from SymPy, with its domain checks, against plain NumPy."""
    rng = np.random.default_rng(0)
    for n in (1_000, 1_000_000):
        x1, x2 = np.exp(rng.normal(size=(2, n)))

        def by_hand(x1: Floats = x1, x2: Floats = x2, beta: float = 0.1) -> tuple[Floats, Floats]:
            push = beta / (1 + np.exp(beta * (np.log(x1) - np.log(x2))))
            return -push / x1, push / x2

        def printed(x1: Floats = x1, x2: Floats = x2) -> tuple[Floats, Floats]:
            return gradient("dpo", "ratio", x1, x2, beta=0.1)

        assert np.allclose(by_hand(), printed(), rtol=1e-12)
        found = by_turns({"ours": seconds(printed, 7), "hand": seconds(by_hand, 7)}, rounds)
        yield [
            compare(
                "gradient field: printed / by hand",
                "",
                f"{n:,} points",
                found["ours"],
                found["hand"],
            )
        ]


def chapter_rows(rounds: int) -> Iterator[list[Row]]:
    """All chapters executed one at a time, and in parallel with one chapter per core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    os.environ.update(kernel_environment())

    def execute(jobs: int) -> Callable[[], object]:
        def run() -> None:
            for chapter, failure in side_by_side(read_chapters(ROOT), jobs, timeout=600):
                if failure:
                    raise RuntimeError(f"{chapter.name} failed: {failure}")

        return run

    programs = {f"{jobs}": seconds(execute(jobs)) for jobs in (1, cores or 1)}
    found = by_turns(programs, rounds, warm_up=False)
    name = f"chapters: one at a time / {cores} at a time"
    yield [compare(name, "", "", found["1"], found[f"{cores}"])]
