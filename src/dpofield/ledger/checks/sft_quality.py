"""Checks on recorded runs over SFT levels: effects of SFT, and predictors of the outcome."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd

from dpofield.experiments import stats
from dpofield.experiments.findings import sft_quality as sft
from dpofield.experiments.findings.sft_quality import Scope
from dpofield.experiments.tables import recorded

LOW, HIGH = 25, 1200


@lru_cache
def _runs() -> pd.DataFrame:
    """The plan "sft-quality", trained models only."""
    runs = sft.prepare(recorded("sft-quality"))
    return runs[runs["sft_steps"] > 0]


def _of(source: str) -> pd.DataFrame:
    runs = _runs()
    return runs[runs["source"] == source]


def pace() -> str:
    """Ratio of the steps to a margin of 2 nats: highest level over lowest trained level."""
    found = {
        name: sft.times(_runs(), "steps_to_margin_2", LOW, HIGH, s)
        for s, name in sft.SOURCES.items()
    }
    assert all(f.low > 5 for f in found.values()), f"{found}"
    return "; ".join(f"{name}: {f} times the steps" for name, f in found.items())


def path() -> str:
    """Share of variance in u between levels, after 80 steps and at 2 nats; and by chance."""
    said = []
    for source, name in sft.SOURCES.items():
        runs = _of(source)
        by_steps, by_margin = (sft.explained(runs, c) for c in ("u", "u_at_margin_2"))
        chance = sft.by_chance(runs)
        assert by_steps.low > 0.5, f"{name}: after 80 steps the level explains {by_steps}"
        assert by_margin.value < 2 * chance, f"{name}: at 2 nats the level explains {by_margin}"
        moved = sft.moved(runs, "u_at_margin_2", LOW, HIGH, source)
        assert abs(moved.value) < 0.3, f"{name}: at 2 nats the preferred is {moved} nats higher"
        said.append(f"{name}: {by_steps} after 80 steps, {by_margin} at 2 nats")
    return f"part of variance between levels (by chance {chance:.2f}), " + "; ".join(said)


def fixed_steps() -> str:
    """u after equal steps depends on the level, though beta and the start (1, 1) do not."""
    both = {name: sft.moved(_runs(), "u", LOW, HIGH, s) for s, name in sft.SOURCES.items()}
    assert all(b.low > 3 for b in both.values()), f"{both}"
    assert set(_runs()["params"]) == {'{"beta": 0.1}'}
    said = "; ".join(f"{name} {b}" for name, b in both.items())
    return f"preferred after 80 steps, nats higher at {HIGH} than at {LOW} SFT steps: {said}"


def start_in_probabilities() -> str:
    """On-policy responses are equally likely at all levels; their pace differs all the same."""
    likelier = sft.moved(_runs(), "ref_logp_w", LOW, HIGH, "model")
    slower = sft.times(_runs(), "steps_to_margin_2", LOW, HIGH, "model")
    assert abs(likelier.value) < 1, f"on-policy starts are {likelier} nats likelier"
    assert slower.low > 5
    seeds = sft.prediction(_runs(), _runs(), Scope.SEEDS, "ref_logp_w", "speed")
    assert 0 in seeds, f"across seeds log pi_w predicts the speed: {seeds}"
    return (
        f"on-policy: log pi_w {likelier} nats higher at {HIGH} than at {LOW} SFT steps, "
        f"{slower} times the steps to 2 nats; rank correlation with speed across seeds {seeds}"
    )


def push() -> str:
    """Rank correlations with u at 2 nats: of a pair's first push, and of log pi_w."""
    of_pairs = sft.pairs(_runs())
    last, y = Scope.PAIRS, sft.OUTCOME["path"]
    by_push, by_start = (
        sft.prediction(_runs(), of_pairs, last, x, y) for x in ("preferred_share", "ref_logp_w")
    )
    gap = sft.stronger(_runs(), of_pairs, last, "preferred_share", "ref_logp_w", y)
    assert by_push.low > 0.8 > 0.2 > abs(by_start.value), f"{by_push}, {by_start}"
    assert gap.low > 0.5
    return f"rank correlation: first push {by_push}, log pi_w {by_start}; difference {gap}"


def mass_off() -> str:
    """Mass off the grammar after DPO: it grows in most settings, and is less after more SFT."""
    groups = _runs().groupby(sft.SETTING)
    added = {k: stats.of_seeds(g["off_grammar_after"] - g["off_grammar_before"]) for k, g in groups}
    grown = sum(a.low > 0 for a in added.values())
    fallen = sum(a.high < 0 for a in added.values())
    assert grown > len(added) / 2, f"{grown} of {len(added)}"
    assert fallen == 0
    less = sft.moved(_runs(), "off_grammar_after", HIGH, LOW)
    assert less.low > 0.4
    return (
        f"more than before in {grown} of {len(added)} settings (interval above 0), less in "
        f"{fallen}; at {HIGH} SFT steps {less} less than at {LOW}, off-policy"
    )
