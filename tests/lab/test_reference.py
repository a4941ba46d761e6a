"""Reference log-probabilities from other models, adapters and columns, against TRL and by loops."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model

from dpofield.formulas import LOSSES
from dpofield.lab.batch import Batch, encode
from dpofield.lab.logprobs import pair_logprobs, reference_logprobs
from dpofield.lab.model import small_gpt2
from dpofield.lab.pairs import Pair, write_pairs
from dpofield.lab.reference import (
    no_reference,
    other_adapter,
    reference_from_columns,
    reference_from_model,
    reference_without_adapter,
)
from dpofield.lab.settings import Training
from dpofield.lab.tokenizer import word_tokenizer
from dpofield.lab.training import dpo
from dpofield.lab.world import World
from tests.lab.zoo import ZOO, row_by_row

# PEFT and TRL use names that transformers has deprecated.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*gradient_checkpointing.* is deprecated:FutureWarning"
)
N = 3
CONFIGS = {
    "lora": LoraConfig(target_modules=["c_attn"], fan_in_fan_out=True, task_type="CAUSAL_LM"),
    "dora": LoraConfig(
        target_modules=["c_attn"], fan_in_fan_out=True, use_dora=True, task_type="CAUSAL_LM"
    ),
    "saved": LoraConfig(
        target_modules=["c_attn"],
        fan_in_fan_out=True,
        modules_to_save=["ln_f"],
        task_type="CAUSAL_LM",
    ),
    "prompt": PromptTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM"),
}


@pytest.fixture
def pairs(tokenizer: Any, world: World) -> Batch:
    return encode(tokenizer, world.pairs(N, seed=0))


def wrapped(base: Any, kind: str = "lora") -> Any:
    """The model with two random adapters, "default" (active) and "ref", partly frozen."""
    model = get_peft_model(copy.deepcopy(base), CONFIGS[kind])
    model.add_adapter("ref", copy.deepcopy(CONFIGS[kind]))
    for name, p in model.double().named_parameters():
        if "default" in name or "ref" in name or "prompt" in name:
            p.data.normal_(0, 0.3)
        if "lora_A.default" in name:
            p.requires_grad_(False)
    return model.eval()


def state(model: Any) -> Any:
    """What must be as before: active adapters, what is trained, the flags of the layers."""
    layers = [m for m in model.modules() if isinstance(getattr(m, "disable_adapters", None), bool)]
    flags = [(m.disable_adapters, list(m.active_adapters)) for m in layers]
    return model.active_adapter, [p.requires_grad for p in model.parameters()], flags


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_same_model_without_its_adapter(pairs: Batch, kind: str) -> None:
    """The log-probabilities are those of the base model; with a name, those of that adapter. The
    model is as before, also after an exception."""
    base = ZOO["gpt2"]()
    model = wrapped(base, kind)
    before, own = state(model), row_by_row(model, pairs)
    with other_adapter(model):
        off = row_by_row(model, pairs)
    torch.testing.assert_close(off, row_by_row(base, pairs), rtol=1e-9, atol=1e-9)
    assert (off - own).abs().max() > 0.1
    with other_adapter(model, "ref"):
        named = row_by_row(model, pairs)
    if kind != "prompt":
        for adapter, expected in ((None, off), ("ref", named)):
            found = reference_without_adapter(model, pairs, adapter=adapter, share=False)
            torch.testing.assert_close(found, expected.detach(), rtol=1e-9, atol=1e-9)
            assert not found.requires_grad
    for adapter in (None, "ref"):
        with pytest.raises(KeyError), other_adapter(model, adapter):
            raise KeyError
    assert state(model) == before
    torch.testing.assert_close(row_by_row(model, pairs), own, rtol=0, atol=0)
    model.set_adapter("ref")
    torch.testing.assert_close(named, row_by_row(model, pairs), rtol=1e-9, atol=1e-9)


def test_an_adapter_that_is_off_already(pairs: Batch) -> None:
    """A named reference adapter is on for its log-probabilities, and all are off again after."""
    model = wrapped(ZOO["gpt2"]())
    model.set_adapter("ref")
    expected = row_by_row(model, pairs)
    model.set_adapter("default")
    model.base_model.disable_adapter_layers()
    before = state(model)
    found = reference_without_adapter(model, pairs, adapter="ref", share=False)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert state(model) == before


def test_an_adapter_of_transformers(pairs: Batch) -> None:
    """An adapter that `model.add_adapter` put into the model itself is switched off too."""
    model = ZOO["llama"]()
    expected = row_by_row(model, pairs)
    model.add_adapter(LoraConfig(target_modules=["q_proj"]), adapter_name="mine")
    for name, p in model.double().named_parameters():
        if "lora" in name:
            p.data.normal_(0, 0.3)
    found = reference_without_adapter(model, pairs, share=False)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert (row_by_row(model, pairs) - expected).abs().max() > 0.1


def test_adapters_that_cannot_be_switched(tiny_gpt2: Any, pairs: Batch) -> None:
    """No adapter, an unknown name and a merged adapter are refused with the remedy."""
    with pytest.raises(ValueError, match=r"GPT2LMHeadModel has no PEFT.*reference_logprobs"):
        reference_without_adapter(tiny_gpt2, pairs)
    model = wrapped(ZOO["gpt2"]())
    with pytest.raises(ValueError, match="no adapter 'rf': the model has default, ref"):
        reference_without_adapter(model, pairs, adapter="rf")
    model.merge_adapter()
    with pytest.raises(ValueError, match=r"merged into the weights.*unmerge_adapter\(\)"):
        reference_without_adapter(model, pairs)


def test_another_model(tiny_gpt2: Any, pairs: Batch) -> None:
    """A model of another size and dtype is a reference: at least float32, without a graph."""
    larger = small_gpt2(seed=3, layers=2, width=32)
    found = reference_from_model(larger.bfloat16(), pairs)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), row_by_row(larger.float(), pairs), rtol=0, atol=1.0)
    run = dpo(tiny_gpt2, found, pairs, Training(steps=1, batch=N, lr=1e-3, seed=0), progress=False)
    np.testing.assert_array_equal(run.ref_w, found[:N].double())
    assert reference_from_model(larger.double(), pairs).dtype == torch.float64


def test_no_reference(tiny_gpt2: Any, pairs: Batch) -> None:
    """Without a reference, u and v are the log-probabilities themselves."""
    settings = Training(steps=1, batch=N, lr=1e-3, seed=0)
    run = dpo(tiny_gpt2, no_reference(pairs), pairs, settings, progress=False)
    np.testing.assert_array_equal(run.u, run.lw)
    np.testing.assert_array_equal(run.v, run.ll)


def test_columns_of_every_kind(pairs: Batch) -> None:
    """Lists, arrays, tensors and columns of a table give the same reference in float64."""
    chosen, rejected = [-1.5, -2.25, -3.0], [-4.0, 0.0, -6.5]
    for kind in (list, np.array, torch.tensor, pd.Series, lambda x: np.array(x, dtype=np.float32)):
        found = reference_from_columns(kind(chosen), kind(rejected), pairs)
        assert found.dtype == torch.float64
        assert found.tolist() == chosen + rejected


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ([-1.0, -2.0], r"ref_chosen_logps has shape \(2,\) and there are 3 pairs.*same rows"),
        ([[-1.0, -2.0]] * 3, r"has shape \(3, 2\).*one sum per pair"),
        ([[-1.0], [-2.0, -3.0], [-4.0]], "ref_chosen_logps has a value that is not a number"),
        (["a", "b", "c"], "ref_chosen_logps has a value that is not a number"),
        ([-1.0, None, -2.0], r"ref_chosen_logps\[1\] = nan is missing or not finite"),
        ([-1.0, -2.0, float("-inf")], r"ref_chosen_logps\[2\] = -inf is missing"),
        ([-1.0, 2.0, -3.0], r"ref_chosen_logps\[1\] = 2 is positive.*-log pi"),
        (np.full(3, -1, dtype=np.float16), "ref_chosen_logps is in float16.* 0.125 nats.*float32"),
        (torch.full((3,), -1).bfloat16(), "ref_chosen_logps is in bfloat16"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_bad_columns(pairs: Batch, chosen: Any, words: str) -> None:
    """Each is an error that names column and row, and the remedy."""
    with pytest.raises(ValueError, match=words):
        reference_from_columns(chosen, [-1.0, -2.0, -3.0], pairs)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.half(), "reference is in float16"),
        (lambda r: r.long(), "reference has torch.int64 values"),
        (lambda r: r.index_fill(0, torch.tensor([4]), torch.nan), "of dispreferred 1 is nan"),
    ],
)
def test_bad_references(tiny_gpt2: Any, pairs: Batch, change: Any, words: str) -> None:
    """Half precision and values that are not finite are refused before a step is taken."""
    reference = change(reference_logprobs(tiny_gpt2, pairs))
    with pytest.raises(ValueError, match=words):
        dpo(tiny_gpt2, reference, pairs, Training(steps=1, batch=N, lr=1e-3, seed=0))


def test_a_reference_with_a_graph_is_a_constant(tiny_gpt2: Any, pairs: Batch) -> None:
    """The gradient does not pass through the reference, which would cancel it."""
    settings = Training(steps=2, batch=N, lr=1e-3, seed=0)
    graph = torch.cat(pair_logprobs(tiny_gpt2, pairs))
    other = copy.deepcopy(tiny_gpt2)
    ours = dpo(tiny_gpt2, graph, pairs, settings, progress=False)
    expected = dpo(other, graph.detach().clone(), pairs, settings, progress=False)
    np.testing.assert_array_equal(ours.lw, expected.lw)


def trainer(model: Any, texts: list[Pair], folder: Path, **more: Any) -> Any:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    write_pairs(folder / "pairs.jsonl", texts)
    settings = {k: more.pop(k) for k in list(more) if k not in ("ref_model", "peft_config")}
    return DPOTrainer(
        model=model,
        args=DPOConfig(
            output_dir=str(folder / "out"), beta=0.3, bf16=False, use_cpu=True, report_to=[],
            disable_tqdm=True, gradient_checkpointing=False, **settings,
        ),
        processing_class=word_tokenizer(),
        train_dataset=Dataset.from_json(
            str(folder / "pairs.jsonl"), cache_dir=str(folder / "cache")
        ),
        **more,
    )  # fmt: skip


def test_trl_with_an_adapter(world: World, tmp_path: Path) -> None:
    """One step of LoRA DPO: loss and gradient of TRL, whose reference is the model without its
    adapter, equal ours by the adapter's parameters."""
    texts = world.pairs(4, seed=2)
    theirs = trainer(
        small_gpt2(seed=1, layers=2, width=32), texts, tmp_path, peft_config=CONFIGS["lora"]
    )
    model, pairs = theirs.model, encode(word_tokenizer(), texts)
    for name, p in model.named_parameters():
        if "lora_" in name:
            p.data.normal_(0, 0.1)
    # Not a deep copy, because the trainer has bound the forward pass of its model to that object.
    ours = get_peft_model(small_gpt2(seed=1, layers=2, width=32), CONFIGS["lora"])
    ours.load_state_dict(model.state_dict())
    loss = theirs.compute_loss(model, dict(theirs.data_collator(list(theirs.train_dataset))))
    loss.backward()
    reference = reference_without_adapter(ours, pairs)
    lw, ll = pair_logprobs(ours, pairs)
    (ref_w, ref_l) = reference.chunk(2)
    mine = LOSSES["dpo"].torch(lw - ref_w, ll - ref_l, beta=0.3).mean()
    mine.backward()
    torch.testing.assert_close(mine, loss, rtol=1e-5, atol=1e-6)
    assert abs(float(loss.detach()) - np.log(2)) > 0.01
    for (name, p), q in zip(ours.named_parameters(), model.parameters(), strict=True):
        if p.requires_grad:
            torch.testing.assert_close(p.grad, q.grad, rtol=1e-4, atol=1e-6, msg=name)
    assert any(p.requires_grad for p in ours.parameters())


def test_trl_with_columns(world: World, tmp_path: Path) -> None:
    """The columns that TRL precomputes are a reference here, equal to that of the same model."""
    texts, other = world.pairs(4, seed=2), small_gpt2(seed=2, layers=2, width=32)
    theirs = trainer(
        small_gpt2(seed=1, layers=2, width=32), texts, tmp_path,
        ref_model=copy.deepcopy(other), precompute_ref_log_probs=True,
    )  # fmt: skip
    theirs.get_train_dataloader()
    columns = theirs.train_dataset
    pairs = encode(word_tokenizer(), texts)
    found = reference_from_columns(
        columns["ref_chosen_logps"], columns["ref_rejected_logps"], pairs
    )
    expected = reference_from_model(other, pairs).double()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
