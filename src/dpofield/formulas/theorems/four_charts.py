"""Any loss of the margin in any chart: its components, its invariant, its metric.

`f` and `phi` are undefined functions, so the proofs use neither DPO's loss nor one of the four
charts.
"""

from __future__ import annotations

import sympy as sp

from dpofield.formulas.charts import CHARTS, Chart
from dpofield.formulas.derivation import Chain, Derivation, chain
from dpofield.formulas.losses import LOSSES, Loss
from dpofield.formulas.stable import logaddexp, sigmoid
from dpofield.formulas.symbols import beta, pi_l, pi_w, rest, u, v, x1, x2, z_l, z_w
from dpofield.formulas.theorems._common import OWN

f, phi = sp.Function("f"), sp.Function("phi")

MARGIN_LOSS = Loss("any margin loss", "f(u - v)", f(u - v), (), OWN)

_SOME_F = "f differentiable, and f' not 0 where a ratio is formed"

_FLOW = "each coordinate moves against its own partial derivative: da/dt = -dL/da"

_FACTORS: dict[str, tuple[sp.Expr, sp.Expr]] = {
    "ratio": (1 / x1, -1 / x2),
    "probability": (1 / pi_w, -1 / pi_l),
    "log-ratio": (sp.Integer(1), sp.Integer(-1)),
    "logit": (sp.Integer(1), sp.Integer(-1)),
}
"""The factors that the chain rule puts beside f' in each chart, typed independently."""

_INVARIANTS = {
    "ratio": "x_1^2 + x_2^2",
    "probability": r"\pi_w^2 + \pi_l^2",
    "log-ratio": "u + v",
    "logit": "z_w + z_l",
}


def slope(margin: sp.Expr) -> sp.Expr:
    """f' at a margin, unevaluated so that the page shows the margin.

    >>> slope(u - v)
    Subs(Derivative(f(m), m), m, u - v)
    """
    m = sp.Symbol("m", real=True)
    return sp.Subs(sp.Derivative(f(m), m), m, margin)


def _by(coordinate: sp.Symbol) -> str:
    return rf"\frac{{\partial L}}{{\partial {sp.latex(coordinate)}}}"


def _quotient(first: sp.Expr, second: sp.Expr) -> sp.Expr:
    """`-first/second`, not simplified."""
    return sp.Mul(first, sp.Pow(-second, -1), evaluate=False)


def _components(chart: Chart) -> tuple[Chain, Chain, Chain]:
    """Both components of f(u - v), and their ratio."""
    value = chart.pull_back(MARGIN_LOSS.expr)
    factors = _FACTORS[chart.name]
    sides = [slope(value.args[0]) * factor for factor in factors]
    along = [
        chain(
            sp.Derivative(value, symbol), (f"Chain rule, in {chart.title}.", side), name=_by(symbol)
        )
        for symbol, side in zip(chart.coordinates, sides, strict=True)
    ]
    ratio = chain(
        _quotient(*sides),
        ("$f'$ is the same on both sides and cancels.", -factors[0] / factors[1]),
        name=r"\left|{}\right| \Big/ \left|{}\right|".format(*map(_by, chart.coordinates)),
    )
    return along[0], along[1], ratio


def _margin_losses() -> Derivation:
    logit = CHARTS["logit"]
    mass = sigmoid(rest - logaddexp(z_w, z_l))
    normaliser = [
        chain(
            sp.Derivative(logratio, rest),
            ("Any other logit enters through the normaliser only.", -mass),
            name=rf"\frac{{\partial {symbol}}}{{\partial z_{{\mathrm{{rest}}}}}}",
        )
        for symbol, logratio in zip("uv", logit.logratios, strict=True)
    ]
    other = slope(logit.pull_back(u - v)) * sp.Add(-mass, mass, evaluate=False)
    return Derivation(
        id="margin-losses",
        title="Every loss of the margin has one ratio of components",
        statement=(
            "For every differentiable f, the components of L = f(u - v) have the ratio x2/x1 in "
            "ratios, pi_l/pi_w in probabilities, 1 in log-ratios and 1 in logits, where the "
            "component of every other logit is 0. Neither f nor a parameter of f is in it."
        ),
        source=OWN,
        assumptions=(
            _SOME_F,
            "x_1, x_2, pi_w, pi_l > 0",
            "logits of one softmax over whole responses",
        ),
        chains=(
            *(link for chart in CHARTS.values() for link in _components(chart)),
            *normaliser,
            chain(
                other,
                ("The preferred and the dispreferred lose the same.", 0),
                name=r"\frac{\partial L}{\partial z_{\mathrm{rest}}}",
            ),
        ),
    )


def _invariants() -> Derivation:
    def kept(chart: Chart) -> Chain:
        margin = slope(chart.pull_back(u - v))
        pairs = list(zip(chart.coordinates, _FACTORS[chart.name], strict=True))
        start = [-sp.Derivative(chart.invariant, c) * margin * factor for c, factor in pairs]
        put_in = [-sp.diff(chart.invariant, c) * margin * factor for c, factor in pairs]
        return chain(
            sp.Add(*start, evaluate=False),
            (f"In {chart.title}: differentiate the invariant.", sp.Add(*put_in, evaluate=False)),
            ("The two terms cancel.", 0),
            name=rf"\frac{{d}}{{dt}}\left({_INVARIANTS[chart.name]}\right)",
        )

    return Derivation(
        id="invariants-by-chart",
        title="What gradient flow conserves, chart by chart",
        statement=(
            "Gradient flow of every loss f(u - v) conserves x1^2 + x2^2 in ratios, pi_w^2 + pi_l^2 "
            "in probabilities, u + v in log-ratios and z_w + z_l in logits."
        ),
        source=OWN,
        assumptions=(_SOME_F, _FLOW, "in probabilities: as long as pi_w + pi_l < 1"),
        chains=tuple(kept(chart) for chart in CHARTS.values()),
    )


def _chart_principle() -> Derivation:
    g, s = sp.Function("g"), sp.Symbol("s", real=True)
    k = sp.Symbol("k", nonzero=True)
    d_phi_u, d_phi_v = sp.Derivative(phi(u), u), sp.Derivative(phi(v), v)
    first, second = slope(u - v) / d_phi_u, -slope(u - v) / d_phi_v
    names = [rf"\frac{{\partial L}}{{\partial {c}}}" for c in "ab"]
    ratio = d_phi_v / d_phi_u

    def ratio_for(chart: sp.Expr) -> sp.Expr:
        """phi'(v)/phi'(u) for phi, an expression in s."""
        at_v, at_u = (sp.Subs(sp.Derivative(chart, s), s, z) for z in (v, u))
        return sp.Mul(at_v, sp.Pow(at_u, -1), evaluate=False)

    return Derivation(
        id="chart-principle",
        title="The ratio of components is a property of the chart",
        statement=(
            "Let a chart treat the two responses alike and apart, a = phi(u) and b = phi(v). Every "
            "loss f(u - v) then has the ratio of components phi'(v)/phi'(u), equal components "
            "where u = v, and by a choice of phi any ratio g(v)/g(u) with g > 0 continuous. In "
            "powers of the ratios, a = x1^k and b = x2^k, it is (x2/x1)^k."
        ),
        source=OWN,
        assumptions=(_SOME_F, "phi differentiable, phi' not 0", "k not 0; x_1, x_2 > 0"),
        chains=(
            chain(
                sp.Mul(sp.Derivative(f(u - v), u), sp.Pow(d_phi_u, -1), evaluate=False),
                ("$b$ does not move, so divide $\\partial L/\\partial u$ by $da/du$.", first),
                name=names[0],
            ),
            chain(
                sp.Mul(sp.Derivative(f(u - v), v), sp.Pow(d_phi_v, -1), evaluate=False),
                ("The same with $\\partial L/\\partial v$ and $db/dv$.", second),
                name=names[1],
            ),
            chain(
                _quotient(first, second),
                ("$f'$ cancels: what is left knows the chart and not the loss.", ratio),
                name=r"\left|{}\right| \Big/ \left|{}\right|".format(*names),
            ),
            chain(
                ratio_for(sp.exp(k * s)),
                ("Powers of the ratios: $a = x_1^k = e^{ku}$.", sp.exp(k * v) / sp.exp(k * u)),
                ("This is $(x_2/x_1)^k$.", sp.exp(k * (v - u))),
            ),
            chain(
                ratio_for(sp.Integral(g(s), s)),
                ("For $\\phi$ take an antiderivative of $g$.", g(v) / g(u)),
            ),
        ),
    )


def _metric() -> Derivation:
    t = sp.Symbol("t", real=True)
    at = {u: sp.Function("u")(t), v: sp.Function("v")(t)}
    along = {c: sp.Derivative(path, t) for c, path in at.items()}
    d_phi = {c: sp.Derivative(phi(c), c) for c in (u, v)}
    by = {c: sp.Derivative(f(u - v), c) for c in (u, v)}
    sign = {u: 1, v: -1}
    whole = [
        (sign[c] * slope(u - v) / d_phi[c]).subs(at) * sp.Derivative(phi(at[c]), t) for c in (u, v)
    ]
    motion = {c: -sign[c] * slope(u - v) / d_phi[c] ** 2 for c in (u, v)}
    flows = tuple(
        chain(
            sp.Mul(-by[c] / d_phi[c], sp.Pow(d_phi[c], -1), evaluate=False),
            (
                f"$\\dot {a} = -\\partial L/\\partial {a}$ and $\\dot {c} = \\dot {a}/\\phi'({c})$.",
                motion[c],
            ),
            name=rf"\dot {c}",
        )
        for a, c in zip("ab", (u, v), strict=True)
    )
    kept = sp.Add(*(d_phi[c] ** 2 * motion[c] for c in (u, v)), evaluate=False)
    return Derivation(
        id="chart-as-metric",
        title="What every chart agrees on, and what descent adds",
        statement=(
            "Along any path the loss changes at the rate f'(u - v) (u' - v') in every chart. "
            "Gradient flow in the chart phi, seen in log-ratios, is u' = -(dL/du)/phi'(u)^2, "
            "v' = -(dL/dv)/phi'(v)^2; it conserves Phi(u) + Phi(v), where Phi' = phi'^2."
        ),
        source=OWN,
        assumptions=(_SOME_F, "phi differentiable, phi' not 0", _FLOW),
        chains=(
            chain(
                sp.Add(*whole, evaluate=False),
                (
                    "The factor $\\phi'$ of the path meets that of the component.",
                    slope(u - v).subs(at) * (along[u] - along[v]),
                ),
                name=r"\frac{\partial L}{\partial a}\,\dot a + \frac{\partial L}{\partial b}\,\dot b",
            ),
            *flows,
            chain(
                kept,
                ("With $\\Phi' = \\phi'^2$ the two terms cancel.", 0),
                name=r"\frac{d}{dt}\left(\Phi(u) + \Phi(v)\right)",
            ),
        ),
    )


def _log_ratio_clock() -> Derivation:
    t = sp.Symbol("t", positive=True)
    h = sp.Function("h", real=True)(t)
    y, w = sp.Symbol("y", positive=True), sp.Symbol("omega", positive=True)
    by_u, by_v = CHARTS["log-ratio"].gradient(LOSSES["dpo"])
    pace = 2 * beta * sigmoid(-beta * h)
    clock = sp.exp(beta * h) + beta * h
    time = (sp.exp(y) + y - 1) / (2 * beta**2)
    slope = sp.exp(y) + 1
    return Derivation(
        id="log-ratio-clock",
        title="The margin in log-ratios at every time",
        statement=(
            "Under gradient flow of the DPO loss in log-ratios from (0, 0) the margin h obeys "
            "exp(beta h) + beta h = 1 + 2 beta^2 t, that is h = (1/beta) log omega(1 + 2 beta^2 t) "
            "with the Wright omega function. It grows without bound, like (1/beta) log t, and "
            "neither ratio vanishes at any time."
        ),
        source=OWN,
        assumptions=(
            "beta > 0",
            "du/dt = -dL/du and dv/dt = -dL/dv from u = v = 0",
            "omega(c) > 0 is the root of omega + log omega = c",
        ),
        chains=(
            chain(
                sp.Subs(-by_u + by_v, u, v + h),
                ("$\\dot h = \\dot u - \\dot v$, and both are one weight.", pace),
                name=r"\frac{dh}{dt}",
            ),
            chain(
                sp.diff(clock, t).subs(sp.Derivative(h, t), pace),
                ("Differentiate and put the flow in.", beta * (1 + sp.exp(beta * h)) * pace),
                ("$\\sigma(-\\beta h)(1 + e^{\\beta h}) = 1$: a constant.", 2 * beta**2),
                name=r"\frac{d}{dt}\left(e^{\beta h} + \beta h\right)",
            ),
            chain(sp.Subs(sp.exp(y) + y, y, sp.Integer(0)), ("At $t = 0$ the margin is 0.", 1)),
            chain(
                sp.Subs(sp.exp(y) + y, y, sp.log(w)),
                ("$y = \\log\\omega(c)$ solves $e^y + y = c$.", w + sp.log(w)),
            ),
            chain(
                sp.Limit(y - sp.log(2 * beta**2 * time), y, sp.oo),
                (
                    "With $y = \\beta h$ and $t$ from the clock, $\\beta h - \\log(2\\beta^2 t)$.",
                    sp.Limit(-sp.log(1 + (y - 1) * sp.exp(-y)), y, sp.oo),
                ),
                ("So $h$ is $(\\log t + \\log 2\\beta^2)/\\beta$, up to a gap that vanishes.", 0),
            ),
            chain(
                sp.Limit(y / sp.log(time), y, sp.oo), ("And $h$ against $(1/\\beta)\\log t$.", 1)
            ),
        ),
        facts=(
            (
                "$e^y + y$ increases, so each time has one margin and each margin one time",
                slope.is_positive,
            ),
            (
                "the time of a margin is finite, and grows beyond every bound with it",
                sp.limit(time, y, sp.oo) is sp.oo,
            ),
        ),
    )


PROOFS = (_margin_losses(), _invariants(), _chart_principle(), _metric(), _log_ratio_clock())
