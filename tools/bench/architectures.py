"""Common architectures against a loop over rows: errors in float64, time in float32.

The models are the tiny ones of `tests/lab/zoo.py`. A row of the result is one architecture in one
form; a form that the architecture does not have is left out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bench.timing import Row, by_turns, compare, seconds
from dpofield.lab.batch import Batch, encode
from dpofield.lab.kernel import gram
from dpofield.lab.logprobs import logprobs
from dpofield.lab.tokenizer import word_tokenizer
from dpofield.lab.world import World
from tests.lab.zoo import ZOO, row_by_row

PAIRS = 16
KINDS = (
    *("gpt2", "llama", "llama-yarn", "qwen2", "qwen3", "mistral", "mistral-window", "mixtral"),
    *("gemma", "gemma2", "gemma2-window", "gemma3", "phi", "phi3", "gpt_neox", "gpt_neo", "opt"),
    *("bloom", "falcon", "olmo2", "smollm3", "granite", "stablelm", "cohere", "mamba", "gpt_oss"),
)  # the tests compare all kinds of the zoo
FORMS = (
    "right padding", "left padding", "train mode", "checkpointing", "sharing", "PEFT", "kernel",
)  # fmt: skip
KERNEL = "kernel"


def prepared_for(form: str, model: Any) -> Any:
    """The model as the form needs it; raises `ValueError` if it cannot be."""
    if form in ("train mode", "checkpointing"):
        for part in [model.config, *model.modules()]:
            for name in ("attention_dropout", "attn_pdrop", "resid_pdrop", "dropout", "p"):
                if isinstance(getattr(part, name, None), float):
                    setattr(part, name, 0.1)
        model.train()
    if form == "checkpointing":
        model.activation_checkpointing_enable({"use_reentrant": True})
    if form == "PEFT":
        from peft import LoraConfig, get_peft_model

        torch.manual_seed(0)
        how = LoraConfig(
            task_type="CAUSAL_LM", r=4, target_modules="all-linear", init_lora_weights=False
        )
        model = get_peft_model(model, how).eval()
    return model


def values_of(form: str, model: Any, batch: Batch) -> Tensor:
    """log pi of each row, by the public function."""
    return logprobs(model, batch, share={"sharing": True, "PEFT": None}.get(form, False))


def with_gradient(values: Callable[[], Tensor], model: Any) -> tuple[Tensor, Tensor]:
    """The values, and the gradient of a weighted sum of them as one vector."""
    found = values()
    weights = [p for p in model.parameters() if p.requires_grad]
    weighted = (found * torch.linspace(-1, 1, len(found)).to(found)).sum()
    slopes = torch.autograd.grad(weighted, weights, allow_unused=True, materialize_grads=True)
    return found.detach(), torch.cat([slope.flatten() for slope in slopes])


def error_of(form: str, kind: str, batch: Batch) -> float:
    """The larger of the error in nats and the relative error of the gradient, in float64."""
    model = ZOO[kind]()
    if form == KERNEL:
        plain, ours = (_products(model, batch, method=m) for m in ("plain", "layers"))
        return float((ours - plain).abs().max() / plain.abs().max())
    if form == "PEFT":
        model = prepared_for(form, model).double()
    expected, slope = with_gradient(partial(row_by_row, model, batch), model)
    if form != "PEFT":
        model = prepared_for(form, model)
    found, other = with_gradient(partial(values_of, form, model, batch), model)
    return float(max((found - expected).abs().max(), (other - slope).norm() / slope.norm()))


def _products(model: Any, batch: Batch, **options: Any) -> Tensor:
    found = gram(model, batch, progress=False, **options)
    return torch.tensor([*found.ww, *found.wl, *found.ll])


def architecture_rows(rounds: int) -> Iterator[list[Row]]:
    """Each architecture in each form, for the log-probabilities of 16 pairs and their gradient."""
    pairs = World().pairs(PAIRS, seed=0)
    right = encode(word_tokenizer(), pairs)
    left = encode(word_tokenizer(), pairs, padding_side="left")
    for kind in KINDS:
        errors: dict[str, float] = {}
        plain = ZOO[kind]().float()
        programs: dict[str, Callable[[], object]] = {
            "loop": partial(with_gradient, partial(row_by_row, plain, right), plain),
            "plain kernel": partial(gram, plain, right, method="plain", progress=False),
        }
        for form in FORMS:
            batch = left if form == "left padding" else right
            with warnings.catch_warnings():
                # A form that falls back to the plain one says so; that is no form of its own.
                warnings.simplefilter("error" if form == KERNEL else "ignore", RuntimeWarning)
                warnings.simplefilter("ignore", UserWarning)
                try:
                    errors[form] = error_of(form, kind, batch.pairs(torch.arange(4)))
                    model = prepared_for(form, ZOO[kind]().float())
                except (ValueError, RuntimeWarning):
                    continue
            programs[form] = (
                partial(gram, model, batch, progress=False)
                if form == KERNEL
                else partial(with_gradient, partial(values_of, form, model, batch), model)
            )
        found = by_turns({name: seconds(work) for name, work in programs.items()}, rounds)
        yield [
            replace(
                compare(
                    f"{form} / {'one backward a response' if form == KERNEL else 'row by row'}",
                    kind, f"{PAIRS} pairs", found[form],
                    found["plain kernel" if form == KERNEL else "loop"],
                ),
                error=error,
            )
            for form, error in errors.items()
        ]  # fmt: skip
