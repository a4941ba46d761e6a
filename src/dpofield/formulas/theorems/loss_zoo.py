"""How the losses of the zoo push the two log-ratios: thresholds, reversals, tilted fields."""

from __future__ import annotations

import sympy as sp

from dpofield.formulas.decide import sign
from dpofield.formulas.derivation import Derivation, chain
from dpofield.formulas.losses import LOSSES
from dpofield.formulas.losses.core import EPSILON
from dpofield.formulas.stable import logsigmoid, sigmoid, step
from dpofield.formulas.symbols import beta, epsilon, h, lam, len_l, len_w, tau, u, v
from dpofield.formulas.theorems._common import OWN
from dpofield.formulas.theorems.four_charts import slope

_BY_U, _BY_V, _BY_H = (rf"\frac{{\partial L}}{{\partial {z}}}" for z in ("u", "v", "h"))
_DESERVED = sp.log((1 - epsilon) / epsilon)
_SMOOTHING = "0 < epsilon < 1/2, beta > 0"


def _of_margin(name: str) -> sp.Expr:
    """A loss of the margin as a function of h."""
    return LOSSES[name].expr.subs(u, v + h)


def _where_the_push_stops() -> Derivation:
    excess = beta * h - _DESERVED
    return Derivation(
        id="where-the-push-stops",
        title="Four losses of the margin that stop, three of them to turn",
        statement=(
            "IPO raises the margin up to 1/(2 beta) and lowers it beyond; cDPO and EXO do so at "
            "log((1 - epsilon)/epsilon)/beta; the hinge loss stops at 1/beta and stays silent."
        ),
        source=f"{OWN}; the losses as in their sources",
        assumptions=(_SMOOTHING,),
        chains=(
            chain(
                sp.Derivative(_of_margin("ipo"), h),
                ("A square has its minimum where its root is 0.", 2 * (h - 1 / (2 * beta))),
                name=_BY_H,
            ),
            chain(
                sp.Derivative(_of_margin("cdpo"), h),
                (
                    "The derivative of $\\log\\sigma$ is $\\sigma$ of the negative; the two terms pull against each other.",
                    beta * (epsilon * sigmoid(beta * h) - (1 - epsilon) * sigmoid(-beta * h)),
                ),
                (
                    "Use $\\sigma(z) = e^z \\sigma(-z)$.",
                    beta * (1 - epsilon) * sigmoid(-beta * h) * (sp.exp(excess) - 1),
                ),
                name=_BY_H,
            ),
            chain(
                sp.Derivative(_of_margin("exo"), h),
                (
                    "Both logarithms' own derivatives cancel; what is left is linear in $h$ beside a positive factor.",
                    beta * sigmoid(beta * h) * sigmoid(-beta * h) * excess,
                ),
                name=_BY_H,
            ),
            chain(
                sp.Derivative(_of_margin("hinge"), h),
                ("The derivative of $\\max(0, z)$ is 1 or 0.", -beta * step(1 - beta * h)),
                name=_BY_H,
            ),
        ),
        facts=(
            (
                "the factors beside $\\beta h - \\log\\frac{1-\\varepsilon}{\\varepsilon}$ and beside $e^{\\beta h - \\log\\frac{1-\\varepsilon}{\\varepsilon}} - 1$ are positive",
                sign(
                    beta**2 * (1 - epsilon) * sigmoid(beta * h) * sigmoid(-beta * h) ** 2, [EPSILON]
                )
                == (1, True),
            ),
        ),
    )


def _preferred_pushed_down() -> Derivation:
    nca, down = LOSSES["nca"].expr, LOSSES["apo_down"].expr
    square = sp.exp(-beta * (u - v)) * (sp.exp(beta * (2 * u - v)) - 1) * (sp.exp(-beta * v) - 1)
    four = sp.Mul(*(sigmoid(s * beta * z) for s in (1, -1) for z in (u, u - v)))
    return Derivation(
        id="preferred-pushed-down",
        title="Where NCA and APO-down push the preferred down",
        statement=(
            "NCA pushes the preferred up where u < log(2)/beta and down beyond. APO-down pushes it "
            "up exactly where v (2u - v) > 0: at the start not at all, and at u = 0 with any v "
            "other than 0 down. Both always push the dispreferred down."
        ),
        source=f"{OWN}; the losses as in their sources",
        assumptions=("beta > 0",),
        chains=(
            chain(
                sp.Derivative(nca, u),
                (
                    "The preferred stands in two terms, which pull against each other.",
                    beta * (sigmoid(beta * u) / 2 - sigmoid(-beta * u)),
                ),
                (
                    "Use $\\sigma(z) = e^z \\sigma(-z)$.",
                    beta * sigmoid(-beta * u) * (sp.exp(beta * u) - 2) / 2,
                ),
                name=_BY_U,
            ),
            chain(
                sp.Derivative(nca, v),
                ("The dispreferred stands in one.", beta * sigmoid(beta * v) / 2),
                name=_BY_V,
            ),
            chain(
                sp.Derivative(down, u),
                (
                    "The derivative of $\\sigma(z)$ is $\\sigma(z)\\,\\sigma(-z)$.",
                    beta
                    * (
                        sigmoid(beta * u) * sigmoid(-beta * u)
                        - sigmoid(beta * (u - v)) * sigmoid(-beta * (u - v))
                    ),
                ),
                ("Common denominator; the numerator factors.", beta * four * square),
                name=_BY_U,
            ),
            chain(
                sp.Subs(sp.Derivative(down, u), u, 0),
                ("At $u = 0$: a square.", beta * (sigmoid(beta * v) - sp.Rational(1, 2)) ** 2),
                name=rf"\left.{_BY_U}\right|_{{u = 0}}",
            ),
            chain(
                sp.Derivative(down, v),
                (
                    "The dispreferred stands in one term.",
                    beta * sigmoid(beta * (u - v)) * sigmoid(-beta * (u - v)),
                ),
                name=_BY_V,
            ),
        ),
        facts=(
            (
                "the factors beside $e^{\\beta u} - 2$ and beside $(e^{\\beta(2u - v)} - 1)(e^{-\\beta v} - 1)$ are positive",
                (beta * four * sp.exp(-beta * (u - v)) * sigmoid(-beta * u)).is_positive,
            ),
            (
                "$\\partial L/\\partial v > 0$ for both",
                bool(
                    LOSSES["nca"].partials[1].is_positive
                    and LOSSES["apo_down"].partials[1].is_positive
                ),
            ),
        ),
    )


def _discopop_start() -> Derivation:
    gate = sigmoid(beta * h / tau)
    at_start = beta * ((1 - sp.log(2)) / (4 * tau) - sp.Rational(3, 4))
    threshold = (1 - sp.log(2)) / 3
    return Derivation(
        id="discopop-start",
        title="DiscoPOP at the start",
        statement=(
            "The slope of DiscoPOP's loss by the margin at h = 0 is "
            "beta ((1 - log 2)/(4 tau) - 3/4): for tau < (1 - log 2)/3 the first step lowers the "
            "margin."
        ),
        source=f"{OWN}; the loss as in Lu et al. 2024, Eq. 5",
        assumptions=("tau > 0, beta > 0",),
        chains=(
            chain(
                sp.Derivative(_of_margin("discopop"), h),
                (
                    "Each part falls with the margin, and the gate between them opens towards the exponential, which is the larger.",
                    beta
                    * (
                        -sigmoid(-beta * h) * sigmoid(-beta * h / tau)
                        - sp.exp(-beta * h) * gate
                        + gate
                        * sigmoid(-beta * h / tau)
                        * (sp.exp(-beta * h) + logsigmoid(beta * h))
                        / tau
                    ),
                ),
                name=_BY_H,
            ),
            chain(
                sp.Subs(sp.Derivative(_of_margin("discopop"), h), h, 0),
                ("At $h = 0$ every $\\sigma$ is one half.", at_start),
                name=rf"\left.{_BY_H}\right|_{{h = 0}}",
            ),
            chain(
                at_start, ("Take out what is positive.", 3 * beta / (4 * tau) * (threshold - tau))
            ),
        ),
        facts=(
            ("$3\\beta/(4\\tau) > 0$", (3 * beta / (4 * tau)).is_positive),
            (
                "the default $\\tau = 1/20$ is below $(1 - \\log 2)/3$",
                bool(sp.Rational(1, 20) < threshold),
            ),
        ),
    )


def _tilted_fields() -> Derivation:
    f = sp.Function("f")
    a, c = sp.symbols("a c", positive=True)
    loss, at = f(a * u - c * v), slope(a * u - c * v)

    def of(name: str) -> sp.Expr:
        along_u, along_v = LOSSES[name].partials
        return sp.Mul(-along_u, sp.Pow(along_v, -1), evaluate=False)

    ratio = rf"-{_BY_U} \Big/ {_BY_V}"
    tokens = "Per token, $a = 1/n_w$ and $c = 1/n_l$: the shorter response moves more."
    return Derivation(
        id="tilted-fields",
        title="Weighted margins: straight lines of another slope",
        statement=(
            "For L = f(a u - c v) the components have the constant ratio a/c in log-ratios, and "
            "gradient flow there conserves c u + a v. DPO-Shift has a/c = 1/lambda; the losses per "
            "token (DPO, IPO, SimPO) have a/c = n_l/n_w."
        ),
        source=OWN,
        assumptions=("a, c > 0; f differentiable, and f' not 0 where a ratio is formed",),
        chains=(
            chain(sp.Derivative(loss, u), ("Chain rule.", a * at), name=_BY_U),
            chain(sp.Derivative(loss, v), ("Chain rule.", -c * at), name=_BY_V),
            chain(
                sp.Mul(-a * at, sp.Pow(-c * at, -1), evaluate=False),
                ("$f'$ cancels.", a / c),
                name=ratio,
            ),
            chain(
                sp.Add(c * -(a * at), a * (c * at), evaluate=False),
                ("Along the flow, $\\dot u = -a f'$ and $\\dot v = c f'$.", 0),
                name=r"\frac{d}{dt}\left(c u + a v\right)",
            ),
            chain(
                of("dpo_shift"),
                ("DPO-Shift, where $a = 1$ and $c = \\lambda$.", 1 / lam),
                name=ratio,
            ),
            *(
                chain(of(name), (tokens, len_l / len_w), name=ratio)
                for name in ("sigmoid_norm", "ipo_norm", "simpo")
            ),
        ),
    )


def _nll_floor() -> Derivation:
    rpo, cpo = LOSSES["rpo"].expr, LOSSES["cpo"].expr
    even = sp.log(beta * len_w / lam - 1) / beta
    return Derivation(
        id="nll-floor",
        title="An NLL term is a push that never ends",
        statement=(
            "RPO pushes the preferred up by beta sigma(-beta h) + lambda/n_w, the dispreferred "
            "down by beta sigma(-beta h). The second term of the first is constant; where beta n_w > "
            "lambda the two are equal at h = log(beta n_w/lambda - 1)/beta, and NLL is the larger "
            "beyond."
        ),
        source=f"{OWN}; the loss as in Pang et al. 2024",
        assumptions=("lambda > 0, n_w > 0, beta > 0; beta n_w > lambda where the two are equal",),
        chains=(
            chain(
                -sp.Derivative(rpo, u),
                (
                    "DPO's push and the NLL's, which is constant.",
                    beta * sigmoid(-beta * (u - v)) + lam / len_w,
                ),
                name=f"-{_BY_U}",
            ),
            chain(
                sp.Derivative(rpo, v),
                ("The NLL does not see the dispreferred.", beta * sigmoid(-beta * (u - v))),
                name=_BY_V,
            ),
            chain(
                sp.Add(-sp.Derivative(cpo, u), -sp.Derivative(cpo, v), evaluate=False),
                ("CPO: the same difference of the two pushes.", lam / len_w),
                name=rf"-{_BY_U} - {_BY_V}",
            ),
            chain(
                beta / (1 + sp.exp(beta * h)).subs(h, even),
                ("At the margin given, DPO's push equals the NLL's.", lam / len_w),
                name=r"\beta\,\sigma(-\beta h)",
            ),
        ),
        facts=(("$\\lambda/n_w > 0$", (lam / len_w).is_positive),),
    )


PROOFS = (
    _where_the_push_stops(),
    _preferred_pushed_down(),
    _discopop_start(),
    _tilted_fields(),
    _nll_floor(),
)
