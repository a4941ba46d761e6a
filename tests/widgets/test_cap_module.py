"""The cap explorer's module under Node: field, curve, cap and clock against `dpofield.field`."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import sympy as sp

from dpofield.field import extinction_time, flow, gradient, potential
from dpofield.formulas import LOSSES
from dpofield.formulas.caps import conserved, reaches_zero
from dpofield.formulas.divergences import DIVERGENCES
from dpofield.formulas.losses import BETA
from dpofield.formulas.symbols import alpha, x
from dpofield.widgets import CapExplorer
from dpofield.widgets.cap_formulas import as_alpha

SCRIPT = """
import { readFileSync } from "node:fs";
import { solve } from "./module.mjs";
const keep = ["loss", "along", "across", "factor", "seconds", "conserved", "cap", "end", "aThen",
  "bThen"];
const jobs = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(jobs.map((job) => {
  const found = solve(job);
  return Object.fromEntries(keep.map((key) => [key, String(found[key])]));
})));
"""
STARTS = ((1.0, 1.0), (0.2, 1.7), (2.5, 0.3))
CASES = [(name, 0.5) for name in DIVERGENCES if name != "alpha"]
CASES += [("alpha", a) for a in (-0.7, 0.0, 0.5, 1.0, 1.6, 2.0, 2.7, 3.0, 3.5)]


@pytest.fixture(scope="module")
def solve(under_node):
    """All numbers of states of the figure, as floats."""

    def call(states):
        found = under_node(CapExplorer, SCRIPT, states)
        return [{key: float(text) for key, text in one.items()} for one in found]

    return call


def state(divergence, a=1.0, b=1.0, *, alpha=0.5, beta=0.1, time=0.0):
    return {"divergence": divergence, "alpha": alpha, "beta": beta, "a": a, "b": b, "time": time}


def test_numbers_are_those_of_field(solve):
    """Loss, both partial derivatives, and their ratio f''(x1)/f''(x2), for every divergence."""
    states = [
        state(name, a, b, alpha=al, beta=beta)
        for (name, al), (a, b), beta in product(CASES, STARTS, (0.1, 1.3))
    ]
    for job, found in zip(states, solve(states), strict=True):
        loss = LOSSES[DIVERGENCES[job["divergence"]].loss]
        given = {p.name: job[p.name] for p in loss.params}
        at = (loss, "ratio", job["a"], job["b"])
        along, across = gradient(*at, **given)
        assert found["along"] == pytest.approx(along, rel=1e-10)
        assert found["across"] == pytest.approx(across, rel=1e-10)
        assert found["loss"] == pytest.approx(potential(*at, **given), rel=1e-10)
        assert found["seconds"] == pytest.approx(abs(along / across), rel=1e-9)


@pytest.mark.parametrize(
    ("divergence", "al", "cap"),
    [
        ("reverse_kl", 0.5, math.sqrt(2)),
        ("forward_kl", 0.5, 2 ** (1 / 3)),
        ("js", 0.5, float(sp.Poly(2 * x**3 + 3 * x**2 - 10, x).nroots()[0])),
        ("chi2", 0.5, 2.0),
        ("alpha", 1.0, math.sqrt(2)),
        ("alpha", 2.9, 2**10),
        ("alpha", 3.0, math.inf),
        ("alpha", 3.5, math.inf),
    ],
)
def test_caps_from_the_reference(solve, divergence, al, cap):
    """I(x1) = 2 I(1) - I(0), solved on paper; no cap from alpha = 3 on."""
    [found] = solve([state(divergence, alpha=al)])
    assert found["cap"] == pytest.approx(cap, rel=1e-12)


@pytest.mark.parametrize(("name", "al"), CASES)
def test_moments_of_the_flow(solve, name, al):
    """The point of the flow at a time, and the conserved quantity, against SciPy's integrator."""
    loss = LOSSES[DIVERGENCES[name].loss]
    jobs, lines = [], []
    for (a, b), beta, time in product(STARTS, (0.1, 1.3), (0.3, 2.0)):
        given = {p.name: {"beta": beta, "alpha": al}[p.name] for p in loss.params}
        lines.append(flow(loss, "ratio", (a, b), time=time, length=1e3, **given))
        jobs.append(state(name, a, b, alpha=al, beta=beta, time=time))
    found = solve(jobs)
    for line, one in zip(lines, found, strict=True):
        assert one["aThen"] == pytest.approx(line.a[-1], rel=1e-7)
        if line.stopped == "time":
            assert one["bThen"] == pytest.approx(line.b[-1], rel=1e-6)
        else:
            assert line.stopped == "extinct"
            assert one["bThen"] < 1e-8
            assert one["end"] == pytest.approx(line.t[-1], rel=1e-5)
    moved = [
        job | {"a": one["aThen"], "b": max(one["bThen"], 1e-12)}
        for job, one in zip(jobs, found, strict=True)
    ]
    for then, one in zip(solve(moved), found, strict=True):
        assert then["conserved"] == pytest.approx(one["conserved"], rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("beta", [0.01, 0.1, 1.0, 1.9, 1.999, 2.0, 3.0])
def test_clock_of_reverse_kl(solve, beta):
    """The extinction theorem's integral, also near beta = 2; from beta = 2 on, no extinction."""
    [found] = solve([state("reverse_kl", beta=beta)])
    assert found["end"] == pytest.approx(extinction_time(beta), rel=1e-7)


def test_where_x2_reaches_zero(solve):
    """Never for forward KL and for alpha < 1 or >= 3; Jensen-Shannon like reverse KL; chi-squared
    at any beta. SymPy's condition and the clock must agree."""
    conditions = {name: reaches_zero(d) for name, d in DIVERGENCES.items()}
    states = [
        state(name, alpha=al, beta=beta) for (name, al), beta in product(CASES, (0.5, 1.9, 2.5))
    ]
    for job, found in zip(states, solve(states), strict=True):
        condition = conditions[job["divergence"]]
        expected = bool(condition.subs({alpha: job["alpha"], BETA.symbol: job["beta"]}))
        assert math.isfinite(found["end"]) == expected, job
    assert conditions["chi2"]
    assert not conditions["forward_kl"]


def test_special_cases_of_alpha(solve):
    """At alpha 0, 1 and 2 the alpha-divergence is forward KL, reverse KL and chi-squared."""
    for name, divergence in DIVERGENCES.items():
        own = as_alpha(divergence)
        if own is None:
            assert name in ("js", "alpha")
            continue
        one, other = solve([state(name, 0.7, 1.4), state("alpha", 0.7, 1.4, alpha=own)])
        for key in ("along", "across", "cap", "end"):
            assert one[key] == pytest.approx(other[key], rel=1e-9), (name, key)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_conserved_is_an_integral_of_one_over_f2(name):
    """I' f'' = 1, by SymPy."""
    d = DIVERGENCES[name]
    assert sp.simplify(sp.powsimp(sp.diff(conserved(d), x) * d.second, force=True)) == 1


def test_late_times_of_an_endless_flow(solve):
    """Forward KL at beta 0.1: x2 falls for ever; the clock stays monotone and finite."""
    times = [0.0, 1.0, 10.0, 1e3, 1e6, 1e9]
    found = [f["bThen"] for f in solve([state("forward_kl", time=t) for t in times])]
    assert (np.diff(found) < 0).all()
    assert found[-1] > 0


def test_extreme_starts_and_parameters(solve):
    """Tiny ratios, alpha next to 1, a stiff beta: no number is NaN, and the whole batch ends within
    the time limit of a test."""
    states = [
        state(name, a, b, alpha=al, beta=beta, time=1.0)
        for (name, al), (a, b), beta in product(
            [*CASES, ("alpha", 0.9999), ("alpha", 1.0001), ("alpha", 2.999)],
            ((1e-6, 1e-6), (0.005, 2.2), (2.2, 0.005), (50.0, 1.0)),
            (1e-4, 1.99, 30.0),
        )
    ]
    for job, found in zip(states, solve(states), strict=True):
        if found["across"] == 0:  # it underflows, and so does the ratio
            del found["factor"]
        assert not any(math.isnan(value) for value in found.values()), job
        assert found["aThen"] >= (1 - 1e-12) * job["a"]
        assert found["bThen"] <= (1 + 1e-12) * job["b"]
        assert found["end"] > 0
