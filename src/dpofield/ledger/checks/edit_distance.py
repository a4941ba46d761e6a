"""Checks on recorded runs with different edit distances, likelihoods and edit positions."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd

from dpofield.experiments.findings import edit_distance as edits
from dpofield.experiments.findings.edit_distance import Jump, Scope
from dpofield.experiments.stats import Interval
from dpofield.experiments.tables import recorded


@lru_cache(maxsize=1)
def _tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Runs and pairs with an edit at any position."""
    runs = recorded("edit-distance")
    return edits.plain(edits.prepare(runs)), edits.plain(edits.pairs(runs))


def _kinds() -> dict[str, pd.DataFrame]:
    return {kind: edits.plain(_tables()[0], kind == "matched") for kind in ("unmatched", "matched")}


def higher_at_a_margin() -> str:
    """Compare u at a mean margin of 5 nats: 8 edited tokens against 1."""
    found = {kind: edits.gap(r, "asked", "8", "1", "u_at_margin_5") for kind, r in _kinds().items()}
    assert all(x.low > 0 for x in found.values()), f"at margin 5: {found}"
    return "u at margin 5, 8 tokens - 1 token: " + _list(found) + " nats (10 seeds)"


def level_at_a_step() -> str:
    """Compare u and v after 80 steps: u is not higher for 8 tokens, and v is lower."""
    u, v = (
        {kind: edits.gap(r, "asked", "8", "1", column) for kind, r in _kinds().items()}
        for column in "uv"
    )
    assert all(0 in x for x in u.values()), f"after 80 steps: {u}"
    assert all(x.high < 0 for x in v.values()), f"after 80 steps, dispreferred: {v}"
    return f"after 80 steps, 8 tokens - 1 token: u {_list(u)}; v {_list(v)} nats (10 seeds)"


def by_delay() -> str:
    """Most of the difference at the margin is due to the longer run."""
    lags = {kind: edits.lag(r, "1", "8") for kind, r in _kinds().items()}
    for kind, r in _kinds().items():
        assert edits.times(r, "1", "8", "steps_to_margin_5").low > 1.5
        assert lags[kind].delay.low > lags[kind].rest.high, f"{kind}: {lags[kind]}"
    delays = _list({kind: x.delay for kind, x in lags.items()})
    return f"delay {delays}; at equal steps {_list({k: x.rest for k, x in lags.items()})} nats"


def no_threshold() -> str:
    """A jump does not predict a held-out seed better than a line in the log of the distance."""
    found = {kind: edits.threshold(r) for kind, r in _kinds().items()}
    assert all(x.verdict is Jump.NONE for x in found.values()), str(found)
    gaps = _list({kind: x.gap for kind, x in found.items()})
    return f"mean squared error, jump - line: {gaps} nats² (10 seeds)"


def similarity_of_sets() -> str:
    """Between distances, cosine and CHES predict as well as edit distance."""
    runs, pairs = _tables()
    rho = {
        x: edits.prediction(runs, pairs, Scope.DISTANCES, x)
        for x in ("levenshtein", "gradient_cosine", "ches")
    }
    assert all(abs(x.value) > 0.8 for x in rho.values()), str(rho)
    for x in ("gradient_cosine", "ches"):
        assert 0 in edits.stronger(runs, pairs, Scope.DISTANCES, x, "levenshtein"), x
    return f"rank correlation with u at margin 5: {_ranks(rho)} (10 seeds)"


def push_within_a_set() -> str:
    """Within sets the batch push predicts the outcome; cosine and CHES hardly predict it."""
    runs, pairs = _tables()
    names = ("gradient_cosine", "ches", "push_w")
    rho = {x: edits.prediction(runs, pairs, Scope.PAIRS, x) for x in names}
    assert rho["push_w"].low > 0.7, str(rho)
    assert all(abs(rho[x].value) < 0.2 for x in ("gradient_cosine", "ches")), str(rho)
    return f"rank correlation with u at margin 5: {_ranks(rho)} (10 seeds)"


def neither_with_open_distance() -> str:
    """If edit distance varies too, it and CHES predict single pairs equally badly."""
    runs, pairs = _tables()
    gap = edits.stronger(runs, pairs, Scope.OPEN_DISTANCE, "ches", "levenshtein")
    rho = {
        x: edits.prediction(runs, pairs, Scope.OPEN_DISTANCE, x) for x in ("levenshtein", "ches")
    }
    assert 0 in gap, f"CHES ahead by {gap}"
    assert all(abs(x.value) < 0.3 for x in rho.values()), str(rho)
    return f"rank correlation with u at margin 5: {_ranks(rho)}; CHES ahead by {gap} (10 seeds)"


def _ranks(rho: dict[str, Interval]) -> str:
    """Correlations by predictor, with the predictors' labels."""
    return _list({edits.PREDICTORS[x]: found for x, found in rho.items()})


def _list(found: dict[str, Interval]) -> str:
    return ", ".join(f"{name} {x}" for name, x in found.items())
