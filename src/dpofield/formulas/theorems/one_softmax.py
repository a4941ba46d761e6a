"""One softmax, one pair: the rates, the exact path, where the mass goes, and shared features.

Every statement is about a policy `pi = softmax(z)` over n responses and one pair (w, l). The
softmax ignores a constant added to all logits, so log-probabilities serve as initial logits.
"""

from __future__ import annotations

import sympy as sp

from dpofield.formulas.charts import CHARTS
from dpofield.formulas.derivation import Derivation, chain
from dpofield.formulas.losses import LOSSES
from dpofield.formulas.stable import sigmoid
from dpofield.formulas.symbols import beta, pi_l, pi_w, ref_l, ref_w, rest, u, v, z_l, z_w
from dpofield.formulas.theorems._common import OWN

W = sp.Symbol("W", positive=True)
"""The weight of the pair, `-df/dh`: how fast the loss falls with the margin (DPO: always > 0)."""
s = sp.Symbol("s", real=True)
"""The distance that each of the two logits has moved (nats); the margin has grown by 2 s."""
h, t = sp.Symbol("h", positive=True), sp.Symbol("t", positive=True)
"""Margin since the reference (nats), and time (learning rate times number of steps)."""
pi_o = sp.Symbol("pi_o", positive=True)
"""Probability of all other responses together, or of the only other response."""

# The closed forms of the theorems. `N` is the total mass after the move, before it is normalised.
N = 1 + pi_w * (sp.exp(s) - 1) + pi_l * (sp.exp(-s) - 1)
MOVED_W, MOVED_L, MOVED_O = pi_w * sp.exp(s) / N, pi_l * sp.exp(-s) / N, 1 / N
RATE_W, RATE_L, RATE_O = 1 - pi_w + pi_l, -(1 + pi_w - pi_l), pi_l - pi_w
CLOCK = (sp.exp(beta * h) + beta * h - 1) / (2 * beta**2)
MEETING = sp.log(pi_l / pi_w) / 2

SIMPLEX = "pi_w > 0, pi_l > 0, pi_w + pi_l <= 1"
FLOW = "gradient flow in the logits with weight W = -df/dh > 0"
DOT_W, DOT_L, DOT_O = (rf"\frac{{d}}{{dt}} \log \pi_{{{i}}}" for i in "wlo")
ONLY_PAIR = {pi_w: 1 - pi_l - pi_o}, {pi_l: 1 - pi_w - pi_o}


def _now(expr: sp.Expr) -> sp.Expr:
    """The derivative with respect to s at s = 0, unevaluated: any moment may be the start."""
    return sp.Subs(sp.Derivative(expr, s), s, 0)


def _rates() -> Derivation:
    margin = CHARTS["logit"].pull_back(u - v)
    cancelled = z_w - z_l - ref_w + ref_l
    slopes = ((z_w, 1, "z_w"), (z_l, -1, "z_l"), (rest, 0, r"z_{\mathrm{rest}}"))
    up, down = (r.subs(pair) for r, pair in zip((RATE_W, -RATE_L), ONLY_PAIR, strict=True))
    return Derivation(
        id="softmax-rates",
        title="The three rates of one pair in one softmax",
        statement=(
            "Gradient flow moves the two logits by W and -W and no other; so d log pi_w/dt = "
            "W (1 - pi_w + pi_l) > 0, d log pi_l/dt = -W (1 + pi_w - pi_l) < 0, and every other "
            "log-probability moves at the one rate W (pi_l - pi_w)."
        ),
        source=OWN,
        assumptions=(SIMPLEX, FLOW),
        chains=(
            *(
                chain(
                    sp.Derivative(margin, coordinate),
                    ("The normaliser cancels in the margin.", sp.Derivative(cancelled, coordinate)),
                    ("What is left is a difference of two logits.", slope),
                    name=rf"\frac{{\partial h}}{{\partial {symbol}}}",
                )
                for coordinate, slope, symbol in slopes
            ),
            chain(
                W * _now(sp.log(MOVED_W)),
                ("Differentiate the moved softmax at $s = 0$, where $N = 1$.", W * RATE_W),
                name=DOT_W,
            ),
            chain(W * _now(sp.log(MOVED_L)), ("The same.", W * RATE_L), name=DOT_L),
            chain(
                W * _now(sp.log(MOVED_O)),
                ("The same, for a response whose logit stays: only $N$ moves.", W * RATE_O),
                name=DOT_O,
            ),
            chain(
                -RATE_L - RATE_W,
                ("By how much the fall is faster than the rise, over $W$.", 2 * (pi_w - pi_l)),
            ),
            chain(
                sp.Subs(RATE_W, pi_w, 1 - pi_l - pi_o),
                ("With $\\pi_o = 1 - \\pi_w - \\pi_l$, the mass of the rest.", 2 * pi_l + pi_o),
            ),
        ),
        facts=(
            (
                "the preferred never falls: $1 - \\pi_w + \\pi_l = 2\\pi_l + \\pi_o > 0$",
                up.is_positive,
            ),
            ("the dispreferred always falls: $1 + \\pi_w - \\pi_l > 0$", down.is_positive),
        ),
    )


def _mass() -> Derivation:
    gain, loss, remain = pi_w * RATE_W, -pi_l * RATE_L, pi_o * RATE_O
    gap = sp.Symbol("g", positive=True)
    whole = {pi_o: 1 - pi_w - pi_l}
    return Derivation(
        id="softmax-mass",
        title="Where the mass goes",
        statement=(
            "Of the mass that the dispreferred loses, the preferred gets the share "
            "pi_w (1 - pi_w + pi_l) / (pi_l (1 + pi_w - pi_l)) and the rest gets what is left. "
            "The rest pays where pi_w > pi_l: there the preferred gains more probability than the "
            "dispreferred loses."
        ),
        source=OWN,
        assumptions=(SIMPLEX, FLOW, "pi_o = 1 - pi_w - pi_l"),
        chains=(
            chain(
                sp.Subs(gain - loss + remain, pi_o, 1 - pi_w - pi_l),
                (
                    "$\\dot\\pi_i = \\pi_i \\, d\\log\\pi_i/dt$, summed over all: nothing is lost.",
                    0,
                ),
                name=r"\frac{1}{W}\left(\dot\pi_w + \dot\pi_l + \dot\pi_o\right)",
            ),
            chain(
                pi_w * _now(sp.log(MOVED_W)) / (-pi_l * _now(sp.log(MOVED_L))),
                ("Mass times rate, of the one and of the other; $W$ cancels.", gain / loss),
                name=r"\frac{\dot\pi_w}{|\dot\pi_l|}",
            ),
            chain(
                (gain - loss).subs(pi_o, whole[pi_o]),
                (
                    "What the preferred gains, less what the dispreferred loses.",
                    (pi_w - pi_l) * (1 - pi_w - pi_l),
                ),
                name=r"\frac{1}{W}\left(|\dot\pi_w| - |\dot\pi_l|\right)",
            ),
            chain(
                sp.Limit(gain / loss, pi_w, 0, "+"),
                ("A preferred response of no mass: all of it goes to the rest.", 0),
                name=r"\lim_{\pi_w \to 0} \frac{\dot\pi_w}{|\dot\pi_l|}",
            ),
            chain(
                sp.Subs(gain / loss, pi_w, pi_l),
                ("Equal masses: all of it goes to the preferred.", 1),
                name=r"\left. \frac{\dot\pi_w}{|\dot\pi_l|} \right|_{\pi_w = \pi_l}",
            ),
        ),
        facts=(
            (
                "the rest pays where $\\pi_w = \\pi_l + g$, $g > 0$",
                remain.subs(pi_w, pi_l + gap).expand().is_negative,
            ),
            (
                "the rest gains where $\\pi_l = \\pi_w + g$, $g > 0$",
                remain.subs(pi_l, pi_w + gap).expand().is_positive,
            ),
        ),
    )


def _path() -> Derivation:
    weight = -LOSSES["dpo"].partials[0].subs({u: h, v: 0})
    dh = 2 * beta * sigmoid(-beta * h)
    left = sp.exp(beta * h) + beta * h
    others = 1 - pi_w - pi_l
    return Derivation(
        id="softmax-path",
        title="The exact path and its clock",
        statement=(
            "Every margin loss moves the policy along one curve, pi_w pi_l / pi_rest^2 = const. "
            "DPO from the reference has the margin h = (1/beta) log omega(1 + 2 beta^2 t); it grows "
            "like (1/beta) log t, while pi_w -> 1 and pi_l -> 0."
        ),
        source=OWN,
        assumptions=(SIMPLEX, "gradient flow in the logits from the reference", "h > 0, t > 0"),
        chains=(
            chain(
                sp.simplify(MOVED_W * MOVED_L / (MOVED_O * others) ** 2),
                ("$e^{s}$ and $e^{-s}$ cancel, and so does $N$.", pi_w * pi_l / others**2),
                name=r"\frac{\pi_w(s)\, \pi_l(s)}{\pi_{\mathrm{rest}}(s)^2}",
            ),
            chain(
                2 * weight,
                ("The margin grows by $2W$: two logits move apart by $W$ each.", dh),
                name=r"\frac{dh}{dt}",
            ),
            chain(
                sp.Derivative(left, h) * dh,
                ("The chain rule.", beta * (sp.exp(beta * h) + 1) * dh),
                ("The logistic function cancels: the rate is constant.", 2 * beta**2),
                name=r"\frac{d}{dt}\left(e^{\beta h} + \beta h\right)",
            ),
            chain(
                sp.Limit((1 - MOVED_W) * sp.exp(s), s, sp.oo),
                ("What the preferred still lacks falls like $e^{-s}$,", others / pi_w),
                name=r"\lim_{s \to \infty} \left(1 - \pi_w(s)\right) e^{s}",
            ),
            chain(
                sp.Limit(MOVED_L * sp.exp(2 * s), s, sp.oo),
                ("and the dispreferred like $e^{-2s}$.", pi_l / pi_w),
                name=r"\lim_{s \to \infty} \pi_l(s)\, e^{2s}",
            ),
        ),
    )


def _peak() -> Derivation:
    others = 1 - pi_w - pi_l
    slope = pi_w * sp.exp(s) - pi_l * sp.exp(-s)
    return Derivation(
        id="softmax-peak",
        title="When the rest has most",
        statement=(
            "Where pi_w < pi_l at the start, every other response rises until pi_w = pi_l, at "
            "s = log(pi_l/pi_w)/2, and falls from then on; the rest together has at most "
            "pi_rest / (pi_rest + 2 sqrt(pi_w pi_l)). Where pi_w >= pi_l it only falls."
        ),
        source=OWN,
        assumptions=(SIMPLEX, "gradient flow in the logits from the reference"),
        chains=(
            chain(
                sp.Derivative(sp.log(MOVED_O), s),
                ("Others move by the normaliser alone.", -slope / N),
                name=r"\frac{d}{ds} \log \pi_o(s)",
            ),
            chain(sp.Subs(slope, s, MEETING), ("It vanishes where the two masses meet.", 0)),
            chain(
                sp.Subs(others * MOVED_O, s, MEETING),
                (
                    "There $\\pi_w = \\pi_l$, and the rest has",
                    others / (others + 2 * sp.sqrt(pi_w * pi_l)),
                ),
                name=r"\max_s \pi_{\mathrm{rest}}(s)",
            ),
            chain(
                sp.Subs(CLOCK, h, sp.log(pi_l / pi_w)),
                (
                    "The clock of DPO at $h = 2s$.",
                    ((pi_l / pi_w) ** beta + beta * sp.log(pi_l / pi_w) - 1) / (2 * beta**2),
                ),
                name=r"t_{\mathrm{peak}}",
            ),
        ),
        facts=(
            ("$N$ is convex in $s$, so this is its only minimum", sp.diff(N, s, 2).is_positive),
        ),
    )


def _steps() -> Derivation:
    y, q = sp.Symbol("y", real=True), sp.Symbol("q", positive=True)
    delta = sp.Symbol("delta", positive=True)
    ahead = sp.exp(y) * (sp.exp(delta) - 1 - delta)
    integrand = q * sp.exp(delta * (1 - q))
    return Derivation(
        id="softmax-steps",
        title="Steps of finite size",
        statement=(
            "A step of any size moves along the same curve, and DPO by plain gradient descent is "
            "never behind the flow: after k steps of size eta it has at least the margin of the "
            "flow at time k eta."
        ),
        source=OWN,
        assumptions=(
            "y = beta h",
            "a step adds delta > 0 to y, and delta (1 + e^y) = 2 eta beta^2",
        ),
        chains=(
            chain(
                sp.exp(y + delta) + y + delta - sp.exp(y) - y - delta * (1 + sp.exp(y)),
                (
                    "What the step adds to $e^y + y$, less what the flow adds in time $\\eta$.",
                    ahead,
                ),
                (
                    "As an integral of something positive.",
                    sp.exp(y) * delta**2 * sp.Integral(integrand, (q, 0, 1)),
                ),
            ),
        ),
        facts=(("the integrand is positive, so each step gets ahead", integrand.is_positive),),
    )


def _features() -> Derivation:
    n = sp.Symbol("n", integer=True, positive=True)
    i, j = sp.symbols("i j", integer=True, positive=True)
    eps = sp.Symbol("varepsilon", real=True)
    z, dz = sp.IndexedBase("z", real=True), sp.IndexedBase(r"\dot{z}", real=True)
    total = sp.Sum(sp.exp(z[j]), (j, 1, n))
    g_ww, g_wl, g_ll, g_ow, g_ol = sp.symbols("G_ww G_wl G_ll G_ow G_ol", real=True)
    moves = (g_ww - g_wl, g_wl - g_ll, g_ow - g_ol)  # <phi_i, phi_w - phi_l>
    masses = (pi_w, pi_l, 1 - pi_w - pi_l)
    partition = sum(p * sp.exp(eps * W * m) for p, m in zip(masses, moves, strict=True))
    moved = sp.log(pi_w) + eps * W * moves[0] - sp.log(partition)
    mean = sum(p * m for p, m in zip(masses, moves, strict=True))
    a_w, a_l = sp.symbols("phi_w phi_l", real=True)
    return Derivation(
        id="shared-features",
        title="Shared features: when the preferred falls",
        statement=(
            "With logits z_i = <phi_i, theta>, d log pi_i/dt = W <phi_i - phibar, phi_w - phi_l>, "
            "phibar = sum_j pi_j phi_j. So the preferred falls exactly where "
            "<phi_w - phibar, phi_w - phi_l> < 0. With two responses it never does."
        ),
        source=OWN,
        assumptions=(SIMPLEX, "gradient flow in theta, W > 0", "G_ij = <phi_i, phi_j>"),
        chains=(
            chain(
                sp.Subs(
                    sp.Derivative(
                        z[i] + eps * dz[i] - sp.log(sp.Sum(sp.exp(z[j] + eps * dz[j]), (j, 1, n))),
                        eps,
                    ),
                    eps,
                    0,
                ),
                (
                    "Any motion of $n$ logits: a log-probability moves by its own logit less the mean over all, $\\dot z_i - \\sum_j \\pi_j \\dot z_j$.",
                    dz[i] - sp.Sum(dz[j] * sp.exp(z[j]), (j, 1, n)) / total,
                ),
                name=r"\frac{d}{dt} \log \pi_i",
            ),
            chain(
                sp.Subs(sp.Derivative(moved, eps), eps, 0),
                (
                    "$\\dot\\theta = W(\\phi_w - \\phi_l)$ moves logit $i$ by $W(G_{iw} - G_{il})$; any other response stands for all others.",
                    W * (moves[0] - mean),
                ),
                name=DOT_W,
            ),
            chain(
                W * (moves[0] - moves[1]),
                (
                    "The two logits part, whatever the rest does: the margin grows by $W \\lVert \\phi_w - \\phi_l \\rVert^2$.",
                    W * (g_ww - 2 * g_wl + g_ll),
                ),
                name=r"\frac{dh}{dt}",
            ),
            chain(
                a_w - (1 - pi_l) * a_w - pi_l * a_l,
                (
                    "Two responses, one entry of $\\phi_w - \\bar\\phi$: it is a share of the same entry of $\\phi_w - \\phi_l$.",
                    pi_l * (a_w - a_l),
                ),
                name=r"\phi_w - \bar\phi",
            ),
            chain(
                W * (a_w - (1 - pi_l) * a_w - pi_l * a_l) * (a_w - a_l),
                ("So the rate is a sum of terms like this one.", W * pi_l * (a_w - a_l) ** 2),
            ),
        ),
        facts=(("that term is never negative", (W * pi_l * (a_w - a_l) ** 2).is_nonnegative),),
    )


def _smallest() -> Derivation:
    a_w, a_l, c = sp.symbols("phi_w phi_l c", real=True)
    theta = sp.Symbol("theta", real=True)
    e, k = sp.symbols("e k", positive=True)
    a_o = a_l + c * (a_w - a_l)
    mean = (1 - pi_l - pi_o) * a_w + pi_l * a_l + pi_o * a_o
    rate = W * (a_w - a_l) ** 2 * pi_o * (1 + pi_l / pi_o - c)
    beyond = 1 + pi_l / pi_o
    part = rate.subs(a_w, a_l + k)
    share = sp.exp(theta) / (1 + sp.exp(theta) + sp.exp((1 + k) * theta))
    return Derivation(
        id="smallest-displacement",
        title="Three responses, one parameter: the smallest model in which the preferred falls",
        statement=(
            "With one parameter and three responses, phi_o = phi_l + c (phi_w - phi_l), the "
            "preferred falls exactly where c > 1 + pi_l/pi_o. For every c > 1 it goes to 0 in the "
            "end, while the margin grows without bound."
        ),
        source=OWN,
        assumptions=(
            "pi_w + pi_l + pi_o = 1, all positive",
            "scalar features, phi_w != phi_l",
            "gradient flow in theta, W > 0",
        ),
        chains=(
            chain(
                W * (a_w - mean) * (a_w - a_l),
                ("Put $\\phi_o$ in.", W * (a_w - a_l) ** 2 * (pi_l + pi_o - c * pi_o)),
                ("Take $\\pi_o$ out.", rate),
                name=DOT_W,
            ),
            chain(
                sp.Limit(share, theta, sp.oo),
                ("$\\phi = (1, 0, c)$ with $c = 1 + k$: the third takes all.", 0),
                name=r"\lim_{\theta \to \infty} \pi_w",
            ),
        ),
        facts=(
            (
                "it falls where $c = 1 + \\pi_l/\\pi_o + e$, $e > 0$",
                part.subs(c, beyond + e).is_negative,
            ),
            (
                "it rises where $c = 1 + \\pi_l/\\pi_o - e$, $e > 0$",
                part.subs(c, beyond - e).is_positive,
            ),
        ),
    )


PROOFS = (_rates(), _mass(), _path(), _peak(), _steps(), _features(), _smallest())
