"""Losses that depend on u and v separately, without lengths or reference log-probabilities."""

from __future__ import annotations

import sympy as sp

from dpofield.formulas.losses.core import (
    BETA,
    LAMBDA,
    POSITIVE,
    REAL,
    H,
    Loss,
    Sign,
    default,
)
from dpofield.formulas.parameters import Parameter
from dpofield.formulas.stable import boxcox, logsigmoid, relu, sigmoid
from dpofield.formulas.symbols import beta, delta, lam, lam_l, lam_w, u, v, z0

_TARGET_W, _TARGET_L = 1 / (2 * beta), -1 / (2 * beta)

_APO_DOWN = (
    beta**3
    * sp.Mul(*(sigmoid(sign * beta * z) for sign in (1, -1) for z in (u, H)))
    * boxcox(1, beta * (2 * u - v))
    * boxcox(1, -beta * v)
    * sp.exp(-beta * H)
)
"""beta (sigma'(beta u) - sigma'(beta h))/((h - u)(h + u)), with h = u - v."""

SEPARATE = (
    Loss(
        name="nca",
        title="NCA",
        expr=-logsigmoid(beta * u) - logsigmoid(-beta * u) / 2 - logsigmoid(-beta * v) / 2,
        params=(default(BETA, 0.01),),
        source="Chen et al. 2024, arXiv 2402.05369, as in TRL 1.16.0 (nca_pair)",
        signs=(
            Sign(beta * sigmoid(-beta * u) * boxcox(1, beta * u - sp.log(2)), beta * u - sp.log(2)),
            None,
        ),
    ),
    Loss(
        name="bco",
        title="BCO",
        expr=-logsigmoid(beta * u - delta) - logsigmoid(delta - beta * v),
        params=(
            default(BETA, 0.01),
            Parameter("delta", delta, 0.0, REAL, "a running mean of rewards is a finite number"),
        ),
        source="Jung et al. 2024, arXiv 2404.04656; delta = 0 in TRL 1.16.0 (bco_pair)",
    ),
    Loss(
        name="sppo",
        title="SPPO (hard)",
        expr=(u - _TARGET_W) ** 2 + (v - _TARGET_L) ** 2,
        params=(default(BETA, 0.001),),
        source="Wu et al. 2024, arXiv 2405.00675, Eq. 4.7 with P = 1 and 0, as in TRL (sppo_hard)",
    ),
    Loss(
        name="apo_zero",
        title="APO-zero",
        expr=sigmoid(-beta * u) + sigmoid(beta * v),
        params=(BETA,),
        source="D'Oosterlinck et al. 2024, arXiv 2408.06266, Eq. 7",
    ),
    Loss(
        name="apo_down",
        title="APO-down",
        expr=sigmoid(beta * u) + sigmoid(-beta * H),
        params=(BETA,),
        source="D'Oosterlinck et al. 2024, arXiv 2408.06266, Eq. 8",
        signs=(Sign(_APO_DOWN, -v * (2 * u - v)), None),
    ),
    Loss(
        name="dpop",
        title="DPOP",
        expr=-logsigmoid(beta * (H - lam * relu(-u))),
        params=(BETA, default(LAMBDA, 50.0)),
        source="Pal et al. 2024, arXiv 2402.13228, Eq. 3 as corrected in July 2024",
    ),
    Loss(
        name="dpo_shift",
        title="DPO-Shift",
        expr=-logsigmoid(beta * (u - lam * v)),
        params=(
            BETA,
            Parameter("lam", lam, 0.95, sp.Interval.Lopen(0, 1), "the rejected counts up to fully"),
        ),
        source="Yang et al. 2025, arXiv 2502.07599, as in the authors' code",
    ),
    Loss(
        name="cal_dpo",
        title="Cal-DPO",
        expr=-logsigmoid(H) + ((u - _TARGET_W) ** 2 + (v - _TARGET_L) ** 2) / 2,
        params=(default(BETA, 0.002),),
        source="Xiao et al. 2024, arXiv 2412.14516, as in the authors' code",
    ),
    Loss(
        name="kto",
        title="KTO",
        expr=lam_w * sigmoid(-beta * (u - z0)) + lam_l * sigmoid(-beta * (z0 - v)),
        params=(
            BETA,
            Parameter("lam_w", lam_w, 1.0, POSITIVE, "a weight is positive"),
            Parameter("lam_l", lam_l, 1.0, POSITIVE, "a weight is positive"),
            Parameter("z0", z0, 0.0, REAL, "an estimate of a divergence is a finite number"),
        ),
        source="Ethayarajh et al. 2024, arXiv 2402.01306, Eq. 7, as in TRL 1.16.0 (kto)",
    ),
)
