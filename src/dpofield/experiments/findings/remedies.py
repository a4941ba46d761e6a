"""Losses compared on the same pairs: outcomes, cost, and a fair choice of the learning rate.

Runs of the plan "remedies" differ in loss and learning rate. Cross-fitting chooses the rate: for
each seed, the rate is chosen on the other seeds, so the choice does not use the outcome that is
then compared.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from dpofield.experiments import stats
from dpofield.experiments.columns import per_pair
from dpofield.experiments.config import Config
from dpofield.experiments.findings.where_the_mass_goes import with_off_grammar, worst_reward
from dpofield.experiments.stats import Interval
from dpofield.formulas import LOSSES
from dpofield.formulas.losses.classify import at_start

PRICE = 0.1
"""Reward that is subtracted per nat of KL to the reference: the beta of the RLHF objective."""

OUTCOMES = {
    "objective": "reward minus 0.1 per nat of KL",
    "reward": "expected true reward; texts off the grammar have the lowest reward of all responses",
    "reward_on_grammar": "expected true reward, given that the response is on the grammar",
    "off_grammar": "total probability of all texts off the grammar",
    "kl": "lower bound on KL to the reference, in nats",
    "u": "change of log pi(yw | x), in nats",
    "v": "change of log pi(yl | x), in nats",
    "margin": "u - v, in nats",
    "fell": "share of pairs whose preferred response became less likely (u < 0)",
    "cpu_s": "processor time, in seconds",
}
"""Outcome of a run -> its meaning."""


def outcomes(runs: pd.DataFrame, off_reward: float | None = None) -> pd.DataFrame:
    """One row per run: loss, lr, seed, and `OUTCOMES` as means over evaluated prompts or pairs.

    `off_reward` is the reward of a text off the grammar, by default the lowest reward of all
    responses.
    """
    worth = worst_reward() if off_reward is None else off_reward
    found = runs[["loss", "lr", "seed", "u", "v", "cpu_s"]].copy()
    lists = {
        name: [np.asarray(cell, dtype=float) for cell in runs[f"prompt_{name}"]]
        for name in ("reward_on_grammar_after", "off_grammar_after")
    }
    found["reward"] = [
        float(with_off_grammar(r, off, worth).mean())
        for r, off in zip(lists["reward_on_grammar_after"], lists["off_grammar_after"], strict=True)
    ]
    found["reward_on_grammar"] = runs["reward_on_grammar_after"]
    found["off_grammar"] = runs["off_grammar_after"]
    found["kl"] = runs["kl_on_grammar"] + runs["kl_off_grammar_bound"]
    found["objective"] = found["reward"] - PRICE * found["kl"]
    found["margin"] = found["u"] - found["v"]
    found["fell"] = [float(np.mean(np.asarray(u, dtype=float) < 0)) for u in runs["pair_u"]]
    return found


def crossfit(table: pd.DataFrame, criterion: str = "objective") -> pd.DataFrame:
    """The row of every loss and seed at the learning rate that is best on the other seeds.

    The best rate has the highest mean of the column `criterion`. Raises `ValueError` unless all
    rates of a loss have the same seeds, and at least two.

    >>> rows = [("a", lr, s, lr + s) for lr in (1.0, 2.0) for s in range(3)]
    >>> chosen = crossfit(pd.DataFrame(rows, columns=["loss", "lr", "seed", "objective"]))
    >>> set(chosen["lr"])
    {2.0}
    """
    kept = []
    for loss, own in table.groupby("loss", sort=False):
        wide = own.pivot(index="seed", columns="lr", values=criterion)
        if wide.isna().any(axis=None) or len(wide) < 2:
            raise ValueError(f"loss {loss!r}: every rate needs the same seeds, at least two")
        others = (wide.sum() - wide) / (len(wide) - 1)
        best = others.idxmax(axis=1)
        kept.append(own[own["lr"] == own["seed"].map(best)])
    return pd.concat(kept, ignore_index=True)


def against(table: pd.DataFrame, column: str, loss: str, other: str = "dpo") -> Interval:
    """Mean difference `loss` minus `other`, paired by seed; one row per loss and seed."""
    wide = table.pivot(index="seed", columns="loss", values=column)
    return stats.of_seeds(wide[loss] - wide[other])


def summary(table: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """Mean of each column for each loss: rows are losses, and cells are `Interval`s."""
    return pd.DataFrame(
        {
            name: {
                loss: stats.of_seeds(own[name]) for loss, own in table.groupby("loss", sort=False)
            }
            for name in columns
        }
    )


def seeds_above(table: pd.DataFrame, column: str, loss: str, other: str = "dpo") -> int:
    """The number of seeds for which a column is higher for `loss` than for `other`."""
    wide = table.pivot(index="seed", columns="loss", values=column)
    return int((wide[loss] > wide[other]).sum())


def rank_over_losses(table: pd.DataFrame, column: str, predictor: pd.Series) -> Interval:
    """Spearman's correlation over losses of `predictor` (one number per loss) and mean `column`.

    `table` has one row per loss and seed. Seeds are resampled, and losses are not.

    >>> rows = [(x, s, ord(x) + s) for x in "abc" for s in range(3)]
    >>> made = pd.DataFrame(rows, columns=["loss", "seed", "u"])
    >>> print(rank_over_losses(made, "u", pd.Series({"a": 1.0, "b": 2.0, "c": 3.0})))
    1 [1, 1]
    """
    wide = table.pivot(index="seed", columns="loss", values=column)[list(predictor.index)]

    def rho(*values: Any) -> float:
        return stats.rho(predictor, np.mean(values, axis=1))

    return stats.over_seeds(rho, wide.index, *(wide[loss] for loss in wide))


def at_kl(table: pd.DataFrame, start: pd.DataFrame, column: str, budget: float) -> pd.DataFrame:
    """`column` at the KL `budget`, per loss and seed, interpolated between learning rates.

    The start (KL 0; `start` has one row per seed) and the runs with different rates are ordered by
    KL, and `column` is interpolated linearly between them. nan if no run reaches the budget.
    """
    rows = []
    begins = start.set_index("seed")[column]
    for (loss, seed), own in table.groupby(["loss", "seed"], sort=False):
        own = own.sort_values("kl")
        kl, values = [0.0, *own["kl"]], [float(begins[seed]), *own[column]]
        value = float(np.interp(budget, kl, values)) if max(kl) >= budget else float("nan")
        rows.append({"loss": loss, "seed": seed, column: value})
    return pd.DataFrame(rows)


def starts(runs: pd.DataFrame, off_reward: float | None = None) -> pd.DataFrame:
    """One row per seed: the columns of `outcomes` that the model before training has."""
    worth = worst_reward() if off_reward is None else off_reward
    first = runs.drop_duplicates("seed")
    total = [
        float(with_off_grammar(np.asarray(r, float), np.asarray(off, float), worth).mean())
        for r, off in zip(
            first["prompt_reward_on_grammar_before"],
            first["prompt_off_grammar_before"],
            strict=True,
        )
    ]
    return pd.DataFrame(
        {
            "seed": first["seed"].to_numpy(), "reward": total, "objective": total,
            "reward_on_grammar": first["reward_on_grammar_before"].to_numpy(),
            "off_grammar": first["off_grammar_before"].to_numpy(),
            "kl": 0.0, "u": 0.0, "v": 0.0,
        }
    )  # fmt: skip


def tilt_at_start(runs: pd.DataFrame) -> pd.Series:
    """For each loss, the push on the preferred over the push on the dispreferred, at u = v = 0.

    Both pushes are means over the pairs of all seeds, because some losses depend on the pair's
    reference log-probabilities or lengths. The ratio is 1 for a loss that depends on the margin
    only, and above 1 for a loss that favours the preferred response.
    """
    found = {}
    for name, own in runs.groupby("loss", sort=False):
        loss, row = LOSSES[str(name)], own.iloc[0]
        pairs = per_pair(own[own["lr"] == own["lr"].iloc[0]])
        given = {"ref_w": pairs["ref_logp_w"], "ref_l": pairs["ref_logp_l"]}
        given |= {"len_w": pairs["len_w"], "len_l": pairs["len_l"]}
        wanted = {p.name for p in loss.inputs}
        fixed = Config.from_flat(row).params
        if not wanted:
            up, down = at_start(loss, **fixed)
        else:
            columns = pd.DataFrame({n: x for n, x in given.items() if n in wanted})
            pushes = [at_start(loss, **fixed, **pair) for pair in columns.to_dict("records")]
            up, down = (float(x) for x in np.mean(pushes, axis=0))
        found[name] = up / -down
    return pd.Series(found, name="tilt")
