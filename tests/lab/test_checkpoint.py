"""Starting checkpoints have learnt the grammar, are trained once, and are never incomplete."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dpofield import places
from dpofield.lab import checkpoint, training
from dpofield.lab.batch import encode, encode_texts
from dpofield.lab.checkpoint import (
    UNTRAINED,
    cache_root,
    card,
    checkpoint_key,
    sft_checkpoint,
    sft_history,
    starting_model,
)
from dpofield.lab.descent import Interrupted
from dpofield.lab.logprobs import reference_logprobs
from dpofield.lab.recipe import Recipe
from dpofield.lab.settings import Training
from dpofield.lab.training import dpo
from dpofield.lab.world import World

QUICK = Recipe(steps=3, batch=4, lr=1e-3)
TINY = {"layers": 1, "width": 16, "heads": 2}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces level "weak" by three training steps."""
    monkeypatch.setitem(checkpoint.LEVELS, "weak", QUICK)


def no_training(*_: Any, **__: Any) -> Any:
    raise AssertionError("trained although the checkpoint is there")


def seen(root: Path) -> list[str]:
    """Names in the folder without hidden files, such as locks."""
    return [p.name for p in root.iterdir() if not p.name.startswith(".")]


def only_folder(root: Path) -> Path:
    (folder,) = (p for p in root.iterdir() if p.is_dir())
    return folder


def excess(level: Any, world: World) -> tuple[float, float]:
    """Estimated KL(grammar || model) in nats per response, with its standard error."""
    model, tokenizer = sft_checkpoint(level, progress=False)
    held_out = world.examples(1024, seed=12345)
    known = np.array([world.logprob(*text) for text in held_out])
    gap = known - reference_logprobs(model, encode_texts(tokenizer, held_out)).double().numpy()
    return float(gap.mean()), float(gap.std() / np.sqrt(len(gap)))


def test_sft_learns_the_grammar(world: World) -> None:
    """Strong SFT is within 0.15 nats of the grammar's entropy of 7.5 nats; weak SFT is not.

    A value below 0 is impossible unless held-out text leaked or probabilities are wrong.
    """
    strong, error = excess("strong", world)
    weak, _ = excess("weak", world)
    assert -3 * error < strong < 0.15
    assert 0.5 < weak < 3


def test_probability_stays_on_the_grammar(world: World) -> None:
    """The 7296 responses to a prompt have a total probability between 0.9 and 1."""
    model, tokenizer = sft_checkpoint("strong", progress=False)
    prompt = world.prompts[7]
    batch = encode_texts(tokenizer, [(prompt, text) for text in world.responses(prompt)])
    mass = float(reference_logprobs(model, batch).double().exp().sum())
    assert 0.9 < mass < 1


def test_dpo_from_the_checkpoint_raises_every_recorded_mean_margin(world: World) -> None:
    """A short run from a cached model: the loss starts at log 2, and the mean margin rises."""
    model, tokenizer = sft_checkpoint("strong", progress=False)
    pairs = encode(tokenizer, world.pairs(8, seed=0))
    reference = reference_logprobs(model, pairs)
    settings = Training(steps=6, batch=8, lr=1e-4, seed=0)
    run = dpo(model, reference, pairs, settings, progress=False)
    assert run.loss[0] == pytest.approx(np.log(2))
    assert (np.diff(run.margin.mean(axis=1)) > 0).all()


def test_a_checkpoint_is_made_once(quick: None, tmp_path: Path, monkeypatch: Any) -> None:
    """The second call loads the model; there is no other file beside the folder."""
    first, _ = sft_checkpoint("weak", root=tmp_path, progress=False)
    monkeypatch.setattr(checkpoint, "sft", no_training)
    second, _ = sft_checkpoint("weak", root=tmp_path, progress=False)
    assert sft_history("weak", root=tmp_path).shape == (QUICK.steps,)
    for p, q in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(p, q)
    assert seen(tmp_path) == [f"gpt2-3-{checkpoint_key(QUICK)}"]


def test_making_it_again_gives_the_same_bytes(quick: None, tmp_path: Path) -> None:
    """The weights do not depend on the caller's number of threads."""
    before = torch.get_num_threads()
    sft_checkpoint("weak", root=tmp_path / "a", progress=False)
    torch.set_num_threads(2)
    try:
        sft_checkpoint("weak", root=tmp_path / "b", progress=False)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    a, b = (only_folder(tmp_path / name) / "model.safetensors" for name in "ab")
    assert a.read_bytes() == b.read_bytes()


@pytest.mark.parametrize("damage", ["truncated", "missing", "no card", "bad card"])
def test_damage_is_said_and_mended(quick: None, tmp_path: Path, damage: str) -> None:
    """A truncated or missing file causes a warning, and the model is made again."""
    sft_checkpoint("weak", root=tmp_path, progress=False)
    folder = only_folder(tmp_path)
    weights, paper = folder / "model.safetensors", folder / "dpofield.json"
    good = weights.read_bytes()
    if damage == "truncated":
        weights.write_bytes(good[:-1])
    elif damage == "missing":
        (folder / "config.json").unlink()
    elif damage == "no card":
        paper.unlink()
    else:
        paper.write_text("{")
    with pytest.warns(RuntimeWarning, match=r"is damaged \(.*\): making it again"):
        sft_checkpoint("weak", root=tmp_path, progress=False)
    assert weights.read_bytes() == good
    assert json.loads(paper.read_text())["recipe"] == asdict(QUICK)


def test_an_interrupted_making_goes_on(quick: None, tmp_path: Path, monkeypatch: Any) -> None:
    """Ctrl-C leaves a state file and no folder; the next call gives the uninterrupted result."""
    sft_checkpoint("weak", root=tmp_path / "whole", progress=False)
    real, calls = training.logprobs, iter(range(99))

    def pressed(*arguments: Any, **options: Any) -> Any:
        if next(calls) == 1:
            signal.raise_signal(signal.SIGINT)
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(training, "logprobs", pressed)
        with pytest.raises(Interrupted, match="after step 2 of 3"):
            sft_checkpoint("weak", root=tmp_path / "torn", progress=False)
    assert not [p for p in (tmp_path / "torn").iterdir() if p.is_dir()]
    sft_checkpoint("weak", root=tmp_path / "torn", progress=False)
    torn, whole = (only_folder(tmp_path / name) for name in ("torn", "whole"))
    assert (torn / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert seen(tmp_path / "torn") == [torn.name]


def test_other_settings_are_another_checkpoint(monkeypatch: Any) -> None:
    """A changed field or library version changes the key."""
    key = checkpoint_key(QUICK)
    changes = {"steps": 4, "seed": 1, "architecture": "llama", "layers": 3, "width": 64}
    others = [replace(QUICK, **{name: value}) for name, value in changes.items()]
    assert len({key, *map(checkpoint_key, others)}) == 1 + len(changes)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.transformers, "__version__", "0")
        assert checkpoint_key(QUICK) != key
    assert checkpoint_key(Recipe(steps=3, batch=4, lr=1e-3)) == key


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_no_steps_are_the_initial_weights(tmp_path: Path, architecture: Any) -> None:
    """With 0 steps the cached model has the weights of its constructor."""
    recipe = Recipe(steps=0, seed=4, architecture=architecture, **TINY)
    model, _ = starting_model(recipe, root=tmp_path, progress=False)
    fresh = UNTRAINED[architecture](4, **TINY)
    for p, q in zip(model.parameters(), fresh.parameters(), strict=True):
        assert torch.equal(p, q)
    assert card(recipe, root=tmp_path)["loss"] == []


def test_a_llama_is_as_large_as_a_gpt2() -> None:
    """The numbers of parameters differ by less than 2 %; an odd number of heads is an error."""
    gpt2, llama = (
        sum(p.numel() for p in UNTRAINED[name](0).parameters()) for name in ("gpt2", "llama")
    )
    assert abs(llama / gpt2 - 1) < 0.02
    with pytest.raises(ValueError, match=r"3 heads in width 48: .* even number of heads"):
        UNTRAINED["llama"](0, width=48, heads=3)


def test_two_processes_make_one_checkpoint(tmp_path: Path) -> None:
    """Two processes start at once: one of them trains, and both load the same weights."""
    program = f"""
from dpofield.lab import checkpoint, recipe
real = checkpoint.sft
checkpoint.sft = lambda *a, **k: (print("made"), real(*a, **k))[1]
made = recipe.Recipe(steps=40, layers=1, width=16, heads=2)
model, _ = checkpoint.starting_model(made, root={str(tmp_path)!r}, progress=False)
print(float(sum(p.double().sum() for p in model.parameters())))
"""
    both = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = sorted(process.communicate()[0].split() for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(len(words) for words in said) == [1, 2]
    assert len({words[-1] for words in said}) == 1
    assert len([p for p in tmp_path.iterdir() if p.is_dir()]) == 1


def test_a_recipe_is_checked() -> None:
    """Unknown architectures and negative steps are errors."""
    with pytest.raises(ValueError, match="no architecture 'bert': gpt2, llama"):
        Recipe(steps=1, architecture="bert")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="steps must not be negative, got -1"):
        Recipe(steps=-1)


def test_where_the_cache_is(monkeypatch: Any, tmp_path: Path) -> None:
    """In _build of a checkout; for an installed package, in the user's cache folder."""
    assert cache_root().parts[-2:] == ("_build", "checkpoints")
    monkeypatch.setattr(places, "_PACKAGE", tmp_path / "lib" / "site-packages" / "dpofield")
    monkeypatch.setattr(places.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_root() == tmp_path / "cache" / "dpofield" / "checkpoints"


def test_unknown_level() -> None:
    """The error lists the known levels."""
    with pytest.raises(ValueError, match="no SFT level 'medium'; there are weak, strong"):
        sft_checkpoint("medium")  # type: ignore[arg-type]
