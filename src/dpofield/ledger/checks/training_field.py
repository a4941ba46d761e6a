"""Checks on recorded runs with their paths: the field in training, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import pandas as pd

from dpofield.experiments.findings import training_field as paths
from dpofield.experiments.findings.training_field import Setting
from dpofield.experiments.stats import Interval, of_seeds
from dpofield.experiments.tables import recorded
from dpofield.lab.batch import encode
from dpofield.lab.checkpoint import sft_checkpoint
from dpofield.lab.logprobs import reference_logprobs
from dpofield.lab.runs import Run
from dpofield.lab.settings import Training
from dpofield.lab.training import dpo
from dpofield.lab.world import World
from dpofield.ledger.checks.theorem_1 import closed_form

BETA = 0.1


@lru_cache
def _settings() -> dict[Setting, pd.DataFrame]:
    """The four settings of the plan, ten runs each."""
    runs = recorded("training-field")
    found = {name: paths.setting(runs, name) for name in paths.SETTINGS}
    assert all(len(r) == r["seed"].nunique() == 10 for r in found.values())
    return found


@lru_cache
def _rates() -> dict[Setting, pd.DataFrame]:
    return {name: paths.rates(r) for name, r in _settings().items()}


@lru_cache
def _parts(margin: float) -> dict[Setting, pd.DataFrame]:
    return {name: paths.parts(r, margin) for name, r in _settings().items()}


def _listed(found: Mapping[Setting, Interval] | Mapping[str, Interval]) -> str:
    return "; ".join(f"{name}: {interval}" for name, interval in found.items())


def theorem_1() -> str:
    """Every recorded derivative equals the closed form, within float32 rounding."""
    found = [paths.theorem_1(r) for r in _settings().values()]
    rounding, largest = max(f.rounding for f in found), max(f.largest for f in found)
    assert rounding < 1, f"a derivative is off by {rounding:.2g} times what float32 allows"
    return f"{sum(f.values for f in found)} values, largest relative difference {largest:.0e}"


def magnitudes() -> str:
    """Rank correlation of the ratio gradient's length with the pairs' speed, in two charts."""
    moved = {name: paths.speeds(r) for name, r in _settings().items()}
    found = {
        name: paths.rank_correlation(m, "magnitude", "speed_ratios") for name, m in moved.items()
    }
    assert all(f.high < 0 for f in found.values()), _listed(found)
    logs = [paths.rank_correlation(m, "magnitude", "speed_logs") for m in moved.values()]
    assert all(f.low > 0 for f in logs)
    return f"rank correlation with the distance in the ratios, {_listed(found)}"


def corollary_1() -> str:
    """Shares of rate ratios within a factor of 2 of Corollary 1, and with the wrong sign."""
    judged = {name: paths.verdicts(q)["ratios"] for name, q in _rates().items()}
    near = {name: j.near for name, j in judged.items()}
    assert all(n.high < 0.1 for n in near.values()), _listed(near)
    assert all(j.sign.low > 0.5 for j in judged.values())
    start = [paths.verdicts(q[q["step"] == 0])["ratios"].near for q in _rates().values()]
    assert all(s.high < 0.5 for s in start), f"first interval: {start}"
    return f"share within a factor of 2, {_listed(near)}"


def law() -> str:
    """The same share for the law of motion, and the squared changes that it explains."""
    near = {name: paths.verdicts(q)["law"].near for name, q in _rates().items()}
    assert all(n.low > 0.85 for n in near.values()), _listed(near)
    share = {name: paths.explained(q, BETA)["law"] for name, q in _rates().items()}
    assert all(s.low > 0.9 for name, s in share.items() if name is not Setting.WEAK_SGD), _listed(
        share
    )
    return f"share within a factor of 2, {_listed(near)}; explained, {_listed(share)}"


def faster() -> str:
    """The dispreferred moves more in the mean of each run, at margins 1, 2 and 5."""
    for margin in (1.0, 2.0, 5.0):
        for name, p in _parts(margin).items():
            ahead = int((p["v"] < -p["u"].abs()).sum())
            assert ahead == len(p), f"{name}, margin {margin:g}: in {ahead} of {len(p)} runs"
    found = {name: of_seeds(p["dispreferred_farther"]) for name, p in _parts(5.0).items()}
    return f"in the mean of all 40 runs; share of pairs at margin 5, {_listed(found)}"


def circle() -> str:
    """Compare mean u at margins 1 and 5 with flow in the ratios: log(2/(1 + exp(-2m)))/2."""
    off = {
        m: {
            name: of_seeds(p["u"] - math.log(2 / (1 + math.exp(-2 * m))) / 2)
            for name, p in _parts(m).items()
        }
        for m in (1.0, 5.0)
    }
    on = [name for name, f in off[1.0].items() if 0 in f]
    assert len(on) == 3, f"at margin 1: {_listed(off[1.0])}"
    assert all(f.high < 0 for f in off[5.0].values()), _listed(off[5.0])
    return f"on it at margin 1: {', '.join(on)}; nats off it at margin 5, {_listed(off[5.0])}"


def falls() -> str:
    """The mean change of the preferred is positive at margin 1 and negative at margin 5."""
    early = {name: of_seeds(p["u"]) for name, p in _parts(1.0).items()}
    late = {name: of_seeds(p["u"]) for name, p in _parts(5.0).items()}
    assert all(f.low > 0 for f in early.values()), _listed(early)
    assert all(f.high < 0 for f in late.values()), _listed(late)
    return f"nats at margin 5, {_listed(late)}"


def sources() -> str:
    """Parts of the change at margin 5: the kernel's change lowers u, three parts are small."""
    found = {}
    for name, p in _parts(5.0).items():
        part = {k: of_seeds(p[f"{k}_u"]) for k in paths.PARTS}
        assert part["own"].low > 2, f"{name}: {_listed(part)}"
        assert part["drift"].high < -2, f"{name}: {_listed(part)}"
        for small in ("cross", "optimizer", "size"):
            assert abs(part[small].value) < 0.1 * abs(part["drift"].value), f"{name}, {small}"
        assert 0 in part["cross"]
        assert part["size"].low > -0.2
        found[name] = part
    main = found[Setting.WEAK_ADAMW]
    drift = {name: part["drift"] for name, part in found.items()}
    return f"change of the kernel, {_listed(drift)}; all of it for weak, AdamW: {_listed(main)}"


def matched() -> str:
    """Differences in u between settings, four times, at step 80 and at margin 5."""
    steps = {name: paths.at_step(r, 80) for name, r in _settings().items()}
    said, reversed_ = [], 0
    for one, other in (
        (Setting.WEAK_ADAMW, Setting.STRONG_ADAMW),
        (Setting.WEAK_SGD, Setting.STRONG_SGD),
        (Setting.WEAK_ADAMW, Setting.WEAK_SGD),
        (Setting.STRONG_ADAMW, Setting.STRONG_SGD),
    ):
        step, margin = (paths.difference(f[one], f[other], "u") for f in (steps, _parts(5.0)))
        assert step.high < 0, f"{one} against {other} at step 80: {step}"
        assert margin.high > 0, f"{one} against {other} at margin 5: {margin}"
        reversed_ += margin.low > 0
        said.append(f"{one} − {other}: {step} at step 80, {margin} at margin 5")
    assert reversed_ == 3, "; ".join(said)
    return "; ".join(said)


def other_models() -> str:
    """The same for a smaller GPT-2 and a Llama: rates, order and the part of the kernel."""
    runs = recorded("robustness")
    runs = runs[runs["keep_paths"].astype(bool)]
    said = []
    for name, r in runs.groupby("architecture"):
        assert len(r) == r["seed"].nunique() == 10
        judged, p = paths.verdicts(paths.rates(r)), paths.parts(r, 5.0)
        assert paths.theorem_1(r).rounding < 1
        assert judged["ratios"].near.high < 0.1 < 0.85 < judged["law"].near.low
        assert (p["v"] < -p["u"].abs()).all()
        u, drift = of_seeds(p["u"]), of_seeds(p["drift_u"])
        assert u.high < 0
        assert drift.high < -2
        assert abs(of_seeds(p["optimizer_u"]).value) < 0.25 * abs(drift.value)
        assert of_seeds(p["size_u"]).low > -0.25
        said.append(f"{name}: preferred {u} nats at margin 5, change of the kernel {drift}")
    assert len(said) == 2
    return "; ".join(said)


@lru_cache(maxsize=1)
def short_run() -> Run:
    """15 DPO steps on 32 one-edit pairs from the weakly fine-tuned GPT-2; one seed, cached."""
    model, tokenizer = sft_checkpoint("weak", progress=False)
    pairs = encode(tokenizer, World().pairs(32, seed=5, edit_distance=1))
    reference = reference_logprobs(model, pairs)
    settings = Training(params={"beta": 0.1}, steps=15, batch=32, lr=1e-4, seed=0)
    return dpo(model, reference, pairs, settings, progress=False)


def theorem_1_in_a_run() -> str:
    """Compare autograd at every step of a short GPT-2 run with the statement of Theorem 1."""
    run = short_run()
    closed = closed_form(run.x1, run.x2, 0.1)
    gap = max(
        float(np.abs(f / c - 1).max()) for f, c in zip((run.dx1, run.dx2), closed, strict=True)
    )
    assert gap < 1e-12, f"autograd in training differs from Theorem 1 by {gap:.0e}"
    return f"largest relative difference {gap:.0e} over {run.x1.size} recorded values"
