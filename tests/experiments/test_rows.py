"""The numbers of a row, each compared with a second computation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from dpofield.experiments import one_run
from dpofield.experiments import rows as measuring
from dpofield.experiments.check import difference
from dpofield.experiments.columns import MEANING, PATH, path, per_pair, per_prompt, schema
from dpofield.experiments.config import Config
from dpofield.experiments.data import draw
from dpofield.experiments.provenance import code_hash
from dpofield.experiments.rows import attempt, measure
from dpofield.formulas import LOSSES
from dpofield.lab.batch import encode
from dpofield.lab.checkpoint import starting_model
from dpofield.lab.kernel import gram, gram_matrix, predicted_change, slopes
from dpofield.lab.logprobs import reference_logprobs, sequence_logprobs
from dpofield.lab.motion import PARTS, Motion
from dpofield.lab.settings import Training
from dpofield.lab.training import dpo
from dpofield.lab.world import World
from tests.experiments.conftest import tiny


def test_a_row_has_every_column(row: dict[str, Any]) -> None:
    """A row has exactly the columns of `MEANING`."""
    assert set(row) == set(MEANING) == set(schema().names)
    assert all(MEANING.values())
    assert row["key"] == tiny(prompts="evaluated", keep_paths=True).key
    assert row["code_hash"] == code_hash()
    assert row["error"] is None
    assert row["wall_s"] > 0
    assert Config.from_flat(row).key == row["key"]


def test_before_training(row: dict[str, Any], models: Path) -> None:
    """Log-probabilities and kernel agree with the reference implementations."""
    config = Config.from_flat(row)
    model, tokenizer = starting_model(config.recipe, root=models, progress=False)
    pairs = draw(config, model, tokenizer)
    batch = encode(tokenizer, pairs)
    assert row["pair_preferred"] == [pair.preferred for pair in pairs]
    rows = (batch.input_ids, batch.attention_mask, batch.response_mask)
    values = sequence_logprobs(model, *rows).detach().numpy()
    np.testing.assert_allclose(row["pair_ref_logp_w"] + row["pair_ref_logp_l"], values, rtol=1e-5)
    K = gram(model, batch, method="plain", progress=False)
    for name, expected in zip(("kernel_ww", "kernel_wl", "kernel_ll"), K, strict=True):
        np.testing.assert_allclose(row[f"pair_{name}"], expected, rtol=1e-3)
        assert row[name] == pytest.approx(float(np.mean(row[f"pair_{name}"])))
    np.testing.assert_allclose(row["pair_gradient_cosine"], K.cosine, rtol=1e-3)


def test_after_training(row: dict[str, Any], models: Path) -> None:
    """u, v and the paths agree with a direct call of `dpo`."""
    config = Config.from_flat(row)
    model, tokenizer = starting_model(config.recipe, root=models, progress=False)
    batch = encode(tokenizer, draw(config, model, tokenizer))
    reference = torch.tensor(row["pair_ref_logp_w"] + row["pair_ref_logp_l"])
    settings = Training(steps=4, batch=3, lr=1e-4, seed=0, record_every=2)
    run = dpo(model, reference.float(), batch, settings, progress=False)
    np.testing.assert_allclose(row["pair_u"], run.u[-1], atol=1e-6)
    np.testing.assert_allclose(row["pair_v"], run.v[-1], atol=1e-6)
    series = pd.Series(row)
    for name in ("step", "u", "v", "loss"):
        np.testing.assert_allclose(path(series, name), getattr(run, name), atol=1e-6)
    np.testing.assert_allclose(path(series, "dloss_dx1"), run.dx1, atol=1e-6)
    np.testing.assert_allclose(path(series, "dloss_dx2"), run.dx2, atol=1e-6)


def test_the_parts_of_a_path(row: dict[str, Any], models: Path) -> None:
    """The parts of the law of motion agree with a direct use of `Motion`."""
    config = Config.from_flat(row)
    model, tokenizer = starting_model(config.recipe, root=models, progress=False)
    batch = encode(tokenizer, draw(config, model, tokenizer))
    motion = Motion(model, batch)
    settings = Training(steps=4, batch=3, lr=1e-4, seed=0, record_every=2)
    reference = reference_logprobs(model, batch)
    run = dpo(model, reference, batch, settings, watch=motion, progress=False)
    series = pd.Series(row)
    assert set(PATH) == {"step", "u", "v", "loss", "dloss_dx1", "dloss_dx2"} | {
        f"{part}_{letter}" for part in PARTS for letter in "uv"
    }
    for part, sums in motion.sums.items():
        both = np.hstack([path(series, f"{part}_{letter}") for letter in "uv"])
        np.testing.assert_allclose(both, sums[run.step], atol=1e-6)
    moved = np.hstack([path(series, "u"), path(series, "v")])[-1]
    first = np.hstack([path(series, "first_order_u"), path(series, "first_order_v")])[-1]
    np.testing.assert_allclose(first, moved, atol=0.02 * np.abs(moved).max())


def test_the_first_push(models: Path) -> None:
    """The first-order change of every response agrees with the batch law and the plain kernel."""
    config = tiny(batch=5)
    found = measure(config, models)
    model, tokenizer = starting_model(config.recipe, root=models, progress=False)
    batch = encode(tokenizer, draw(config, model, tokenizer))
    kernel = gram_matrix(model, batch, method="plain", progress=False)
    law = predicted_change(kernel, *slopes("dpo", np.zeros(5), np.zeros(5), beta=0.1), 1.0)
    for name, expected in zip(("push_w", "push_l"), law, strict=True):
        np.testing.assert_allclose(found[f"pair_{name}"], expected, rtol=1e-3, atol=1e-5)


def test_masses_of_a_run(row: dict[str, Any]) -> None:
    """The five masses per pair add up to 1; two of them follow from other columns."""
    for when in ("before", "after"):
        parts = [
            row[f"pair_mass_{name}_{when}"] for name in ("w", "l", "better", "worse", "off_grammar")
        ]
        np.testing.assert_allclose(np.sum(parts, axis=0), 1, atol=1e-5)
    np.testing.assert_allclose(row["pair_mass_w_before"], np.exp(row["pair_ref_logp_w"]), rtol=1e-4)
    moved = np.exp(np.add(row["pair_ref_logp_w"], row["pair_u"]))
    np.testing.assert_allclose(row["pair_mass_w_after"], moved, rtol=1e-4)
    assert row["kl_on_grammar"] + row["kl_off_grammar_bound"] > 0


def test_nothing_has_moved_without_a_step(models: Path) -> None:
    """With a learning rate of almost 0, KL, u and v are 0 and no margin is reached; it is said."""
    with pytest.warns(RuntimeWarning, match="moved no weight"):
        found = measure(tiny(lr=1e-30), models)
    assert found["kl_on_grammar"] == found["kl_off_grammar_bound"] == found["u"] == found["v"] == 0
    assert found["reward_on_grammar_before"] == found["reward_on_grammar_after"]
    assert found["prompt_top_response_before"] == found["prompt_top_response_after"]
    assert np.isnan(found["steps_to_margin_2"])
    assert found["u_at_margin_2"] is None


def test_matched_margins(models: Path) -> None:
    """The mean of u - v at a margin is that margin; own steps are those of the pair's path."""
    found = measure(tiny(lr=3e-2, steps=12, record_every=1, keep_paths=True), models)
    assert found["u_at_margin_2"] - found["v_at_margin_2"] == pytest.approx(2)
    series = pd.Series(found)
    own = (path(series, "u") - path(series, "v"))[:, 0]
    assert own[int(np.ceil(found["pair_own_steps_to_margin_2"][0]))] >= 2 > own[0]


def test_rows_are_the_same_again(row: dict[str, Any], models: Path) -> None:
    """A repetition is equal bit for bit, for any number of torch threads before it."""
    torch.set_num_threads(2)
    again = measure(Config.from_flat(row), models)
    assert torch.get_num_threads() == 1
    assert difference(row, again) == (0.0, "")


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_prompts_that_no_pair_is_about(architecture: Any, models: Path, world: World) -> None:
    """Masses are nan for pairs whose prompt is not evaluated, and their means are missing."""
    found = measure(tiny(architecture=architecture, evaluated=0), models)
    assert np.isnan(found["pair_mass_w_after"]).all()
    assert found["mass_w_after"] is None
    assert found["prompt_kl_on_grammar"] == []
    assert found["kl_on_grammar"] is None


@pytest.mark.parametrize(
    "loss",
    [{"loss": "dpop", "params": {"lam": 5.0}}, {"loss": "rpo"}, {"loss": "orpo"}],
)
def test_losses_with_their_own_arguments(models: Path, loss: dict[str, Any]) -> None:
    """Training uses the loss's parameters and the pairs' data: the first loss is the formula's."""
    config = tiny(**loss, keep_paths=True)
    found = measure(config, models)
    data = {"ref_w": "ref_logp_w", "ref_l": "ref_logp_l", "len_w": "len_w", "len_l": "len_l"}
    needed = {p.name: found[f"pair_{data[p.name]}"] for p in LOSSES[config.loss].inputs}
    expected = LOSSES[config.loss].numpy(0.0, 0.0, **config.params, **needed)
    first = path(pd.Series(found), "loss")[0]
    np.testing.assert_allclose(first, np.broadcast_to(expected, first.shape), rtol=1e-5)


def test_a_failure_is_a_row(monkeypatch: pytest.MonkeyPatch, models: Path) -> None:
    """The row has the configuration, and the error with the line that raised it."""

    def broken(*_: Any) -> Any:
        raise FloatingPointError("not finite at step 3")

    monkeypatch.setattr(one_run, "draw", broken)
    found = attempt(tiny(seed=9), models)
    assert found["error"].startswith("FloatingPointError: not finite at step 3 (test_rows.py:")
    assert Config.from_flat(found) == tiny(seed=9)
    assert "u" not in found


def test_long_tables(row: dict[str, Any], models: Path) -> None:
    """One row per pair or prompt, with the run's columns; failed runs have no rows."""
    failed = measuring.failure(tiny(), "no")
    runs = pd.DataFrame([row, failed], columns=list(MEANING))
    pairs, prompts = per_pair(runs), per_prompt(runs)
    assert len(pairs) == 5
    assert len(prompts) == 1
    assert pairs["u"].tolist() == row["pair_u"]
    assert pairs["preferred"].tolist() == row["pair_preferred"]
    assert set(pairs["seed"]) == {0}
    assert prompts["prompt"].tolist() == row["prompt_prompt"]
    assert not [name for name in pairs if name.startswith(("pair_", "prompt_", "path_"))]
    with pytest.raises(ValueError, match="kept no paths: set keep_paths"):
        path(runs.iloc[1], "u")
