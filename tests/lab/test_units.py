"""The kernel by layers equals the plain form for every architecture, adapter and budget."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import peft
import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.checkpoint import checkpoint
from transformers import GPT2Config, GPT2LMHeadModel

from dpofield.lab import layers, outer, units
from dpofield.lab.batch import Batch, encode
from dpofield.lab.kernel import gram, gram_matrix, projections, trained
from dpofield.lab.tokenizer import word_tokenizer
from dpofield.lab.world import World
from tests.lab.zoo import ZOO

ROWS = {
    side: encode(word_tokenizer(), World().pairs(3, seed=0), padding_side=side)  # type: ignore[arg-type]
    for side in ("right", "left")
}


def agree(model: Any, rows: Batch, tolerance: float) -> None:
    """Compare "layers" with "plain": all three functions, with and without a metric.

    Errors are relative to the lengths of the gradients.
    """
    P = [torch.rand_like(p) for p in trained(model).values()]
    n = len(rows) // 2
    for metric in (None, P):
        plain = gram_matrix(model, rows, metric=metric, method="plain", progress=False)
        whole = gram_matrix(model, rows, metric=metric, method="layers", progress=False)
        scale = np.sqrt(np.outer(np.diag(plain), np.diag(plain)))
        assert np.abs(whole - plain).max(initial=0, where=scale == 0) == 0
        assert (np.abs(whole - plain) <= tolerance * scale).all()
        pairs = gram(model, rows, metric=metric, method="layers", progress=False)
        for found, at in zip(pairs, (0, n, 0), strict=True):
            wanted = np.diag(plain, at)[:n] if found is not pairs.ll else np.diag(plain)[n:]
            size = np.diag(scale, at)[:n] if found is not pairs.ll else np.diag(scale)[n:]
            assert (np.abs(found - wanted) <= tolerance * size).all()
    along, slow = (
        projections(model, rows, P, method=method, progress=False)  # type: ignore[arg-type]
        for method in ("layers", "plain")
    )
    assert np.abs(along - slow).max() <= tolerance * max(1e-30, np.abs(slow).max())


@pytest.mark.parametrize("kind", ZOO)
def test_every_architecture(kind: str) -> None:
    """In float64 to 1e-9, and in float32 with several rows in one pass; padding on either side."""
    model = ZOO[kind]()
    agree(model, ROWS["left"], 1e-9)
    agree(model.float(), ROWS["right"], 3e-5)


def adapted(kind: str, config: Any) -> Callable[[], Any]:
    return lambda: peft.get_peft_model(ZOO[kind](), config(task_type="CAUSAL_LM"))


def lora(**options: Any) -> Callable[..., Any]:
    return lambda **task: peft.LoraConfig(r=3, **options, **task)


def tuned(config: Any, **options: Any) -> Callable[..., Any]:
    return lambda **task: config(**options, **task)


def two_adapters() -> Any:
    """The second of two adapters is active; the first one is not trained."""
    model = adapted("llama", lora())()
    model.add_adapter("b", peft.LoraConfig(r=2, task_type="CAUSAL_LM", target_modules=["v_proj"]))
    model.set_adapter("b")
    return model


QV = ["q_proj", "v_proj"]
ADAPTERS: dict[str, Callable[[], Any]] = {
    "all linear, with dropout": adapted(
        "llama", lora(target_modules="all-linear", lora_dropout=0.3, use_rslora=True)
    ),
    "gpt2, embedding, head": adapted("gpt2", lora(target_modules=["c_attn", "wte", "lm_head"])),
    "tied embedding": adapted("llama-tied", lora(target_modules=["embed_tokens", "q_proj"])),
    "dora": adapted("llama", lora(target_modules="all-linear", use_dora=True)),
    "dora, embedding": adapted("llama", lora(target_modules=["embed_tokens"], use_dora=True)),
    "modules to save": adapted("llama", lora(modules_to_save=["lm_head", "embed_tokens"])),
    "mamba": adapted("mamba", lora(target_modules=["in_proj", "x_proj"])),
    "experts": adapted("mixtral", lora(target_parameters=["mlp.experts.gate_up_proj"])),
    "two adapters": two_adapters,
    "ia3": adapted(
        "llama",
        tuned(
            peft.IA3Config,
            target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"],
        ),
    ),
    "prompt": adapted("llama", tuned(peft.PromptTuningConfig, num_virtual_tokens=4)),
    "prompt, gpt2": adapted("gpt2", tuned(peft.PromptTuningConfig, num_virtual_tokens=4)),
    "p-tuning": adapted(
        "llama", tuned(peft.PromptEncoderConfig, num_virtual_tokens=4, encoder_hidden_size=16)
    ),
    "prefix": adapted("llama", tuned(peft.PrefixTuningConfig, num_virtual_tokens=4)),
    "prefix, projected": adapted(
        "llama",
        tuned(
            peft.PrefixTuningConfig,
            num_virtual_tokens=4, prefix_projection=True, encoder_hidden_size=16,
        ),
    ),
}  # fmt: skip


of_peft = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


def moved(model: Any) -> Any:
    """The trained parameters away from their start, where LoRA's factors have no gradient."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        for p in trained(model).values():
            p.data += 0.2 * torch.randn_like(p)
    return model


@of_peft
@pytest.mark.parametrize("kind", ADAPTERS)
def test_every_adapter(kind: str) -> None:
    """The kernel over the adapter's parameters, in train mode too."""
    agree(moved(ADAPTERS[kind]().double()).train(), ROWS["right"], 1e-9)


@of_peft
@pytest.mark.parametrize("dora", [False, True])
def test_an_adapter_that_begins_to_move(dora: bool) -> None:
    """At the start no gradient comes to LoRA's first factor, so nothing is known about its rows.
    What was decided then is decided again when the adapter has moved."""
    model = adapted("llama", lora(target_modules=QV, use_dora=dora))().double()
    agree(model, ROWS["right"], 1e-9)
    agree(moved(model), ROWS["right"], 1e-9)


@of_peft
def test_the_adapter_alone_is_trained() -> None:
    """A model whose adapter is off has no trained parameter: an error with a remedy, not zeros."""
    model = adapted("llama", lora())()
    with model.disable_adapter(), pytest.raises(ValueError, match="no trained parameter"):
        gram(model, ROWS["right"], progress=False)


def test_checkpointing_and_train_mode() -> None:
    """Gradient checkpointing of both kinds, in train mode with dropout: as without."""
    wanted = gram_matrix(ZOO["llama"](), ROWS["right"], progress=False)
    for reentrant in (True, False):
        model = ZOO["llama"]()
        model.config.attention_dropout = 0.5
        model.activation_checkpointing_enable({"use_reentrant": reentrant})
        found = gram_matrix(model.train(), ROWS["right"], method="layers", progress=False)
        np.testing.assert_allclose(found, wanted, rtol=1e-10)
        assert all(module.training for module in model.modules())


class Hidden(nn.Module):
    """A layer that is recomputed in the backward pass, by a reentrant checkpoint of its own."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = checkpoint(self.inner, x, use_reentrant=True)
        return found


def test_a_hidden_layer_is_no_silent_loss() -> None:
    """Autograd's graph does not contain what a reentrant checkpoint computes: an error."""
    model = ZOO["gpt2"]()
    model.transformer.h[1].mlp = Hidden(model.transformer.h[1].mlp)
    with pytest.raises(ValueError, match="reentrant checkpoint"):
        gram(model, ROWS["right"], method="layers", progress=False)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype: torch.dtype) -> None:
    """Within the model's own precision of the float32 kernel of the same weights."""
    model = ZOO["llama"]().to(dtype)
    found = gram_matrix(model, ROWS["right"], method="layers", progress=False)
    wanted = gram_matrix(model.float(), ROWS["right"], progress=False)
    scale = np.sqrt(np.outer(np.diag(wanted), np.diag(wanted)))
    assert (np.abs(found - wanted) < (0.1 if dtype == torch.bfloat16 else 0.02) * scale).all()


def test_a_compiled_model() -> None:
    """Both ways to compile; the layers are seen all the same."""
    model = ZOO["gpt2"]()
    wanted = gram_matrix(model, ROWS["right"], progress=False)
    compiled = torch.compile(model, backend="eager")
    np.testing.assert_allclose(
        gram_matrix(compiled, ROWS["right"], method="layers", progress=False), wanted, rtol=1e-12
    )


def test_weights_without_gradients_are_named() -> None:
    """Quantised layers, weights without values, and no trained parameter are errors by name."""
    model = ZOO["llama"]().float()
    with pytest.raises(ValueError, match=r"model.embed_tokens.weight has no values"):
        gram(ZOO["llama"]().to("meta"), ROWS["right"], progress=False)
    with pytest.raises(ValueError, match=r"no trained parameter.*requires_grad_\(True\)"):
        gram_matrix(model.requires_grad_(False), ROWS["right"], progress=False)


@pytest.mark.filterwarnings("ignore")
def test_quantised_weights_are_named() -> None:
    """Layers of torch's int8 quantisation pass no gradient on."""
    model = ZOO["llama"]().float()
    try:
        small = torch.ao.quantization.quantize_dynamic(model, {nn.Linear})
    except RuntimeError:
        pytest.skip("this build of torch has no quantised layers")
    for method in ("auto", "plain"):
        with pytest.raises(ValueError, match=r"q_proj \(Linear\) is quantised"):
            gram(small, ROWS["right"], method=method, progress=False)  # type: ignore[arg-type]


def test_rows_as_many_as_tokens() -> None:
    """A batch with as many rows as columns: what is a row was decided on another shape."""
    rows = ROWS["right"]
    square = encode(word_tokenizer(), World().pairs(int(rows.attention_mask.sum(1).max()) // 2, 0))
    for kind in ("gpt2", "mixtral", "opt"):
        model = ZOO[kind]()
        length = int(square.attention_mask.sum(dim=1).max())
        part = square.rows(torch.arange(len(square)).repeat(3)[:length])
        agree_rows = [
            layers.grams(model, part, 1).flatten().numpy(),
            np.array([layers.grams(model, part.rows([i]), 1).item() for i in range(length)]),
        ]
        np.testing.assert_allclose(*agree_rows, rtol=1e-9)


def peak(call: Callable[[], object]) -> int:
    """The most bytes that `call` holds at a time, beside what was there before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        call()
    held = most = 0
    for event in sorted(seen.profiler.kineto_results.events(), key=lambda e: e.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


def test_memory_follows_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """No function takes more than its budget, and more passes change no result.

    With a large vocabulary, whose matrix alone is done in slices.
    """
    monkeypatch.setattr(outer, "CPU_TEMPORARY", 2**18)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=3000, n_positions=32, n_embd=64, n_layer=2, n_head=2,
        bos_token_id=1, eos_token_id=1,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).eval()
    rows = ROWS["right"].rows(torch.arange(6).repeat(3))
    direction = [torch.ones_like(p) for p in model.parameters()]
    programs: list[Callable[..., Any]] = [
        lambda **how: gram(model, rows, progress=False, **how),
        lambda **how: gram_matrix(model, rows, progress=False, **how),
        lambda **how: projections(model, rows, direction, progress=False, **how),
    ]
    found = units.plan(model, rows)  # its own pass is done before
    for program in programs:
        whole, most = np.array(program()), peak(program)
        for budget in (2**22, 2**23):
            assert peak(partial(program, budget=budget)) < budget < most, program
            part = np.array(program(budget=budget))
            np.testing.assert_allclose(part, whole, rtol=1e-4, atol=1e-6 * np.abs(whole).max())
    stages = list(layers._stages(found, rows, list(model.parameters()), 2**20))
    covered = [(k, i) for stage in stages for k, (a, b) in stage.items() for i in range(a, b)]
    heights = [p.shape[0] if p.dim() > 1 else 1 for p in model.parameters()]
    assert sorted(covered) == [(k, i) for k, n in enumerate(heights) for i in range(n)]
    assert any(len([s for s in stages if k in s]) > 1 for k in range(len(heights)))
