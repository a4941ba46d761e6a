"""CHES: similarity of the two responses of a pair, by the model's hidden states.

Let S_a be the sum of the last layer's hidden states that predict the tokens of response a. Then
CHES = <S_w, S_l> - |S_w|^2 (Razin et al. 2024, arXiv 2410.08847). The length-normalised form
divides each sum by its number of tokens. Both are larger if the responses are more similar.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dpofield.lab.batch import Batch
from dpofield.lab.model import CausalLM

Floats = NDArray[np.float64]


class Ches(NamedTuple):
    """CHES of N pairs, plain and length-normalised: (N,) each, in squared hidden units."""

    plain: Floats
    normalised: Floats


@torch.no_grad()
def ches(model: CausalLM, pairs: Batch) -> Ches:
    """CHES of N encoded pairs; the tokens of a response include the end-of-sequence token.

    Hidden states are taken after the last norm, where the output matrix multiplies them.

    >>> from dpofield.lab.batch import encode
    >>> from dpofield.lab.model import small_gpt2
    >>> from dpofield.lab.tokenizer import word_tokenizer
    >>> from dpofield.lab.world import World
    >>> pairs = encode(word_tokenizer(), World().pairs(3, seed=0))
    >>> ches(small_gpt2(seed=0), pairs).plain.shape
    (3,)
    """
    w, l = hidden_sums(model, pairs).chunk(2)  # noqa: E741 - l as in the formulas
    n_w, n_l = pairs.lengths.double().chunk(2)

    def score(a: Tensor, b: Tensor) -> Floats:
        return np.asarray(((a * b).sum(dim=1) - (a * a).sum(dim=1)).cpu().numpy())

    return Ches(score(w, l), score(w / n_w[:, None], l / n_l[:, None]))


def hidden_sums(model: CausalLM, rows: Batch) -> Tensor:
    """The sum of the states that predict each row's response tokens: (R, width) float64."""
    outputs = model(
        input_ids=rows.input_ids,
        attention_mask=rows.attention_mask.long(),
        position_ids=(rows.attention_mask.long().cumsum(dim=1) - 1).clamp(min=0),
        output_hidden_states=True,
        logits_to_keep=1,
        use_cache=False,
    )
    # The token at t is predicted by the state at t - 1.
    states: Tensor = outputs.hidden_states[-1][:, :-1].double()
    return (states * rows.response_mask[:, 1:, None]).sum(dim=1)
