"""The law of motion: how one parameter step changes both log-probabilities of a pair.

`g^a` is the gradient of `log pi_a` with respect to n parameters; `K_ab` is the inner product of
`g^a` and `g^b`. Sums over parameters are symbolic in n. For sums over a batch, a vocabulary or past
steps, the proof writes out the smallest number of terms that shows the pattern.
"""

from __future__ import annotations

import sympy as sp

from dpofield.formulas.derivation import Derivation, chain
from dpofield.formulas.losses import LOSSES
from dpofield.formulas.stable import sigmoid
from dpofield.formulas.symbols import beta, pi_l, pi_w, ref_l, ref_w, u, v
from dpofield.formulas.theorems._common import OWN
from dpofield.formulas.theorems.one_softmax import RATE_L, RATE_O, RATE_W

W = sp.Symbol("W", positive=True)
"""Weight of a margin loss, W = -dL/du = dL/dv; beta sigma(-beta m) for DPO (1/nat)."""
eta = sp.Symbol("eta", positive=True)
"""Step size."""
K_ww, K_wl, K_ll = sp.symbols("K_ww K_wl K_ll", real=True)

# The law as the theorems state it.
STEP_W, STEP_L = eta * W * (K_ww - K_wl), eta * W * (K_wl - K_ll)
LENGTH2 = K_ww - 2 * K_wl + K_ll  # |g^w - g^l|^2

DELTA_W, DELTA_L = r"\Delta\log\pi_w", r"\Delta\log\pi_l"
FIRST_ORDER = (
    "first order in the step: log pi_a changes by the sum of g^a_k times the change of parameter k"
)

_k = sp.Symbol("k", integer=True, positive=True)
_n = sp.Symbol("n", integer=True, positive=True)


def _gradient(name: str) -> sp.Expr:
    return sp.IndexedBase(sp.Symbol(f"g^{{{name}}}"), real=True)[_k]


def _sum(expr: sp.Expr) -> sp.Sum:
    return sp.Sum(expr, (_k, 1, _n))


A, G_W, G_L = (_gradient(name) for name in "awl")
P = sp.IndexedBase("P", positive=True)[_k]


def _law() -> Derivation:
    theta = sp.Symbol("theta_k", real=True)
    lw, ll = (sp.Function(rf"\ell_{{{i}}}")(theta) for i in "wl")
    margin = lw - ref_w - ll + ref_l
    loss = LOSSES["dpo"].expr.subs({u: lw - ref_w, v: ll - ref_l})
    w_w, w_l = sp.symbols("W_w W_l", real=True)
    k_aw, k_al = sp.symbols("K_aw K_al", real=True)
    general = eta * (w_w * k_aw - w_l * k_al)
    margin_loss = {w_w: W, w_l: W}
    return Derivation(
        id="law-of-motion",
        title="The law of motion",
        statement=(
            "One gradient step of size eta on the loss L(u, v) of one pair changes log pi_a, to "
            "first order, by eta (W_w K_aw - W_l K_al) with W_w = -dL/du and W_l = dL/dv. A loss "
            "of the margin has W_w = W_l = W, so (log pi_w, log pi_l) change by "
            "eta W (K_ww - K_wl, K_wl - K_ll); for DPO W = beta sigma(-beta m)."
        ),
        source=f"{OWN}; that the two gradients' inner product decides: Yuan et al. 2024, abstract",
        assumptions=("log pi_w and log pi_l are differentiable in the parameters", FIRST_ORDER),
        chains=(
            chain(
                sp.Derivative(loss, theta),
                (
                    r"The chain rule for any one parameter, $\ell_a = \log\pi_a$: both responses get one common weight, here DPO's $W = \beta\,\sigma(-\beta m)$.",
                    beta * sigmoid(-beta * margin) * (sp.diff(ll, theta) - sp.diff(lw, theta)),
                ),
                name=r"\frac{\partial L}{\partial\theta_k}",
            ),
            chain(
                _sum(A * eta * (w_w * G_W - w_l * G_L)),
                (
                    r"Parameter $k$ moves by $-\eta\,\partial L/\partial\theta_k = \eta\,(W_w g^w_k - W_l g^l_k)$. Take the sum apart: two inner products are left, $K_{aw}$ and $K_{al}$.",
                    eta * (w_w * _sum(A * G_W) - w_l * _sum(A * G_L)),
                ),
                name=r"\Delta\log\pi_a",
            ),
            chain(
                sp.Subs(general, (k_aw, k_al), (K_ww, K_wl)).subs(margin_loss),
                ("The preferred response itself, $a = w$, under a margin loss.", STEP_W),
                name=DELTA_W,
            ),
            chain(
                sp.Subs(general, (k_aw, k_al), (K_wl, K_ll)).subs(margin_loss),
                ("The dispreferred response, $a = l$.", STEP_L),
                name=DELTA_L,
            ),
        ),
        facts=(
            (
                "DPO's weight is positive, whatever the margin",
                (-LOSSES["dpo"].partials[0]).is_positive,
            ),
        ),
    )


def _regions() -> Derivation:
    c = sp.Symbol("c", real=True)
    p, q, r = sp.symbols("p q r", positive=True)
    up, down = {K_ww: K_wl - p}, {K_ll: K_wl - q}
    return Derivation(
        id="law-regions",
        title="Who rises, who falls, who moves more",
        statement=(
            "To first order, the preferred falls iff K_wl > K_ww, the dispreferred rises iff "
            "K_wl > K_ll, and never both. The margin grows by eta W |g_w - g_l|^2. If g_w differs "
            "from g_l, the dispreferred moves by more than the preferred iff K_ll > K_ww, whatever "
            "K_wl. So wherever the preferred falls, the dispreferred falls by more. All of this "
            "lies within K_wl^2 <= K_ww K_ll."
        ),
        source=OWN,
        assumptions=("a margin loss with W > 0", "g_w and g_l differ", FIRST_ORDER),
        chains=(
            chain(
                _sum((G_W - G_L) ** 2),
                (
                    "Square and take the sum apart.",
                    _sum(G_W**2) - 2 * _sum(G_W * G_L) + _sum(G_L**2),
                ),
                name=r"\lVert g^w - g^l \rVert^2",
            ),
            chain(
                STEP_W - STEP_L,
                (
                    r"The margin grows by $\eta W \lVert g^w - g^l \rVert^2$, a squared length.",
                    eta * W * LENGTH2,
                ),
                name=r"\Delta m",
            ),
            chain(
                STEP_L**2 - STEP_W**2,
                ("A difference of squares.", (STEP_L - STEP_W) * (STEP_L + STEP_W)),
                (
                    r"In the sum $K_{wl}$ cancels; the difference is the margin's growth. The sign is that of $K_{ll} - K_{ww}$.",
                    (eta * W) ** 2 * LENGTH2 * (K_ll - K_ww),
                ),
                name=rf"({DELTA_L})^2 - ({DELTA_W})^2",
            ),
            chain(
                sp.Subs(LENGTH2, (K_ww, K_ll), (K_wl - p, K_wl - q)),
                (
                    "Were the preferred to fall and the dispreferred to rise, $K_{wl} = K_{ww} + p = K_{ll} + q$ with $p, q > 0$, a squared length would be negative.",
                    -p - q,
                ),
                name=r"\lVert g^w - g^l \rVert^2",
            ),
            chain(
                K_ww * sp.Subs(K_ll - 2 * c * K_wl + c**2 * K_ww, c, K_wl / K_ww),
                (
                    r"Cauchy-Schwarz: $K_{ww}$ times the squared length of $g^l - c\,g^w$ at $c = K_{wl}/K_{ww}$ is what $K_{wl}^2$ lacks.",
                    K_ww * K_ll - K_wl**2,
                ),
                name=r"K_{ww} \lVert g^l - c\, g^w \rVert^2",
            ),
        ),
        facts=(
            (
                "where $K_{wl} = K_{ww} + p$, $p > 0$, the preferred falls",
                STEP_W.subs(up).is_negative,
            ),
            (
                "where $K_{wl} = K_{ll} + q$, $q > 0$, the dispreferred rises",
                STEP_L.subs(down).is_positive,
            ),
            (
                "where the preferred falls, $K_{ll} > K_{ww}$: $K_{ww} = K_{wl} - p$, and the squared length $K_{ll} - K_{wl} - p = r$ is positive",
                (K_ll - K_ww).subs({K_ww: K_wl - p, K_ll: K_wl + p + r}).is_positive,
            ),
            ("$-p - q$ is negative, so the two never happen together", (-p - q).is_negative),
        ),
    )


def _batch() -> Derivation:
    w_1, w_2 = sp.symbols("W_1 W_2", positive=True)
    w1, l1, w2, l2 = (_gradient(name) for name in ("1w", "1l", "2w", "2l"))
    downhill = w_1 * (w1 - l1) + w_2 * (w2 - l2)

    def k(a: sp.Expr, b: sp.Expr) -> sp.Sum:
        return _sum(a * b)

    mean = eta / 2
    step_1w, step_1l = _sum(w1 * mean * downhill), _sum(l1 * mean * downhill)
    step_2w, step_2l = _sum(w2 * mean * downhill), _sum(l2 * mean * downhill)
    return Derivation(
        id="law-batch",
        title="A batch: self, partner and cross terms",
        statement=(
            "One step on the mean loss of B pairs changes log pi_ia by (eta/B) sum_j W_j "
            "(K[ia,jw] - K[ia,jl]): the pair's own terms j = i and cross terms j != i. The "
            "weighted sum of all margins never falls; one pair's margin may."
        ),
        source=OWN,
        assumptions=(
            "margin losses with weights W_j > 0",
            "two pairs written out; more only lengthen the sum",
            FIRST_ORDER,
        ),
        chains=(
            chain(
                step_1w,
                (
                    "The step is downhill for the mean of two losses. Terms of pair 1: itself and its partner. Terms of pair 2: the cross terms.",
                    mean * (w_1 * (k(w1, w1) - k(w1, l1)) + w_2 * (k(w1, w2) - k(w1, l2))),
                ),
                name=r"\Delta\log\pi_{1w}",
            ),
            chain(
                w_1 * (step_1w - step_1l) + w_2 * (step_2w - step_2l),
                (
                    r"Margins, each with its weight: $\eta/B$ times one squared length again.",
                    mean * _sum(sp.expand(downhill**2)),
                ),
                name=r"W_1\,\Delta m_1 + W_2\,\Delta m_2",
            ),
        ),
        facts=(("a square is never negative", (downhill**2).is_nonnegative),),
    )


def _metric() -> Derivation:
    mu = sp.Symbol("mu", positive=True)
    b_0, g_1, g_2, g_3 = sp.symbols("b_0 G_1 G_2 G_3", real=True)
    b_1, b_2, eps, w = sp.symbols("beta_1 beta_2 epsilon W", positive=True)
    g = sp.Symbol("G", real=True, nonzero=True)
    d = sp.Symbol("d", real=True, nonzero=True)  # g^w_k - g^l_k
    return Derivation(
        id="law-metric",
        title="Momentum and Adam",
        statement=(
            "Momentum steps along mu-weighted past gradients, so the kernel joins now and then. A "
            "diagonal preconditioner P puts K^P_ab = sum_k P_k g^a_k g^b_k in the place of K_ab, "
            "and every statement on regions holds with it. The first Adam step has P = 1/|G|: it "
            "descends by signs, and on one pair the weight W cancels."
        ),
        source=OWN,
        assumptions=(
            "P_k > 0",
            "momentum b_t = mu b_(t-1) + G_t, step -eta b_t",
            "Adam without weight decay",
            FIRST_ORDER,
        ),
        chains=(
            chain(
                mu * (mu * (mu * b_0 + g_1) + g_2) + g_3,
                (
                    r"Momentum, unrolled over three steps from $b_0 = 0$ on. Each past gradient $G_s$ was taken where the parameters stood at time $s$.",
                    mu**3 * b_0 + mu**2 * g_1 + mu * g_2 + g_3,
                ),
                name="b_3",
            ),
            chain(
                (1 - mu) * (1 + mu + mu**2),
                (
                    r"If nothing changed meanwhile, the weights would add up to $(1 - \mu^t)/(1 - \mu)$: $t = 3$.",
                    1 - mu**3,
                ),
            ),
            chain(
                _sum(A * eta * P * W * (G_W - G_L)),
                (
                    r"A preconditioned step, and the same two sums with $P_k$ inside: $K^P_{aw}$ and $K^P_{al}$.",
                    eta * W * (_sum(P * A * G_W) - _sum(P * A * G_L)),
                ),
                name=r"\Delta\log\pi_a",
            ),
            chain(
                ((1 - b_1) * g / (1 - b_1)) / (sp.sqrt((1 - b_2) * g**2 / (1 - b_2)) + eps),
                (
                    "Adam's first step: both averages hold one gradient, and the corrections undo their factors.",
                    g / (sp.Abs(g) + eps),
                ),
            ),
            chain(
                sp.Limit(sp.Abs(g) / (sp.Abs(g) + eps), eps, 0, "+"),
                (
                    r"With $\epsilon$ far below $|G_k|$, each parameter moves by $\eta$ exactly, whatever the size of its gradient.",
                    1,
                ),
            ),
            chain(
                w * d / sp.Abs(w * d),
                (
                    r"One pair alone, $G_k = -W d$ with $d = g^w_k - g^l_k$: neither $W$ nor $\beta$ is left.",
                    d / sp.Abs(d),
                ),
            ),
            chain(
                d * eta * d / sp.Abs(d),
                (
                    r"So the margin grows by $\eta$ times the sum of $|g^w_k - g^l_k|$.",
                    eta * sp.Abs(d),
                ),
                name=r"\Delta m_k",
            ),
        ),
        facts=(
            (
                "$P_k (g^w_k - g^l_k)^2$ is never negative: $K^P$ is an inner product",
                (P * (G_W - G_L) ** 2).is_nonnegative,
            ),
        ),
    )


def _softmax() -> Derivation:
    z = sp.symbols("z_w z_l z_o", real=True)
    weights = [sp.exp(x) for x in z]
    probability = [x / sp.Add(*weights) for x in weights]
    rest, rest2, pi_o = sp.symbols("s q pi_o", positive=True)
    # Entries of e_a - pi at w, at l and at a third response o; q: the sum of squares of all others.
    k_ww = (1 - pi_w) ** 2 + pi_l**2 + rest2
    k_wl = -(1 - pi_w) * pi_w - pi_l * (1 - pi_l) + rest2
    k_ll = pi_w**2 + (1 - pi_l) ** 2 + rest2
    others = rest2 - pi_o**2
    k_ow = -pi_w * (1 - pi_w) + pi_l**2 - pi_o * (1 - pi_o) + others
    k_ol = pi_w**2 - pi_l * (1 - pi_l) - pi_o * (1 - pi_o) + others
    return Derivation(
        id="law-softmax",
        title="One softmax is the smallest case",
        statement=(
            "With one logit per response, g^a = e_a - pi and K_ab = <e_a - pi, e_b - pi>. The law "
            "then gives the three rates of one softmax, and K_ww - K_ll = 2 (pi_l - pi_w): the "
            "less likely response has the longer gradient."
        ),
        source=OWN,
        assumptions=(
            "pi_w > 0, pi_l > 0, pi_w + pi_l <= 1",
            "q is the sum of pi_o^2 over all other responses",
        ),
        chains=(
            chain(
                sp.Derivative(z[0] - sp.log(sp.Add(*weights)), z[0]),
                ("The gradient of $\\log\\pi_w$ by its own logit.", 1 - probability[0]),
                name=r"\partial\log\pi_w/\partial z_w",
            ),
            chain(
                sp.Derivative(z[0] - sp.log(sp.Add(*weights)), z[1]),
                ("By another logit. So $g^a = e_a - \\pi$.", -probability[1]),
                name=r"\partial\log\pi_w/\partial z_l",
            ),
            chain(
                sp.Add(k_ww, -k_wl, evaluate=False),
                ("The preferred: positive, so it never falls.", RATE_W),
                name="K_{ww} - K_{wl}",
            ),
            chain(
                sp.Add(k_wl, -k_ll, evaluate=False),
                ("The dispreferred: negative, so it never rises.", RATE_L),
                name="K_{wl} - K_{ll}",
            ),
            chain(
                sp.Add(k_ow, -k_ol, evaluate=False),
                ("Any other response.", RATE_O),
                name="K_{ow} - K_{ol}",
            ),
            chain(
                sp.Add(k_ww, -k_ll, evaluate=False),
                ("Which of the two moves more.", 2 * (pi_l - pi_w)),
                name="K_{ww} - K_{ll}",
            ),
        ),
        facts=(
            (
                "with $\\pi_w = 1 - \\pi_l - s$, $s \\ge 0$, the preferred rises: $2\\pi_l + s > 0$",
                RATE_W.subs(pi_w, 1 - pi_l - rest).is_positive,
            ),
            (
                "with $\\pi_l = 1 - \\pi_w - s$, the dispreferred falls",
                RATE_L.subs(pi_l, 1 - pi_w - rest).is_negative,
            ),
        ),
    )


def _curvature() -> Derivation:
    t = sp.Symbol("t", real=True)
    z = sp.symbols("z_1:4", real=True)
    d = sp.symbols("d_1:4", real=True)
    moved = [sp.exp(a + t * b) for a, b in zip(z, d, strict=True)]
    total = sp.Add(*(sp.exp(a) for a in z))
    pi = [sp.exp(a) / total for a in z]
    logprob = z[0] + t * d[0] - sp.log(sp.Add(*moved))
    mean = sp.Add(*(p * x for p, x in zip(pi, d, strict=True)))
    variance = sp.Add(*(p * x**2 for p, x in zip(pi, d, strict=True))) - mean**2
    pairs = sp.Add(*(pi[i] * pi[j] * (d[i] - d[j]) ** 2 for i in range(3) for j in range(i + 1, 3)))
    return Derivation(
        id="law-curvature",
        title="What a finite step adds: the softmax's share",
        statement=(
            "When the logits of a token move by t d, log pi_y changes by t (d_y - E d) - "
            "(t^2/2) Var d + O(t^3), mean and variance under pi. The second term is never "
            "positive: log-softmax is concave in its logits."
        ),
        source=OWN,
        assumptions=("one token of a vocabulary of three; a response is a sum over its tokens",),
        chains=(
            chain(
                sp.Subs(sp.Derivative(logprob, t), t, 0),
                ("First order: the token's own logit, less the mean of all.", d[0] - mean),
                name=r"\left.\frac{d}{dt} \log\pi_y(z + t d)\right|_{t=0}",
            ),
            chain(
                sp.Subs(sp.Derivative(logprob, (t, 2)), t, 0),
                ("Second order: minus the variance of $d$ under $\\pi$.", -variance),
                ("Which is a sum of squares.", -pairs),
                name=r"\left.\frac{d^2}{dt^2} \log\pi_y(z + t d)\right|_{t=0}",
            ),
        ),
        facts=(("that sum of squares is never negative", pairs.is_nonnegative),),
    )


def _unembedding() -> Derivation:
    h, k = sp.symbols("h_1:3", real=True), sp.symbols("h'_1:3", real=True)
    rows = sp.Matrix(3, 2, sp.symbols("U_(1:4)(1:3)", real=True))
    logits = [sum(rows[i, j] * h[j] for j in range(2)) for i in range(3)]
    total = sp.Add(*(sp.exp(x) for x in logits))
    p, q = sp.symbols("p_1:4", real=True), sp.symbols("q_1:4", real=True)
    a_1, a_2, b_1, b_2 = sp.symbols("a_1 a_2 b_1 b_2", real=True)
    return Derivation(
        id="law-unembedding",
        title="The last layer's share of the kernel, and CHES",
        statement=(
            "With logits U h, the matrix U alone gives K_ab = sum_t sum_s <e_at - pi_t, e_bs - "
            "pi_s> <h_t, h_s>. Put 1 in the place of every token factor, and K_wl - K_ww becomes "
            "CHES = <sum h_w, sum h_l> - |sum h_w|^2."
        ),
        source=f"{OWN}; CHES: Razin et al. 2025",
        assumptions=(
            "one token position of each response, a vocabulary of three and two hidden units written out",
        ),
        chains=(
            chain(
                sp.Derivative(logits[0] - sp.log(total), rows[0, 0]),
                ("An entry of $U$ in the token's own row.", (1 - sp.exp(logits[0]) / total) * h[0]),
            ),
            chain(
                sp.Derivative(logits[0] - sp.log(total), rows[1, 0]),
                (
                    "An entry in another row. So the gradient is $(e_y - \\pi)\\,h^\\top$.",
                    -sp.exp(logits[1]) / total * h[0],
                ),
            ),
            chain(
                sp.Add(*(p[i] * h[j] * q[i] * k[j] for i in range(3) for j in range(2))),
                (
                    "The inner product of two such gradients is a product of two: one of tokens, one of hidden states.",
                    sp.Mul(
                        sp.Add(*(a * b for a, b in zip(p, q, strict=True))),
                        sp.Add(*(a * b for a, b in zip(h, k, strict=True))),
                    ),
                ),
            ),
            chain(
                (a_1 * b_1 + a_1 * b_2 + a_2 * b_1 + a_2 * b_2) - (a_1**2 + 2 * a_1 * a_2 + a_2**2),
                (
                    "Every token factor 1, two positions each, one hidden unit: CHES.",
                    (a_1 + a_2) * (b_1 + b_2) - (a_1 + a_2) ** 2,
                ),
            ),
        ),
    )


PROOFS = (_law(), _regions(), _batch(), _metric(), _softmax(), _curvature(), _unembedding())
