"""Preferences: the Bradley-Terry model depends on differences of rewards only."""

from __future__ import annotations

import sympy as sp

from dpofield.formulas.derivation import Derivation, chain
from dpofield.formulas.stable import logsigmoid, sigmoid


def _bradley_terry() -> Derivation:
    r_w, r_l, c = sp.symbols("r_w r_l c", real=True)
    d = sp.Symbol("d", real=True)
    k, m = sp.symbols("k m", positive=True)
    log_likelihood = k * logsigmoid(d) + m * logsigmoid(-d)
    return Derivation(
        id="bradley-terry",
        title="Bradley-Terry sees reward differences only",
        statement=(
            "The Bradley-Terry probability that y_w beats y_l is the logistic function of the "
            "reward difference; adding one constant to both rewards changes nothing; and after "
            "k wins and m losses the most likely difference is log(k/m)."
        ),
        source="Bradley and Terry 1952, Biometrika 39",
        assumptions=("real rewards", "k > 0 wins and m > 0 losses, independent"),
        chains=(
            chain(
                sp.exp(r_w) / (sp.exp(r_w) + sp.exp(r_l)),
                (
                    "Divide numerator and denominator by the numerator.",
                    1 / (1 + sp.exp(-(r_w - r_l))),
                ),
                ("This is the logistic function.", sigmoid(r_w - r_l)),
            ),
            chain(
                sp.exp(r_w + c) / (sp.exp(r_w + c) + sp.exp(r_l + c)),
                ("The common factor $e^c$ cancels.", sp.exp(r_w) / (sp.exp(r_w) + sp.exp(r_l))),
            ),
            chain(
                sp.Derivative(log_likelihood, d),
                (
                    "Differentiate the log-likelihood of k wins and m losses.",
                    k * sigmoid(-d) - m * sigmoid(d),
                ),
                (
                    "Use $\\sigma(-d) = 1 - \\sigma(d)$: observed wins minus expected wins.",
                    k - (k + m) * sigmoid(d),
                ),
            ),
            chain(
                sp.Subs(k - (k + m) * sigmoid(d), d, sp.log(k / m)),
                ("At $d = \\log(k/m)$ the derivative vanishes.", 0),
            ),
        ),
        facts=(
            (
                "the second derivative $-(k+m)\\,\\sigma(d)\\,\\sigma(-d)$ is negative, so this is the "
                "only maximum",
                (-(k + m) * sigmoid(d) * sigmoid(-d)).is_negative,
            ),
        ),
    )


PROOFS = (_bradley_terry(),)
