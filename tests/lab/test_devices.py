"""The laboratory gives the same results on every device that this machine has."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dpofield.lab import training
from dpofield.lab.batch import encode, encode_texts
from dpofield.lab.enumeration import Responses
from dpofield.lab.kernel import gram, gram_matrix
from dpofield.lab.logprobs import reference_logprobs
from dpofield.lab.sampling import sample_responses
from dpofield.lab.settings import Training
from dpofield.lab.training import dpo, sft
from dpofield.lab.world import World

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("device", DEVICES)
def test_a_run_from_end_to_end(
    device: str, model: Any, tokenizer: Any, world: World, tmp_path: Path, monkeypatch: Any
) -> None:
    """SFT, resumed DPO, kernel, enumeration and samples agree with plain methods on the host."""
    host = copy.deepcopy(model)
    model = model.to(device)
    rows, pairs = encode_texts(tokenizer, world.examples(8, seed=0)), encode(
        tokenizer, world.pairs(4, seed=0)
    )  # fmt: skip
    how: dict[str, Any] = {"batch": 4, "lr": 1e-3, "seed": 0}
    expected = sft(host, rows, steps=3, share=False, **how, progress=False)
    found = sft(model, rows.to(device), steps=3, **how, progress=False)
    np.testing.assert_allclose(found, expected, 1e-4)

    reference = reference_logprobs(host, pairs, share=False)
    there = reference.to(device), pairs.to(device)
    settings = Training(steps=4, **how)
    whole = dpo(host, reference, pairs, settings, share=False, progress=False)
    start, state = copy.deepcopy(model), tmp_path / "state.safetensors"
    real, calls = training.pair_logprobs, iter(range(99))

    def killed(*arguments: Any, **options: Any) -> Any:
        if next(calls) == 3:
            raise MemoryError
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(training, "pair_logprobs", killed)
        with pytest.raises(MemoryError):
            dpo(model, *there, settings, state=state, save_every=2, progress=False)
    run = dpo(start, *there, settings, state=state, save_every=2, progress=False)
    np.testing.assert_allclose(run.lw, whole.lw, rtol=1e-3)

    for kernel in (gram, gram_matrix):
        ours, plain = (
            np.array(kernel(m, p, progress=False, method=how))
            for m, p, how in ((start, there[1], "layers"), (host, pairs, "plain"))
        )
        np.testing.assert_allclose(ours, plain, rtol=1e-2, atol=1e-3 * np.abs(plain).max())
    responses = Responses(world, tokenizer, world.prompts[0])
    np.testing.assert_allclose(responses.logprobs(start), responses.logprobs(host), rtol=1e-3)
    texts = [sample_responses(m, tokenizer, world.prompts[:4], seed=1) for m in (start, host)]
    assert sum(a == b for a, b in zip(*texts, strict=True)) >= 3
