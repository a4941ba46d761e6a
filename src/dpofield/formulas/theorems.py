"""The book's theorems as checked derivations, by id. Chapters display them, the ledger cites them.

The right-hand sides are written here by hand, independently of the loss; SymPy has to reach them
from `LOSSES["dpo"].expr`.
"""

from __future__ import annotations

from types import MappingProxyType

import sympy as sp

from dpofield.formulas.charts import CHARTS
from dpofield.formulas.derivation import Chain, Derivation, Step
from dpofield.formulas.losses import LOSSES
from dpofield.formulas.stable import logsigmoid, sigmoid
from dpofield.formulas.symbols import beta, pi_l, pi_w, u, v, x1, x2

FENG = "Feng et al. 2024, arXiv 2404.04626"
RAFAILOV = "Rafailov et al. 2023, arXiv 2305.18290"
OWN = "own derivation"
POSITIVE = "x_1 > 0, x_2 > 0, beta > 0"

# The closed forms that Theorem 1 states, typed once, independently of the loss.
S = x1**beta + x2**beta
DL_DX1 = -beta * x2**beta / (x1 * S)
DL_DX2 = beta * x2 ** (beta - 1) / S

_DPO = CHARTS["ratio"].pull_back(LOSSES["dpo"].expr)
DL1, DL2 = (rf"\frac{{\partial L}}{{\partial x_{i}}}" for i in (1, 2))
_MARGIN = beta * (sp.log(x1) - sp.log(x2))


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
            Chain(
                sp.exp(r_w) / (sp.exp(r_w) + sp.exp(r_l)),
                (
                    Step(
                        "Divide numerator and denominator by the numerator.",
                        1 / (1 + sp.exp(-(r_w - r_l))),
                    ),
                    Step("This is the logistic function.", sigmoid(r_w - r_l)),
                ),
            ),
            Chain(
                sp.exp(r_w + c) / (sp.exp(r_w + c) + sp.exp(r_l + c)),
                (
                    Step(
                        "The common factor $e^c$ cancels.",
                        sp.exp(r_w) / (sp.exp(r_w) + sp.exp(r_l)),
                    ),
                ),
            ),
            Chain(
                sp.Derivative(log_likelihood, d),
                (
                    Step(
                        "Differentiate the log-likelihood of k wins and m losses.",
                        k * sigmoid(-d) - m * sigmoid(d),
                    ),
                    Step(
                        "Use $\\sigma(-d) = 1 - \\sigma(d)$: observed wins minus expected wins.",
                        k - (k + m) * sigmoid(d),
                    ),
                ),
            ),
            Chain(
                sp.Subs(k - (k + m) * sigmoid(d), d, sp.log(k / m)),
                (Step("At $d = \\log(k/m)$ the derivative vanishes.", sp.Integer(0)),),
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
            Chain(
                sp.Derivative(lagrangian, p),
                (
                    Step(
                        "One response's share of the Lagrangian, differentiated by its probability; $\\lambda$ belongs to the constraint that probabilities sum to 1.",
                        slope,
                    ),
                ),
            ),
            Chain(
                sp.Subs(slope, p, stationary),
                (
                    Step(
                        "It vanishes at $\\pi_i = \\rho_i \\exp((r_i - \\beta - \\lambda)/\\beta)$.",
                        sp.Integer(0),
                    ),
                ),
            ),
            Chain(
                stationary,
                (
                    Step(
                        "Only the factor $\\exp(r_i/\\beta)$ depends on the response's reward.",
                        split,
                    ),
                ),
                name=r"\pi_i",
            ),
            Chain(
                sp.Subs(split, lam, beta * (sp.log(big_z) - 1)),
                (
                    Step(
                        "The sum to 1 fixes $\\lambda = \\beta(\\log Z - 1)$: the normaliser is $Z$.",
                        optimum,
                    ),
                ),
                name=r"\pi_i",
            ),
            Chain(
                sp.Subs(r - beta * sp.log(p / rho), p, optimum),
                (
                    Step(
                        "At the optimum, reward minus penalty is the same for every response, so its average, the maximum, is this too.",
                        beta * sp.log(big_z),
                    ),
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
            Chain(
                sp.Subs(
                    beta * sp.log(pi_w / rho_w),
                    pi_w,
                    rho_w * sp.exp(sp.Symbol("r_w", real=True) / beta) / big_z,
                ),
                (
                    Step(
                        "The optimum, solved for the reward: $r = \\beta\\log(\\pi/\\rho) + \\beta\\log Z$.",
                        sp.Symbol("r_w", real=True) - beta * sp.log(big_z),
                    ),
                ),
            ),
            Chain(
                sp.Add(r_w, -r_l, evaluate=False),
                (
                    Step(
                        "Both responses answer one prompt, so $Z$ is the same and cancels.",
                        beta * sp.log(pi_w / rho_w) - beta * sp.log(pi_l / rho_l),
                    ),
                ),
            ),
            Chain(
                -sp.log(1 / (1 + sp.exp(-(beta * u - beta * v)))),
                (
                    Step(
                        "Bradley-Terry's negative log-likelihood in $u = \\log x_1$, $v = \\log x_2$.",
                        LOSSES["dpo"].expr,
                    ),
                ),
            ),
            Chain(
                -sp.log(x1**beta / S),
                (Step("The same in the ratios.", _DPO),),
            ),
        ),
    )


def _theorem_1() -> Derivation:
    return Derivation(
        id="theorem-1",
        title="The partial derivatives of the DPO loss",
        statement=(
            "In the ratios, dL/dx1 = -beta x2^beta / (x1 (x1^beta + x2^beta)) and "
            "dL/dx2 = beta x2^(beta-1) / (x1^beta + x2^beta)."
        ),
        source=f"{FENG}, Theorem 1",
        assumptions=(POSITIVE,),
        chains=(
            Chain(
                sp.Derivative(_DPO, x1),
                (
                    Step(
                        "Chain rule: $(\\log\\sigma(z))' = \\sigma(-z)$ and "
                        "$(\\log x_1)' = 1/x_1$.",
                        -beta * sigmoid(-_MARGIN) / x1,
                    ),
                    Step("Write the logistic function out.", -beta / (x1 * (1 + sp.exp(_MARGIN)))),
                    Step("Multiply numerator and denominator by $x_2^\\beta$.", DL_DX1),
                ),
                name=DL1,
            ),
            Chain(
                sp.Derivative(_DPO, x2),
                (
                    Step(
                        "The same chain rule; $\\log x_2$ enters with the other sign.",
                        beta * sigmoid(-_MARGIN) / x2,
                    ),
                    Step("Write the logistic function out.", beta / (x2 * (1 + sp.exp(_MARGIN)))),
                    Step("Multiply numerator and denominator by $x_2^\\beta$.", DL_DX2),
                ),
                name=DL2,
            ),
        ),
        facts=(
            ("$\\partial L/\\partial x_1$ is negative everywhere", DL_DX1.is_negative),
            ("$\\partial L/\\partial x_2$ is positive everywhere", DL_DX2.is_positive),
        ),
    )


def _corollary_1() -> Derivation:
    return Derivation(
        id="corollary-1",
        title="The ratio of the two partial derivatives",
        statement=(
            "|dL/dx1| / |dL/dx2| = x2/x1. The component for the dispreferred response is the "
            "larger one exactly where x2 < x1; at the start, x1 = x2 = 1, both equal beta/2."
        ),
        source=f"{FENG}, Corollary 1",
        assumptions=(POSITIVE,),
        chains=(
            Chain(
                -DL_DX1 / DL_DX2,
                (Step("Divide Theorem 1's two lines: $\\beta$ and the sum cancel.", x2 / x1),),
                name=r"\left|\frac{\partial L}{\partial x_1}\right| \Big/ \left|\frac{\partial L}{\partial x_2}\right|",
            ),
            Chain(
                sp.Subs(-DL_DX1, (x1, x2), (1, 1)),
                (Step("At the start the sum is 2.", beta / 2),),
                name=r"-\left.\frac{\partial L}{\partial x_1}\right|_{(1,1)}",
            ),
            Chain(
                sp.Subs(DL_DX2, (x1, x2), (1, 1)),
                (Step("The same for the dispreferred response.", beta / 2),),
                name=r"\left.\frac{\partial L}{\partial x_2}\right|_{(1,1)}",
            ),
        ),
        facts=(
            (
                "$\\partial L/\\partial x_1 < 0 < \\partial L/\\partial x_2$, so the minus sign is what the absolute values need",
                bool(DL_DX1.is_negative and DL_DX2.is_positive),
            ),
        ),
    )


def _ratio_by_chart() -> Derivation:
    dpo = LOSSES["dpo"]

    def ratio(name: str) -> sp.Expr:
        along_a, along_b = CHARTS[name].gradient(dpo)
        return sp.Mul(-along_a, sp.Pow(along_b, -1), evaluate=False)

    return Derivation(
        id="ratio-by-chart",
        title="One loss, four charts, three ratios",
        statement=(
            "The ratio of the two partial derivatives of the same DPO loss is x2/x1 in ratios, "
            "pi_l/pi_w in probabilities, and exactly 1 in log-ratios and in logits."
        ),
        source=OWN,
        assumptions=(POSITIVE, "probabilities and logits of one softmax over whole responses"),
        chains=(
            Chain(ratio("ratio"), (Step("In ratios.", x2 / x1),)),
            Chain(ratio("probability"), (Step("In probabilities.", pi_l / pi_w),)),
            Chain(ratio("log-ratio"), (Step("In log-ratios.", sp.Integer(1)),)),
            Chain(ratio("logit"), (Step("In logits.", sp.Integer(1)),)),
        ),
    )


def _homogeneity() -> Derivation:
    t = sp.Symbol("t", positive=True)
    scaled = {x1: t * x1, x2: t * x2}
    return Derivation(
        id="homogeneity",
        title="Only the direction matters to the loss, only the distance to the magnitude",
        statement=(
            "Scaling both ratios by t leaves the loss alone and divides its gradient by t; so the "
            "gradient is perpendicular to the ray from the origin: x1 L1 + x2 L2 = 0."
        ),
        source=OWN,
        assumptions=(POSITIVE, "t > 0"),
        chains=(
            Chain(
                -sp.log(x1**beta / S).subs(scaled, simultaneous=True),
                (Step("$t^\\beta$ cancels in the quotient.", -sp.log(x1**beta / S)),),
                name="L(t x_1, t x_2)",
            ),
            Chain(
                DL_DX1.subs(scaled, simultaneous=True),
                (Step("$t^\\beta$ cancels and $1/t$ is left.", DL_DX1 / t),),
                name=DL1 + "(t x_1, t x_2)",
            ),
            Chain(
                DL_DX2.subs(scaled, simultaneous=True),
                (Step("The same.", DL_DX2 / t),),
                name=DL2 + "(t x_1, t x_2)",
            ),
            Chain(
                x1 * DL_DX1 + x2 * DL_DX2,
                (Step("Euler's relation for degree 0.", sp.Integer(0)),),
                name=r"x_1 \frac{\partial L}{\partial x_1} + x_2 \frac{\partial L}{\partial x_2}",
            ),
        ),
    )


def _circles() -> Derivation:
    time = sp.Symbol("t", real=True)
    f1, f2 = sp.Function("x_1")(time), sp.Function("x_2")(time)
    flow = {sp.Derivative(f1, time): -DL_DX1, sp.Derivative(f2, time): -DL_DX2}
    r = sp.Symbol("r", positive=True)
    gap = 2 * r**2 / (1 + r**2)
    rate = sp.diff(f1**2 + f2**2, time).subs(flow).subs({f1: x1, f2: x2})
    return Derivation(
        id="circles",
        title="Gradient flow in the ratios runs on circles",
        statement=(
            "Along gradient flow in the ratio chart x1^2 + x2^2 is constant. From (1, 1) the "
            "preferred ratio can therefore never pass the square root of 2."
        ),
        source=OWN,
        assumptions=(POSITIVE, "dx1/dt = -dL/dx1 and dx2/dt = -dL/dx2"),
        chains=(
            Chain(
                rate,
                (
                    Step(
                        "Put the flow into the time derivative of $x_1^2 + x_2^2$.",
                        -2 * (x1 * DL_DX1 + x2 * DL_DX2),
                    ),
                    Step("Euler's relation for degree 0.", sp.Integer(0)),
                ),
                name=r"\frac{d}{dt}\left(x_1^2 + x_2^2\right)",
            ),
            Chain(
                2 - 2 / (1 + r**2),
                (
                    Step(
                        "From $(1, 1)$: $x_1^2 = 2/(1 + r^2)$ with $r = x_2/x_1$, short of 2 by",
                        gap,
                    ),
                ),
            ),
        ),
        facts=(("this gap is positive, so $x_1 < \\sqrt{2}$", gap.is_positive),),
    )


def _hessian() -> Derivation:
    l11 = sp.Derivative(_DPO, (x1, 2))
    l22 = sp.Derivative(_DPO, (x2, 2))
    l12 = sp.Derivative(_DPO, x1, x2)
    det = -(beta**2) * x2 ** (2 * beta - 2) / (x1**2 * S**2)
    closed = sp.diff(DL_DX1, x1) * sp.diff(DL_DX2, x2) - sp.diff(DL_DX1, x2) * sp.diff(DL_DX2, x1)
    return Derivation(
        id="hessian",
        title="Saddle-shaped everywhere, a saddle point nowhere",
        statement=(
            "det Hessian = -beta^2 x2^(2 beta - 2) / (x1^2 (x1^beta + x2^beta)^2) < 0 at every "
            "point, while the gradient vanishes at none."
        ),
        source=OWN,
        assumptions=(POSITIVE,),
        chains=(
            Chain(
                l11 * l22 - l12**2,
                (
                    Step("Differentiate Theorem 1 once more.", closed),
                    Step("Collect.", det),
                ),
                name=r"\det \nabla^2 L",
            ),
        ),
        facts=(
            ("the determinant is negative everywhere", det.is_negative),
            (
                "no critical point: $\\partial L/\\partial x_1 < 0$ and $\\partial L/\\partial x_2 > 0$ everywhere",
                bool(DL_DX1.is_negative and DL_DX2.is_positive),
            ),
        ),
    )


def _limits() -> Derivation:
    p = sp.Symbol("p", positive=True)
    small, large = DL_DX2.subs(beta, 1 - p), DL_DX2.subs(beta, 1 + p)
    return Derivation(
        id="limits",
        title="The dispreferred component as its ratio vanishes",
        statement=(
            "As x2 -> 0 at fixed x1, dL/dx2 grows without bound for beta < 1, tends to 1/x1 for "
            "beta = 1, and tends to 0 for beta > 1."
        ),
        source=OWN,
        assumptions=("x_1 > 0, x_2 > 0", "p = |1 - beta| > 0"),
        chains=(
            Chain(
                sp.Limit(1 / small, x2, 0, "+"),
                (
                    Step(
                        "$\\beta = 1 - p < 1$: the reciprocal of $\\partial L/\\partial x_2$, divided out.",
                        sp.Limit((x1 ** (1 - p) * x2**p + x2) / (1 - p), x2, 0, "+"),
                    ),
                    Step(
                        "Both terms vanish, so $\\partial L/\\partial x_2$ itself is unbounded.",
                        sp.Integer(0),
                    ),
                ),
            ),
            Chain(
                sp.Limit(DL_DX2.subs(beta, 1), x2, 0, "+"),
                (
                    Step("$\\beta = 1$.", sp.Limit(1 / (x1 + x2), x2, 0, "+")),
                    Step("Put $x_2 = 0$.", 1 / x1),
                ),
            ),
            Chain(
                sp.Limit(large, x2, 0, "+"),
                (
                    Step(
                        "$\\beta = 1 + p > 1$.",
                        (1 + p) * sp.Limit(x2**p, x2, 0, "+") / x1 ** (1 + p),
                    ),
                    Step("The power of $x_2$ vanishes.", sp.Integer(0)),
                ),
            ),
        ),
    )


def _extinction() -> Derivation:
    r = sp.Symbol("r", positive=True)
    p = sp.Symbol("p", positive=True)
    turning = (x2 * DL_DX1 - x1 * DL_DX2) / x1**2
    in_r = -beta * r ** (beta - 1) * (1 + r**2) / (x1**2 * (1 + r**beta))
    speed = -(beta / 2) * r ** (beta - 1) * (1 + r**2) ** 2 / (1 + r**beta)
    return Derivation(
        id="extinction",
        title="When the dispreferred ratio reaches 0",
        statement=(
            "On the circle from (1, 1) the dispreferred ratio reaches 0 at the finite time "
            "T(beta) = (2/beta) * integral_0^1 r^(1-beta) (1 + r^beta)/(1 + r^2)^2 dr when "
            "beta < 2, and never when beta >= 2. T(1) = 1 + pi/4."
        ),
        source=OWN,
        assumptions=(POSITIVE, "gradient flow in the ratio chart from (1, 1)", "r = x_2/x_1"),
        chains=(
            Chain(
                sp.Subs(turning, x2, r * x1),
                (Step("The quotient rule, Theorem 1 put in, and $x_2 = r x_1$.", in_r),),
                name=r"\frac{dr}{dt}",
            ),
            Chain(
                sp.Subs(in_r, x1, sp.sqrt(2 / (1 + r**2))),
                (
                    Step(
                        "On the circle from $(1, 1)$, $x_1^2 = 2/(1 + r^2)$: a speed in $r$ alone.",
                        speed,
                    ),
                ),
                name=r"\frac{dr}{dt}",
            ),
            Chain(
                1 / speed,
                (
                    Step(
                        "Time per unit of $r$; $T(\\beta)$ is minus its integral from 0 to 1.",
                        -(2 / beta) * r ** (1 - beta) * (1 + r**beta) / (1 + r**2) ** 2,
                    ),
                ),
                name=r"\frac{dt}{dr}",
            ),
            Chain(
                sp.Integral(r ** (p - 1), (r, 0, 1)),
                (
                    Step(
                        "The factor $r^{1-\\beta} = r^{p-1}$, $p = 2 - \\beta$, has a finite integral "
                        "for $p > 0$; the other factor lies between 1/4 and 2.",
                        1 / p,
                    ),
                ),
            ),
            Chain(
                sp.Integral(2 * (1 + r) / (1 + r**2) ** 2, (r, 0, 1)),
                (Step("$T(1)$ in closed form.", 1 + sp.pi / 4),),
            ),
        ),
        facts=(
            (
                "at $\\beta = 2$ the integral of $1/r$ from 0 to 1 is infinite, and for larger $\\beta$ the "
                "integrand is larger still",
                sp.integrate(1 / r, (r, 0, 1)) == sp.oo,
            ),
        ),
    )


_ALL = (
    _bradley_terry(),
    _rlhf_optimum(),
    _dpo_loss(),
    _theorem_1(),
    _corollary_1(),
    _ratio_by_chart(),
    _homogeneity(),
    _circles(),
    _hessian(),
    _limits(),
    _extinction(),
)

THEOREMS: MappingProxyType[str, Derivation] = MappingProxyType({d.id: d for d in _ALL})
"""Every derivation of the book by id."""
