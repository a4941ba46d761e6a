"""Log-probabilities of every kind of causal language model equal those of each row alone.

The oracle is `zoo.row_by_row`. Values and gradients must agree to 1e-9 in float64, however the
batch is padded and the model was left, configured or wrapped.
"""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import fields
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.utils.checkpoint import checkpoint

from dpofield.lab.batch import Batch, encode
from dpofield.lab.forward import still
from dpofield.lab.logprobs import (
    in_one_pass,
    logprobs,
    pair_logprobs,
    reference_logprobs,
    scored_logits,
    sequence_logprobs,
)
from dpofield.lab.tokenizer import word_tokenizer
from dpofield.lab.world import World
from tests.lab import zoo

ROWS = {
    side: encode(word_tokenizer(), World().pairs(2, seed=0), padding_side=side)  # type: ignore[arg-type]
    for side in ("right", "left")
}
WEIGHTS = torch.linspace(-1.0, 1.0, 4, dtype=torch.float64)
# A few kinds that stand for all: learned and rotary positions, alibi, experts, a recurrence,
# functional dropout and dropped layers.
FEW = ["gpt2", "llama", "gemma2-window", "opt", "bloom", "mixtral", "mamba"]
DROPOUTS = (
    "attention_dropout", "attn_pdrop", "resid_pdrop", "embd_pdrop", "dropout", "hidden_dropout",
    "activation_dropout", "layerdrop", "router_jitter_noise", "p",
)  # fmt: skip


def parts(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    return batch.input_ids, batch.attention_mask, batch.response_mask


def gradient(model: nn.Module, values: Tensor) -> Tensor:
    """The gradient of a weighted sum of the rows, by every trained parameter, as one vector."""
    weights = [p for p in model.parameters() if p.requires_grad]
    found = torch.autograd.grad(
        (values * WEIGHTS).sum(), weights, allow_unused=True, materialize_grads=True
    )
    return torch.cat([g.flatten() for g in found])


def require_equal(model: nn.Module, expected: Tensor, slope: Tensor, *sides: str) -> None:
    """Values and gradients, with padding on the left or on `sides`, against the oracle's."""
    for side in sides or ["left"]:
        values = logprobs(model, ROWS[side], share=False)
        torch.testing.assert_close(values, expected, rtol=0, atol=1e-9)
        found = gradient(model, values)
        assert float((found - slope).norm() / slope.norm()) < 1e-9


def oracle(model: nn.Module, inner: Any = None) -> tuple[Tensor, Tensor]:
    values = zoo.row_by_row(inner or model, ROWS["right"])
    return values.detach(), gradient(model, values)


def noisy(model: Any) -> Any:
    """The model in train mode, with every kind of dropout that it has at 0.3."""
    for part in [model.config, *model.modules()]:
        for name in DROPOUTS:
            if isinstance(getattr(part, name, None), float):
                setattr(part, name, 0.3)
    return model.train()


@pytest.mark.parametrize("attention", ["as made", "eager"])
@pytest.mark.parametrize("kind", zoo.ZOO)
def test_every_kind(kind: str, attention: str) -> None:
    """Values and gradients in float64, with padding on either side, for both attentions."""
    model = zoo.ZOO[kind]()
    if attention == "eager":
        if model.config._attn_implementation == "eager":
            pytest.skip("eager as made")
        model.set_attn_implementation("eager")
    expected = oracle(model)
    require_equal(model, *expected, *ROWS)
    batch = ROWS["left"]
    with torch.no_grad():
        found = {
            "sequence_logprobs": sequence_logprobs(model, *parts(batch)),
            "pair_logprobs": torch.cat(pair_logprobs(model, batch, share=False)),
            "reference_logprobs": reference_logprobs(model, batch, chunk=3, share=False),
        }
    for name, values in found.items():
        torch.testing.assert_close(values, expected[0], rtol=0, atol=1e-9, msg=name)


@pytest.mark.parametrize("kind", zoo.ZOO)
def test_every_kind_in_float32(kind: str) -> None:
    """In float32, rows are read together where padding matters to the last digits only."""
    model = zoo.ZOO[kind]().float()
    with torch.no_grad():
        expected = zoo.row_by_row(model, ROWS["left"]).float()
    found = reference_logprobs(model, ROWS["left"], share=False)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


def test_xglm_in_float32() -> None:
    """XGLM has no float64 in `transformers`, so it is not in the zoo."""
    model = zoo.build("XGLM", d_model=32, ffn_dim=48, num_layers=2, attention_heads=4).float()
    found = logprobs(model, ROWS["left"], share=False)
    expected = zoo.row_by_row(model, ROWS["left"]).float()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kind", FEW)
def test_train_mode_and_checkpointing(kind: str) -> None:
    """Train mode gives the numbers of eval mode; so do layers that are computed again.

    With the embedding frozen, reentrant checkpointing alone would lose every gradient.
    """
    for frozen in (False, True):
        model = zoo.ZOO[kind]()
        model.get_input_embeddings().weight.requires_grad_(not frozen)
        expected = oracle(model)
        noisy(model).get_input_embeddings().eval()
        flags = [module.training for module in model.modules()]
        require_equal(model, *expected)
        model.activation_checkpointing_enable({"use_reentrant": frozen})
        require_equal(model, *expected)
        assert [module.training for module in model.modules()] == flags


def test_checkpointed_layers_are_computed_again() -> None:
    """Checkpointing keeps its purpose: the backward pass computes the layers a second time."""
    model = noisy(zoo.ZOO["llama"]())
    model.activation_checkpointing_enable()
    calls: list[bool] = []
    mlp = model.model.layers[0].mlp
    mlp.register_forward_pre_hook(lambda module, _: calls.append(module.training))
    value = sequence_logprobs(model, *parts(ROWS["right"].rows(slice(1))))
    assert calls == [False]
    value.sum().backward()
    assert calls == [False, False]
    assert mlp.training


def test_checkpoint_wrappers_of_torch() -> None:
    """Layers within torch's `CheckpointWrapper` are computed again without dropout too."""
    model = zoo.ZOO["gpt2"]()
    expected = oracle(model)
    for i, layer in enumerate(model.transformer.h):
        model.transformer.h[i] = checkpoint_wrapper(layer)
    require_equal(noisy(model), *expected)


@pytest.mark.parametrize("reentrant", [False, True])
def test_unknown_checkpointing_is_refused_in_train_mode(reentrant: bool) -> None:
    """Code that checkpoints in its own way would draw dropout in the backward pass."""

    class Own(nn.Module):
        def __init__(self, model: Any) -> None:
            super().__init__()
            self.inner, self.mix = model, nn.Linear(4, 4).double()

        def forward(self, input_ids: Tensor) -> Any:
            logits = self.inner(input_ids=input_ids, use_cache=False).logits
            start = torch.zeros(4, dtype=logits.dtype, requires_grad=True)
            extra = checkpoint(self.mix, start, use_reentrant=reentrant)
            return SimpleNamespace(logits=logits + extra.sum())

    model = Own(zoo.ZOO["gpt2"]())
    require_equal(model.eval(), *oracle(model, model.inner))
    with pytest.raises(ValueError, match=r"Own is in train mode and checkpoints .*model\.eval\(\)"):
        logprobs(model.train(), ROWS["right"], share=False)
    assert all(module.training for module in model.modules())


def test_a_model_that_is_never_still() -> None:
    """Random numbers in eval mode make a log-probability meaningless: refused with the remedy."""
    model = zoo.ZOO["gpt2"]()
    model.transformer.drop.forward = lambda x: nn.functional.dropout(x, 0.1, training=True)
    for function in (logprobs, reference_logprobs, pair_logprobs, scored_logits):
        with pytest.raises(ValueError, match=r"GPT2LMHeadModel draws random numbers.*prepared"):
            function(model, ROWS["right"])


def adapters() -> Iterator[tuple[str, Callable[[Any], Any]]]:
    import peft

    task = {"task_type": "CAUSAL_LM"}
    lora = task | {"r": 4, "init_lora_weights": False, "lora_dropout": 0.3}
    every = lora | {"target_modules": "all-linear"}
    learned = task | {"num_virtual_tokens": 3}

    def wrapped(kind: str, **options: Any) -> Callable[[Any], Any]:
        return lambda model: peft.get_peft_model(model, getattr(peft, kind)(**options))

    yield "LoRA", wrapped("LoraConfig", **every)
    yield "DoRA", wrapped("LoraConfig", **every, use_dora=True)
    yield "rsLoRA", wrapped("LoraConfig", **every, use_rslora=True)
    yield "tokens", wrapped("LoraConfig", **every, trainable_token_indices=[3, 5])
    yield "head", wrapped("LoraConfig", **lora, modules_to_save=["lm_head", "wpe", "embed_tokens"])
    yield "prompt tuning", wrapped("PromptTuningConfig", **learned)
    yield "prefix tuning", wrapped("PrefixTuningConfig", **learned)
    yield "p-tuning", wrapped("PromptEncoderConfig", **learned, encoder_hidden_size=8)
    yield "IA3", wrapped("IA3Config", **task, init_ia3_weights=False)
    yield "VeRA", wrapped("VeraConfig", **task, r=4, init_weights=False)


ADAPTERS = dict(adapters())


def adapted(base: str, kind: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about weights that GPT-2 stores transposed
        model = ADAPTERS[kind](zoo.ZOO[base]()).double().eval()
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data.add_(torch.randn_like(weight) * 0.1)
    return model


@pytest.mark.parametrize("kind", ADAPTERS)
@pytest.mark.parametrize("base", ["gpt2", "llama"])
def test_adapters(base: str, kind: str) -> None:
    """PEFT models: eval and train mode, checkpointed, and with the adapter off."""
    model = adapted(base, kind)
    expected = oracle(model)
    require_equal(model, *expected)
    require_equal(noisy(model), *expected, "right")
    model.get_base_model().activation_checkpointing_enable({"use_reentrant": True})
    require_equal(model, *expected)
    with torch.no_grad(), model.disable_adapter():
        off = reference_logprobs(model, ROWS["left"], share=False)
        alone = zoo.row_by_row(zoo.ZOO[base](), ROWS["left"])
    torch.testing.assert_close(off, alone, rtol=0, atol=1e-9)


def test_several_adapters() -> None:
    """The active adapter counts, and merging changes nothing."""
    model = adapted("llama", "LoRA")
    model.add_adapter("second", copy.deepcopy(model.peft_config["default"]))
    model.double().eval()
    values = {}
    for name in ("default", "second"):
        model.set_adapter(name)
        require_equal(model, *oracle(model))
        values[name] = logprobs(model, ROWS["left"], share=False).detach()
    assert float((values["default"] - values["second"]).abs().min()) > 0.01
    merged = model.merge_and_unload()
    found = logprobs(merged, ROWS["left"], share=False)
    torch.testing.assert_close(found, values["second"], rtol=0, atol=1e-9)


class Wrapper(nn.Module):
    """A model of somebody's own, which holds one of `transformers` and has no config."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner


class Tuples(Wrapper):
    def forward(self, input_ids: Tensor) -> Any:
        return self.inner(input_ids=input_ids, use_cache=False, return_dict=False)


class Logits(Wrapper):
    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inner(input_ids=x, use_cache=False).logits
        return logits


class Dictionaries(Wrapper):
    def forward(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor) -> Any:
        found = self.inner(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids
        )
        return {"logits": found.logits}


class Keywords(Wrapper):
    def forward(self, **inputs: Any) -> Any:
        return self.inner(**inputs)


def compiled(model: Any) -> Any:
    model.compile(backend="eager")
    return model


def accelerated(model: Any) -> Any:
    from accelerate import Accelerator

    return Accelerator(cpu=True).prepare(model)


def dispatched(model: Any, last: str = "cpu") -> Any:
    from accelerate import dispatch_model

    body, layers = ("transformer", "h") if hasattr(model, "transformer") else ("model", "layers")
    inner = getattr(model, body)
    places = {f"{body}.{name}": "cpu" for name, _ in inner.named_children() if name != layers}
    places |= {f"{body}.{layers}.0": "cpu", f"{body}.{layers}.1": last, "lm_head": "cpu"}
    return dispatch_model(
        model, places, main_device="cpu", offload_dir=tempfile.mkdtemp(), force_hooks=True
    )


WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "compiled in place": compiled,
    "DataParallel": nn.DataParallel,
    "Accelerator": accelerated,
    "device map": dispatched,
    "tuples": Tuples,
    "logits": Logits,
    "dictionaries": Dictionaries,
    "keywords": Keywords,
}


@pytest.mark.parametrize("kind", WRAPPERS)
def test_wrappers(kind: str) -> None:
    """Wrapped models, in train mode as a trainer leaves them."""
    inner = zoo.ZOO["gpt2" if kind.startswith("compiled") else "llama"]()
    expected = oracle(inner)
    noisy(inner)
    require_equal(WRAPPERS[kind](inner).train(), *expected)


@pytest.mark.parametrize("share", [None, False])
@pytest.mark.parametrize("everything", [True, False])
def test_offloaded(everything: bool, share: bool | None) -> None:
    """Weights on the meta device are brought by accelerate when needed, and this is no error."""
    from accelerate import cpu_offload

    model = zoo.ZOO["llama"]()
    with torch.no_grad():
        expected = zoo.row_by_row(model, ROWS["left"])
    model = cpu_offload(model) if everything else dispatched(model, "disk")
    assert any(p.is_meta for p in model.parameters())
    found = reference_logprobs(model, ROWS["left"], share=share)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["gpt2", "llama", "qwen3-moe", "mamba2"])
def test_half_precision(kind: str, dtype: torch.dtype) -> None:
    """Sums are in float32: the error is that of the model's logits, not of adding 20 tokens up."""
    model = zoo.ZOO[kind]().to(dtype)
    batch = ROWS["left"]
    with torch.no_grad():
        expected = zoo.row_by_row(model, batch)
        found = logprobs(model, batch, share=False)
    assert found.dtype == torch.float32
    # Logits differ in their last bit where a product is added up in another order.
    ulp = torch.finfo(dtype).eps * 8
    assert float((found - expected).abs().max()) < ulp * float(batch.lengths.max())
    single = reference_logprobs(model, batch.rows(slice(1)), share=False)
    torch.testing.assert_close(single.double(), expected[:1], rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_autocast(kind: str) -> None:
    """Under autocast too, one row has the float32 sum of the logits that the model gives."""
    model, row = zoo.ZOO[kind]().float(), ROWS["right"].rows(slice(1))
    with torch.autocast("cpu", torch.bfloat16):
        expected, found = zoo.row_by_row(model, row), sequence_logprobs(model, *parts(row))
    torch.testing.assert_close(found.double(), expected.double(), rtol=1e-6, atol=1e-5)


def test_dynamic_frequencies() -> None:
    """Dynamic NTK scales by the longest row so far; every row is read as the first one."""
    rope = {"rope_theta": 10000.0, "rope_type": "dynamic", "factor": 4.0}
    shape = zoo.WIDE | {"max_position_embeddings": 16, "rope_parameters": rope}
    make = partial(zoo.build, "Llama", **shape)
    batch, model = ROWS["right"], make()
    assert int(batch.attention_mask.sum(dim=1).max()) > 16
    single = [batch.rows(slice(i, i + 1)) for i in range(4)]
    expected = torch.cat([zoo.row_by_row(make(), row).detach() for row in single])
    for _ in range(2):
        for rows in ROWS.values():
            found = logprobs(model, rows, share=False).detach()
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)
    low = reference_logprobs(model.float(), ROWS["left"], share=False)
    torch.testing.assert_close(low.double(), expected, rtol=1e-5, atol=1e-4)


def test_activations_in_8_bits() -> None:
    """Dynamic quantisation scales activations over the batch: every row is read alone."""
    model = zoo.ZOO["llama"]().float()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated in torch
        model = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    with torch.no_grad():
        expected = zoo.row_by_row(model, ROWS["left"]).float()
    found = reference_logprobs(model, ROWS["left"], share=False)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-5)


def test_whole_distributions() -> None:
    """`scored_logits` and `in_one_pass` give the same numbers for any way of reading."""
    for kind in ("gpt2", "gemma2", "mamba"):
        model = zoo.ZOO[kind]()
        expected = zoo.row_by_row(model, ROWS["left"]).detach()
        # Masks of TRL's collators are whole numbers.
        whole = Batch(*(getattr(ROWS["left"], f.name).int() for f in fields(Batch)))
        row, token, logits = scored_logits(model, whole)
        chosen = logits.log_softmax(-1).gather(1, token[:, None])[:, 0]
        found = torch.zeros(4, dtype=torch.float64).index_add(0, row, chosen)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)
        assert row.tolist() == ROWS["left"].response_mask.nonzero()[:, 0].tolist()
        once = in_one_pass(model, ROWS["left"]).detach()
        torch.testing.assert_close(once, expected, rtol=0, atol=1e-4)


def one_row(ids: list[int], first: int = 1) -> Batch:
    tokens = torch.tensor([ids])
    real = torch.ones_like(tokens, dtype=torch.bool)
    return Batch(tokens, real, real & (torch.arange(len(ids)) >= first))


@pytest.mark.parametrize("share", [False, None])
def test_rows_that_cannot_be_read(share: bool | None) -> None:
    """Row, number and remedy are named before torch raises an IndexError."""
    model = zoo.ZOO["gpt2"]()
    width = model.config.n_positions + 1
    for batch, message in {
        one_row([5, 99]): r"row 0 has token id 99, and .* embedding has 63 rows: .*resize_token",
        one_row([5, -100]): "row 0 has token id",
        one_row([5] * width): r"row 0 has 129 tokens, and the model has 128 positions: cut",
        one_row([5, 6], first=0): "the first token of row 0 is scored.* give a prompt",
    }.items():
        for function in (logprobs, reference_logprobs):
            with pytest.raises(ValueError, match=message):
                function(model, batch, share=share)
    hidden = one_row([5, 6, 7])
    masked = Batch(hidden.input_ids, hidden.attention_mask & False, hidden.response_mask)
    with pytest.raises(ValueError, match="calls padding"):
        logprobs(model, masked, share=share)
    with pytest.raises(ValueError, match="one shape"):
        logprobs(model, Batch(hidden.input_ids, hidden.attention_mask[:, :2], masked.response_mask))
    with pytest.raises(ValueError, match="no weights"):
        logprobs(copy.deepcopy(model).to("meta"), hidden, share=share)
    # The first token that is no padding is the first token of a row.
    left = torch.tensor([[False, True, True]])
    with pytest.raises(ValueError, match="give a prompt"):
        logprobs(model, Batch(hidden.input_ids, left, left), share=share)


def test_positions_that_are_not_there() -> None:
    """Learned positions that begin elsewhere, prompt tokens, and tables that are no embeddings."""
    for kind, limit in {"opt": 128, "roberta": 127, "biogpt": 128, "gptj": 128, "mpt": 128}.items():
        model = zoo.ZOO[kind]()
        assert bool(torch.isfinite(logprobs(model, one_row([5] * limit), share=False)).all())
        with pytest.raises(ValueError, match=rf"{limit + 1} tokens, and the model has"):
            logprobs(model, one_row([5] * (limit + 1)), share=False)
    model = adapted("gpt2", "prompt tuning")
    assert bool(torch.isfinite(logprobs(model, one_row([5] * 125), share=False)).all())
    with pytest.raises(ValueError, match="126 tokens, and the model has 125 positions"):
        logprobs(model, one_row([5] * 126), share=False)
    rope = zoo.ZOO["llama"]()  # can read on
    require = zoo.row_by_row(rope, one_row([5] * 140))
    torch.testing.assert_close(logprobs(rope, one_row([5] * 140), share=False), require)


def test_padding_beyond_the_embedding() -> None:
    """A padding token that was added to the tokenizer only is never looked up."""
    model, batch = zoo.ZOO["llama"](), ROWS["left"]
    ids = batch.input_ids.masked_fill(~batch.attention_mask, 63)
    found = sequence_logprobs(model, ids, batch.attention_mask, batch.response_mask)
    torch.testing.assert_close(found, zoo.row_by_row(model, batch), rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", ["gpt2", "mamba"])
def test_nothing_to_score(kind: str) -> None:
    """No rows, rows without a scored token and rows without tokens: zeros, not an error."""
    model, batch = zoo.ZOO[kind](), ROWS["right"]
    nothing = batch.rows(slice(0))
    assert logprobs(model, nothing, share=False).shape == (0,)
    assert reference_logprobs(model, nothing, share=False).shape == (0,)
    unscored = batch.response_mask.clone()
    unscored[1] = False
    found = sequence_logprobs(model, batch.input_ids, batch.attention_mask, unscored)
    assert float(found[1].detach()) == 0.0
    assert bool((found[[0, 2, 3]] < 0).all())
    real = batch.attention_mask & unscored.any(dim=1, keepdim=True)
    again = sequence_logprobs(model, batch.input_ids, real, unscored)
    torch.testing.assert_close(again, found)
    none = sequence_logprobs(model, batch.input_ids, batch.attention_mask, unscored & False)
    assert none.tolist() == [0.0] * 4


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_bad_logit_stays_in_its_row(bad: float) -> None:
    """A logit that is not finite makes its own row nan, and no other row."""
    model, batch = zoo.ZOO["llama"](), ROWS["right"]
    token = next(
        t for t in batch.input_ids[0].tolist() if not bool((batch.input_ids[1:] == t).any())
    )
    with torch.no_grad():
        model.get_input_embeddings().weight[token] = bad
        found = logprobs(model, batch, share=False)
    assert found.isnan().tolist() == [True] + [False] * 3


def test_a_model_that_is_left_alone() -> None:
    """`still` restores every flag and every function when the block fails."""
    model = noisy(zoo.ZOO["llama"]())
    model.activation_checkpointing_enable()
    model.model.layers[0].eval()
    before = [dict(vars(module)) for module in model.modules()]
    with pytest.raises(RuntimeError, match="stop"), still(model):
        raise RuntimeError("stop")
    for module, held in zip(model.modules(), before, strict=True):
        assert all(vars(module)[name] is value for name, value in held.items())
    with still(lambda ids: ids), nullcontext():
        pass
