"""Tokens, log-probabilities, loss and gradients agree with those of the installed TRL."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from dpofield.formulas import LOSSES
from dpofield.lab.batch import encode
from dpofield.lab.logprobs import pair_logprobs, reference_logprobs
from dpofield.lab.model import small_gpt2
from dpofield.lab.pairs import Pair, write_pairs
from dpofield.lab.tokenizer import word_tokenizer
from dpofield.lab.world import World
from tests.lab.zoo import ZOO

BETA = 0.3

# TRL uses names that transformers has deprecated.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*gradient_checkpointing.* is deprecated:FutureWarning"
)


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return World().pairs(6, seed=2)


@pytest.fixture(scope="module")
def trainer(pairs: list[Pair], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A DPOTrainer with different policy and reference, on a file of `write_pairs`."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    folder = tmp_path_factory.mktemp("trl")
    write_pairs(folder / "pairs.jsonl", pairs)
    return DPOTrainer(
        model=small_gpt2(seed=1, layers=2, width=32),
        ref_model=small_gpt2(seed=2, layers=2, width=32),
        args=DPOConfig(
            output_dir=str(folder / "out"),
            beta=BETA,
            bf16=False,
            use_cpu=True,
            report_to=[],
            disable_tqdm=True,
            gradient_checkpointing=False,
        ),
        processing_class=word_tokenizer(),
        train_dataset=Dataset.from_json(
            str(folder / "pairs.jsonl"), cache_dir=str(folder / "cache")
        ),
    )


def collated(trainer: Any) -> dict[str, torch.Tensor]:
    """TRL's batch of the whole data set, in its order."""
    return dict(trainer.data_collator(list(trainer.train_dataset)))


def test_the_same_tokens_are_scored(trainer: Any, pairs: list[Pair]) -> None:
    """Ids, padding and response tokens equal those of TRL, preferred responses first."""
    theirs, ours = collated(trainer), encode(word_tokenizer(), pairs)
    torch.testing.assert_close(ours.input_ids, theirs["input_ids"])
    torch.testing.assert_close(ours.attention_mask.long(), theirs["attention_mask"])
    torch.testing.assert_close(ours.response_mask.long(), theirs["completion_mask"])


def test_the_same_logprobs(trainer: Any, pairs: list[Pair]) -> None:
    """The reference's summed response log-probabilities equal those of TRL."""
    theirs = torch.cat(trainer.compute_ref_log_probs(trainer.ref_model, collated(trainer)))
    ours = reference_logprobs(
        small_gpt2(seed=2, layers=2, width=32), encode(word_tokenizer(), pairs)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "kind", ["llama", "qwen3", "gemma2-window", "mistral-window", "olmo2", "gpt_neox", "opt"]
)
def test_the_same_logprobs_of_other_models(trainer: Any, pairs: list[Pair], kind: str) -> None:
    """TRL's own log-probabilities of architectures with other layers."""
    from trl.trainer.dpo_trainer import add_fused_lm_head

    model, changed = ZOO[kind]().float(), ZOO[kind]().float()
    add_fused_lm_head(changed)  # as the trainer does with its models
    with torch.no_grad():
        theirs = torch.cat(trainer.compute_ref_log_probs(changed, collated(trainer)))
    batch = encode(word_tokenizer(), pairs, padding_side="left")
    for either in (model, changed):
        ours = reference_logprobs(either, batch, share=False)
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)


def test_the_same_loss_and_gradient(trainer: Any, pairs: list[Pair]) -> None:
    """The batch loss of TRL's trainer, and its gradient by every weight."""
    theirs = trainer.compute_loss(trainer.model, collated(trainer))
    theirs.backward()
    batch = encode(word_tokenizer(), pairs)
    reference = reference_logprobs(small_gpt2(seed=2, layers=2, width=32), batch)
    model = small_gpt2(seed=1, layers=2, width=32)
    lw, ll = pair_logprobs(model, batch)
    ref_w, ref_l = reference.chunk(2)
    ours = LOSSES["dpo"].torch(lw - ref_w, ll - ref_l, beta=BETA).mean()
    ours.backward()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    for (name, p), (_, q) in zip(
        model.named_parameters(), trainer.model.named_parameters(), strict=True
    ):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-4, atol=1e-6, msg=name)
