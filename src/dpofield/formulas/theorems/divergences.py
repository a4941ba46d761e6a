"""How the divergence in DPO's penalty changes the field, its flow, the cap and the clock.

`f` is an undefined function in statements about all divergences. The five divergences of the book
are then substituted one by one; their right-hand sides are typed independently.
"""

from __future__ import annotations

import sympy as sp

from dpofield.formulas.derivation import Derivation, chain
from dpofield.formulas.divergences import DIVERGENCES
from dpofield.formulas.stable import logsigmoid, sigmoid
from dpofield.formulas.symbols import alpha, beta, x, x1, x2
from dpofield.formulas.theorems._common import DL1, DL2, OWN, POSITIVE

f = sp.Function("f")
p, q = sp.symbols("p q", positive=True)
c, y = sp.symbols("c y", positive=True)

_CONVEX = "f twice differentiable with f'' > 0"
_FLOW = "dx1/dt = -dL/dx1 and dx2/dt = -dL/dx2"
_START = "from (1, 1)"


def _f1(at: sp.Expr) -> sp.Expr:
    return sp.Subs(sp.Derivative(f(x), x), x, at)


def _f2(at: sp.Expr) -> sp.Expr:
    return sp.Subs(sp.Derivative(f(x), (x, 2)), x, at)


MARGIN = sp.diff(f(x1), x1) - sp.diff(f(x2), x2)
_WEIGHT = sigmoid(-beta * (_f1(x1) - _f1(x2)))
_ALONG = (-beta * _WEIGHT * _f2(x1), beta * _WEIGHT * _f2(x2))

# Typed in the order of DIVERGENCES: the ratio of components, and I with I' = 1/f''.
_RATIOS = (
    x2 / x1,
    (x2 / x1) ** 2,
    x2 * (1 + x2) / (x1 * (1 + x1)),
    (x2 / x1) ** (2 - alpha),
    sp.Integer(1),
)
INVARIANTS = (x**2 / 2, x**3 / 3, x**2 / 2 + x**3 / 3, x ** (3 - alpha) / (3 - alpha), x)


def _second(name: str, at: sp.Expr) -> sp.Expr:
    """f'' of a divergence at a ratio, unevaluated."""
    return sp.Subs(sp.Derivative(DIVERGENCES[name].f, (x, 2)), x, at)


def _over(first: sp.Expr, second: sp.Expr) -> sp.Expr:
    return sp.Mul(first, sp.Pow(second, -1), evaluate=False)


def _ratio() -> Derivation:
    loss = -logsigmoid(beta * MARGIN)
    name = rf"\left|{DL1}\right| \Big/ \left|{DL2}\right|"
    sides = tuple(
        chain(sp.Derivative(loss, at), ("Chain rule through the margin.", side), name=by)
        for at, side, by in zip((x1, x2), _ALONG, (DL1, DL2), strict=True)
    )
    five = tuple(
        chain(
            _over(_second(d.name, x1), _second(d.name, x2)),
            (f"{d.title}: $f = {sp.latex(d.f)}$.", ratio),
        )
        for d, ratio in zip(DIVERGENCES.values(), _RATIOS, strict=True)
    )
    return Derivation(
        id="divergence-ratio",
        title="The ratio of components is that of f''",
        statement=(
            "For L = -log sigmoid(beta (f'(x1) - f'(x2))) the ratio of components in the ratios is "
            "f''(x1)/f''(x2): x2/x1 for reverse KL, (x2/x1)^2 for forward KL, "
            "x2(1 + x2)/(x1(1 + x1)) for Jensen-Shannon, (x2/x1)^(2 - alpha) for the "
            "alpha-divergence and 1 for chi-squared."
        ),
        source=OWN,
        assumptions=(POSITIVE, _CONVEX),
        chains=(
            *sides,
            chain(
                _over(-_ALONG[0], _ALONG[1]),
                ("$\\beta$ and the weight are the same on both sides.", _f2(x1) / _f2(x2)),
                name=name,
            ),
            *five,
        ),
    )


def _balance() -> Derivation:
    k = sp.Symbol("k", positive=True)
    t = sp.Symbol("t", positive=True)
    by_log = [_WEIGHT * at * _f2(at) for at in (x1, x2)]
    return Derivation(
        id="divergence-balance",
        title="Each divergence balances one chart",
        statement=(
            "In log-ratios the ratio of components is x1 f''(x1) / (x2 f''(x2)). It is 1 at every "
            "point only for f' = k log x plus a constant, reverse KL; in the ratios it is 1 at "
            "every point only for f' = k x plus a constant, chi-squared."
        ),
        source=OWN,
        assumptions=(POSITIVE, _CONVEX),
        chains=(
            chain(
                _over(-x1 * _ALONG[0], x2 * _ALONG[1]),
                (
                    "$\\partial/\\partial u = x_1 \\, \\partial/\\partial x_1$, and so for $v$.",
                    by_log[0] / by_log[1],
                ),
                ("The weight cancels.", x1 * _f2(x1) / (x2 * _f2(x2))),
                name=r"\left|\frac{\partial L}{\partial u}\right| \Big/ "
                r"\left|\frac{\partial L}{\partial v}\right|",
            ),
            chain(
                sp.Integral(k / t, (t, 1, x)),
                (
                    "A ratio of 1 everywhere makes $x f''(x)$ a constant $k$; so "
                    "$f'(x) - f'(1)$ is",
                    k * sp.log(x),
                ),
            ),
            chain(
                sp.Integral(k, (t, 1, x)),
                ("In the ratios it is $f''$ that is a constant.", k * (x - 1)),
            ),
        ),
    )


def _invariant() -> Derivation:
    time = sp.Symbol("t", real=True)
    kept = sp.Add(-_ALONG[0] / _f2(x1), -_ALONG[1] / _f2(x2), evaluate=False)
    five = tuple(
        chain(
            sp.Derivative(invariant, x) * sp.Derivative(d.f, (x, 2)),
            (f"{d.title}: $I = {sp.latex(invariant)}$.", 1),
        )
        for d, invariant in zip(DIVERGENCES.values(), INVARIANTS, strict=True)
    )
    at_three = DIVERGENCES["alpha"].f.subs(alpha, 3)
    return Derivation(
        id="divergence-invariant",
        title="What the flow of f-DPO conserves",
        statement=(
            "Gradient flow in the ratios conserves I(x1) + I(x2) with I' = 1/f''. I is x^2/2 for "
            "reverse KL, x^3/3 for forward KL, x^2/2 + x^3/3 for Jensen-Shannon, "
            "x^(3 - alpha)/(3 - alpha) for the alpha-divergence (log x at alpha = 3), x for "
            "chi-squared. It does not depend on beta."
        ),
        source=OWN,
        assumptions=(POSITIVE, _CONVEX, _FLOW),
        chains=(
            chain(
                kept,
                ("$\\dot x_1 I'(x_1) + \\dot x_2 I'(x_2)$ with the components put in.", 0),
                name=rf"\frac{{d}}{{d{time}}}\left(I(x_1) + I(x_2)\right)",
            ),
            *five,
            chain(
                sp.Derivative(sp.log(x), x) * sp.Derivative(at_three, (x, 2)),
                ("alpha = 3: $I = \\log x$.", 1),
            ),
        ),
    )


def _caps() -> Derivation:
    def gap(invariant: sp.Expr) -> sp.Expr:
        """`I(c) + I(0) - 2 I(1)`, with the last two terms unevaluated."""
        at_zero = sp.Limit(invariant, x, 0, "+")
        return sp.Subs(invariant, x, c) - 2 * invariant.subs(x, 1) + at_zero

    cubic = 2 * c**3 + 3 * c**2 - 10
    power = x**p / p
    by_name = dict(zip(DIVERGENCES, INVARIANTS, strict=True))
    closed = {"reverse_kl": sp.sqrt(2), "forward_kl": sp.cbrt(2), "chi2": sp.Integer(2)}
    level = [
        chain(
            gap(by_name[name]).subs(c, root),
            (f"{DIVERGENCES[name].title}: $c = {sp.latex(root)}$.", 0),
        )
        for name, root in closed.items()
    ]
    return Derivation(
        id="divergence-caps",
        title="How far the preferred ratio can rise",
        statement=(
            "From (1, 1) the preferred ratio stays below the root c of I(c) = 2 I(1) - I(0): "
            "sqrt 2 for reverse KL, 2^(1/3) for forward KL, the root of c^2/2 + c^3/3 = 5/3 for "
            "Jensen-Shannon (1.3294), 2^(1/(3 - alpha)) for the alpha-divergence below alpha = 3, "
            "2 for chi-squared. From alpha = 3 on I(0) is minus infinity and there is no cap; "
            "above 3 it is x2 that stays above 2^(-1/(alpha - 3))."
        ),
        source=OWN,
        assumptions=(POSITIVE, _CONVEX, _FLOW, _START, "c > 0; p = 3 - alpha; q = alpha - 3"),
        chains=(
            *level,
            chain(gap(by_name["js"]), ("Jensen-Shannon: the root of a cubic.", cubic / 6)),
            chain(
                gap(power).subs(c, 2 ** (1 / p)),
                ("alpha below 3, $p = 3 - \\alpha > 0$: $c = 2^{1/p}$.", 0),
            ),
            chain(
                sp.Subs(-(x**-q) / q, x, 2 ** (-1 / q)),
                (
                    "alpha above 3, $q = \\alpha - 3 > 0$: at $x_2 = 2^{-1/q}$ all of "
                    "$2 I(1) = -2/q$ is used up, and $I(x_1) = -x_1^{-q}/q$ tends to 0.",
                    -2 / q,
                ),
            ),
        ),
        facts=(
            ("the cubic has one positive root", sp.Poly(cubic, c).count_roots(0, sp.oo) == 1),
            ("alpha = 3: $I(0) = -\\infty$", sp.limit(sp.log(x), x, 0, "+") is -sp.oo),
            ("alpha above 3: $I(0) = -\\infty$", sp.limit(-(x**-q) / q, x, 0, "+") is -sp.oo),
        ),
    )


def _arrival() -> Derivation:
    s = sp.Symbol("s", positive=True)
    margin = 2 - 2 * y
    pace = (1 + sp.exp(beta * margin)) / beta
    wait = y ** (1 + q) * sp.exp(beta * y**-q / q)
    tail = s ** (-2 - 2 / q) * sp.exp(beta * s / q) / q
    js = DIVERGENCES["js"].f
    js1 = [sp.Subs(sp.Derivative(js, x), x, at) for at in (x1, x2)]
    return Derivation(
        id="divergence-arrival",
        title="When the dispreferred ratio reaches 0, and when never",
        statement=(
            "From (1, 1), x2 reaches 0 in finite time for chi-squared at every beta, at "
            "1/beta + (exp(2 beta) - 1)/(2 beta^2); for Jensen-Shannon, as for reverse KL, exactly "
            "when beta < 2; for forward KL never. For the alpha-divergence: never for alpha < 1, "
            "always for 1 < alpha < 3, never from alpha = 3 on."
        ),
        source=OWN,
        assumptions=(
            POSITIVE,
            _FLOW,
            _START,
            "time per unit of x2 is (1 + exp(beta m)) / (beta f''(x2)), and 1 <= x1 <= its cap",
            "p = 3 - alpha for 1 < alpha < 3 and p = 2 - beta for Jensen-Shannon; q = 1 - alpha",
        ),
        chains=(
            chain(
                1 / (beta * sigmoid(-beta * margin)),
                (
                    "Chi-squared: $f'' = 1$ and $x_1 = 2 - x_2$, so $m = 2 - 2 x_2$; "
                    "write $y$ for $x_2$.",
                    pace,
                ),
                name=r"-\frac{dt}{dy}",
            ),
            chain(
                sp.Integral(pace, (y, 0, 1)),
                ("The time it takes.", 1 / beta + (sp.exp(2 * beta) - 1) / (2 * beta**2)),
                name="T",
            ),
            chain(
                sp.Subs(wait, y, s ** (-1 / q)) * -sp.Derivative(s ** (-1 / q), s),
                (
                    "alpha $= 1 - q$ below 1 (forward KL at $q = 1$): as $x_1 \\geq 1$, the time "
                    "per $y$ is at least $e^{-\\beta/q} y^{1+q} e^{\\beta y^{-q}/q} / \\beta$. Per "
                    "unit of $s = y^{-q}$, without the constant:",
                    tail,
                ),
            ),
            chain(
                sp.exp(beta * (js1[0] - js1[1])),
                (
                    "Jensen-Shannon: $x_2^{-\\beta}$ times a factor between $2^{-\\beta}$ and "
                    "$2^{\\beta}$.",
                    x2**-beta * (x1 * (1 + x2) / (1 + x1)) ** beta,
                ),
                name=r"e^{\beta m}",
            ),
            chain(
                sp.Integral(y ** (p - 1), (y, 0, 1)),
                (
                    "Jensen-Shannon needs $y^{1-\\beta}$ to have an integral, $p = 2 - \\beta$; "
                    "between alpha 1 and 3, where $m$ is bounded, $y^{2-\\alpha}$, "
                    "$p = 3 - \\alpha$.",
                    1 / p,
                ),
            ),
        ),
        facts=(
            (
                "alpha below 1: that integrand grows beyond every bound with $s$, so no time is "
                "enough",
                sp.limit(tail, s, sp.oo) is sp.oo,
            ),
            (
                "the integral of $1/y$ down to 0 is infinite: Jensen-Shannon at $\\beta = 2$, where "
                "larger $\\beta$ takes longer still, and alpha = 3, where $f''(y) = y$",
                sp.integrate(1 / y, (y, 0, 1)) is sp.oo,
            ),
            (
                "between alpha 1 and 3, $f'(0)$ is finite, so $m$ is bounded up to the cap",
                sp.limit((x**q - 1) / q, x, 0, "+") == -1 / q,
            ),
            (
                "reverse KL, forward KL and Jensen-Shannon: $f'(0) = -\\infty$",
                all(
                    sp.limit(DIVERGENCES[n].first, x, 0, "+") is -sp.oo
                    for n in ("reverse_kl", "forward_kl", "js")
                ),
            ),
            ("chi-squared: $f'(0) = -1$", sp.limit(DIVERGENCES["chi2"].first, x, 0, "+") == -1),
        ),
    )


PROOFS = (_ratio(), _balance(), _invariant(), _caps(), _arrival())
