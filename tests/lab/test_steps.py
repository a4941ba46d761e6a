"""Training steps move the weights that are trained, in every precision, or say why they do not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file

from dpofield.lab.batch import Batch, encode
from dpofield.lab.descent import Interrupted
from dpofield.lab.logprobs import reference_logprobs
from dpofield.lab.model import small_gpt2
from dpofield.lab.runs import Run
from dpofield.lab.settings import Training
from dpofield.lab.steps import optimizer_of
from dpofield.lab.training import dpo, sft
from dpofield.lab.watch import Watch
from dpofield.lab.world import World
from tests.lab.zoo import ZOO

# PEFT uses a name that transformers has deprecated.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*gradient_checkpointing.* is deprecated:FutureWarning"
)
N = 4
HALF = (torch.float16, torch.bfloat16)


@pytest.fixture
def pairs(tokenizer: Any, world: World) -> Batch:
    return encode(tokenizer, world.pairs(N, seed=0))


def train(model: Any, pairs: Batch, **changes: Any) -> Run:
    more = {k: changes.pop(k) for k in ("state", "watch", "reference") if k in changes}
    reference = more.pop("reference", None)
    if reference is None:
        reference = reference_logprobs(model, pairs)
        reference = reference.to(torch.promote_types(reference.dtype, torch.float32))
    settings = Training(**{"steps": 3, "batch": N, "lr": 1e-3, "seed": 0} | changes)
    return dpo(model, reference, pairs, settings, progress=False, **more)


def with_lora(seed: int = 0, **more: Any) -> Any:
    torch.manual_seed(seed)
    config = LoraConfig(
        target_modules=["c_attn", "c_fc"], fan_in_fan_out=True, task_type="CAUSAL_LM", **more
    )
    return get_peft_model(small_gpt2(seed=1, layers=1, width=16, heads=2), config)


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


class Stop(Watch):
    """Stops after one step, and keeps the optimizer."""

    optimizer: Any = None

    def begin(self, optimizer: Any) -> None:
        self.optimizer = optimizer

    def stopped(self) -> bool:
        return True


@pytest.mark.parametrize("name", ["adamw", "sgd"])
@pytest.mark.parametrize(
    "dtypes",
    [(torch.float64,), (torch.float32,), *((d,) for d in HALF), (torch.float32, *HALF)],
    ids=lambda dtypes: "+".join(str(d).removeprefix("torch.") for d in dtypes),
)
def test_an_optimizer_takes_the_step_of_its_formula(
    name: str, dtypes: tuple[torch.dtype, ...]
) -> None:
    """Each dtype, alone and mixed, tensors of few and many elements, gradients that are 0 or
    small: 20 steps are those of the plain optimizer in float64, up to a rounding per step.
    Afterwards gradients have the dtype of their weight again."""
    sizes = (1, 3, 8, 15, 16, 17, 31, 32, 33, 1000)
    ours = {
        f"{d} {size}": torch.nn.Parameter(torch.randn(size).to(d)) for d in dtypes for size in sizes
    }
    exact = {name: torch.nn.Parameter(p.detach().double()) for name, p in ours.items()}
    steps, lr = 20, {"adamw": 0.1, "sgd": 1e3}[name]
    plain = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[name](
        exact.values(), lr=lr, weight_decay=0.0, foreach=False
    )
    with optimizer_of(name, ours, lr) as optimizer:
        for _ in range(steps):
            for key, p in ours.items():
                gradient = (1e-4 * (1 + torch.rand(p.shape))).to(p.dtype)
                gradient[::5] = 0
                p.grad = gradient.to(p.grad_dtype)
                exact[key].grad = gradient.double()
            optimizer.step()
            plain.step()
    for key, p in ours.items():
        rounded = steps * torch.finfo(p.dtype).eps * exact[key].abs().clamp(min=1.0)
        assert bool(((p.double() - exact[key]).abs() <= rounded).all()), key
        p.grad = torch.zeros_like(p)


RANDOM: dict[str, Callable[[], Any]] = {
    "modules": lambda: ZOO["gpt2"](resid_pdrop=0.3, embd_pdrop=0.3, attn_pdrop=0.3),
    "functions": lambda: ZOO["llama"](attention_dropout=0.3),
    "adapter": lambda: with_lora(lora_dropout=0.5),
}


@pytest.mark.parametrize("kind", RANDOM)
def test_there_is_no_dropout(pairs: Batch, kind: str) -> None:
    """A model that was left in train mode is trained as in eval mode, bit for bit: DPO starts at
    log 2, and SFT has the same losses. It is in train mode afterwards too."""
    model = RANDOM[kind]()
    quiet = copy.deepcopy(model).eval()
    expected, run = train(quiet, pairs), train(model.train(), pairs)
    np.testing.assert_allclose(run.loss[0], np.log(2), rtol=1e-12)
    np.testing.assert_array_equal(run.lw, expected.lw)
    how: dict[str, Any] = {"steps": 3, "batch": 4, "lr": 1e-3, "seed": 0, "progress": False}
    np.testing.assert_array_equal(sft(model, pairs, **how), sft(quiet, pairs, **how))
    assert all(m.training for m in model.modules())


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize(("optimizer", "lr"), [("sgd", 0.05), ("adamw", 2e-3)])
def test_half_precision_trains(
    model: Any, pairs: Batch, dtype: torch.dtype, optimizer: str, lr: float
) -> None:
    """Weights in half precision move, and the loss falls from log 2 in every step."""
    model = model.to(dtype)
    run = train(model, pairs, optimizer=optimizer, lr=lr)
    np.testing.assert_allclose(run.loss[0], np.log(2), atol=0.02)
    assert (np.diff(run.loss.mean(axis=1)) < 0).all()


def test_a_step_below_the_rounding_of_the_weights(tiny_gpt2: Any, pairs: Batch) -> None:
    """In bfloat16, a small learning rate moves almost nothing, which is said; in float64 it moves
    the weights, and nothing is said."""
    with pytest.warns(RuntimeWarning, match=r"step 0 of dpo.*almost no weight.*1e-07.*bfloat16"):
        train(copy.deepcopy(tiny_gpt2).bfloat16(), pairs, lr=1e-7)
    with pytest.warns(RuntimeWarning, match=r"almost no weight.*1e-15.*float32 weights"):
        train(copy.deepcopy(tiny_gpt2), pairs, lr=1e-15, optimizer="sgd")
    run = train(tiny_gpt2.double(), pairs, lr=1e-9, optimizer="sgd")
    assert (run.loss[-1] != run.loss[0]).all()


def test_the_warm_up_of_fine_tuning_is_no_lost_step(tiny_gpt2: Any, pairs: Batch) -> None:
    """SFT looks at its largest step, so that a small first step in bfloat16 is no false alarm."""
    how: dict[str, Any] = {"steps": 24, "batch": 4, "seed": 0, "progress": False}
    sft(copy.deepcopy(tiny_gpt2).bfloat16(), pairs, lr=2e-3, **how)
    with pytest.warns(RuntimeWarning, match=r"step 1\d of SFT moved almost no weight"):
        sft(tiny_gpt2.bfloat16(), pairs, lr=1e-8, **how)


def test_a_flat_loss_is_named(tiny_gpt2: Any, pairs: Batch) -> None:
    """Where every pair's hinge is satisfied, no weight moves, and the warning says why."""
    reference = (
        reference_logprobs(tiny_gpt2, pairs)
        - 200 * torch.tensor([1.0, 0.0]).repeat(N, 1).T.flatten()
    )
    before = weights(tiny_gpt2)
    with pytest.warns(RuntimeWarning, match="every gradient is 0: the loss is flat here"):
        train(tiny_gpt2, pairs, reference=reference, loss="hinge")
    for name, p in tiny_gpt2.named_parameters():
        torch.testing.assert_close(p.detach(), before[name], rtol=0, atol=0)


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_gradients_switched_off(pairs: Batch, off: Callable[[], Any]) -> None:
    """The block around the call is named, or the weights that were made in such a block."""
    with off():
        model = small_gpt2(seed=0, layers=1, width=16)
        with pytest.raises(ValueError, match="call it outside"):
            train(model, pairs, reference=torch.zeros(2 * N), steps=1)
    if off is torch.inference_mode:
        with pytest.raises(ValueError, match=r"copy\.deepcopy"):
            train(model, pairs, reference=torch.zeros(2 * N), steps=1)
        model = copy.deepcopy(model)
    assert len(train(model, pairs, reference=torch.zeros(2 * N), steps=1).loss) == 2


@pytest.mark.parametrize("training", ["dpo", "sft"])
@pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "meta"])
def test_a_model_that_cannot_be_trained(
    tiny_gpt2: Any, pairs: Batch, training: str, frozen: bool
) -> None:
    """It is refused before anything is computed, with the remedy."""
    model, words = tiny_gpt2.requires_grad_(not frozen), "no parameter .* requires a gradient"
    if not frozen:
        model, words = model.to("meta"), r"transformer.wte.weight is on the meta device.*offload"

    def forward(*_: Any, **__: Any) -> None:
        raise AssertionError("computed")

    model.forward = forward
    how: dict[str, Any] = {"steps": 1, "batch": 1, "lr": 1e-3, "seed": 0}
    start = {
        "dpo": lambda: train(model, pairs, reference=torch.zeros(2 * N), **how),
        "sft": lambda: sft(model, pairs, progress=False, **how),
    }[training]
    with pytest.raises(ValueError, match=words):
        start()


def test_a_loss_without_the_trained_weights(pairs: Batch) -> None:
    """An adapter that is off but would be trained: an error that asks about the adapter."""
    model = with_lora()
    model.base_model.disable_adapter_layers()
    for name, p in model.named_parameters():
        p.requires_grad_("lora_" in name)
    with pytest.raises(ValueError, match=r"step 0 depends on none of the trained weights.*adapter"):
        train(model, pairs)


def test_a_gradient_that_is_nan_spoils_no_weight(tiny_gpt2: Any, pairs: Batch) -> None:
    """It is named with parameter and step, and the weights are those before this step."""
    once = copy.deepcopy(tiny_gpt2)
    reference = reference_logprobs(tiny_gpt2, pairs)
    train(once, pairs, reference=reference, steps=1)
    calls = iter(range(9))
    weight = tiny_gpt2.transformer.h[0].mlp.c_fc.weight
    weight.register_hook(lambda g: g * float("nan") if next(calls) == 1 else g)
    with pytest.raises(
        FloatingPointError,
        match=r"gradient of transformer.h.0.mlp.c_fc.weight is nan at step 1, .* loss is 0\.",
    ):
        train(tiny_gpt2, pairs, reference=reference)
    for ours, expected in zip(tiny_gpt2.parameters(), once.parameters(), strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=0)


def test_a_gradient_that_overflows_in_float16(tiny_gpt2: Any, pairs: Batch) -> None:
    """A finite loss with an infinite gradient: the remedy is float32."""
    model = tiny_gpt2.half()
    model.lm_head.weight.register_hook(lambda g: g * 1e9)
    with pytest.raises(FloatingPointError, match=r"is inf at step 0.*float32 weights"):
        train(model, pairs, optimizer="sgd", lr=1e-2)


@pytest.mark.parametrize("kind", ["adapter", "bfloat16"])
def test_only_what_is_trained_is_saved_and_resumed(
    tiny_gpt2: Any, pairs: Batch, tmp_path: Path, kind: str
) -> None:
    """The optimizer and the state file have the trained parameters only: those of an adapter on a
    base model in bfloat16, or a whole model in bfloat16. A run that was stopped and resumed ends
    bit for bit as a whole one, and frozen weights stay as they were."""
    start = with_lora() if kind == "adapter" else tiny_gpt2.bfloat16()
    if kind == "adapter":
        for p in start.parameters():
            p.data = p.data if p.requires_grad else p.data.bfloat16()
    frozen = {n: p.detach().clone() for n, p in start.named_parameters() if not p.requires_grad}
    whole, again, state = copy.deepcopy(start), copy.deepcopy(start), tmp_path / "run.safetensors"
    reference = reference_logprobs(start, pairs).float()
    how: dict[str, Any] = {"lr": 1e-2, "reference": reference}
    expected = train(whole, pairs, **how)
    stop = Stop()
    with pytest.raises(Interrupted):
        train(start, pairs, state=state, watch=stop, **how)
    held = [p for group in stop.optimizer.param_groups for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in start.parameters() if p.requires_grad}
    assert not any(name in key for key in load_file(state) for name in frozen)
    run = train(again, pairs, state=state, **how)
    np.testing.assert_array_equal(run.lw, expected.lw)
    for (name, ours), theirs in zip(again.named_parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
        torch.testing.assert_close(ours.detach(), frozen.get(name, ours.detach()), rtol=0, atol=0)


def test_another_adapter_does_not_resume(pairs: Batch, tmp_path: Path) -> None:
    """An adapter that was switched, more trained weights and another dtype are refused by name,
    before a weight changes; the file is kept."""
    model, state = with_lora(), tmp_path / "run.safetensors"
    model.add_adapter("other", model.peft_config["default"])
    reference = reference_logprobs(model, pairs)
    with pytest.raises(Interrupted):
        train(model, pairs, reference=reference, state=state, watch=Stop())

    def switched(model: Any) -> None:
        model.set_adapter("other")

    def narrowed(model: Any) -> None:
        for name, p in model.named_parameters():
            p.requires_grad_("c_fc.lora_B.default" in name)

    for change, words in (
        (switched, r"lacks model/.*lora_A.other"),
        (narrowed, r"another run, which trained .*lora_A.default.*set_adapter"),
        (lambda m: m.double(), r"lora_A.default.weight was torch.float32 .*, is torch.float64"),
    ):
        changed = copy.deepcopy(model)
        change(changed)
        before = weights(changed)
        with pytest.raises(ValueError, match=words):
            train(changed, pairs, reference=reference, state=state)
        for name, p in changed.named_parameters():
            torch.testing.assert_close(p.detach(), before[name], rtol=0, atol=0)
    assert state.exists()
