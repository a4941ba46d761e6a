"""The change of log-probabilities in every training step, split into parts.

A step changes log pi_a by <g_a, d theta> to first order, where d theta is the optimizer's actual
step: the law of motion with the optimizer's metric and memory. The remainder is due to the finite
size of the step. The part of it that comes from the concavity of log-softmax is known exactly
(`change` in `one_step`). For comparison, the change under plain gradient descent from the same
weights is recorded too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dpofield.lab.batch import Batch
from dpofield.lab.kernel import projections, trained
from dpofield.lab.model import CausalLM
from dpofield.lab.one_step import concave_part, row_logits
from dpofield.lab.watch import Watch

Floats = NDArray[np.float64]

PARTS = ("first_order", "concavity", "plain_gradient")
"""Names of the parts, see `Motion`."""


class Motion(Watch):
    """Adds up, over the steps of an optimizer, the parts of each row's change, in nats.

    `rows` is an encoded batch of R rows. Pass the object to `training.dpo` as `watch`. After T
    steps, `sums` has for each of `PARTS` an array (T + 1, R), with the sums over the first t steps
    in row t:

    - `first_order`: <g_a, d theta>, the law of motion along the optimizer's step;
    - `concavity`: the part due to the concavity of log-softmax, never positive;
    - `plain_gradient`: the law along the negative gradient of the loss, <g_a, -G> c. The factor c
      is chosen so that the mean margin of the rows (preferred first, then dispreferred) grows as in
      `first_order`. For SGD the two are equal. c = 0 if -G does not raise the mean margin.

    Every step takes two more passes over the rows (three with another optimizer than SGD).

    >>> from dpofield.lab.batch import encode
    >>> from dpofield.lab.logprobs import reference_logprobs
    >>> from dpofield.lab.model import small_gpt2
    >>> from dpofield.lab.settings import Training
    >>> from dpofield.lab.tokenizer import word_tokenizer
    >>> from dpofield.lab.training import dpo
    >>> from dpofield.lab.world import World
    >>> model, pairs = small_gpt2(seed=0), encode(word_tokenizer(), World().pairs(4, seed=0))
    >>> motion = Motion(model, pairs)
    >>> how = Training(steps=3, batch=4, lr=1e-3, optimizer="sgd", seed=0)
    >>> run = dpo(model, reference_logprobs(model, pairs), pairs, how, watch=motion, progress=False)
    >>> u_by_law, v_by_law = np.split(motion.sums["first_order"][run.step], 2, axis=1)
    >>> bool(np.abs(u_by_law - run.u).max() < 0.1 * np.abs(run.u).max())
    True
    """

    def __init__(self, model: CausalLM, rows: Batch) -> None:
        self._model, self._rows = model, rows
        self._start: list[Tensor] = []
        self._down: list[Tensor] = []
        self._logits = row_logits(model, rows)
        self._steps: dict[str, list[Floats]] = {name: [np.zeros(len(rows))] for name in PARTS}

    def begin(self, optimizer: torch.optim.Optimizer) -> None:
        """Observe every step of this optimizer, which must have the model's trained parameters."""
        plain = isinstance(optimizer, torch.optim.SGD) and not optimizer.defaults["momentum"]
        optimizer.register_step_pre_hook(lambda *_: self._before())
        optimizer.register_step_post_hook(lambda *_: self._after(plain))

    @property
    def sums(self) -> dict[str, Floats]:
        """Each of `PARTS`, added up over the steps so far: (T + 1, R)."""
        return {name: np.cumsum(values, axis=0) for name, values in self._steps.items()}

    @torch.no_grad()
    def _before(self) -> None:
        weights = trained(self._model).values()
        self._start = [p.detach().clone() for p in weights]
        self._down = [torch.zeros_like(p) if p.grad is None else -p.grad.detach() for p in weights]

    @torch.no_grad()
    def _after(self, plain: bool) -> None:
        weights = list(trained(self._model).values())
        moved = [p.detach() - before for p, before in zip(weights, self._start, strict=True)]
        found: dict[str, Any] = {}
        # The law uses gradients at the weights before the step, so these are restored for a moment.
        end = [p.detach().clone() for p in weights]
        self._set(self._start)
        with torch.enable_grad():
            law = projections(self._model, self._rows, moved, progress=False)
            found["first_order"] = law
            found["plain_gradient"] = law if plain else self._plain(law)
        self._set(end)
        logits = row_logits(self._model, self._rows)
        found["concavity"] = concave_part(self._logits, logits, self._rows)
        self._logits = logits
        for name, value in found.items():
            self._steps[name].append(value)

    def _plain(self, first: Floats) -> Floats:
        own = projections(self._model, self._rows, self._down, progress=False)
        gain, possible = (float(np.subtract(*np.split(x, 2)).mean()) for x in (first, own))
        return own * (gain / possible if possible > 0 else 0.0)

    @torch.no_grad()
    def _set(self, values: list[Tensor]) -> None:
        for p, value in zip(trained(self._model).values(), values, strict=True):
            p.copy_(value)
