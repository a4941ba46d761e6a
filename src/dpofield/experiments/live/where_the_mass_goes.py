"""Only lower the probability of some responses, and measure the change of another response."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn.functional import logsigmoid

from dpofield.lab.batch import encode_texts
from dpofield.lab.logprobs import logprobs, reference_logprobs
from dpofield.lab.model import CausalLM


class Pushed(NamedTuple):
    """Changes of log pi, in nats: of the watched text, and the mean over the texts pushed down."""

    watched: float
    pushed: float


def only_down(
    model: CausalLM,
    tokenizer: Any,
    texts: list[tuple[str, str]],
    watched: tuple[str, str],
    *,
    steps: int = 20,
    batch: int = 16,
    lr: float = 2e-2,
    beta: float = 0.1,
    seed: int = 0,
) -> Pushed:
    """Plain gradient descent on the mean of -log s(-beta v) over batches of `texts`.

    `texts` and `watched` are (prompt, response), and v is a response's change of log pi. A copy of
    `model` is trained. Raises `ValueError` if `batch` is larger than the number of texts.
    """
    if batch > len(texts):
        raise ValueError(f"batch = {batch}: there are {len(texts)} texts; choose at most that many")
    rows, one = encode_texts(tokenizer, texts), encode_texts(tokenizer, [watched])
    start, before = reference_logprobs(model, rows), reference_logprobs(model, one)
    policy, chance = copy.deepcopy(model), np.random.default_rng(seed)
    optimizer = torch.optim.SGD(policy.parameters(), lr=lr)
    for _ in range(steps):
        few = torch.from_numpy(chance.choice(len(texts), batch, replace=False))
        v = logprobs(policy, rows.rows(few)) - start[few]
        optimizer.zero_grad()
        torch.autograd.backward(-logsigmoid(-beta * v).mean())
        optimizer.step()
    return Pushed(
        float((reference_logprobs(policy, one) - before)[0]),
        float((reference_logprobs(policy, rows) - start).mean()),
    )
