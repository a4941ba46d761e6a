"""Checks on recorded runs in which all responses were scored: where the mass goes."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd

from dpofield.experiments import stats
from dpofield.experiments.findings import where_the_mass_goes as mass
from dpofield.experiments.stats import Interval
from dpofield.experiments.tables import recorded


@lru_cache
def _pairs() -> pd.DataFrame:
    pairs = mass.falls(recorded("where-the-mass-goes"))
    for gain in mass.DEFINITIONS:
        pairs[f"harmful_{gain}"] = mass.kind(pairs, gain) == "harmful"
    return pairs


@lru_cache
def _prompts() -> pd.DataFrame:
    return mass.by_role(recorded("where-the-mass-goes"))


def _span(found: pd.Series) -> str:
    """The least and the greatest of the settings' means."""
    values = [i.value for i in found]
    return f"{min(values):.2f} to {max(values):.2f} in the mean of a setting"


def most_fall() -> str:
    """More than half of the preferred responses fall in every setting; as a group they do not."""
    fell = mass.by_setting(_pairs(), "fell")
    assert all(i.low > 0.5 for i in fell), f"{fell}"
    prompts, roles = _prompts(), ("preferred", "both")
    gain = sum(prompts[f"{r}_after"] - prompts[f"{r}_before"] for r in roles)
    group = mass.by_setting(prompts.assign(gain=gain), "gain")
    assert not any(i.high < 0 for i in group), f"{group}"
    return f"share that falls: {_span(fell)}; change of mass on all preferred texts: {_span(group)}"


def on_and_off_the_grammar() -> str:
    """Worse responses lose everywhere, reward on the grammar rises, and mass leaves the grammar."""
    worse, off, reward = (
        mass.by_setting(_pairs(), f"change_{c}")
        for c in ("worse", "off_grammar", "reward_on_grammar")
    )
    assert all(i.high < 0 for i in worse), f"{worse}"
    assert all(i.low > 0 for i in off), f"{off}"
    assert all(i.low > 0 for i in reward), f"{reward}"
    return f"mass off the grammar {_span(off)}; true reward on it {_span(reward)}"


def definitions() -> str:
    """Shares of harmful falls by three definitions, and how often they agree on a fall."""
    pairs = _pairs()
    fallen = pairs[pairs["fell"]]
    first, said = mass.kind(fallen), []
    for gain, label in mass.DEFINITIONS.items():
        found = mass.by_setting(pairs, f"harmful_{gain}")
        agree = float((mass.kind(fallen, gain) == first).mean())
        said.append(f"{label}: {_span(found)}, agreement {agree:.0%}")
        assert gain == "as_good" or 0.5 < agree < 0.85, (
            f"{gain} agrees with the first in {agree:.0%}"
        )
    fallen = fallen.assign(harmful=first == "harmful", size=-fallen["u"])
    leak, size = (mass.auc(fallen, score, "harmful") for score in ("change_off_grammar", "size"))
    assert leak.low > 0.7 and size.high < 0.6, f"leak {leak}, size of the fall {size}"  # noqa: PT018
    return "; ".join(said) + f"; AUC of the leak {leak}, of the size of the fall {size}"


def one_word_pairs() -> str:
    """The effect of edit distance on harmful falls, by the definitions `as_good` and `reward`."""
    found: dict[str, Interval] = {
        gain: mass.effect_of(_pairs(), f"harmful_{gain}", "edit_distance")
        for gain in ("as_good", "reward")
    }
    assert all(i.high < 0 for i in found.values()), f"{found}"
    sft = mass.effect_of(_pairs(), "harmful_as_good", "sft_steps")
    assert 0 in sft, f"strong SFT less weak: {sft}"
    said = "; ".join(f"{mass.DEFINITIONS[gain]} {i}" for gain, i in found.items())
    return f"independent less one word: {said}; strong SFT less weak: as good {sft}"


def squeeze() -> str:
    """How often the most likely response stays so and gains mass; which one leads otherwise."""
    prompts = _prompts()
    more = prompts["top_mass_after"] > prompts["top_mass_before"]
    kept = (prompts["leader"] == "same") & more
    share = stats.of_seeds(kept.groupby(prompts["seed"]).mean())
    stranger = stats.of_seeds((prompts["leader"] == "untrained").groupby(prompts["seed"]).mean())
    assert share.high < 0.15, f"{share}"
    assert kept.any()
    assert more.mean() > 0.8, f"{more.mean():.0%} of leaders have more mass than the old one had"
    assert stranger.low > 0.5, f"{stranger}"
    return f"in {share} of prompts (mean over seeds); the new leader is in no pair in {stranger}"
