"""The kernel by layers equals that of one backward pass per response, and changes no model."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.mistral.modeling_mistral import MistralRMSNorm
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm

from dpofield.lab import kernel, layers, outer, units
from dpofield.lab.batch import Batch
from dpofield.lab.kernel import gram, gram_matrix, projections, trained
from dpofield.lab.model import small_gpt2

WORDS = 30


def gpt2(*, tied: bool = True) -> Any:
    config = GPT2Config(
        vocab_size=WORDS, n_positions=32, n_embd=16, n_layer=2, n_head=2, initializer_range=0.2,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=1, eos_token_id=1, pad_token_id=0, tie_word_embeddings=tied,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


def llama(*, tied: bool, bias: bool = False) -> Any:
    """Grouped heads; token 0 is the embedding's padding index, and also occurs in the rows."""
    config = LlamaConfig(
        vocab_size=WORDS, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=32,
        initializer_range=0.3, bos_token_id=None, eos_token_id=1, pad_token_id=0,
        tie_word_embeddings=tied, attention_bias=bias, mlp_bias=bias,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def own_precision(model: Any) -> Any:
    """Replace norms of transformers, always in float32, by norms in the model's precision."""
    for layer in list(model.modules()):
        for name, child in layer.named_children():
            if isinstance(child, LlamaRMSNorm):
                setattr(layer, name, nn.RMSNorm(len(child.weight), eps=child.variance_epsilon))
    return model


def shaken(model: Any) -> Any:
    """Perturb all weights: biases of zero and gains of one could hide a wrong term."""
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn_like(p)
    return model


MODELS: dict[str, Callable[[], Any]] = {
    "gpt2": gpt2,
    "gpt2 untied": lambda: gpt2(tied=False),
    "llama": lambda: own_precision(llama(tied=False)),
    "llama tied": lambda: own_precision(llama(tied=True)),
    "llama with biases": lambda: own_precision(llama(tied=False, bias=True)),
    "llama as it comes": lambda: llama(tied=True, bias=True),
}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Any:
    return shaken(MODELS[request.param]()).double()


def batch(lengths: list[tuple[int, int, int]], *, left: bool = False, seed: int = 0) -> Batch:
    """A random pair per triple of lengths (prompt, preferred, dispreferred), in tokens."""
    torch.manual_seed(seed)
    sides = [[(p, n[side]) for p, *n in lengths] for side in (0, 1)]
    rows, width = sides[0] + sides[1], max(p + max(n) for p, *n in lengths) + 2
    ids = torch.randint(0, WORDS, (len(rows), width))
    real, scored = torch.zeros_like(ids).bool(), torch.zeros_like(ids).bool()
    for i, (p, n) in enumerate(rows):
        start = width - p - n if left else 0
        real[i, start : start + p + n] = True
        scored[i, start + p : start + p + n] = True
    return Batch(ids, real, scored)


UNEVEN = [(3, 4, 1), (5, 1, 1), (1, 2, 6), (4, 3, 3)]


def like(model: Any) -> list[Tensor]:
    return [torch.rand_like(p) for p in trained(model).values()]


def agree(model: Any, rows: Batch, tolerance: float, **options: Any) -> None:
    """Compare methods in all public functions; errors are relative to the gradients' lengths."""
    P, direction = like(model), like(model)
    for metric in (None, P):
        slow, fast = (
            gram_matrix(model, rows, metric=metric, method=m, progress=False)
            for m in ("plain", "layers")
        )
        lengths = np.sqrt(np.diag(slow))
        np.testing.assert_array_less(
            np.abs(fast - slow), tolerance * np.outer(lengths, lengths) + 1e-300
        )
        a, b = (
            gram(model, rows, metric=metric, method=m, progress=False) for m in ("plain", "layers")
        )
        w, v = np.sqrt(a.ww), np.sqrt(a.ll)
        for x, y, scale in zip(a, b, (w * w, w * v, v * v), strict=True):
            np.testing.assert_array_less(np.abs(x - y), tolerance * scale + 1e-300)
    slow, fast = (
        projections(model, rows, direction, method=m, progress=False) for m in ("plain", "layers")
    )
    size = np.sqrt(sum(float((d * d).sum()) for d in direction))
    np.testing.assert_array_less(np.abs(fast - slow), tolerance * size * lengths + 1e-300)


def test_against_the_plain_form(model: Any) -> None:
    """In float64, for all families, tied or not, uneven rows, and padding on either side."""
    for left in (False, True):
        agree(model, batch(UNEVEN, left=left), 1e-10)


def test_in_float32(model: Any) -> None:
    agree(model.float(), batch(UNEVEN), 1e-5)


@given(
    lengths=st.lists(
        st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=4
    ),
    left=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_lengths(lengths: list[tuple[int, int, int]], left: bool, seed: int) -> None:
    """Prompts and responses of any length from one token on, in parts of a few pairs."""
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "_CPU_TOKENS", 48)
        agree(shaken(gpt2()).double(), batch(lengths, left=left, seed=seed), 1e-10)


def test_parts_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One pair per part gives the results of a single part, in the same order."""
    model, rows = shaken(gpt2()).double(), batch(UNEVEN)
    whole, along = gram(model, rows, progress=False), like(model)
    changes = projections(model, rows, along, progress=False)
    monkeypatch.setattr(kernel, "_CPU_TOKENS", 1)
    np.testing.assert_allclose(gram(model, rows, progress=False), whole, rtol=1e-10)
    found = projections(model, rows, along, progress=False)
    np.testing.assert_allclose(found, changes, rtol=1e-10)
    assert len(set(np.round(whole.ww, 6))) == len(UNEVEN)  # a wrong order is detected


def test_parts_hold_little_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs of similar length share a part, and columns without tokens are left out."""
    monkeypatch.setattr(kernel, "_CPU_TOKENS", 1)
    rows = batch([(3, 9, 1), (1, 1, 1), (2, 2, 5)])
    parts = list(kernel._parts(gpt2(), rows, 2, 2**30, progress=False))
    assert [index.tolist() for index, _ in parts] == [[1], [2], [0]]
    assert [part.input_ids.shape for _, part in parts] == [(2, 2), (2, 7), (2, 12)]


@pytest.mark.parametrize("group", [2, 8])
def test_forced_forms_agree(model: Any, group: int) -> None:
    """Both forms of inner products, and the choice by cost, give the same results."""
    rows = batch(UNEVEN)
    found = [layers.grams(model, rows, group, form=f) for f in ("outer", "places", None)]
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found[0], found[2], rtol=1e-10, atol=1e-10)


FROZEN = {
    "the embeddings": lambda name: "wte" in name or "wpe" in name,
    "the first block": lambda name: "h.0." in name or "wte" in name or "wpe" in name,
    "all but biases": lambda name: not name.endswith("bias"),
    "all biases": lambda name: name.endswith("bias"),
    "all but one weight": lambda name: "h.1.attn.c_proj.weight" not in name,
    "all but the tied weight": lambda name: "wte" not in name,
}


@pytest.mark.parametrize("frozen", FROZEN)
def test_frozen_parameters_have_no_part(frozen: str) -> None:
    """Any subset of the parameters may be trained: first layers, last layers, or others."""
    model = shaken(gpt2()).double()
    for name, p in model.named_parameters():
        p.requires_grad_(not FROZEN[frozen](name))
    agree(model, batch(UNEVEN), 1e-10)


class Toy(nn.Module):
    """A minimal causal LM: `body` maps the mean embedding of each prefix to the head's input."""

    def __init__(self, body: Callable[[Toy, Tensor], Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.body, self.embed, self.head = body, nn.Embedding(WORDS, 8), nn.Linear(8, WORDS)
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, input_ids: Tensor, logits_to_keep: int) -> Any:
        places = torch.arange(1, input_ids.shape[1] + 1, dtype=self.head.weight.dtype)
        sums = self.embed(input_ids).cumsum(1) / places[:, None]
        return SimpleNamespace(logits=self.head(self.body(self, sums))[:, -logits_to_keep:])


def toy(body: Callable[[Toy, Tensor], Tensor], **parts: nn.Module) -> Any:
    torch.manual_seed(0)
    return Toy(body, **parts).double()


def test_a_layer_called_twice() -> None:
    """Terms of several calls add up, also for two kinds of layers that share a weight."""
    twice = toy(lambda m, x: m.mix(m.mix(x).tanh() * x) + m.mix(x=x), mix=Mixed(8))
    agree(twice, batch(UNEVEN), 1e-10)
    shared = toy(lambda m, x: m.mix(m.embed.weight.new_ones(1) * x), mix=nn.Linear(8, 8))
    shared.head.weight = shared.embed.weight
    agree(shared, batch(UNEVEN), 1e-10)


class Mixed(nn.Module):
    """A linear layer and a norm, which are called with keyword arguments."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(width, width), nn.LayerNorm(width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(input=self.linear(input=x))


def test_a_call_that_leads_nowhere() -> None:
    """A call without effect on the output contributes nothing; other calls still count."""

    def body(m: Toy, x: Tensor) -> Tensor:
        m.mix(x + 1)
        return m.mix(x)

    agree(toy(body, mix=nn.Linear(8, 8), idle=nn.Linear(8, 8)), batch(UNEVEN), 1e-10)


@pytest.mark.parametrize(
    "norm",
    [LlamaRMSNorm, MistralRMSNorm, Qwen2RMSNorm, GemmaRMSNorm, nn.RMSNorm, nn.LayerNorm],
)
def test_norms(norm: Any) -> None:
    """The gradient of a gain that is neither one nor zero, for whole vectors and per head."""

    def body(m: Toy, x: Tensor) -> Tensor:
        heads = m.heads(x.view(*x.shape[:2], 2, 4)).flatten(2)
        return m.norm(heads.to(x.dtype)).to(x.dtype)

    model = shaken(toy(body, norm=norm(8), heads=norm(4)))
    # Autograd adds up the gradient of Gemma's gain in float32, even in a float64 model.
    agree(model, batch(UNEVEN), 1e-6 if norm is GemmaRMSNorm else 1e-10)


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of a toy are read together, as those of models of `transformers` are."""
    monkeypatch.setattr(units, "reading", lambda _: "together")


class Scale(nn.Module):
    """A layer without a rule."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(8))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class Shifted(nn.Embedding):
    """A subclass for which the rule of its parent is wrong."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward((input + 2) % WORDS)


class Twice(nn.Linear):
    """A subclass of a linear layer that uses its weight twice."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(super().forward(input).tanh())


class Falcon(nn.Linear):
    """A subclass that computes the same as its parent."""

    def forward(self, input: Tensor) -> Tensor:
        return input @ self.weight.T + self.bias


class Split(nn.Module):
    """Two outputs, of which one depends on the other, and a scalar parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.factor, self.mix = nn.Parameter(torch.tensor(0.7)), nn.Parameter(torch.randn(8, 8))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = x @ self.mix * self.factor
        return y, (y * self.factor).sin()


def in_place(m: Toy, x: Tensor) -> Tensor:
    x = x + 0
    y = m.mix(x)
    x.mul_(2)
    return y


@torch.no_grad()
def without_gradient(m: Toy, x: Tensor) -> Tensor:
    return m.mix(x)


def both(m: Toy, x: Tensor) -> Tensor:
    y, z = m.mix(x)
    return y + 2 * z


def keeps(m: Toy, x: Tensor) -> Tensor:
    m.mix(x)
    return x + m.mix.kept


class Keeps(nn.Module):
    """Hands its result on as an attribute, not as its output."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.randn(8))

    def forward(self, x: Tensor) -> Tensor:
        self.kept = x * self.factor
        return x


def linear() -> nn.Module:
    return nn.Linear(8, 8)


USES: dict[str, tuple[Callable[[Toy, Tensor], Tensor], Callable[[], nn.Module]]] = {
    "no rule": (lambda m, x: m.mix(x), Scale),
    "subclass": (lambda m, x: m.mix(x), lambda: Twice(8, 8)),
    "same subclass": (lambda m, x: m.mix(x), lambda: Falcon(8, 8)),
    "two outputs": (both, Split),
    "outside": (lambda m, x: m.mix(x) + nn.functional.linear(x, m.mix.weight), linear),
    "never called": (lambda m, x: nn.functional.linear(x, m.mix.weight), linear),
    "rows in one": (lambda m, x: m.mix(x.flatten(0, 1)).view_as(x), linear),
    "places first": (lambda m, x: m.mix(x.transpose(0, 1)).transpose(0, 1), linear),
    "one for all rows": (lambda m, x: x + m.mix(torch.ones(1, 1, 8, dtype=x.dtype)), linear),
    "no gradient": (lambda m, x: x + without_gradient(m, x), linear),
    "output changed": (lambda m, x: m.mix(x).mul_(2).add_(x), linear),
    "scaled output changed": (lambda m, x: m.mix(x).mul_(2), Scale),
    "attribute": (keeps, Keeps),
}


@pytest.mark.parametrize("use", USES)
def test_any_use_of_a_layer(use: str, together: None) -> None:
    """Layers without a rule, and weights used in other ways than by a call: the gradients come from
    the smallest module around all uses. Four pairs and eight tokens, so rows look like places."""
    body, mix = USES[use]
    model = toy(body, mix=mix())
    agree(model, batch([*UNEVEN[:3], (4, 2, 2)]), 1e-10)
    assert batch([*UNEVEN[:3], (4, 2, 2)]).input_ids.shape[0] == 8


def test_an_embedding_of_another_kind(together: None) -> None:
    """A subclass with other tokens; and gradients divided by the frequency of a token in the whole
    batch, so that only the plain form gives those of a row alone."""
    model, rows = toy(lambda _, x: x), batch(UNEVEN)
    model.embed = Shifted(WORDS, 8).double()
    agree(model, rows, 1e-10)
    model.embed = nn.Embedding(WORDS, 8, scale_grad_by_freq=True).double()
    with pytest.warns(RuntimeWarning, match=r"embed\.weight"):
        found = gram(model, rows, progress=False)
    np.testing.assert_array_equal(found, gram(model, rows, method="plain", progress=False))


def test_rows_that_interact(together: None) -> None:
    """A model that mixes its rows goes by the plain form, with a note; "layers" is an error that
    names layer, class and remedy."""
    model, rows = toy(lambda m, x: m.mix(x) - x.mean(0), mix=nn.Linear(8, 8)), batch(UNEVEN)
    wanted = gram(model, rows, method="plain", progress=False)
    with pytest.warns(RuntimeWarning, match=r"embed \(Embedding\).*one backward pass per response"):
        found = gram(model, rows, progress=False)
    np.testing.assert_array_equal(found, wanted)
    projections(model, rows, like(model), progress=False)  # the note is not repeated
    with pytest.raises(ValueError, match=r'row by row: use method="plain"'):
        gram_matrix(model, rows, method="layers", progress=False)


def test_an_input_changed_in_place(together: None) -> None:
    """Changing a layer's input in place would change the kept factor: an error, as in autograd."""
    model = toy(in_place, mix=nn.Linear(8, 8))
    with pytest.raises(ValueError, match=r"an input of mix \(Linear\) is changed in place"):
        gram(model, batch(UNEVEN), method="layers", progress=False)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        gram(model, batch(UNEVEN), method="plain", progress=False)


def state(model: Any) -> list[Any]:
    """Everything that a pass could change in a model."""
    found: list[Any] = [
        (k, p.clone(), p.requires_grad, p.grad) for k, p in model.named_parameters()
    ]
    for path, layer in model.named_modules():
        hooks = {k: len(v) for k, v in vars(layer).items() if "hooks" in k and v is not None}
        found.append((path, layer.training, hooks, sorted(vars(layer))))
    return found


def same(a: list[Any], b: list[Any]) -> bool:
    return all(
        torch.equal(x, y) if isinstance(x, Tensor) else x == y
        for one, two in zip(a, b, strict=True)
        for x, y in zip(one, two, strict=True)
    )


class Stop(BaseException):
    """Not an `Exception`, like `KeyboardInterrupt`."""


@pytest.mark.parametrize("when", ["never", "forward", "backward"])
def test_the_model_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """Parameters, `requires_grad`, hooks and modes are restored, also after an interruption."""
    model, rows = shaken(gpt2()).double(), batch(UNEVEN)
    model.transformer.ln_f.bias.requires_grad_(False)
    model.transformer.h[0].train()
    before, wanted = state(model), gram(model, rows, progress=False)

    def stop(*_: Any, **__: Any) -> Any:
        raise Stop

    with monkeypatch.context() as patch:
        if when == "forward":
            patch.setattr(model.transformer.h[1].mlp, "forward", stop)
        elif when == "backward":
            patch.setattr(outer, "_together", stop)
        if when == "never":
            gram_matrix(model, rows, progress=False)
            projections(model, rows, like(model), progress=False)
        else:
            with pytest.raises(Stop):
                gram(model, rows, progress=False)
    assert same(before, state(model))
    np.testing.assert_array_equal(gram(model, rows, progress=False), wanted)


def test_no_rows(model: Any) -> None:
    empty = batch(UNEVEN).rows(slice(0, 0))
    assert gram(model, empty, progress=False).ww.shape == (0,)
    assert gram_matrix(model, empty, progress=False).shape == (0, 0)
    assert projections(model, empty, like(model), progress=False).shape == (0,)


def test_a_method_that_is_none(model: Any) -> None:
    with pytest.raises(ValueError, match="no method 'layer'; there are auto, layers, plain"):
        gram(model, batch(UNEVEN), method="layer", progress=False)  # type: ignore[arg-type]


class Shapes(TorchDispatchMode):
    """Records the bytes of the largest tensor that an operation returns."""

    largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for x in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(x, Tensor):
                self.largest = max(self.largest, x.untyped_storage().nbytes())
        return out


def test_no_gradient_of_a_large_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a tied embedding of 20000 words, no tensor is larger than the weight, in either form."""
    config = GPT2Config(
        vocab_size=20_000, n_positions=32, n_embd=64, n_layer=1, n_head=2,
        bos_token_id=1, eos_token_id=1,
    )  # fmt: skip
    model, rows = GPT2LMHeadModel(config).eval(), batch([(2, 2, 1), (3, 1, 2)])
    monkeypatch.setattr(outer, "CPU_TEMPORARY", 2**16)
    for group in (2, 4):
        for form in ("outer", "places"):
            with Shapes() as shapes:
                layers.grams(model, rows, group, form=form)
            weight = 20_000 * 64 * 4
            assert shapes.largest <= weight  # the gradients of four rows would be 4 times that


def held_at_the_embedding(model: Any, call: Callable[[Any], Any]) -> tuple[int, int]:
    """Bytes allocated by `call` at the end of its forward pass, and when its backward pass reaches
    the embedding. Asserts that all are freed at the end."""

    def note(name: str) -> None:
        with record_function(name):
            pass

    def called(module: Any, _: Any, out: Tensor) -> None:
        if module is model.lm_head:
            note("forward is done")
        elif module is model.transformer.wte:
            out.register_hook(lambda _: note("arrived"))

    # A hook of all modules, because rows of a model with hooks of its own are read apart.
    handle = register_module_forward_hook(called)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        call(model)
    handle.remove()
    found, held = {}, 0
    for event in sorted(seen.profiler.kineto_results.events(), key=lambda e: e.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
        elif event.name() in ("arrived", "forward is done"):
            found[event.name()] = held
    assert held == 0
    return found["forward is done"], found["arrived"]


def test_a_layer_that_is_passed_holds_nothing() -> None:
    """The backward pass frees the factors of each layer that it has passed. Six more layers cost
    memory in the forward pass; when the backward pass reaches the embedding, it is free again."""
    rows = batch(UNEVEN)
    models = [small_gpt2(seed=1, layers=n, width=32) for n in (2, 8)]
    layers.grams(models[0], rows, 2)  # the first call fills caches
    shallow, deep = (
        held_at_the_embedding(model, lambda m: layers.grams(m, rows, 2)) for model in models
    )
    assert deep[0] > 2 * shallow[0]
    assert deep[1] - shallow[1] < 0.05 * (deep[0] - shallow[0])


def test_nothing_stays_behind() -> None:
    """The graph and its hooks are freed: a long run makes thousands of such passes."""
    model, rows = gpt2(), batch([(2, 3, 4), (2, 3, 4)])
    embedded: list[weakref.ref[Tensor]] = []
    handle = model.transformer.wte.register_forward_hook(
        lambda _, args, out: embedded.append(weakref.ref(out))
    )
    gram(model, rows, progress=False)
    handle.remove()
    assert embedded
    assert [ref() for ref in embedded] == [None] * len(embedded)
