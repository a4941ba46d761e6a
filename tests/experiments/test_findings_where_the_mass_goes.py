"""Where the mass goes: masses by role, kinds of falls, effects in synthetic tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from dpofield.experiments.config import Config
from dpofield.experiments.findings import where_the_mass_goes as mass
from tests.experiments.made_runs import pair, run, table

PROMPT = "soup at the harbour :"


def masses(before: tuple[float, ...], after: tuple[float, ...]) -> dict[str, float]:
    """The columns of a pair's five masses, in the order w, l, better, worse, off_grammar."""
    names = ("w", "l", "better", "worse", "off_grammar")
    return {
        f"mass_{name}_{when}": value
        for when, values in (("before", before), ("after", after))
        for name, value in zip(names, values, strict=True)
    }


def prompt(**numbers: Any) -> dict[str, Any]:
    base = {"prompt": PROMPT, "off_grammar_before": 0.1, "off_grammar_after": 0.1,
            "reward_on_grammar_before": 0.0, "reward_on_grammar_after": 0.0,
            "top_response_before": "a", "top_response_after": "a",
            "top_mass_before": 0.3, "top_mass_after": 0.3}  # fmt: skip
    return base | numbers


def one(seed: int = 0, **changes: Any) -> Config:
    return Config(prompts="evaluated", seed=seed, sft_seed=seed, pairs_seed=seed, **changes)


def test_roles_share_out_all_probability() -> None:
    """A text in several pairs counts once; a text on both sides has the role "both"."""
    row = run(
        one(),
        [
            pair(PROMPT, "a", "b", **masses((0.3, 0.2, 0.1, 0.3, 0.1), (0.1, 0.1, 0.2, 0.5, 0.1))),
            pair(PROMPT, "a", "c", **masses((0.3, 0.1, 0.1, 0.4, 0.1), (0.1, 0.2, 0.2, 0.4, 0.1))),
            pair(PROMPT, "c", "b", **masses((0.1, 0.2, 0.3, 0.3, 0.1), (0.2, 0.1, 0.2, 0.4, 0.1))),
        ],
        [prompt(top_response_after="z", top_mass_after=0.4)],
    )
    (found,) = mass.by_role(table([row])).to_dict("records")
    for when, parts in (
        ("before", (0.3, 0.1, 0.2, 0.3, 0.1)),
        ("after", (0.1, 0.2, 0.1, 0.5, 0.1)),
    ):
        got = [found[f"{role}_{when}"] for role in mass.ROLES]
        assert got == pytest.approx(parts)
        assert sum(got) == pytest.approx(1)
    assert found["leader"] == "untrained"


FALLS = {
    # Name -> masses before and after, and the kind of the fall.
    "to better ones": ((0.2, 0.1, 0.2, 0.4, 0.1), (0.1, 0.1, 0.35, 0.35, 0.1), "benign"),
    "to worse ones": ((0.2, 0.1, 0.2, 0.4, 0.1), (0.1, 0.1, 0.2, 0.5, 0.1), "harmful"),
    "off the grammar": ((0.2, 0.1, 0.2, 0.4, 0.1), (0.1, 0.1, 0.2, 0.4, 0.2), "harmful"),
    "half to better ones": ((0.2, 0.1, 0.2, 0.4, 0.1), (0.1, 0.1, 0.25, 0.4, 0.15), "harmful"),
    "it rose": ((0.2, 0.1, 0.2, 0.4, 0.1), (0.3, 0.1, 0.2, 0.3, 0.1), "rises"),
}


@pytest.mark.parametrize("name", FALLS)
def test_a_fall_is_judged_by_where_the_mass_went(name: str) -> None:
    before, after, expected = FALLS[name]
    row = run(one(), [pair(PROMPT, "a", "b", **masses(before, after))], [prompt()])
    pairs = mass.falls(table([row]))
    assert list(mass.kind(pairs)) == [expected]


def test_what_leaves_the_grammar_is_seen_by_one_definition_only() -> None:
    """If reward on the grammar rises while mass leaves it, only that definition is benign."""
    row = run(
        one(),
        [pair(PROMPT, "a", "b", **masses((0.2, 0.1, 0.2, 0.4, 0.1), (0.1, 0.1, 0.2, 0.1, 0.5)))],
        [prompt(off_grammar_after=0.5, reward_on_grammar_after=1.0)],
    )
    pairs = mass.falls(table([row]))
    assert list(mass.kind(pairs, "reward_on_grammar")) == ["benign"]
    assert list(mass.kind(pairs, "reward")) == list(mass.kind(pairs, "as_good")) == ["harmful"]


def test_pairs_on_other_prompts_are_left_out() -> None:
    """`falls` has no row for a pair without masses."""
    seen = pair(PROMPT, "a", "b", **masses((0.2, 0.1, 0.2, 0.4, 0.1), (0.1, 0.1, 0.3, 0.4, 0.1)))
    row = run(one(), [seen, pair("pie at the mill :", "c", "d")], [prompt()])
    assert len(mass.falls(table([row]))) == 1


def grid(effect: dict[str, float]) -> pd.DataFrame:
    """One value per run, with large differences between seeds and an effect per factor."""
    rows = []
    for seed in range(10):
        noise = np.random.default_rng(seed)
        for sft in (100, 600):
            for edit in (1.0, np.nan):
                for source in ("grammar", "model"):
                    value = 10 * seed + 0.1 * noise.normal()
                    value += effect.get("sft_steps", 0) * (sft == 600)
                    value += effect.get("edit_distance", 0) * np.isnan(edit)
                    value += effect.get("source", 0) * (source == "model")
                    rows.append((seed, sft, edit, source, value))
    return pd.DataFrame(rows, columns=["seed", *mass.SETTING, "value"])


def test_effects_are_found_within_seeds_and_not_elsewhere() -> None:
    """Differences between seeds do not hide effects; a factor without effect has none."""
    frame = grid({"edit_distance": 1.0, "source": -2.0})
    assert 0 in mass.effect_of(frame, "value", "sft_steps")
    assert mass.effect_of(frame, "value", "edit_distance").value == pytest.approx(1, abs=0.1)
    assert mass.effect_of(frame, "value", "source").high < -1.8
    with pytest.raises(ValueError, match="1 levels"):
        mass.effect_of(frame[frame["source"] == "model"], "value", "source")


def test_the_mean_of_a_setting() -> None:
    """Each setting has its own interval, from its own runs."""
    found = mass.by_setting(grid({"source": 100.0}), "value").map(lambda x: x.value)
    assert len(found) == 8
    gap = found.xs("model", level="source") - found.xs("grammar", level="source")
    assert gap.to_numpy() == pytest.approx(100, abs=1)
    assert set(found.index.get_level_values("edit_distance")) == {1, "any"}


def test_break_even_is_where_the_expectation_stays() -> None:
    """With the reward from `break_even`, the expected reward is equal before and after."""
    rows = [
        {
            "seed": s,
            "off_grammar_before": 0.2,
            "off_grammar_after": 0.5,
            "reward_on_grammar_before": 0.1,
            "reward_on_grammar_after": 1.0,
        }
        for s in range(4)
    ]
    worth = mass.break_even(pd.DataFrame(rows))
    assert mass.with_off_grammar(0.1, 0.2, worth.value) == pytest.approx(
        mass.with_off_grammar(1.0, 0.5, worth.value)
    )
    assert worth.low == pytest.approx(worth.high)


def test_correlation_within_runs_only() -> None:
    """Differences between runs have no effect on the correlation within runs."""
    rows = []
    for seed in range(3):
        for i in range(6):
            setting = {"sft_steps": 100, "edit_distance": np.nan, "source": "grammar"}
            rows.append(setting | {"seed": seed, "x": 100 * seed + i, "y": 100 * seed - i})
    found = mass.rank_correlation(pd.DataFrame(rows), "x", "y")
    assert list(found["rho"]) == pytest.approx([-1.0, -1.0, -1.0])


def test_a_score_is_judged_within_seeds() -> None:
    """AUC is 1 if the score is perfect within seeds, for any differences between seeds."""
    rows = [
        {"seed": seed, "score": 10.0 * seed + happened, "noise": 1.0, "happened": happened}
        for seed in range(3)
        for happened in (True, False)
    ]
    frame = pd.DataFrame([*rows, {"seed": 9, "score": 0.0, "noise": 1.0, "happened": True}])
    assert mass.auc(frame, "score", "happened") == (1.0, 1.0, 1.0)
    assert mass.auc(frame, "noise", "happened") == (0.5, 0.5, 0.5)
