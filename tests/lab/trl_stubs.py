"""TRL's own trainers on stub models whose log-probabilities a test chooses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
import trl

from dpofield.lab.model import small_gpt2
from dpofield.lab.tokenizer import word_tokenizer

QUIET = (  # TRL uses names that transformers has deprecated
    "ignore:.*gradient_checkpointing.* is deprecated:FutureWarning",
    "ignore:You are importing from 'trl.experimental'",
)
LENGTHS = (3, 5)
REFERENCE = (-4.0, -9.0)


def trainer(kind: str, setting: dict[str, Any]) -> Any:
    """A real trainer with that setting, on two examples."""
    from datasets import Dataset
    from trl.experimental.cpo import CPOConfig, CPOTrainer
    from trl.experimental.online_dpo import OnlineDPOConfig, OnlineDPOTrainer
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer
    from trl.experimental.tpo import TPOConfig, TPOTrainer

    configs = {
        "DPO": trl.DPOConfig, "KTO": trl.KTOConfig, "CPO": CPOConfig, "ORPO": ORPOConfig,
        "TPO": TPOConfig, "OnlineDPO": OnlineDPOConfig,
    }  # fmt: skip
    trainers = {
        "DPO": trl.DPOTrainer, "KTO": trl.KTOTrainer, "CPO": CPOTrainer, "ORPO": ORPOTrainer,
        "TPO": TPOTrainer, "OnlineDPO": OnlineDPOTrainer,
    }  # fmt: skip
    words = {"prompt": "pie at the castle :", "chosen": "the stew was good .", "rejected": "no ."}
    pairs: list[dict[str, Any]] = [words, words]
    if kind == "TPO":
        pairs = [{**words, "reference": "the pie was good ."}] * 2
    if kind == "KTO":
        pairs = [
            {"prompt": words["prompt"], "completion": words[key], "label": key == "chosen"}
            for key in ("chosen", "rejected")
        ]
    tiny = [small_gpt2(seed, layers=1, width=16, heads=2) for seed in (1, 2)]
    more: dict[str, Any] = {"ref_model": tiny[1]} if kind in ("DPO", "KTO", "OnlineDPO") else {}
    if kind == "OnlineDPO":
        more["reward_funcs"] = prefer_the_first
    return trainers[kind](
        model=tiny[0],
        args=configs[kind](
            output_dir="unused", bf16=False, use_cpu=True, report_to=[], disable_tqdm=True,
            gradient_checkpointing=False, per_device_train_batch_size=2,
            remove_unused_columns=False,
            **setting,
        ),
        processing_class=word_tokenizer(),
        train_dataset=Dataset.from_list(pairs),
        **more,
    )  # fmt: skip


def prefer_the_first(prompts: list[str], completions: list[str], **_: Any) -> list[float]:
    """One reward per completion: 1 for all first completions, then 0 for all second ones."""
    half = len(completions) // 2
    return [1.0] * half + [0.0] * half


class LogProbs:
    """A model that returns fixed per-token log-probabilities."""

    def __init__(self, table: torch.Tensor, elsewhere: torch.Tensor | None = None) -> None:
        self.table, self.elsewhere = table, elsewhere

    def __call__(self, **inputs: Any) -> Any:
        # KTO also scores mismatched responses, which are rows of 3s here
        asked = self.elsewhere if inputs["input_ids"][0, 0] == 3 else self.table
        assert asked is not None
        values = asked * (inputs["labels"][:, 1:] != -100)
        nothing = torch.zeros_like(values)
        return SimpleNamespace(
            log_probs=values, entropy=nothing, mean_logits=nothing, is_top1=nothing.bool(),
            log_sum_sq_probs=nothing,
        )  # fmt: skip


def masks() -> torch.Tensor:
    """Completion masks of two responses after one prompt token: (2, 1 + longest)."""
    rows = torch.zeros(2, 1 + max(LENGTHS), dtype=torch.long)
    for row, length in enumerate(LENGTHS):
        rows[row, 1 : 1 + length] = 1
    return rows


def table_of(pair: tuple[float, float], dtype: torch.dtype) -> torch.Tensor:
    """Token log-probabilities (2, longest) with these sums, unevenly spread, as a leaf."""
    share = torch.arange(1.0, 1 + max(LENGTHS), dtype=torch.float64) * masks()[:, 1:]
    share = share / share.sum(1, keepdim=True)
    return (torch.tensor(pair, dtype=torch.float64)[:, None] * share).to(dtype).requires_grad_()
