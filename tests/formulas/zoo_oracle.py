"""The losses of the zoo, typed a second time for mpmath, in their textbook forms.

This module imports nothing from `dpofield`. `a` and `b` are the two log-ratios, `k` is beta, `rw`
and `rl` are the reference log-probabilities, `nw` and `nl` the lengths.
"""

from __future__ import annotations

from mpmath import exp, expm1, log, log1p, mpf

HALF = mpf(1) / 2


def ls(z):
    """log sigma(z)."""
    return -log1p(exp(-z))


def s(z):
    return 1 / (1 + exp(-z))


def smooth(m, e):
    return -(1 - e) * ls(m) - e * ls(-m)


def disco(m, t):
    gate = s(m / t)
    return (1 - gate) * log1p(exp(-m)) + gate * exp(-m)


def logit(p):
    """Log-odds of probability exp(p)."""
    return p - log(-expm1(p))


def tsallis(p, q):
    return (1 - exp(-q * p)) / q


ORACLE = {
    "dpo": lambda a, b, k: -ls(k * (a - b)),
    "cdpo": lambda a, b, k, e: smooth(k * (a - b), e),
    "robust": lambda a, b, k, e: (-(1 - e) * ls(k * (a - b)) + e * ls(k * (b - a))) / (1 - 2 * e),
    "ipo": lambda a, b, k: (a - b - HALF / k) ** 2,
    "hinge": lambda a, b, k: max(mpf(0), 1 - k * (a - b)),
    "exo": lambda a, b, k, e: (
        s(k * (a - b)) * log(s(k * (a - b)) / (1 - e)) + s(k * (b - a)) * log(s(k * (b - a)) / e)
    ),
    "discopop": lambda a, b, k, t: disco(k * (a - b), t),
    "aot": lambda a, b, k, e, c: smooth(k * (a - b + c), e),
    "forward_kl": lambda a, b, k: -ls(k * (-1 / exp(a) + 1 / exp(b))),
    "js": lambda a, b, k: -ls(k * (log(2 * s(a)) - log(2 * s(b)))),
    "alpha_div": lambda a, b, k, q: -ls(k * (exp((q - 1) * a) - exp((q - 1) * b)) / (q - 1)),
    "chi2": lambda a, b, k: -ls(k * ((exp(a) - 1) - (exp(b) - 1))),
    "nca": lambda a, b, k: -ls(k * a) - HALF * ls(-k * a) - HALF * ls(-k * b),
    "bco": lambda a, b, k, d: -ls(k * a - d) - ls(-(k * b - d)),
    "sppo": lambda a, b, k: (a - HALF / k) ** 2 + (b + HALF / k) ** 2,
    "apo_zero": lambda a, b, k: s(-k * a) + s(k * b),
    "apo_down": lambda a, b, k: s(k * a) + s(-k * (a - b)),
    "dpop": lambda a, b, k, w: -ls(k * (a - b - w * max(mpf(0), -a))),
    "dpo_shift": lambda a, b, k, w: -ls(k * (a - w * b)),
    "cal_dpo": lambda a, b, k: -ls(a - b) + HALF * ((a - HALF / k) ** 2 + (b + HALF / k) ** 2),
    "kto": lambda a, b, k, lw, ll, z: lw * s(-k * (a - z)) + ll * s(-k * (z - b)),
    "sft": lambda a, b, rw, nw: -(a + rw) / nw,
    "rpo": lambda a, b, k, w, rw, nw: -ls(k * (a - b)) - w * (a + rw) / nw,
    "slic": lambda a, b, d, w, rw, rl: max(mpf(0), d - (a + rw) + (b + rl)) - w * (a + rw),
    "cpo": lambda a, b, k, w, rw, rl, nw: -ls(k * ((a + rw) - (b + rl))) - w * (a + rw) / nw,
    "orpo": lambda a, b, w, rw, rl, nw, nl: (
        -(a + rw) / nw - w * ls(logit((a + rw) / nw) - logit((b + rl) / nl))
    ),
    "ipo_norm": lambda a, b, k, nw, nl: (a / nw - b / nl - HALF / k) ** 2,
    "sigmoid_norm": lambda a, b, k, nw, nl: -ls(k * (a / nw - b / nl)),
    "simpo": lambda a, b, k, g, rw, rl, nw, nl: -ls(k * ((a + rw) / nw - (b + rl) / nl) - g),
    "alphapo": lambda a, b, k, g, q, rw, rl, nw, nl: (
        -ls(k * (tsallis((a + rw) / nw, q) - tsallis((b + rl) / nl, q)) - g)
    ),
}
"""Losses by name, with the arguments in the order of the book's printed functions."""

PARAMS = {
    "beta": 0.7, "epsilon": 0.15, "tau": 0.3, "shift": -0.4, "alpha": 0.6, "delta": 0.25,
    "lam": 0.8, "lam_w": 1.3, "lam_l": 0.6, "z0": 0.2, "gamma": 0.45,
}  # fmt: skip
"""Values that are all different, and different from the defaults."""

INPUTS = {"ref_w": -800.0, "ref_l": -900.0, "len_w": 7.0, "len_l": 11.0}
