"""Where the probability went: the runs of the plan "where-the-mass-goes", by prompt and by pair.

All pairs of these runs belong to the evaluated prompts, whose whole response set is scored before
and after. Frames have one row a prompt of a run, or one row a pair, with the run's columns beside.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import mannwhitneyu, spearmanr

from dpofield.experiments import stats
from dpofield.experiments.columns import per_pair, per_prompt
from dpofield.experiments.data import evaluated_prompts, world
from dpofield.experiments.stats import Interval

SETTING = ["sft_steps", "edit_distance", "source"]
"""The columns that the settings of the plan differ in."""

ROLES = ("preferred", "both", "dispreferred", "untrained", "off_grammar")
"""What training asked of a text: its role in the pairs of its prompt; or it is off the grammar."""

TRUTH = ("better", "w", "worse", "l", "off_grammar")
"""What a text is to a pair: `masses.Split`."""

DEFINITIONS = {
    "good": "a response at least as good as the preferred one became less likely",
    "reward": "expected true reward fell, off the grammar counted as the worst response",
    "on_grammar": "expected true reward fell, given a response on the grammar",
}
"""What makes the fall of a preferred response harmful: three readings, columns of `falls`."""

_WHEN = ("before", "after")
_TRAINED = ROLES[:3]


def by_role(runs: pd.DataFrame) -> pd.DataFrame:
    """One row an evaluated prompt: ROLE_before and ROLE_after, masses by `ROLES` that add to one.

    "both" are texts that one pair prefers and another disprefers. Besides, what `per_prompt` has,
    and `leader`: the role of the most likely text after, or "same" if it is that of before.
    """
    prompts = per_prompt(runs)
    texts = _texts(runs)
    place = pd.MultiIndex.from_frame(prompts[["key", "prompt"]])
    for when in _WHEN:
        for role in _TRAINED:
            here = texts[texts["role"] == role].groupby(["key", "prompt"])[when].sum()
            prompts[f"{role}_{when}"] = here.reindex(place, fill_value=0.0).to_numpy()
        trained = prompts[[f"{role}_{when}" for role in _TRAINED]].sum(axis=1)
        prompts[f"untrained_{when}"] = 1 - prompts[f"off_grammar_{when}"] - trained
    known = texts.set_index(["key", "prompt", "text"])["role"]
    top = pd.MultiIndex.from_frame(prompts[["key", "prompt", "top_response_after"]])
    leader = known.reindex(top).fillna("untrained").to_numpy()
    same = prompts["top_response_before"] == prompts["top_response_after"]
    return prompts.assign(leader=np.where(same, "same", leader))


def _texts(runs: pd.DataFrame) -> pd.DataFrame:
    """One row a trained text of an evaluated prompt: its role and its mass before and after."""
    pairs, sides = per_pair(runs), []
    for role, letter in (("preferred", "w"), ("dispreferred", "l")):
        side = pairs[["key", "prompt", role, f"mass_{letter}_before", f"mass_{letter}_after"]]
        sides.append(side.set_axis(["key", "prompt", "text", *_WHEN], axis=1).assign(role=role))
    groups = pd.concat(sides).dropna().groupby(["key", "prompt", "text"], sort=False)
    found = groups[[*_WHEN, "role"]].first()
    found["role"] = found["role"].where(groups["role"].nunique() == 1, "both")
    return found.reset_index()


def falls(runs: pd.DataFrame) -> pd.DataFrame:
    """One row a pair on an evaluated prompt: changes of masses, and what `DEFINITIONS` speak of.

    `d_NAME`: change of a mass of `masses.Split`. `fell`: the preferred is less likely than before.
    `good`: change of the probability of a response at least as good as the preferred, itself
    included. `reward`, `on_grammar`: change of the prompt's expected true reward, two ways.
    """
    pairs, prompts = per_pair(runs), per_prompt(runs)
    pairs = pairs[pairs["mass_w_before"].notna()].drop(columns="reward", errors="ignore")
    for name in TRUTH:
        pairs[f"d_{name}"] = pairs[f"mass_{name}_after"] - pairs[f"mass_{name}_before"]
    pairs["fell"] = pairs["d_w"] < 0
    pairs["good"] = pairs["d_w"] + pairs["d_better"]
    after, before = (
        with_off(prompts[f"reward_on_grammar_{w}"], prompts[f"off_grammar_{w}"])
        for w in _WHEN[::-1]
    )
    prompts = prompts.assign(
        reward=after - before,
        on_grammar=prompts["reward_on_grammar_after"] - prompts["reward_on_grammar_before"],
    )
    changes = prompts[["key", "prompt", "reward", "on_grammar"]]
    return pairs.merge(changes, on=["key", "prompt"])


def kind(pairs: pd.DataFrame, gain: str = "good") -> pd.Series:
    """Of every row of `falls`: "rises", "benign" or "harmful".

    A fall is harmful if the column `gain`, of `DEFINITIONS`, fell; else it is benign.
    """
    fallen = np.where(pairs[gain] < 0, "harmful", "benign")
    return pd.Series(np.where(pairs["fell"], fallen, "rises"), index=pairs.index, name="kind")


def worst_reward() -> float:
    """The lowest true reward that any response to an evaluated prompt has."""
    return min(float(world().rewards(prompt).min()) for prompt in evaluated_prompts(3))


def with_off(reward: Any, off: Any, worth: float | None = None) -> Any:
    """Expected true reward over everything, a text off the grammar being worth `worth`.

    `reward` is the expectation on the grammar, `off` the mass off it; `worth` is by default the
    lowest reward there is.

    >>> with_off(1.0, 0.25, worth=-3.0)
    0.0
    """
    return (1 - off) * reward + off * (worst_reward() if worth is None else worth)


def break_even(prompts: pd.DataFrame) -> Interval:
    """What a text off the grammar must be worth for the expected true reward to stay as it was.

    Of the means over all prompts (rows of `per_prompt` or `by_role`). Where mass left the grammar,
    training has raised the expectation if such a text is worth more than this.
    """
    on = [(1 - prompts[f"off_grammar_{w}"]) * prompts[f"reward_on_grammar_{w}"] for w in _WHEN]
    left = prompts["off_grammar_after"] - prompts["off_grammar_before"]

    def worth(gained: Any, lost: Any) -> float:
        return float(-gained.mean() / lost.mean())

    return stats.over_seeds(worth, prompts["seed"], on[1] - on[0], left)


def per_run(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """The mean of a column in every run: `SETTING`, seed, and the column."""
    by = frame.assign(**{column: frame[column].astype(float)})
    return by.groupby([*SETTING, "seed"], dropna=False)[column].mean().reset_index()


def rank_correlation(pairs: pd.DataFrame, x: str, y: str) -> pd.DataFrame:
    """Spearman's correlation of two columns within every run, as a column "rho" of `per_run`."""
    runs = pairs.groupby([*SETTING, "seed"], dropna=False)
    found = runs[[x, y]].apply(lambda own: spearmanr(own[x], own[y]).statistic)
    return found.rename("rho").reset_index()


def told_by(pairs: pd.DataFrame, score: str, happened: str) -> Interval:
    """Area under the ROC curve within a seed, mean over seeds: 0.5 is chance.

    The chance that a row of a seed where `happened` has the higher `score`. Seeds where it always
    or never happened say nothing.
    """
    areas = []
    for _, own in pairs.groupby("seed"):
        yes, no = own.loc[own[happened], score], own.loc[~own[happened], score]
        if len(yes) and len(no):
            areas.append(float(mannwhitneyu(yes, no).statistic / (len(yes) * len(no))))
    return stats.of_seeds(areas)


def by_setting(frame: pd.DataFrame, column: str) -> pd.Series:
    """The mean of a column in every setting of the plan, an `Interval` over seeds each.

    The index is `SETTING`, with "any" where the edit distance is left open.
    """
    means = per_run(frame, column)
    found = {
        (sft, "any" if np.isnan(edit) else int(edit), source): stats.of_seeds(own[column])
        for (sft, edit, source), own in means.groupby(SETTING, dropna=False)
    }
    return pd.Series(found, name=column).rename_axis(SETTING)


def effect_of(frame: pd.DataFrame, column: str, factor: str) -> Interval:
    """What one factor of `SETTING` changes: second level less first, paired within seeds.

    Levels are in order: fewer SFT steps first, one word apart before any, "grammar" before "model".
    A seed's difference is averaged over the settings of the other two factors.
    """
    means = per_run(frame, column)
    levels = means[factor].fillna(np.inf) if factor != "source" else means[factor]
    names = sorted(levels.unique())
    if len(names) != 2:
        raise ValueError(f"{factor} has {len(names)} levels here: an effect needs two")
    first, second = (means[levels == x].groupby("seed")[column].mean() for x in names)
    return stats.of_seeds(second - first)
