"""Losses of the likelihoods: they need reference log-probabilities or lengths.

`u + ref_w` is the policy's log-probability of the preferred response, summed over tokens. Divided
by `len_w` it is the mean per token; fine-tuning (SFT) minimises its negative, the NLL.
"""

from __future__ import annotations

from dpofield.formulas.losses.core import (
    BETA,
    GAMMA,
    LAMBDA,
    LEN_L,
    LEN_W,
    LOGP_L,
    LOGP_W,
    MEAN_L,
    MEAN_W,
    REAL,
    REF_L,
    REF_W,
    H,
    Loss,
    default,
)
from dpofield.formulas.parameters import Parameter
from dpofield.formulas.stable import boxcox, logodds, logsigmoid, relu
from dpofield.formulas.symbols import alpha, beta, delta, gamma, lam, len_l, len_w, u, v

_ALL = (REF_W, REF_L, LEN_W, LEN_L)

LIKELIHOOD = (
    Loss(
        name="sft",
        title="SFT (NLL)",
        expr=-MEAN_W,
        params=(),
        source="token mean of the preferred response, as in TRL 1.16.0 (sft)",
        inputs=(REF_W, LEN_W),
        scale="token",
    ),
    Loss(
        name="rpo",
        title="RPO (DPO + NLL)",
        expr=-logsigmoid(beta * H) - lam * MEAN_W,
        params=(BETA, LAMBDA),
        source="Pang et al. 2024, arXiv 2404.19733 (lam is its alpha); TRL sigmoid + sft",
        inputs=(REF_W, LEN_W),
    ),
    Loss(
        name="slic",
        title="SLiC-HF",
        expr=relu(delta - LOGP_W + LOGP_L) - lam * LOGP_W,
        params=(
            Parameter("delta", delta, 1.0, REAL, "a target gap is a finite number"),
            default(LAMBDA, 0.1),
        ),
        source="Zhao et al. 2023, arXiv 2305.10425, as in HALOs (its defaults)",
        inputs=(REF_W, REF_L),
    ),
    Loss(
        name="cpo",
        title="CPO",
        expr=-logsigmoid(beta * (LOGP_W - LOGP_L)) - lam * MEAN_W,
        params=(BETA, LAMBDA),
        source="Xu et al. 2024, arXiv 2401.08417, Eq. 3, as in TRL 1.16.0 (lam is cpo_alpha)",
        inputs=_ALL[:3],
    ),
    Loss(
        name="orpo",
        title="ORPO",
        expr=-MEAN_W - lam * logsigmoid(logodds(MEAN_W) - logodds(MEAN_L)),
        params=(default(LAMBDA, 0.1),),
        source="Hong et al. 2024, arXiv 2403.07691, Eqs. 4 and 7 (lam is TRL's beta)",
        inputs=_ALL,
        scale="token",
    ),
    Loss(
        name="ipo_norm",
        title="IPO per token",
        expr=(u / len_w - v / len_l - 1 / (2 * beta)) ** 2,
        params=(BETA,),
        source="Azar et al. 2023, Eq. 17, on means per token as in TRL 1.16.0 (ipo)",
        inputs=(LEN_W, LEN_L),
        scale="token",
    ),
    Loss(
        name="sigmoid_norm",
        title="DPO per token",
        expr=-logsigmoid(beta * (u / len_w - v / len_l)),
        params=(BETA,),
        source="Lambert et al. 2024 (Tulu 3), arXiv 2411.15124, as in TRL 1.16.0 (sigmoid_norm)",
        inputs=(LEN_W, LEN_L),
        scale="token",
    ),
    Loss(
        name="simpo",
        title="SimPO",
        expr=-logsigmoid(beta * (MEAN_W - MEAN_L) - gamma),
        params=(default(BETA, 2.0), GAMMA),
        source="Meng et al. 2024, arXiv 2405.14734, as in TRL 1.16.0 (simpo, cpo_alpha = 0)",
        inputs=_ALL,
        scale="token",
    ),
    Loss(
        name="alphapo",
        title="AlphaPO",
        expr=-logsigmoid(beta * (boxcox(MEAN_W, -alpha) - boxcox(MEAN_L, -alpha)) - gamma),
        params=(
            default(BETA, 2.5),
            default(GAMMA, 0.1),
            Parameter("alpha", alpha, 0.25, REAL, "an exponent is a finite number"),
        ),
        source="arXiv 2501.03884, as in TRL 1.16.0 (alphapo)",
        inputs=_ALL,
        scale="token",
    ),
)
