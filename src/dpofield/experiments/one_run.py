"""One run: train the model of a configuration, and return it with its pairs and its record."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dpofield.experiments.config import Config
from dpofield.experiments.data import draw
from dpofield.lab.batch import Batch, encode
from dpofield.lab.checkpoint import starting_model
from dpofield.lab.descent import Interrupted
from dpofield.lab.logprobs import reference_logprobs
from dpofield.lab.model import CausalLM
from dpofield.lab.pairs import Pair
from dpofield.lab.runs import Run
from dpofield.lab.training import dpo
from dpofield.lab.watch import Watch


@dataclass(frozen=True)
class Start:
    """The start of a run: the fine-tuned model and N pairs.

    `batch` has the encoded pairs. `reference` (2 N,) has the log-probabilities of their responses
    before training, in nats, all preferred responses first.
    """

    config: Config
    model: CausalLM
    tokenizer: Any
    pairs: list[Pair]
    batch: Batch
    reference: Tensor


@dataclass(frozen=True)
class Trained(Start):
    """The result of a run: `model` is trained now, and `run` is the record of its pairs."""

    run: Run


class RunWatch(Watch):
    """Callbacks of a run, from the starting model on; see `Watch`."""

    def loaded(self) -> None:
        """The starting model is loaded; the pairs are not drawn yet."""

    def drawn(self, start: Start) -> None:
        """The pairs are drawn and encoded; `start.model` will be trained in place."""


def run(
    config: Config, watch: RunWatch | None = None, *, root: str | os.PathLike[str] | None = None
) -> Trained:
    """Make the starting model if it is not cached, draw the pairs, and train on them.

    `watch` has the callbacks and may stop the run; it changes no number. `root` is the cache of the
    starting models, by default `lab.files.cache_root()`. Torch is set to one thread, also after the
    run, so that the numbers do not depend on the number of threads. Raises the errors of `draw` and
    `dpo`, and `Interrupted` if `watch` stops the run.
    """
    watch = watch or RunWatch()
    torch.set_num_threads(1)
    model, tokenizer = starting_model(config.recipe, root=root, progress=False, watch=watch)
    watch.loaded()
    with _may_end(model, watch):
        pairs = draw(config, model, tokenizer)
    batch = encode(tokenizer, pairs)
    start = Start(config, model, tokenizer, pairs, batch, reference_logprobs(model, batch))
    watch.drawn(start)
    record = dpo(model, start.reference, batch, config.training, watch=watch, progress=False)
    return Trained(**vars(start), run=record)


@contextmanager
def _may_end(model: CausalLM, watch: Watch) -> Iterator[None]:
    """Let `watch` stop the sampling of pairs, which takes long if the model is weak."""

    def go_on(*_: object) -> None:
        if watch.stopped():
            raise Interrupted("Stopped before the first step")

    hook = model.register_forward_pre_hook(go_on)
    try:
        yield
    finally:
        hook.remove()
    go_on()
