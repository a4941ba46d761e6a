"""One run of a configuration, from the starting model on: it tells how it goes and can be ended."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch.optim.optimizer import register_optimizer_step_post_hook

from dpofield.experiments.config import Config
from dpofield.experiments.data import draw
from dpofield.lab.checkpoint import starting_model
from dpofield.lab.descent import Interrupted
from dpofield.lab.logprobs import encode, reference_logprobs
from dpofield.lab.pairs import Pair
from dpofield.lab.runs import Run
from dpofield.lab.training import dpo


class Watcher(Protocol):
    """Who follows a run; all of this is called in the thread that trains."""

    def stopped(self) -> bool:
        """Whether the run is to end now."""

    def progress(self, what: str, step: int, steps: int) -> None:
        """`step` of `steps` of what is being done are made."""

    def begin(self, pairs: list[Pair]) -> None:
        """Training on these N pairs begins."""

    def record(self, step: int, u: NDArray[Any], v: NDArray[Any]) -> None:
        """Where the pairs are after `step` updates: log-ratios (N,), in nats."""


def train(config: Config, watcher: Watcher, root: str | os.PathLike[str] | None = None) -> Run:
    """Train as `experiments.measure` does, with the same numbers, under the eyes of `watcher`.

    `root` is where starting models are cached. Raises what drawing pairs and training raise, and
    `Interrupted` once the watcher has stopped it: with the `Run` so far, or with None as its `run`
    if training had not begun.
    """
    torch.set_num_threads(1)  # as in the experiments; and the other core is the reader's
    with _each_step_of_sft(config.sft_steps, watcher):
        model, tokenizer = starting_model(config.recipe, root=root, progress=False)
    watcher.progress("drawing pairs", 0, 1)

    def go_on(*_: Any) -> None:
        if watcher.stopped():
            raise Interrupted("Stopped before the first step")

    asked = model.register_forward_pre_hook(go_on)  # a weak model is asked for many responses
    try:
        pairs = draw(config, model, tokenizer)
    finally:
        asked.remove()
    go_on()
    batch = encode(tokenizer, pairs)
    reference = reference_logprobs(model, batch)
    watcher.begin(pairs)

    def record(step: int) -> None:
        now = (reference_logprobs(model, batch).double() - reference.double()).numpy()
        watcher.record(step, *now.reshape(2, -1))

    def watch(optimizer: torch.optim.Optimizer) -> None:
        made = iter(range(config.steps))

        def before(*_: Any) -> None:
            step = next(made)
            watcher.progress("training", step, config.steps)
            if step % config.record_every == 0:
                record(step)
            if watcher.stopped():
                raise Interrupted(f"Stopped after step {step} of {config.steps}")

        optimizer.register_step_pre_hook(before)

    given: dict[str, Any] = {} if config.beta is None else {"beta": config.beta}
    run = dpo(
        model, reference, batch, loss=config.loss, params=dict(config.params), steps=config.steps,
        batch=config.batch, lr=config.lr, optimizer=config.optimizer, seed=config.seed,
        record_every=config.record_every, progress=False, watch=watch, **given,
    )  # fmt: skip
    watcher.progress("training", config.steps, config.steps)
    watcher.record(config.steps, run.u[-1], run.v[-1])
    return run


@contextmanager
def _each_step_of_sft(steps: int, watcher: Watcher) -> Iterator[None]:
    """Tell of, and end, the fine-tuning of a model that is not in the cache."""
    mine, made = threading.get_ident(), 0

    def after(*_: Any) -> None:
        nonlocal made
        if threading.get_ident() != mine:  # a hook on all optimizers of the process
            return
        made += 1
        watcher.progress("making the SFT model", min(made, steps), steps)
        if watcher.stopped():
            raise Interrupted(f"Stopped after step {made} of the SFT")

    hook: Any = register_optimizer_step_post_hook(after)
    try:
        yield
    except Interrupted as stop:
        stop.run = None  # the SFT's losses are no run
        raise
    finally:
        hook.remove()
