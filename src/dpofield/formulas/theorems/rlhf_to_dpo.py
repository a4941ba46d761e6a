"""From the KL-regularised objective to the DPO loss."""

from __future__ import annotations

import sympy as sp

from dpofield.formulas.derivation import Derivation, chain
from dpofield.formulas.losses import LOSSES
from dpofield.formulas.symbols import beta, pi_l, pi_w, u, v, x1
from dpofield.formulas.theorems._common import DPO, POSITIVE, RAFAILOV, S


def _rlhf_optimum() -> Derivation:
    p, rho, big_z = sp.symbols("pi_i rho_i Z", positive=True)
    r, lam = sp.symbols("r_i lambda", real=True)
    lagrangian = p * r - beta * p * sp.log(p / rho) - lam * p
    slope = r - beta * sp.log(p / rho) - beta - lam
    stationary = rho * sp.exp((r - beta - lam) / beta)
    split = rho * sp.exp(r / beta) * sp.exp(-(1 + lam / beta))
    optimum = rho * sp.exp(r / beta) / big_z
    return Derivation(
        id="rlhf-optimum",
        title="The optimum of KL-regularised reward maximisation",
        statement=(
            "On a finite response set, the policy that maximises expected reward minus beta times "
            "the KL divergence to the reference is the reference reweighted by exp(reward/beta) "
            "and normalised by Z; the maximum is beta log Z."
        ),
        source=f"{RAFAILOV}, Eqs. 3 and 4",
        assumptions=(
            "a finite response set with positive reference probabilities",
            "beta > 0",
            "Z = sum_j rho_j exp(r_j/beta)",
        ),
        chains=(
            chain(
                sp.Derivative(lagrangian, p),
                (
                    "One response's share of the Lagrangian, differentiated by its probability; $\\lambda$ belongs to the constraint that probabilities sum to 1.",
                    slope,
                ),
            ),
            chain(
                sp.Subs(slope, p, stationary),
                ("It vanishes at $\\pi_i = \\rho_i \\exp((r_i - \\beta - \\lambda)/\\beta)$.", 0),
            ),
            chain(
                stationary,
                ("Only the factor $\\exp(r_i/\\beta)$ depends on the response's reward.", split),
                name=r"\pi_i",
            ),
            chain(
                sp.Subs(split, lam, beta * (sp.log(big_z) - 1)),
                (
                    "The sum to 1 fixes $\\lambda = \\beta(\\log Z - 1)$: the normaliser is $Z$.",
                    optimum,
                ),
                name=r"\pi_i",
            ),
            chain(
                sp.Subs(r - beta * sp.log(p / rho), p, optimum),
                (
                    "At the optimum, reward minus penalty is the same for every response, so its average, the maximum, is this too.",
                    beta * sp.log(big_z),
                ),
            ),
        ),
        facts=(
            (
                "the objective's second derivative $-\\beta/\\pi_i$ is negative, so the optimum is the only maximum",
                sp.diff(lagrangian, p, 2).is_negative,
            ),
        ),
    )


def _dpo_loss() -> Derivation:
    rho_w, rho_l, big_z = sp.symbols("rho_w rho_l Z", positive=True)
    r_w = beta * sp.log(pi_w / rho_w) + beta * sp.log(big_z)
    r_l = beta * sp.log(pi_l / rho_l) + beta * sp.log(big_z)
    return Derivation(
        id="dpo-loss",
        title="The DPO loss",
        statement=(
            "Solving the optimum for the reward and putting the difference into Bradley-Terry "
            "gives a loss of the two ratios alone: the partition function cancels."
        ),
        source=f"{RAFAILOV}, Eqs. 5 to 7",
        assumptions=("the policy is the optimum for its own reward", POSITIVE),
        chains=(
            chain(
                sp.Subs(
                    beta * sp.log(pi_w / rho_w),
                    pi_w,
                    rho_w * sp.exp(sp.Symbol("r_w", real=True) / beta) / big_z,
                ),
                (
                    "The optimum, solved for the reward: $r = \\beta\\log(\\pi/\\rho) + \\beta\\log Z$.",
                    sp.Symbol("r_w", real=True) - beta * sp.log(big_z),
                ),
            ),
            chain(
                sp.Add(r_w, -r_l, evaluate=False),
                (
                    "Both responses answer one prompt, so $Z$ is the same and cancels.",
                    beta * sp.log(pi_w / rho_w) - beta * sp.log(pi_l / rho_l),
                ),
            ),
            chain(
                -sp.log(1 / (1 + sp.exp(-(beta * u - beta * v)))),
                (
                    "Bradley-Terry's negative log-likelihood in $u = \\log x_1$, $v = \\log x_2$.",
                    LOSSES["dpo"].expr,
                ),
            ),
            chain(-sp.log(x1**beta / S), ("The same in the ratios.", DPO)),
        ),
    )


PROOFS = (_rlhf_optimum(), _dpo_loss())
