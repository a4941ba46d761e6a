"""Room and price: where the two means can go, and what a margin costs.

`q^w` is the distribution of the preferred responses to one prompt and `q^l` that of the
dispreferred ones. Over several prompts every statement holds for the means over prompts.
"""

from __future__ import annotations

import sympy as sp

from dpofield.formulas.derivation import Derivation, chain
from dpofield.formulas.losses import LOSSES
from dpofield.formulas.symbols import beta, u, v, x1, x2
from dpofield.formulas.theorems._common import OWN, RAFAILOV

ELSEWHERE = "Rafailov et al. 2024, arXiv 2404.12358"
BEST_OF_N = "Stiennon et al. 2020; Gao et al. 2022; Beirami et al. 2024"

n, y = sp.symbols("n y", integer=True, positive=True)
pi, ref = sp.IndexedBase("pi", positive=True), sp.IndexedBase(r"\rho", positive=True)
q, q_w, q_l = (sp.IndexedBase(name, positive=True) for name in ("q", "q^w", "q^l"))
score = sp.IndexedBase("t", real=True)
"""Half of the difference `q_w - q_l` over the reference: between -1 and 1, of mean 0."""

m, C, K, K_w = sp.symbols("m C K K_w", positive=True)
"""Mean margin, ceiling, KL(ref || pi), KL(q_w || pi), in nats."""
w, c, s = sp.symbols("w c s", positive=True)
x = sp.Symbol("x", positive=True)
"""Parameter of the cheapest policies of a strict order: they are `ref (1 + t tanh x)`."""
t, r = sp.symbols("t r", real=True)
move = sp.Symbol("d", real=True, nonzero=True)
half = sp.Rational(1, 2)
ONE, OTHER, BASE = sp.symbols(r"q_y \pi_y \rho_y", positive=True)
"""The probabilities of one response, where a proof is about one term of a sum."""

# The closed forms of the theorems.
STRICT = sp.log(2) - half
best = sp.Symbol("n", positive=True)
BEST = sp.log(best) - (best - 1) / best
PRICE_M = sp.coth(x) - x / sp.sinh(x) ** 2
PRICE_K = 1 - x * sp.coth(x) + sp.log(sp.cosh(x))
GAUSS_U, GAUSS_V, GAUSS_K = m / 2 - sp.pi * m**2 / 8, -m / 2 - sp.pi * m**2 / 8, sp.pi * m**2 / 8

FINITE = "n responses per prompt, each with a positive probability under reference and policy"
DRAWN = "both responses of a pair are drawn independently from the reference"
JUDGED = "the judge prefers y to y' with probability P(y, y') = 1 - P(y', y), whatever P is"
ORDERED = "a strict order of the responses, and no single response has a noticeable probability"
MEAN_U, MEAN_V = r"\overline{u}", r"\overline{v}"


def _sum(term: sp.Expr) -> sp.Sum:
    """The sum over all responses of a prompt."""
    return sp.Sum(term, (y, 1, n))


def _kl(p: sp.IndexedBase, other: sp.IndexedBase) -> sp.Sum:
    return _sum(p[y] * sp.log(p[y] / other[y]))


def _accounting() -> Derivation:
    gain = sp.log(pi[y] / ref[y])
    insert = r"Write $\log(\pi/\rho) = \log(q/\rho) - \log(q/\pi)$ and average over $q$."
    both = (_sum(q_w[y] * gain) + _sum(q_l[y] * gain)) / 2
    return Derivation(
        id="accounting",
        title="Accounting",
        statement=(
            "For every policy, mean u = KL(q_w || ref) - KL(q_w || pi) and mean v = KL(q_l || ref) "
            "- KL(q_l || pi). If both responses are drawn from the reference, the mean of "
            "(u + v)/2 is -KL(ref || pi), so mean u = m/2 - KL(ref || pi)."
        ),
        source=f"{OWN}; the mean log-ratio under the reference: {ELSEWHERE}",
        assumptions=(
            FINITE,
            "nothing about loss, optimizer, architecture or number of steps",
            f"for the last two equalities: {DRAWN}; {JUDGED}",
        ),
        chains=(
            chain(_sum(q_w[y] * gain), (insert, _kl(q_w, ref) - _kl(q_w, pi)), name=MEAN_U),
            chain(_sum(q_l[y] * gain), (insert, _kl(q_l, ref) - _kl(q_l, pi)), name=MEAN_V),
            chain(
                both,
                (r"The middle is the mean over $q = (q^w + q^l)/2$,",
                 _sum((q_w[y] + q_l[y]) / 2 * gain)),
                name=r"\tfrac12(\overline{u} + \overline{v})",
            ),
            chain(
                _sum(q[y] * gain), ("to which the same line applies.", _kl(q, ref) - _kl(q, pi))
            ),
            chain(
                (2 * ref[y] * w + 2 * ref[y] * (1 - w)) / 2,
                (r"A pair of the reference: $q^w = 2 w \rho$ and $q^l = 2 (1 - w) \rho$, where "
                 r"$w$ is the probability of being preferred to a random response. Then",
                 ref[y]),
                name=r"\tfrac12\left(q^w_y + q^l_y\right)",
            ),
            chain(
                _sum(ref[y] * gain),
                (r"So the middle is minus a divergence.", -_kl(ref, pi)),
            ),
            chain(
                sp.Subs((u + v) / 2, v, u - m),
                (r"With $\overline{v} = \overline{u} - m$, the middle is the preferred less half "
                 "of the margin.", u - m / 2),
                name=r"\tfrac12(\overline{u} + \overline{v})",
            ),
        ),
    )  # fmt: skip


def _gibbs() -> tuple[sp.Expr, sp.Expr]:
    """One term of a KL divergence at `pi = q e^d`, and its integrand without the factor d^2."""
    share = sp.Symbol("a", positive=True)
    return ONE * (sp.exp(move) - 1 - move), ONE * share * sp.exp(move * (1 - share))


def _ceiling() -> Derivation:
    term, inside = _gibbs()
    share = sp.Symbol("a", positive=True)
    knee = sp.Symbol("k", positive=True)
    phi = 2 * w * sp.log(2 * w)
    above = sp.Integral(2 / knee * (w - knee), (knee, half, w))
    below = sp.Integral(2 / knee * (knee - w), (knee, w, half))
    order = best * s ** (best - 1)
    return Derivation(
        id="ceiling",
        title="The ceiling",
        statement=(
            "Mean u <= KL(q_w || ref), with equality only at pi = q_w. For two independent "
            "responses of the reference the ceiling is at most log 2 - 1/2, however they are "
            "labelled; a strict order attains it. For the best of n responses it is "
            "log n - (n-1)/n."
        ),
        source=f"{OWN}; best of n: {BEST_OF_N}",
        assumptions=(
            f"for the inequality: {FINITE}",
            f"for log 2 - 1/2 as a bound: {DRAWN}; {JUDGED}",
            f"for the two closed forms: {ORDERED}",
        ),
        chains=(
            chain(
                sp.Subs(ONE * sp.log(ONE / OTHER) + (OTHER - ONE), OTHER, ONE * sp.exp(move)),
                (r"One term of $\mathrm{KL}(q \| \pi)$ at $\pi_y = q_y e^d$, plus $\pi_y - q_y$, "
                 "which sums to 0.", term),
                ("As an integral of something positive: the term is 0 at $d = 0$ and positive "
                 "everywhere else.", move**2 * sp.Integral(inside, (share, 0, 1))),
            ),
            chain(
                sp.Subs(C - u, u, C - K_w),
                (r"By the accounting $\overline{u} = C - \mathrm{KL}(q^w \| \pi)$ with $C = "
                 r"\mathrm{KL}(q^w \| \rho)$. What is missing to the ceiling is", K_w),
                name=r"C - \overline{u}",
            ),
            chain(
                sp.Subs(ONE * sp.log(ONE / BASE), ONE, 2 * w * BASE),
                (r"Pairs of the reference: one term of the ceiling. So $C$ is the mean of "
                 r"$\varphi(w) = 2 w \log 2 w$ over the reference.", BASE * phi),
            ),
            chain(
                phi,
                (r"Expand $\varphi$ at $w = 1/2$ with the remainder as an integral "
                 r"($\varphi'' = 2/k$), for $w > 1/2$,", (2 * w - 1) + above),
                name=r"\varphi(w)",
            ),
            chain(
                phi, ("and for $w < 1/2$.", (2 * w - 1) + below), name=r"\varphi(w)",
            ),
            chain(
                share - share**2 / 2 - knee * share,
                (r"The mean of $(w - k)_+$ is a sum over the responses with $w > k$. Let them have "
                 r"the mass $a$. Among themselves they win exactly half, against all others at "
                 r"most always: $a^2/2 + a(1 - a)$ in all, less $k a$. That is",
                 (1 - knee) ** 2 / 2 - (1 - knee - share) ** 2 / 2),
            ),
            chain(
                (1 - knee) ** 2 / 2 - (half - knee),
                (r"So it is at most $(1-k)^2/2$; and since the mean of $w$ is $1/2$, that of "
                 r"$(k - w)_+$ is at most", knee**2 / 2),
            ),
            chain(
                sp.Integral(2 / knee * (1 - knee) ** 2 / 2, (knee, half, 1))
                + sp.Integral(2 / knee * knee**2 / 2, (knee, 0, half)),
                ("The mean of $2w - 1$ is 0. The two remainders are at most", STRICT),
                name=r"\text{bound on } C",
            ),
            chain(
                sp.Integral(phi, (w, 0, 1)),
                ("In a strict order $w$ is uniform between 0 and 1: the bound is attained.",
                 STRICT),
                name=r"C_{\text{strict}}",
            ),
            chain(
                sp.Integral(order * sp.log(order), (s, 0, 1)),
                (r"Best of $n$: at rank $s$, $q^w = n s^{n-1} \rho$.", BEST),
                name=r"C_{\text{best of } n}",
            ),
        ),
        facts=(
            ("the integrand of a divergence is positive", inside.is_positive),
        ),
    )  # fmt: skip


def _beyond() -> Derivation:
    first, gap = sp.Symbol("u_0", real=True), sp.Symbol("g", positive=True)
    return Derivation(
        id="margin-beyond-the-ceiling",
        title="The margin beyond the ceiling",
        statement=(
            "Mean v <= C - m: every nat of margin beyond the ceiling comes from the dispreferred "
            "response. For pairs of the reference the dispreferred has fallen by "
            "2 KL(ref || pi) more than the preferred has risen, at every policy."
        ),
        source=OWN,
        assumptions=(
            FINITE,
            "mean u = C - K_w with K_w = KL(q_w || pi) >= 0 (ceiling)",
            f"for the last equality: {DRAWN}, so mean u = m/2 - K (accounting)",
        ),
        chains=(
            chain(
                sp.Subs(u - m, u, C - K_w),
                ("The mean dispreferred is the mean preferred less the margin.", (C - m) - K_w),
                name=MEAN_V,
            ),
            chain(
                sp.Subs(u - first, u, C - K_w),
                (r"From a policy with $\overline{u} = u_0$ on, the preferred can add",
                 (C - first) - K_w),
                name=r"\Delta \overline{u}",
            ),
            chain(
                sp.Subs(m - 2 * u, u, C - K_w),
                ("How much more the dispreferred has fallen than the preferred has risen, any "
                 "pairs.", (m - 2 * C) + 2 * K_w),
                name=r"-\overline{v} - \overline{u}",
            ),
            chain(
                sp.Subs(-v - u, (u, v), (m / 2 - K, -m / 2 - K)),
                ("The same for pairs of the reference, at any margin.", 2 * K),
                name=r"-\overline{v} - \overline{u}",
            ),
        ),
        facts=(
            ("any pairs: it is positive where $m = 2C + g$, $g > 0$",
             ((2 * C + gap - 2 * C) + 2 * K_w).is_positive),
            ("pairs of the reference: it is positive wherever $K > 0$", (2 * K).is_positive),
        ),
    )  # fmt: skip


def _price() -> Derivation:
    gain, tilted = sp.log(pi[y] / ref[y]), 1 + c * score[y]
    share, depth, G, K_c = sp.symbols("epsilon delta G K_c", positive=True)
    ends = ((t**2 / 2 - 1 / (2 * c**2)) * sp.log(1 + c * t) - t**2 / 4 + t / (2 * c),
            ((1 + c * t) * sp.log(1 + c * t) - c * t) / c)  # fmt: skip
    at = [sp.simplify(e.subs(t, 1) - e.subs(t, -1)) for e in ends]
    logs = {sp.log(1 + c): x - sp.log(sp.cosh(x)), sp.log(1 - c): -x - sp.log(sp.cosh(x))}
    moved = [sp.expand(e).subs(logs).subs(c, sp.tanh(x)) for e in at]
    return Derivation(
        id="price-of-a-margin",
        title="The price of a margin",
        statement=(
            "Of all policies with mean margin m, none has a smaller KL(ref || pi) than "
            "ref (1 + c t), t = (q_w - q_l)/(2 ref), c >= 0. For a strict order, c = tanh x: "
            "m = coth x - x/sinh^2 x and KL = 1 - x coth x + log cosh x, about 3 m^2/8 for small "
            "m; from m = 1 on, KL = m/2 - (log 2 - 1/2), which can only be approached."
        ),
        source=OWN,
        assumptions=(
            FINITE,
            "q_w - q_l = 2 t ref, and 1 + c t >= 0",
            f"for the closed forms: {DRAWN}; {ORDERED}, so t is uniform between -1 and 1",
        ),
        chains=(
            chain(
                _sum(ref[y] * tilted * gain),
                (r"The accounting for $q = \rho(1 + c t)$ has on its left side $-K + c\,m/2$.",
                 -_kl(ref, pi) + c / 2 * _sum(2 * ref[y] * score[y] * gain)),
            ),
            chain(
                sp.Subs(c * m / 2 - u, u, G - K_c),
                (r"Its right side is $G - K_c$, with $G(c) = \mathrm{KL}(\rho(1 + ct) \| \rho)$ "
                 r"and $K_c = \mathrm{KL}(\rho(1 + ct) \| \pi) \ge 0$. So every policy has",
                 c * m / 2 - G + K_c),
                name="K",
            ),
            chain(
                -_sum(ref[y] * sp.log(tilted)),
                (r"At $\pi = \rho(1 + ct)$ that last term is 0, and no policy with this margin is "
                 "cheaper.",
                 c / 2 * _sum(2 * ref[y] * score[y] * sp.log(tilted))
                 - _sum(ref[y] * tilted * sp.log(tilted))),
                name="K(c)",
            ),
            chain(
                sp.Derivative(ends[0], t),
                ("Strict order, the margin: an antiderivative of", t * sp.log(1 + c * t)),
            ),
            chain(
                moved[0],
                (r"From $t = -1$ to 1, with $c = \tanh x$, where $\log(1 \pm c) = \pm x - "
                 r"\log\cosh x$.", PRICE_M),
                name=r"m = \int_{-1}^{1} t \log(1 + ct)\, dt",
            ),
            chain(
                sp.Derivative(ends[1], t),
                ("The divergence: an antiderivative of", sp.log(1 + c * t)),
            ),
            chain(
                -moved[1] / 2,
                ("From $t = -1$ to 1.", PRICE_K),
                name=r"K = -\tfrac12 \int_{-1}^{1} \log(1 + ct)\, dt",
            ),
            chain(
                sp.Derivative(PRICE_K, x) / sp.Derivative(PRICE_M, x),
                ("The price of the next nat is half of $c$.", sp.tanh(x) / 2),
                name=r"\frac{dK}{dm}",
            ),
            chain(
                sp.Limit((PRICE_K / PRICE_M**2).rewrite(sp.exp), x, 0, "+"),
                ("Small margins.", sp.Rational(3, 8)),
                name=r"\lim_{m \to 0} K/m^2",
            ),
            chain(
                sp.Limit(sp.expand(PRICE_M.rewrite(sp.exp)), x, sp.oo),
                ("The end of this curve, at $\\pi = q^w$: the margin,", 1),
                name=r"\lim_{x \to \infty} m",
            ),
            chain(
                1 - sp.Limit(x * (sp.coth(x) - 1), x, sp.oo) - sp.log(2),
                (r"and the divergence, since $\log\cosh x - x \to -\log 2$.", 1 - sp.log(2)),
                name=r"\lim_{x \to \infty} K",
            ),
            chain(
                sp.Subs(c * m / 2, c, 1) - STRICT,
                ("Beyond: the bound at $c = 1$.", m / 2 - STRICT),
                name=r"\text{bound on } K",
            ),
            chain(
                depth * share / (-depth * sp.Integral(t, (t, -1, -1 + 2 * share))),
                (r"It can be approached: lower the worst share $\epsilon$ of the responses by "
                 r"$\delta$ nats more. $K$ grows by at most $\epsilon\delta$, and per nat of "
                 "margin by at most", 1 / (2 * (1 - share))),
            ),
        ),
    )  # fmt: skip


def _optimum() -> Derivation:
    lam, mean_w = sp.Symbol("lambda", positive=True), sp.Symbol("r_w", real=True)
    Z = sp.Function("Z", positive=True)
    first, second = sp.Derivative(Z(lam), lam), sp.Derivative(Z(lam), (lam, 2))
    z = sp.Symbol("z", real=True)
    density = sp.exp(-(z**2) / 2) / sp.sqrt(2 * sp.pi)
    below = (1 + sp.erf(z / sp.sqrt(2))) / 2
    top = sp.Symbol("Z", positive=True)
    strength = 2 * s / (m * sp.sqrt(sp.pi))
    return Derivation(
        id="optimum-falls",
        title="The optimum falls too",
        statement=(
            "At the RLHF optimum u = r/beta - log Z, so the mean u is concave in 1/beta. For a "
            "Gaussian reward and pairs of the reference, mean u = m/2 - (pi/8) m^2: it rises to "
            "1/(2 pi) at m = 2/pi and is negative beyond m = 4/pi."
        ),
        source=f"{OWN}; the optimum: {RAFAILOV}",
        assumptions=(
            "pi = ref exp(r/beta)/Z, the exact optimum of reward minus beta KL(pi || ref)",
            f"for the closed forms: {DRAWN}; the reward of a response of the reference is normal "
            "with standard deviation s; the higher reward is preferred",
        ),
        chains=(
            chain(
                sp.log(ref[y] * sp.exp(r / beta) / top / ref[y]),
                ("At the optimum, for each response.", r / beta - sp.log(top)),
                name="u",
            ),
            chain(
                sp.Derivative(lam * mean_w - sp.log(Z(lam)), (lam, 2)),
                (r"With $\lambda = 1/\beta$ and $Z(\lambda) = \sum_y \rho_y e^{\lambda r_y}$: "
                 r"$Z'/Z$ is the policy's mean reward and $Z''/Z$ that of its square. So this is "
                 "minus a variance.", (first / Z(lam)) ** 2 - second / Z(lam)),
                name=r"\frac{d^2 \overline{u}}{d\lambda^2}",
            ),
            chain(
                sp.log(sp.Integral(density * sp.exp(s * z / beta), (z, -sp.oo, sp.oo))),
                ("Gaussian reward $r = s z$.", s**2 / (2 * beta**2)),
                name=r"\log Z",
            ),
            chain(
                sp.Integral(2 * s * z * density * below, (z, -sp.oo, sp.oo)),
                ("The mean reward of the better of two responses; the worse has minus this.",
                 s / sp.sqrt(sp.pi)),
                name=r"\overline{r_w}",
            ),
            chain(
                sp.Subs(s / (sp.sqrt(sp.pi) * beta) - s**2 / (2 * beta**2), beta, strength),
                (r"With $\beta = 2s/(m\sqrt{\pi})$, that is $m = 2s/(\beta\sqrt{\pi})$.", GAUSS_U),
                name=MEAN_U,
            ),
            chain(
                sp.Subs(m / 2 - u, u, GAUSS_U),
                (r"By the accounting the rest is $K = \mathrm{KL}(\rho \| \pi)$.", GAUSS_K),
                name="K",
            ),
            chain(
                sp.Subs(sp.Derivative(GAUSS_U, m), m, 2 / sp.pi), ("The preferred stops rising.", 0)
            ),
            chain(
                sp.Subs(GAUSS_U, m, 2 / sp.pi),
                ("Its highest value.", 1 / (2 * sp.pi)),
                name=r"\max \overline{u}",
            ),
            chain(sp.Subs(GAUSS_U, m, 4 / sp.pi), ("It is back at the reference.", 0)),
        ),
        facts=(("it falls beyond that margin", sp.diff(GAUSS_U, m, 2).is_negative),),
    )  # fmt: skip


def _shift() -> Derivation:
    by, f = sp.Symbol("c", real=True), sp.Function("f")
    log_w, log_l, a, b = sp.symbols(r"\log\pi_w \log\pi_l \log\rho_w \log\rho_l", real=True)
    loss = f(sp.log(x1) - sp.log(x2))
    dpo = LOSSES["dpo"].expr
    there = {x1: x1 * sp.exp(by), x2: x2 * sp.exp(by)}
    margin = (log_w - a) - (log_l - b)
    chains = [
        chain(
            sp.Subs(margin, (a, b), (a - by, b - by)),
            (r"Multiply both reference probabilities by $e^{-c}$: the margin stays,", margin),
            name="h",
        ),
        chain(
            sp.Subs(dpo, (u, v), (u + by, v + by)),
            ("and so does the loss; here DPO, for every policy.", dpo),
            name=r"L(u + c, v + c)",
        ),
    ]
    for one, number in ((x1, 1), (x2, 2)):
        slope = sp.diff(loss, one).doit()
        chains.append(
            chain(
                slope.subs(there, simultaneous=True),
                (r"In the ratios the point is now $(e^c x_1, e^c x_2)$, and the field there is "
                 r"$e^{-c}$ times the field here, for any loss $f$ of the margin.",
                 sp.exp(-by) * slope),
                name=rf"\frac{{\partial L}}{{\partial x_{number}}}(e^c x_1, e^c x_2)",
            )
        )  # fmt: skip
    return Derivation(
        id="reference-shift",
        title="The reference can be anywhere on the ray",
        statement=(
            "A loss of the margin depends on the reference through log ref_w - log ref_l only. "
            "Multiplying both reference probabilities of a pair by exp(-c) moves the pair along "
            "its ray to (e^c x1, e^c x2), divides the field by e^c and changes nothing in training."
        ),
        source=OWN,
        assumptions=("a loss of the margin alone", "x_1 > 0, x_2 > 0; c is any number per pair"),
        chains=tuple(chains),
    )


def _start() -> Derivation:
    e = sp.Symbol("varepsilon", real=True)
    p = sp.Function("p", positive=True)

    def now(expr: sp.Expr, order: int = 1) -> sp.Expr:
        return sp.Subs(sp.Derivative(expr, (e, order)), e, 0)

    term = p(0) * sp.log(p(e) / p(0))
    return Derivation(
        id="middle-at-the-start",
        title="The middle at the start",
        statement=(
            "For pairs of the reference no direction of parameters moves the mean middle to first "
            "order at the start; to second order it falls by d'Fd/2, F the Fisher matrix."
        ),
        source=OWN,
        assumptions=(
            f"{DRAWN}, and the policy starts there",
            "p(varepsilon) is the probability of one response after a step varepsilon d; "
            "the probabilities of all responses are smooth and sum to 1 at every varepsilon",
        ),
        chains=(
            chain(
                now(term),
                ("The term of one response, first order. Its sum over the responses is the "
                 "derivative of 1, which is 0.", now(p(e))),
            ),
            chain(
                now(term, 2),
                (r"Second order. The first part sums to 0 again, the second to $d^\top F d$, since "
                 r"$\frac{d}{d\varepsilon} \log p = d^\top \nabla \log \pi$.",
                 now(p(e), 2) - p(0) * now(sp.log(p(e))) ** 2),
            ),
        ),
    )  # fmt: skip


PROOFS = (
    _accounting(),
    _ceiling(),
    _beyond(),
    _price(),
    _optimum(),
    _shift(),
    _start(),
)
