"""Properties of the field in the ratios: rays, circles, saddles, limits, extinction."""

from __future__ import annotations

import sympy as sp

from dpofield.formulas.derivation import Derivation, chain
from dpofield.formulas.symbols import beta, x1, x2
from dpofield.formulas.theorems._common import DL1, DL2, DL_DX1, DL_DX2, DPO, OWN, POSITIVE, S


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
            chain(
                -sp.log(x1**beta / S).subs(scaled, simultaneous=True),
                ("$t^\\beta$ cancels in the quotient.", -sp.log(x1**beta / S)),
                name="L(t x_1, t x_2)",
            ),
            chain(
                DL_DX1.subs(scaled, simultaneous=True),
                ("$t^\\beta$ cancels and $1/t$ is left.", DL_DX1 / t),
                name=DL1 + "(t x_1, t x_2)",
            ),
            chain(
                DL_DX2.subs(scaled, simultaneous=True),
                ("The same.", DL_DX2 / t),
                name=DL2 + "(t x_1, t x_2)",
            ),
            chain(
                x1 * DL_DX1 + x2 * DL_DX2,
                ("Euler's relation for degree 0.", 0),
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
            chain(
                rate,
                (
                    "Put the flow into the time derivative of $x_1^2 + x_2^2$.",
                    -2 * (x1 * DL_DX1 + x2 * DL_DX2),
                ),
                ("Euler's relation for degree 0.", 0),
                name=r"\frac{d}{dt}\left(x_1^2 + x_2^2\right)",
            ),
            chain(
                2 - 2 / (1 + r**2),
                ("From $(1, 1)$: $x_1^2 = 2/(1 + r^2)$ with $r = x_2/x_1$, short of 2 by", gap),
            ),
        ),
        facts=(("this gap is positive, so $x_1 < \\sqrt{2}$", gap.is_positive),),
    )


def _hessian() -> Derivation:
    l11 = sp.Derivative(DPO, (x1, 2))
    l22 = sp.Derivative(DPO, (x2, 2))
    l12 = sp.Derivative(DPO, x1, x2)
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
            chain(
                l11 * l22 - l12**2,
                ("Differentiate Theorem 1 once more.", closed),
                ("Collect.", det),
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
            chain(
                sp.Limit(1 / small, x2, 0, "+"),
                (
                    "$\\beta = 1 - p < 1$: the reciprocal of $\\partial L/\\partial x_2$, divided out.",
                    sp.Limit((x1 ** (1 - p) * x2**p + x2) / (1 - p), x2, 0, "+"),
                ),
                ("Both terms vanish, so $\\partial L/\\partial x_2$ itself is unbounded.", 0),
            ),
            chain(
                sp.Limit(DL_DX2.subs(beta, 1), x2, 0, "+"),
                ("$\\beta = 1$.", sp.Limit(1 / (x1 + x2), x2, 0, "+")),
                ("Put $x_2 = 0$.", 1 / x1),
            ),
            chain(
                sp.Limit(large, x2, 0, "+"),
                ("$\\beta = 1 + p > 1$.", (1 + p) * sp.Limit(x2**p, x2, 0, "+") / x1 ** (1 + p)),
                ("The power of $x_2$ vanishes.", 0),
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
            chain(
                sp.Subs(turning, x2, r * x1),
                ("The quotient rule, Theorem 1 put in, and $x_2 = r x_1$.", in_r),
                name=r"\frac{dr}{dt}",
            ),
            chain(
                sp.Subs(in_r, x1, sp.sqrt(2 / (1 + r**2))),
                (
                    "On the circle from $(1, 1)$, $x_1^2 = 2/(1 + r^2)$: a speed in $r$ alone.",
                    speed,
                ),
                name=r"\frac{dr}{dt}",
            ),
            chain(
                1 / speed,
                (
                    "Time per unit of $r$; $T(\\beta)$ is minus its integral from 0 to 1.",
                    -(2 / beta) * r ** (1 - beta) * (1 + r**beta) / (1 + r**2) ** 2,
                ),
                name=r"\frac{dt}{dr}",
            ),
            chain(
                sp.Integral(r ** (p - 1), (r, 0, 1)),
                (
                    "The factor $r^{1-\\beta} = r^{p-1}$, $p = 2 - \\beta$, has a finite integral "
                    "for $p > 0$; the other factor lies between 1/4 and 2.",
                    1 / p,
                ),
            ),
            chain(
                sp.Integral(2 * (1 + r) / (1 + r**2) ** 2, (r, 0, 1)),
                ("$T(1)$ in closed form.", 1 + sp.pi / 4),
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


PROOFS = (_homogeneity(), _circles(), _hessian(), _limits(), _extinction())
