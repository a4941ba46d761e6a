"""Which models take trees, and that those which do compute the numbers of lone rows.

Whatever mixes places by anything but attention, or is not known, takes the plain form.
"""

from __future__ import annotations

import copy
import gc
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import peft
import pytest
import torch
from torch import Tensor
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.checkpoint import checkpoint
from transformers import GPT2LMHeadModel

from dpofield.lab.attending import Way, attention_configs, logprobs_on
from dpofield.lab.forest import plant
from dpofield.lab.logprobs import logprobs, reference_logprobs, sequence_logprobs
from dpofield.lab.sharing import way_of
from dpofield.lab.trees import takes_trees
from tests.lab.test_trees import batch_of, parts
from tests.lab.zoo import EXPERTS, LATENT, WIDE, ZOO, build, row_by_row

# What people train; the others of the zoo share if the trial finds that they can.
SHARED = {
    *("gpt2", "llama", "llama-tied", "llama-yarn", "qwen2", "qwen3", "qwen3-moe", "mistral"),
    *("mistral-window", "mixtral", "gemma", "gemma3", "phi", "phi3", "gpt_neox", "opt", "falcon"),
    *("olmo2", "smollm3", "granite", "stablelm", "cohere", "cohere2", "glm4", "olmoe"),
}
# Recurrent, with a bias by distance, or with positions that depend on the longest row.
PLAIN = {
    *("bloom", "mpt", "falcon-alibi", "phi3-longrope", "mamba", "mamba2", "rwkv", "jamba", "bamba"),
    *("falcon_h1", "recurrent_gemma", "qwen3_next", "minimax", "lfm2"),
}
# Their attention is eager, and so partly in float32: sums of its softmax depend on what is beside.
EAGER = {"gemma2", "gemma2-window"}
EDITS = [
    ([3, 4, 5, 6], [7, 8, 9, 10, 11, 12, 13, 1]),
    ([3, 4, 5, 6], [7, 8, 14, 10, 11, 1]),
    ([15, 4, 5, 6, 8], [9, 1]),
    ([15, 4, 5, 6, 8], [9, 9, 9, 9, 9, 9, 9, 10, 1]),
]


def slope(model: Any, values: Tensor) -> Tensor:
    """Gradient of a weighted sum of the values in all trained parameters, as one vector."""
    weights = torch.linspace(-1, 2, len(values)).to(values)
    trained = [p for p in model.parameters() if p.requires_grad]
    grads = torch.autograd.grad(
        (values * weights).sum(), trained, allow_unused=True, materialize_grads=True
    )
    return torch.cat([g.flatten() for g in grads])


def collected(model: Any, values: Tensor) -> Tensor:
    """The same by `backward`, which reentrant checkpointing needs."""
    model.zero_grad()
    (values * torch.linspace(-1, 2, len(values)).to(values)).sum().backward()
    trained = [p for p in model.parameters() if p.requires_grad]
    return torch.cat([p.grad.flatten() if p.grad is not None else 0 * p.flatten() for p in trained])


def close(found: Tensor, right: Tensor, limit: float = 1e-9) -> None:
    """The relative distance of two vectors is below the limit."""
    assert float((found - right).norm().detach()) < limit * float(right.norm().detach())


@pytest.fixture
def float64_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that models compute in float32 whatever their weights are, such as RMSNorm, in float64.

    Otherwise gradients differ by the rounding inside the model: 1e-7, in the plain form too.
    """
    for name in ("float32", "float"):
        monkeypatch.setattr(torch, name, torch.float64)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


@pytest.mark.parametrize("name", sorted(SHARED | EAGER))
def test_the_zoo(name: str, float64_inside: None) -> None:
    """Values and gradients of lone rows to 1e-9, on both padding sides."""
    model = ZOO[name]()
    assert takes_trees(model) == (name in SHARED)
    way = way_of(model) or Way(own=False)
    for side in ("left", "right"):
        batch = batch_of(EDITS, side)
        right = row_by_row(model, batch)
        found = logprobs_on(model, plant(*parts(batch)), way)
        torch.testing.assert_close(found, right, rtol=1e-9, atol=1e-9)
        close(slope(model, found), slope(model, right))


@pytest.mark.parametrize("name", ZOO)
def test_values_in_float64_as_the_model_is(name: str) -> None:
    """Without the fixture above: values to 1e-9. The gradient has the digits of float32 where the
    model computes in float32; by default it has all digits, because such models then do not share.
    """
    model, batch = ZOO[name](), batch_of(EDITS)
    shares, right = takes_trees(model), row_by_row(model, batch)
    assert shares or name not in SHARED
    assert not shares or name not in PLAIN
    along = slope(model, right)
    turned = name == "modernbert-decoder"  # rotary positions in float32, in a function
    close(slope(model, logprobs(model, batch)), along, 1e-6 if turned else 1e-9)
    if not shares:
        return
    found = logprobs(model, batch, share=True)
    torch.testing.assert_close(found, right, rtol=1e-9, atol=1e-9)
    close(slope(model, found), along, 1e-6)


@pytest.mark.parametrize("name", ["gemma2", "gemma2-window"])
def test_eager_attention_in_float32(name: str) -> None:
    """Soft caps and windows of models that are only shared in float32, to its rounding."""
    model, batch = ZOO[name]().float(), batch_of(EDITS)
    right = row_by_row(ZOO[name](), batch)
    found = logprobs(model, batch, share=True)
    torch.testing.assert_close(found.double(), right, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2"])
def test_sharing_is_not_less_exact(name: str, dtype: torch.dtype) -> None:
    """In half precision: errors against float64 of the same weights are those of lone rows.

    The error of one batch is chance, so several are compared; sums are in float32 at least.
    """
    model = ZOO[name]().to(dtype)
    truth = copy.deepcopy(model).double()
    assert takes_trees(model)
    draw = torch.Generator().manual_seed(0)
    errors = []
    for _ in range(4):
        words = torch.randint(3, 60, (3, 14), generator=draw).tolist()
        batch = batch_of([(w[:5], w[5:]) for w in words] + [(w[:5], [*w[5:9], 1]) for w in words])
        right = row_by_row(truth, batch).detach()
        found = logprobs(model, batch, share=True).detach()
        assert found.dtype == torch.float32
        lone = row_by_row(model, batch).detach()
        errors.append([float((v - right).square().mean()) for v in (found, lone)])
    ours, theirs = torch.tensor(errors).mean(dim=0).sqrt().tolist()
    assert ours < 1.25 * theirs


def lora(model: Any, **options: Any) -> Any:
    """With adapters that change the numbers, in float64."""
    options = {"r": 4, "target_modules": "all-linear", "init_lora_weights": False} | options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it names the layers that it transposes
        return peft.get_peft_model(
            model, peft.LoraConfig(task_type="CAUSAL_LM", **options)
        ).double()


def two_adapters(model: Any) -> Any:
    """Two adapters, of which the second is active."""
    model = lora(model)
    config = peft.LoraConfig(
        task_type="CAUSAL_LM", r=2, target_modules="all-linear", init_lora_weights=False
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.add_adapter("second", config)
    model.set_adapter("second")
    return model.double()


def ia3(model: Any) -> Any:
    """Learned factors of keys, values and feed-forward states."""
    config = peft.IA3Config(task_type="CAUSAL_LM", init_ia3_weights=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return peft.get_peft_model(model, config).double()


ADAPTERS: dict[str, Callable[[Any], Any]] = {
    "LoRA": lora,
    "DoRA": lambda m: lora(m, use_dora=True),
    "modules_to_save": lambda m: lora(m, modules_to_save=["lm_head"]),
    "trained embedding": lambda m: lora(
        m, modules_to_save=["wte" if m.config.model_type == "gpt2" else "embed_tokens"]
    ),
    "two adapters": two_adapters,
    "IA3": ia3,
}


@pytest.mark.filterwarnings("ignore::UserWarning:peft")
@pytest.mark.parametrize("adapt", ADAPTERS.values(), ids=ADAPTERS)
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_adapters_share(name: str, adapt: Any, float64_inside: None) -> None:
    """Values, and gradients of what is trained, under the adapters of PEFT."""
    model, batch = adapt(ZOO[name]()), batch_of(EDITS, "left")
    right = row_by_row(model, batch)
    found = logprobs(model, batch, share=True)
    torch.testing.assert_close(found, right, rtol=1e-9, atol=1e-9)
    close(slope(model, found), slope(model, right))


def test_an_adapter_turned_off_is_the_reference() -> None:
    """The same object with its adapter on, off and merged: each time its own numbers."""
    model, batch = lora(ZOO["llama"]()), batch_of(EDITS)
    on = row_by_row(model, batch)
    torch.testing.assert_close(logprobs(model, batch, share=True), on)
    with model.disable_adapter():
        off = row_by_row(model, batch)
        torch.testing.assert_close(reference_logprobs(model, batch, share=True), off.detach())
    assert float((on - off).detach().abs().max()) > 0.1
    model.merge_adapter()
    torch.testing.assert_close(logprobs(model, batch, share=True), on)


class Around(torch.nn.Module):
    """A wrapper of a user, with the attributes of what is inside."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model, self.config = model, model.config

    def forward(self, *args: Any, **options: Any) -> Any:
        return self.model(*args, **options)


def prompted(kind: Any, **options: Any) -> Callable[[Any], Any]:
    """With learned prompts in front of every row."""
    return lambda m: peft.get_peft_model(
        m, kind(task_type="CAUSAL_LM", num_virtual_tokens=3, **options)
    )


def with_mixing(model: Any) -> Any:
    """Subtracts the running mean over places: no attention, and exactly causal."""
    inner = model.transformer.h[0].mlp

    class Mixing(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x - 0.01 * x.cumsum(dim=1))

    model.transformer.h[0].mlp = Mixing()
    return model.double()


def with_convolution(model: Any) -> Any:
    """Has a convolution whose weights are still 0, so that no trial can notice it."""
    model.transformer.h[0].conv = torch.nn.Conv1d(32, 32, 3)
    return model.double()


REFUSED: dict[str, Callable[[], Any]] = {
    "prompt tuning": lambda: prompted(peft.PromptTuningConfig)(ZOO["llama"]()),
    "prefix tuning": lambda: prompted(peft.PrefixTuningConfig)(ZOO["llama"]()),
    "p-tuning": lambda: prompted(peft.PromptEncoderConfig, encoder_hidden_size=8)(ZOO["gpt2"]()),
    "compiled": lambda: torch.compile(ZOO["gpt2"](), backend="eager"),
    "compiled in place": lambda: (m := ZOO["gpt2"](), m.compile(backend="eager"))[0],
    "DataParallel": lambda: torch.nn.DataParallel(ZOO["gpt2"]()),
    "a wrapper": lambda: Around(ZOO["gpt2"]()),
    "a mixing layer": lambda: with_mixing(ZOO["gpt2"]()),
    "a convolution": lambda: with_convolution(ZOO["gpt2"]()),
    "dynamic positions": lambda: build(
        "Llama", **WIDE, rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    ),
    "flash attention": lambda: _named("flash_attention_2"),
    "alibi": lambda: build(
        "Falcon", hidden_size=32, num_hidden_layers=2, num_attention_heads=4, alibi=True
    ),
    "scale by column": lambda: build(
        "Llama4", **WIDE, head_dim=8, num_local_experts=4, attention_chunk_size=6,
        intermediate_size_mlp=48,
    ),
    "a function": lambda: lambda **_: None,
}  # fmt: skip


class Gated(torch.nn.Module):
    """Adds a running sum over places, with a factor that is 0 at first."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner, self.gate = inner, torch.nn.Parameter(torch.zeros(()).double())

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) + self.gate * x.cumsum(dim=1)


def test_a_trial_is_repeated_when_weights_say_more() -> None:
    """A gate that opens in training is found, and weights that were nan are not held against it."""
    model, batch = ZOO["llama"](), batch_of(EDITS)
    model.model.layers[0].mlp = Gated(model.model.layers[0].mlp).eval()
    assert takes_trees(model)
    with torch.no_grad():
        model.model.layers[0].mlp.gate.fill_(0.1)
    torch.testing.assert_close(logprobs(model, batch), row_by_row(model, batch))
    assert not takes_trees(model)
    mended = ZOO["gpt2"]()
    for weight, shared in ((float("nan"), False), (0.5, True)):
        mended.transformer.ln_f.bias.data[3] = weight
        assert takes_trees(mended) == shared


@pytest.mark.parametrize("side", ["left", "right"])
def test_hooks_of_a_user_see_rows(side: str) -> None:
    """Steering by place, as in studies of activations: each row as alone, in float32 too."""
    model, batch = ZOO["qwen2"]().float(), batch_of(EDITS, side)
    assert takes_trees(model)

    def steer(module: Any, args: Any, out: Tensor) -> Tensor:
        out = out.clone()
        out[:, 2] += 3.0
        out[:, -2] += 5.0
        return out

    plain = logprobs(model, batch)
    hook = model.model.layers[0].register_forward_hook(steer)
    right = row_by_row(model, batch)
    for share in (None, False):
        found = logprobs(model, batch, share=share).double()
        torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-4)
    assert float((right - plain).detach().abs().min()) > 0.01
    hook.remove()
    assert takes_trees(model)


@pytest.mark.parametrize("family", ["DeepseekV32", "GlmMoeDsa"])
def test_attention_to_selected_places(family: str) -> None:
    """Places are selected among later ones too, so neither padding nor other rows may be read."""
    batch = batch_of(EDITS)
    for most in (3, 64):
        model = build(
            family, **WIDE | EXPERTS | LATENT, index_topk=most, index_n_heads=2, index_head_dim=16
        ).float()
        found = logprobs(model, batch).double()
        torch.testing.assert_close(found, row_by_row(model, batch), rtol=1e-5, atol=1e-4)
        assert not takes_trees(model)


def _named(attention: str) -> Any:
    model = ZOO["gpt2"]()
    model.config._attn_implementation = attention
    return model


@pytest.mark.filterwarnings("ignore::UserWarning:peft", "ignore::FutureWarning")
@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
def test_the_plain_form_by_itself(make: Callable[[], Any]) -> None:
    """What cannot share, or is not known, is not shared; asked for by name, it is refused."""
    model = make()
    assert not takes_trees(model)
    with pytest.raises(ValueError, match="leave share at None"):
        logprobs(model, batch_of(EDITS), share=True)


@pytest.mark.parametrize("family", ["Exaone4", "Ernie4_5", "Starcoder2"])
def test_an_architecture_that_nobody_listed(family: str, float64_inside: None) -> None:
    """Layers that use the library's attention need nothing here, with or without a window."""
    model, batch = build(family, **WIDE, sliding_window=6), batch_of(EDITS)
    right = row_by_row(model, batch)
    found = logprobs(model, batch, share=True)
    torch.testing.assert_close(found, right, rtol=1e-9, atol=1e-9)
    close(slope(model, found), slope(model, right))


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3", "mistral-window", "mixtral", "falcon"])
def test_recomputed_layers(name: str, reentrant: bool, float64_inside: None) -> None:
    """Gradient checkpointing changes neither values nor gradients."""
    model, batch = ZOO[name](), batch_of(EDITS)
    right = slope(model, row_by_row(model, batch))
    model.train()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
    layers = [m for m in model.modules() if hasattr(m, "_gradient_checkpointing_func")]
    before = [m._gradient_checkpointing_func for m in layers]
    if name in ("gpt2", "falcon"):  # their dropouts are not 0
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        model.config.hidden_dropout = model.config.attention_dropout = 0.0
        for module in model.modules():
            if hasattr(module, "hidden_dropout"):
                module.hidden_dropout = 0.0
    close(collected(model, logprobs(model, batch, share=True)), right)
    assert [m._gradient_checkpointing_func for m in layers] == before


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_recomputed_layers_of_an_adapter(float64_inside: None) -> None:
    """With LoRA too, whose embeddings are frozen."""
    model, batch = lora(ZOO["llama"]()), batch_of(EDITS)
    right = slope(model, row_by_row(model, batch))
    model.train()
    model.gradient_checkpointing_enable()
    close(collected(model, logprobs(model, batch, share=True)), right)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("tried_before", [True, False])
def test_layers_that_a_user_recomputes(reentrant: bool, tried_before: bool) -> None:
    """Recomputation by other code is noticed: the gradient is that of rows."""
    model, batch = ZOO["llama"](), batch_of(EDITS)
    right = slope(model, row_by_row(model, batch))
    assert not tried_before or takes_trees(model)
    for layer in model.model.layers:
        forward = layer.forward

        def again(x: Tensor, forward: Any = forward, **options: Any) -> Tensor:
            found: Tensor = checkpoint(lambda y: forward(y, **options), x, use_reentrant=reentrant)
            return found

        layer.forward = again
    assert not takes_trees(model)
    close(collected(model, logprobs(model, batch)), right, 1e-6)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_recomputation_that_no_state_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code replaced deep inside after the trial: an error, never another gradient."""
    from transformers.models.llama import modeling_llama

    model, batch = ZOO["llama"](), batch_of(EDITS)
    assert takes_trees(model)
    real = modeling_llama.LlamaAttention.forward

    def again(self: Any, hidden_states: Tensor, **options: Any) -> Any:
        return checkpoint(lambda x: real(self, x, **options), hidden_states, use_reentrant=True)

    way = way_of(model)
    assert way is not None
    monkeypatch.setattr(modeling_llama.LlamaAttention, "forward", again)
    with pytest.raises(ValueError, match="share=False"):
        logprobs_on(model, plant(*parts(batch)), way)
    assert not takes_trees(model), "the state has changed"


def test_randomness_is_not_shared() -> None:
    """A model with dropout in train mode is not called on trees; without dropout it is."""
    model = ZOO["gpt2"]().train()
    assert not takes_trees(model)
    assert takes_trees(model.eval())
    assert takes_trees(ZOO["llama"]().train())


def test_the_trial_leaves_no_trace() -> None:
    """Random state, modes, gradients, hooks and attributes are as before; others see no call."""
    model, calls = ZOO["llama"]().train(), []
    model.register_forward_hook(lambda *_: calls.append(1))
    model.model.layers[1].eval()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    state = {n: [*vars(m)] for n, m in model.named_modules()}
    modes = [m.training for m in model.modules()]
    with torch.no_grad():
        assert takes_trees(model)
    assert torch.equal(torch.rand(2), expected)
    assert {n: [*vars(m)] for n, m in model.named_modules()} == state
    assert [m.training for m in model.modules()] == modes
    assert all(p.grad is None for p in model.parameters())
    assert not calls
    assert sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()) == 1
    other = copy.deepcopy(model)
    with torch.inference_mode():
        assert takes_trees(other)


@pytest.mark.parametrize("name", ["gpt2", "gemma3"])
def test_an_error_in_the_middle(name: str) -> None:
    """Whatever a model raises, it is as before afterwards."""
    model, batch = ZOO[name](), batch_of(EDITS)
    assert takes_trees(model)
    before = [c._attn_implementation for c in attention_configs(model)]
    last = list(model.modules())[-3]

    def fail(module: Any, *_: Any) -> None:
        if module is last:
            raise KeyboardInterrupt

    hook = register_module_forward_hook(fail)
    with pytest.raises(KeyboardInterrupt):
        logprobs(model, batch)
    hook.remove()
    assert [c._attn_implementation for c in attention_configs(model)] == before
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    torch.testing.assert_close(logprobs(model, batch, share=True), row_by_row(model, batch))


def test_models_inside_each_other() -> None:
    """A model is called by trees and plainly while another with the same config is on trees."""
    outer, batch, found = ZOO["llama"](), batch_of(EDITS), []
    inner = copy.deepcopy(outer)
    for ours, theirs in zip(outer.modules(), inner.modules(), strict=True):
        if "config" in vars(ours):
            theirs.config = ours.config
    with torch.no_grad():
        inner.lm_head.weight.mul_(0.5)
    expected = [row_by_row(outer, batch), row_by_row(inner, batch)]
    assert takes_trees(outer)
    assert takes_trees(inner)

    def call(module: Any, *_: Any) -> None:
        if module is not outer.model.layers[0]:
            return
        found.append(logprobs(inner, batch, share=True))
        found.append(sequence_logprobs(inner, *parts(batch)))

    hook = register_module_forward_hook(call)
    torch.testing.assert_close(logprobs(outer, batch, share=True), expected[0])
    hook.remove()
    for values in found:
        torch.testing.assert_close(values, expected[1])
    assert outer.config._attn_implementation == "sdpa"


def test_two_threads_with_one_model() -> None:
    """One thread on trees and one on rows, at the same time: both right, and nothing left over."""
    model, batch = ZOO["gemma3"](), batch_of(EDITS)
    right, wrong = row_by_row(model, batch).detach(), list[Any]()
    assert takes_trees(model)

    def work(share: bool) -> None:
        try:
            for _ in range(15):
                values = logprobs(model, batch, share=share)
                torch.testing.assert_close(values.detach(), right)
                values.sum().backward()
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(share,)) for share in (True, False, True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert model.config._attn_implementation == "sdpa"
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_model_is_tried_once_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is kept with the object and its code, and does not keep the object."""
    model, calls = ZOO["gpt2"](), list[int]()
    real = GPT2LMHeadModel.forward

    def counted(self: Any, **options: Any) -> Any:
        calls.append(1)
        return real(self, **options)

    assert takes_trees(model)
    monkeypatch.setattr(GPT2LMHeadModel, "forward", counted)
    assert takes_trees(model)
    tried = len(calls)
    assert tried > 0, "other code is tried again"
    assert takes_trees(model)
    assert len(calls) == tried, "the same code is not"
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
