"""A first loss that is not that of u = v = 0 is explained by what the numbers prove."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from torch import Tensor

from dpofield.formulas import LOSSES
from dpofield.lab.arrangements import recognised
from dpofield.lab.batch import Batch, encode
from dpofield.lab.first_loss import explain_start
from dpofield.lab.logprobs import reference_logprobs
from dpofield.lab.model import small_gpt2
from dpofield.lab.settings import Training
from dpofield.lab.tokenizer import word_tokenizer
from dpofield.lab.training import dpo
from dpofield.lab.world import World

N = 6
MODEL = small_gpt2(seed=1, layers=1, width=32)
PAIRS = encode(word_tokenizer(), World().pairs(N, seed=0))
OWN = reference_logprobs(MODEL, PAIRS)
ORDER = torch.tensor([1, 0, 2, 5, 3, 4])


def scored(change: Any) -> Tensor:
    """The model's log-probabilities with another mask of scored tokens."""
    mask = PAIRS.response_mask
    column = torch.arange(mask.shape[1])
    first, last = (
        torch.where(mask, column, other).sort(dim=1, descending=down).values[:, :1]
        for other, down in ((99, False), (-1, True))
    )
    return reference_logprobs(
        MODEL, replace(PAIRS, response_mask=change(mask, column, first, last))
    )


def cut(values: Tensor) -> Tensor:
    """The rows of more than 24 tokens have other values."""
    tokens = PAIRS.attention_mask.sum(dim=1)
    limit = tokens.float().quantile(0.7)
    assert 0 < int((tokens > limit).sum()) < 2 * N
    return torch.where(tokens > limit, values + 3.0, values)


def padded(values: Tensor) -> Tensor:
    """The rows that need padding have other values."""
    tokens = PAIRS.attention_mask.sum(dim=1)
    return torch.where(tokens < tokens.max(), values - 2.0, values)


# Kind of the finding -> a reference with this mistake.
MISTAKES: dict[str, Any] = {
    "swapped": lambda: OWN.roll(N),
    "alternating": lambda: OWN.view(2, N).T.flatten(),
    "order": lambda: OWN.view(2, N)[:, ORDER].flatten(),
    "mean": lambda: OWN / PAIRS.lengths,
    "zero": lambda: torch.zeros(2 * N),
    "end": lambda: scored(lambda m, c, first, last: m & (c != last)),
    "first": lambda: scored(lambda m, c, first, last: m & (c != first)),
    "prompt": lambda: scored(lambda m, c, first, last: PAIRS.attention_mask & (c > 0)),
    "cut": lambda: cut(OWN),
    "padding": lambda: padded(OWN),
    "rows": lambda: OWN.index_add(0, torch.tensor([2]), torch.tensor([-4.0])),
    "other": lambda: reference_logprobs(small_gpt2(seed=2, layers=1, width=32), PAIRS),
}
# What `dpo` itself can be certain of.
CERTAIN = {"swapped", "alternating", "order", "mean"}


def step(model: Any, reference: Tensor, pairs: Batch = PAIRS) -> Any:
    settings = Training(steps=1, batch=len(pairs) // 2, lr=1e-3, seed=0)
    return dpo(copy.deepcopy(model), reference, pairs, settings, progress=False)


@pytest.mark.parametrize("kind", MISTAKES)
def test_each_mistake_is_found(kind: str) -> None:
    """The first finding has the kind of the mistake, and no other certain one is reported."""
    start = explain_start(MODEL, MISTAKES[kind](), PAIRS)
    assert [finding.kind for finding in start.findings] == [kind]


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_training_warns_only_of_what_is_certain(kind: str) -> None:
    """Another start than u = v = 0 is legitimate; a proven mistake is said in one sentence."""
    if kind in CERTAIN:
        with pytest.warns(RuntimeWarning, match="The .*reference .*explain_start"):
            step(MODEL, MISTAKES[kind]())
    else:
        step(MODEL, MISTAKES[kind]())


def test_the_right_reference() -> None:
    """u = v = 0 exactly and up to the rounding of another computation; nothing else is said."""
    for reference in (OWN, OWN + 1e-5 * torch.randn(2 * N)):
        start = explain_start(MODEL, reference, PAIRS)
        assert [finding.kind for finding in start.findings] == ["equal"]
        assert "Loss at step 0: 0.6931; at u = v = 0: 0.6931." in str(start)
        step(MODEL, reference)


@pytest.mark.parametrize(("dtype", "name"), [(torch.float16, "float16"), (torch.bfloat16, "bf")])
def test_another_precision(dtype: torch.dtype, name: str) -> None:
    """A rounded reference is recognised by its values, and noise of that size by its size."""
    rounded = explain_start(MODEL, OWN.to(dtype).float(), PAIRS)
    assert [finding.kind for finding in rounded.findings] == ["precision"]
    assert name in rounded.findings[0].sentence
    size = {torch.float16: 0.01, torch.bfloat16: 0.1}[dtype]
    noise = size * torch.tensor([1.0, -1.0]).repeat(N) * torch.rand(2 * N).clamp(min=0.5)
    noisy = explain_start(MODEL, OWN + noise, PAIRS)
    assert [finding.kind for finding in noisy.findings] == ["precision"]
    assert "size of rounding in " + name in noisy.findings[0].sentence


def test_a_reference_with_dropout() -> None:
    """If the reference changes from call to call, this is certain."""

    def random() -> Tensor:
        return OWN + torch.randn(2 * N)

    start = explain_start(MODEL, random(), PAIRS, again=random)
    assert [finding.kind for finding in start.findings] == ["random"]
    steady = explain_start(MODEL, OWN, PAIRS, again=lambda: OWN)
    assert [finding.kind for finding in steady.findings] == ["equal"]


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")
def test_an_adapter_left_on_or_trained_before() -> None:
    """The reference is the model with its trained adapter, or the base of a trained adapter; a
    new adapter changes nothing."""
    config = LoraConfig(target_modules=["c_attn"], fan_in_fan_out=True, task_type="CAUSAL_LM")
    model = get_peft_model(copy.deepcopy(MODEL), config).eval()
    assert [f.kind for f in explain_start(model, OWN, PAIRS).findings] == ["equal"]
    for name, p in model.named_parameters():
        if "lora_B" in name:
            p.data.normal_(0, 0.1)
    on = reference_logprobs(model, PAIRS)
    found = explain_start(model, on, PAIRS).findings
    assert [f.kind for f in found] == ["equal", "adapter-on"]
    assert [f.kind for f in explain_start(model, OWN, PAIRS).findings] == ["adapter-off"]


@pytest.mark.parametrize("name", LOSSES)
def test_the_start_of_every_loss(name: str) -> None:
    """The first loss is that of the training's record, and that of the expression at u = v = 0."""
    start = explain_start(MODEL, OWN, PAIRS, loss=name)
    settings = Training(loss=name, steps=1, batch=N, lr=1e-9, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some losses are flat at the start, and the step is tiny
        run = dpo(copy.deepcopy(MODEL), OWN, PAIRS, settings, progress=False)
    np.testing.assert_allclose(start.loss, run.loss[0], rtol=1e-12)
    np.testing.assert_allclose(start.loss_at_zero, start.loss, rtol=1e-12)


@given(st.integers(2, 12), st.integers(0, 10**6))
def test_another_model_is_no_mistake(n: int, seed: int) -> None:
    """Log-probabilities that were not made from the model's are never taken for a mistake."""
    torch.manual_seed(seed)
    own, other = -50 * torch.rand(2, 2 * n, dtype=torch.float64)
    lengths = torch.randint(1, 40, (2 * n,))
    for reference in (other, own + torch.randn(2 * n), own - 1, own * 1.1, own.clone()):
        assert recognised(own, reference, lengths, left=1e-4) is None
    # Means are small, so they count by their own size and not by that of the sums.
    assert recognised(own, 2 * own / lengths, lengths, left=0.05) is None
