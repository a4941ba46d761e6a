"""How training moves probability, from the runs of the plan "where-the-mass-goes".

All pairs of these runs have evaluated prompts, for which every response is scored before and after
training. Frames have one row per prompt of a run, or one row per pair, with the run's columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from dpofield.experiments import stats
from dpofield.experiments.columns import per_pair, per_prompt
from dpofield.experiments.data import evaluated_prompts, world
from dpofield.experiments.stats import Interval

SETTING = ["sft_steps", "edit_distance", "source"]
"""The columns that identify a setting of the plan."""

ROLES = ("preferred", "both", "dispreferred", "untrained", "off_grammar")
"""Roles of a text in the trained pairs of its prompt, and "off_grammar" for the other texts."""

TRUTH = ("better", "w", "worse", "l", "off_grammar")
"""Roles of a text relative to one pair: the fields of `masses.Split`."""

DEFINITIONS = {"as_good": "as good", "reward": "reward", "reward_on_grammar": "on the grammar"}
"""Three definitions of a harmful fall of a preferred response: key -> label.

The fall is harmful if the column `change_KEY` of `falls` is negative:

- `as_good`: total probability of the preferred response and all responses with a higher reward
- `reward`: expected true reward; texts off the grammar have the lowest reward of all responses
- `reward_on_grammar`: expected true reward, given that the response is on the grammar
"""

_WHEN = ("before", "after")
_TRAINED = ROLES[:3]


def by_role(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per evaluated prompt: ROLE_before and ROLE_after, the mass of each of `ROLES`.

    The masses add up to 1. A text has the role "both" if it is preferred in one pair and
    dispreferred in another. Other columns are those of `per_prompt`, and `leader`: the role of the
    most likely text after training, or "same" if it was the most likely before.
    """
    prompts = per_prompt(runs)
    texts = _texts(runs)
    place = pd.MultiIndex.from_frame(prompts[["key", "prompt"]])
    for when in _WHEN:
        for role in _TRAINED:
            sums = texts[texts["role"] == role].groupby(["key", "prompt"])[when].sum()
            prompts[f"{role}_{when}"] = sums.reindex(place, fill_value=0.0).to_numpy()
        trained = prompts[[f"{role}_{when}" for role in _TRAINED]].sum(axis=1)
        prompts[f"untrained_{when}"] = 1 - prompts[f"off_grammar_{when}"] - trained
    known = texts.set_index(["key", "prompt", "text"])["role"]
    top = pd.MultiIndex.from_frame(prompts[["key", "prompt", "top_response_after"]])
    leader = known.reindex(top).fillna("untrained").to_numpy()
    same = prompts["top_response_before"] == prompts["top_response_after"]
    return prompts.assign(leader=np.where(same, "same", leader))


def _texts(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per text in a trained pair of an evaluated prompt: its role and its two masses."""
    pairs, sides = per_pair(runs), []
    for role, letter in (("preferred", "w"), ("dispreferred", "l")):
        side = pairs[["key", "prompt", role, f"mass_{letter}_before", f"mass_{letter}_after"]]
        sides.append(side.set_axis(["key", "prompt", "text", *_WHEN], axis=1).assign(role=role))
    groups = pd.concat(sides).dropna().groupby(["key", "prompt", "text"], sort=False)
    found = groups[[*_WHEN, "role"]].first()
    found["role"] = found["role"].where(groups["role"].nunique() == 1, "both")
    return found.reset_index()


def falls(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per pair with an evaluated prompt: changes of masses and of rewards.

    `change_NAME`: change of a mass of `masses.Split`. `fell`: whether the preferred response became
    less likely. `change_as_good`: change of the total probability of the preferred response and
    all responses with a higher reward. `change_reward`, `change_reward_on_grammar`: change of the
    prompt's expected true reward, with and without texts off the grammar.
    """
    pairs, prompts = per_pair(runs), per_prompt(runs)
    pairs = pairs[pairs["mass_w_before"].notna()].copy()
    for name in TRUTH:
        pairs[f"change_{name}"] = pairs[f"mass_{name}_after"] - pairs[f"mass_{name}_before"]
    pairs["fell"] = pairs["change_w"] < 0
    pairs["change_as_good"] = pairs["change_w"] + pairs["change_better"]
    after, before = (
        with_off_grammar(prompts[f"reward_on_grammar_{w}"], prompts[f"off_grammar_{w}"])
        for w in _WHEN[::-1]
    )
    prompts = prompts.assign(
        change_reward=after - before,
        change_reward_on_grammar=prompts["reward_on_grammar_after"]
        - prompts["reward_on_grammar_before"],
    )
    changes = prompts[["key", "prompt", "change_reward", "change_reward_on_grammar"]]
    return pairs.merge(changes, on=["key", "prompt"])


def kind(pairs: pd.DataFrame, gain: str = "as_good") -> pd.Series:
    """The kind of every row of `falls`: "rises", "benign" or "harmful".

    `gain` is a key of `DEFINITIONS`; a fall is harmful by this definition, or benign.
    """
    fallen = np.where(pairs[f"change_{gain}"] < 0, "harmful", "benign")
    return pd.Series(np.where(pairs["fell"], fallen, "rises"), index=pairs.index, name="kind")


def worst_reward() -> float:
    """The lowest true reward of all responses to the evaluated prompts."""
    return min(float(world().rewards(prompt).min()) for prompt in evaluated_prompts(3))


def with_off_grammar(reward: Any, off_grammar: Any, worth: float | None = None) -> Any:
    """Expected true reward over all texts, if a text off the grammar has the reward `worth`.

    `reward` is the expected reward on the grammar, and `off_grammar` the mass off it. `worth` is
    `worst_reward()` by default.

    >>> with_off_grammar(1.0, 0.25, worth=-3.0)
    0.0
    """
    return (1 - off_grammar) * reward + off_grammar * (worst_reward() if worth is None else worth)


def break_even(prompts: pd.DataFrame) -> Interval:
    """The reward of a text off the grammar for which training keeps the expected true reward.

    It is computed from means over all prompts (rows of `per_prompt` or `by_role`). If mass left the
    grammar, training raised the expected reward for any higher reward of such a text.
    """
    on = [(1 - prompts[f"off_grammar_{w}"]) * prompts[f"reward_on_grammar_{w}"] for w in _WHEN]
    left = prompts["off_grammar_after"] - prompts["off_grammar_before"]

    def worth(gained: Any, lost: Any) -> float:
        return float(-gained.mean() / lost.mean())

    return stats.over_seeds(worth, prompts["seed"], on[1] - on[0], left)


def per_run(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """The mean of a column in each run, with the columns of `SETTING` and the seed."""
    by = frame.assign(**{column: frame[column].astype(float)})
    return by.groupby([*SETTING, "seed"], dropna=False)[column].mean().reset_index()


def rank_correlation(pairs: pd.DataFrame, x: str, y: str) -> pd.DataFrame:
    """Spearman's correlation of two columns within each run: `per_run` with the column "rho"."""
    runs = pairs.groupby([*SETTING, "seed"], dropna=False)
    found = runs[[x, y]].apply(lambda own: stats.rho(own[x], own[y]))
    return found.rename("rho").reset_index()


def auc(pairs: pd.DataFrame, score: str, happened: str) -> Interval:
    """Area under the ROC curve of `score` for the event `happened`, averaged over seeds.

    Only rows of the same seed are compared; 0.5 means no relation. Seeds in which all rows or no
    rows have the event are left out.
    """
    return stats.of_seeds(stats.within(pairs, [], stats.auc, score, happened))


def by_setting(frame: pd.DataFrame, column: str) -> pd.Series:
    """The mean of a column in each setting of the plan, as an `Interval` over seeds.

    The index is `SETTING`, with "any" for the edit distance None.
    """
    means = per_run(frame, column)
    found = {
        (sft, "any" if np.isnan(edit) else int(edit), source): stats.of_seeds(own[column])
        for (sft, edit, source), own in means.groupby(SETTING, dropna=False)
    }
    return pd.Series(found, name=column).rename_axis(SETTING)


def effect_of(frame: pd.DataFrame, column: str, factor: str) -> Interval:
    """The effect of one factor of `SETTING`: second level minus first level, paired by seed.

    The first level has fewer SFT steps, edit distance 1, or the source "grammar". The difference of
    a seed is averaged over the settings of the other two factors.
    """
    means = per_run(frame, column)
    levels = means[factor].fillna(np.inf) if factor != "source" else means[factor]
    names = sorted(levels.unique())
    if len(names) != 2:
        raise ValueError(f"{factor} has {len(names)} levels in this table: an effect needs two")
    first, second = (means[levels == x].groupby("seed")[column].mean() for x in names)
    return stats.of_seeds(second - first)
