"""The training loops record correct values, resume exactly, and refuse bad input."""

from __future__ import annotations

import copy
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from dpofield.formulas import LOSSES
from dpofield.lab import training
from dpofield.lab.batch import Batch, encode, encode_texts
from dpofield.lab.descent import Interrupted
from dpofield.lab.kernel import gram
from dpofield.lab.logprobs import pair_logprobs, reference_logprobs
from dpofield.lab.runs import Run
from dpofield.lab.settings import Training
from dpofield.lab.training import batch_index, dpo, ratio_gradients, sft
from dpofield.lab.watch import Watch
from dpofield.lab.world import World

N = 6


@pytest.fixture
def pairs(tokenizer: Any, world: World) -> Batch:
    return encode(tokenizer, world.pairs(N, seed=0))


def train(
    model: Any,
    pairs: Batch,
    *,
    reference: torch.Tensor | None = None,
    state: Path | None = None,
    watch: Watch | None = None,
    **changes: Any,
) -> Run:
    reference = reference_logprobs(model, pairs) if reference is None else reference
    settings = Training(**{"steps": 4, "batch": 4, "lr": 1e-3, "seed": 0} | changes)
    return dpo(model, reference, pairs, settings, state=state, watch=watch, progress=False)


def weights(model: Any) -> list[np.ndarray]:
    return [p.detach().numpy().copy() for p in model.parameters()]


def interrupt_at(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """Simulate Ctrl-C in forward pass number `call`."""
    calls = iter(range(10**6))
    real = training.pair_logprobs

    def pressed(*arguments: Any, **options: Any) -> Any:
        if next(calls) == call:
            signal.raise_signal(signal.SIGINT)
        return real(*arguments, **options)

    monkeypatch.setattr(training, "pair_logprobs", pressed)


def test_the_record_is_what_the_model_says(tiny_gpt2: Any, pairs: Batch) -> None:
    """First record: every ratio is 1. Last record: the log-probs of the trained model."""
    reference = reference_logprobs(tiny_gpt2, pairs)
    run = train(tiny_gpt2, pairs, record_every=3)
    assert run.step.tolist() == [0, 3, 4]
    assert run.complete
    assert run.seed == 0
    np.testing.assert_array_equal(run.u[0], 0)
    np.testing.assert_array_equal(run.v[0], 0)
    lw, ll = reference_logprobs(tiny_gpt2, pairs).double().chunk(2)
    np.testing.assert_array_equal(run.lw[-1], lw)
    np.testing.assert_array_equal(run.ll[-1], ll)
    np.testing.assert_array_equal(np.r_[run.ref_w, run.ref_l], reference.double())


def test_recorded_gradients_are_those_of_the_training_loss(tiny_gpt2: Any, pairs: Batch) -> None:
    """The chain rule turns dL/dx1 and dL/dx2 into the loss's gradient by the parameters."""
    model = tiny_gpt2.double()
    reference = reference_logprobs(model, pairs)
    run = train(model, pairs, steps=3, reference=reference)
    lw, ll = pair_logprobs(model, pairs)
    u, v = lw - reference[:N], ll - reference[N:]
    parameters = list(model.parameters())
    loss = LOSSES["dpo"].torch(u, v, beta=0.1).mean()
    direct = torch.autograd.grad(loss, parameters, retain_graph=True)
    dx1, dx2 = torch.tensor(run.dx1[-1]), torch.tensor(run.dx2[-1])
    by_ratios = torch.autograd.grad((dx1 * u.exp() + dx2 * v.exp()).mean(), parameters)
    for ours, theirs in zip(by_ratios, direct, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_trains_on_its_own_arguments(tiny_gpt2: Any, pairs: Batch, name: str) -> None:
    """The recorded loss is the printed one at the recorded log-ratios and the pairs' data."""
    loss = LOSSES[name]
    given = loss.defaults | ({"beta": 0.3} if "beta" in loss.defaults else {})
    run = train(tiny_gpt2, pairs, steps=2, loss=name, params=given)
    len_w, len_l = pairs.lengths.numpy().reshape(2, N)
    known = {"ref_w": run.ref_w, "ref_l": run.ref_l, "len_w": len_w, "len_l": len_l}
    needed = {p.name: known[p.name] for p in loss.inputs}
    expected = loss.numpy(run.u, run.v, **given, **needed)
    np.testing.assert_allclose(run.loss, expected, rtol=1e-5, atol=1e-9)


def test_a_parameter_changes_the_training(tiny_gpt2: Any, pairs: Batch) -> None:
    """`params` changes the training, not only the record."""
    other = copy.deepcopy(tiny_gpt2)
    weak = train(tiny_gpt2, pairs, loss="dpop", params={"lam": 0.0})
    strong = train(other, pairs, loss="dpop", params={"lam": 50.0})
    assert not np.allclose(weak.lw[-1], strong.lw[-1])


@given(st.floats(-300, 300), st.floats(-300, 300), st.floats(0.01, 2))
def test_ratio_gradients_against_differences(u: float, v: float, beta: float) -> None:
    """Autograd at x = exp(u) agrees with central differences in x; so does the loss."""
    at = torch.tensor([u], dtype=torch.float64), torch.tensor([v], dtype=torch.float64)
    loss, dx1, dx2 = ratio_gradients("dpo", *at, beta=beta)
    assert float(loss[0]) == pytest.approx(np.logaddexp(0, -beta * (u - v)), rel=1e-12, abs=1e-300)
    h = 1e-5
    moves = torch.tensor([np.log1p(h), np.log1p(-h), 0.0, 0.0], dtype=torch.float64)
    values = LOSSES["dpo"].torch(at[0] + moves, at[1] + moves.flip(0), beta=beta)
    floor = 1e-16 * float(loss[0]) / h
    assert float(dx1[0]) * np.exp(u) == pytest.approx(
        float(values[0] - values[1]) / (2 * h), rel=1e-6, abs=10 * floor
    )
    assert float(dx2[0]) * np.exp(v) == pytest.approx(
        float(values[3] - values[2]) / (2 * h), rel=1e-6, abs=10 * floor
    )


def test_out_of_range_ratios_do_not_stop_a_run() -> None:
    """If a ratio overflows in float64, its gradient is nan and the loss is still finite."""
    loss, dx1, _ = ratio_gradients(
        "dpo", torch.tensor([0.0, 800.0]), torch.tensor([0.0, -800.0]), beta=0.1
    )
    assert torch.isfinite(loss).all()
    assert torch.isfinite(dx1).tolist() == [True, False]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_dpo_raises_the_margin(tiny_gpt2: Any, pairs: Batch, optimizer: str) -> None:
    """The mean margin grows and the mean loss falls in every step."""
    lr = {"adamw": 1e-3, "sgd": 1e-2}[optimizer]
    run = train(tiny_gpt2, pairs, steps=10, batch=N, optimizer=optimizer, lr=lr)
    assert (np.diff(run.margin.mean(axis=1)) > 0).all()
    assert (np.diff(run.loss.mean(axis=1)) < 0).all()


def test_one_sgd_step_follows_the_law_of_motion(tiny_gpt2: Any, pairs: Batch) -> None:
    """One small step on one pair: the kernel predicts the changes of lw and ll."""
    model, lr, beta = tiny_gpt2.double(), 1e-6, 0.1
    one = pairs.pairs(torch.tensor([2]))
    k = gram(model, one)
    run = train(model, one, steps=1, batch=1, optimizer="sgd", lr=lr, params={"beta": beta})
    weight = lr * beta / 2  # s(-beta m) = 1/2 at the start
    assert run.u[1, 0] == pytest.approx(weight * float(k.ww[0] - k.wl[0]), rel=1e-3)
    assert run.v[1, 0] == pytest.approx(weight * float(k.wl[0] - k.ll[0]), rel=1e-3)


def test_recording_some_pairs_is_a_view_of_recording_all(tiny_gpt2: Any, pairs: Batch) -> None:
    """The choice of recorded pairs does not change the training."""
    every = train(copy.deepcopy(tiny_gpt2), pairs)
    some = train(tiny_gpt2, pairs, recorded=[4, 1])
    np.testing.assert_allclose(some.lw, every.lw[:, [4, 1]], rtol=1e-5)
    np.testing.assert_allclose(some.dx2, every.dx2[:, [4, 1]], rtol=1e-4)
    np.testing.assert_array_equal(some.ref_l, every.ref_l[[4, 1]])


@given(st.integers(1, 20), st.data())
def test_every_epoch_takes_every_item_once(n: int, data: st.DataObject) -> None:
    """Also if the batch size does not divide the number of items."""
    batch = data.draw(st.integers(1, n))
    taken = torch.cat([batch_index(n, batch, step, seed=3) for step in range(n)]).tolist()
    for epoch in range(batch):
        assert sorted(taken[epoch * n : (epoch + 1) * n]) == list(range(n))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_interrupted_and_resumed_is_uninterrupted(
    tiny_gpt2: Any, pairs: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    """After Ctrl-C within a step, weights and record end bit for bit as without it."""
    reference, whole = reference_logprobs(tiny_gpt2, pairs), copy.deepcopy(tiny_gpt2)
    expected = train(whole, pairs, reference=reference, optimizer=optimizer)
    again, state = copy.deepcopy(tiny_gpt2), tmp_path / "run.safetensors"
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2)
        with pytest.raises(
            Interrupted,
            match=r"dpo beta=0.1 after step 3 of 4; call again to go on from .*safetensors",
        ) as stop:
            train(tiny_gpt2, pairs, reference=reference, optimizer=optimizer, state=state)
    partial = stop.value.run
    assert partial.step.tolist() == [0, 1, 2]
    assert not partial.complete
    np.testing.assert_array_equal(partial.lw, expected.lw[:3])
    run = train(again, pairs, reference=reference, optimizer=optimizer, state=state)
    for name in ("step", "lw", "ll", "loss", "dx1", "dx2"):
        np.testing.assert_array_equal(getattr(run, name), getattr(expected, name))
    for ours, theirs in zip(weights(again), weights(whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not state.exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class Follower(Watch):
    """Keeps the arguments of all calls, and stops the training after step `last`."""

    def __init__(self, last: int = 10**9) -> None:
        self.last, self.steps, self.records = last, [], []
        self.optimizer: Any = None

    def begin(self, optimizer: Any) -> None:
        self.optimizer = optimizer

    def progress(self, what: str, step: int, steps: int) -> None:
        self.steps.append((what, step, steps))

    def record(self, step: int, u: Any, v: Any) -> None:
        self.records.append((step, u, v))

    def stopped(self) -> bool:
        return self.steps[-1][1] >= self.last


def test_a_watch_hears_the_run_and_changes_nothing(tiny_gpt2: Any, pairs: Batch) -> None:
    """A watch gets the run's steps and records bit for bit; the run is that without a watch."""
    other, follower = copy.deepcopy(tiny_gpt2), Follower()
    run = train(tiny_gpt2, pairs, record_every=3, watch=follower)
    unseen = train(other, pairs, record_every=3)
    assert follower.steps == [("dpo beta=0.1", step, 4) for step in range(5)]
    assert isinstance(follower.optimizer, torch.optim.AdamW)
    for heard, name in zip(zip(*follower.records, strict=True), ("step", "u", "v"), strict=True):
        np.testing.assert_array_equal(np.stack(heard), getattr(run, name))
        np.testing.assert_array_equal(getattr(run, name), getattr(unseen, name))


def test_a_watch_ends_a_training_that_can_be_resumed(
    tiny_gpt2: Any, pairs: Batch, tmp_path: Path
) -> None:
    """A watch stops after a whole step, with the run so far; the file resumes from there."""
    reference, whole, again = reference_logprobs(tiny_gpt2, pairs), *map(
        copy.deepcopy, (tiny_gpt2, tiny_gpt2)
    )  # fmt: skip
    expected = train(whole, pairs, reference=reference)
    state = tmp_path / "run.safetensors"
    with pytest.raises(Interrupted, match="after step 2 of 4") as stop:
        train(tiny_gpt2, pairs, reference=reference, state=state, watch=Follower(last=2))
    assert stop.value.run is not None
    np.testing.assert_array_equal(stop.value.run.u, expected.u[:2])
    follower = Follower()
    run = train(again, pairs, reference=reference, state=state, watch=follower)
    assert [step for _, step, _ in follower.steps] == [2, 3, 4]
    np.testing.assert_array_equal(run.u, expected.u)


def test_sft_resumes_exactly_and_learns(
    tiny_gpt2: Any, tokenizer: Any, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SFT resumes exactly after an error between two saved steps; and its loss falls."""
    examples = encode_texts(tokenizer, world.examples(64, seed=0))
    settings: Any = {"steps": 40, "batch": 8, "lr": 1e-2, "seed": 1, "progress": False}
    whole, state = copy.deepcopy(tiny_gpt2), tmp_path / "sft.safetensors"
    expected = sft(whole, examples, **settings)
    assert expected[-5:].mean() < expected[:5].mean() - 10
    calls, real = iter(range(100)), training.logprobs

    def killed(*arguments: Any, **options: Any) -> Any:
        if next(calls) == 25:
            raise MemoryError
        return real(*arguments, **options)

    start = copy.deepcopy(tiny_gpt2)
    with monkeypatch.context() as patch:
        patch.setattr(training, "logprobs", killed)
        with pytest.raises(MemoryError):
            sft(start, examples, **settings, state=state, save_every=10)
    losses = sft(tiny_gpt2, examples, **settings, state=state, save_every=10)
    np.testing.assert_array_equal(losses, expected)
    for ours, theirs in zip(weights(tiny_gpt2), weights(whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def saved_state(model: Any, pairs: Batch, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(patch, 0)
        with pytest.raises(Interrupted):
            train(model, pairs, state=path)


def test_a_state_file_of_another_run_is_refused(
    tiny_gpt2: Any, pairs: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resuming with another beta is an error, because it would mix two runs; the file is kept."""
    state, start = tmp_path / "run.safetensors", copy.deepcopy(tiny_gpt2)
    saved_state(tiny_gpt2, pairs, state, monkeypatch)
    with pytest.raises(
        ValueError, match=r"another run: params was .*0\.1.*, is .*0\.5.*delete the file"
    ):
        train(start, pairs, state=state, params={"beta": 0.5})
    assert state.exists()


def test_a_state_file_with_missing_keys_is_refused(
    tiny_gpt2: Any, pairs: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors: a missing weight is named, and a truncated file is called damaged."""
    state, start = tmp_path / "run.safetensors", copy.deepcopy(tiny_gpt2)
    saved_state(tiny_gpt2, pairs, state, monkeypatch)
    tensors = load_file(state)
    del tensors["model/transformer.wpe.weight"]
    save_file(tensors, state)
    with pytest.raises(ValueError, match=r"run.safetensors lacks model/transformer.wpe.weight"):
        train(start, pairs, state=state)
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(ValueError, match="damaged"):
        train(start, pairs, state=state)


def test_a_run_survives_its_file(tiny_gpt2: Any, pairs: Batch, tmp_path: Path) -> None:
    """Arrays and config are unchanged by saving and loading; a damaged file is an error."""
    run, path = train(tiny_gpt2, pairs), tmp_path / "run.npz"
    run.save(path)
    loaded = Run.load(path)
    assert loaded.config == run.config
    for name in ("step", "lw", "ll", "ref_w", "ref_l", "loss", "dx1", "dx2"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(run, name))
    with np.load(path) as file:
        np.savez(tmp_path / "less.npz", **{k: file[k] for k in file.files if k != "dx2"})
    with pytest.raises(ValueError, match="lacks dx2"):
        Run.load(tmp_path / "less.npz")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="damaged"):
        Run.load(path)


def test_nan_is_named(tiny_gpt2: Any, pairs: Batch) -> None:
    """A nan log-probability raises an error with its step and pair."""
    reference = reference_logprobs(tiny_gpt2, pairs)
    # The embedding of a position that only the longest rows have becomes nan.
    lengths = pairs.attention_mask.sum(dim=1)
    place = int(lengths.max()) - 2
    hit = (lengths > place).nonzero().flatten().tolist()
    assert len(hit) < 2 * N
    with torch.no_grad():
        tiny_gpt2.transformer.wpe.weight[place] = float("nan")
    which = "preferred" if min(hit) < N else "dispreferred"
    words = rf"of {which} {min(hit) % N} is nan at step 0.*lower"
    with pytest.raises(FloatingPointError, match=words):
        train(tiny_gpt2, pairs, reference=reference)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"params": {"beta": 0.0}}, r"beta = 0\.0 is outside \(0, oo\)"),
        ({"params": {"beta": float("nan")}}, "beta = nan is outside"),
        ({"params": {"beta": None}}, "params: beta = None: give a number"),
        ({"params": {"lam": 1.0}}, "params: the loss 'dpo' has no 'lam'; it has beta"),
        ({"loss": "sft", "params": {"beta": 0.1}}, "the loss 'sft' has no 'beta'; it has none"),
        ({"lr": -1.0}, "lr = -1.0: give a positive learning rate"),
        ({"steps": 0}, "steps = 0: give a whole number of at least 1"),
        ({"record_every": 1.5}, "record_every = 1.5: give a whole number of at least 1"),
        ({"batch": 7}, "batch is 7 but there are 6 pairs"),
        ({"loss": "dpoo"}, "loss = 'dpoo' is unknown: LOSSES has"),
        ({"optimizer": "lion"}, "optimizer = 'lion' is unknown: take one of adamw, sgd"),
        ({"reference": torch.zeros(3)}, r"reference has shape \(3,\)"),
    ],
)
def test_bad_settings_are_refused(
    tiny_gpt2: Any, pairs: Batch, changes: dict[str, Any], words: str
) -> None:
    """Each bad setting is named with its remedy, and the model is not changed."""
    before = weights(tiny_gpt2)
    with pytest.raises(ValueError, match=words):
        train(tiny_gpt2, pairs, **changes)
    for now, then in zip(weights(tiny_gpt2), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_no_pairs(tiny_gpt2: Any, pairs: Batch) -> None:
    """An empty batch is an error."""
    with pytest.raises(ValueError, match="no pairs to train on"):
        train(tiny_gpt2, pairs.rows(slice(0, 0)), reference=torch.zeros(0))
