"""Bradley-Terry and beta: two rewards, a judge's decisions, and the log-ratios behind them."""

from __future__ import annotations

from functools import cache
from typing import Any

import sympy as sp
import traitlets

from dpofield.formulas import LOSSES, THEOREMS
from dpofield.formulas.losses.core import BETA, REAL
from dpofield.formulas.parameters import Parameter
from dpofield.formulas.stable import logsigmoid
from dpofield.formulas.symbols import u, v
from dpofield.widgets.figure import Code, Demo, Figure, Number, checks, facts, printed, room

MOST = 10_000
REWARD = Parameter("reward", sp.Symbol("r"), 0.0, REAL, "a reward is a finite number")
COUNT = Parameter(
    "n", sp.Symbol("n"), 10, sp.Interval(1, MOST), f"this figure counts 1 to {MOST} comparisons"
)
WINS = Parameter("wins", sp.Symbol("k"), 7, sp.Interval(0, MOST), f"wins are counted, 0 to {MOST}")


@cache
def formulas() -> dict[str, Code]:
    """The functions of the figure, each returning an array; rewards in log-odds.

    `share`: the probability that the preferred wins, from two rewards. `likelihood`: the
    log-likelihood of k wins and m losses at a gap, and its slope. `part`: that likelihood divided
    by e^t. `top`: the most likely gap, the log-likelihood there, and the standard error from its
    curvature. `dpo`: the difference of log-ratios that equals a gap in DPO, and the loss.
    """
    theorem = THEOREMS["bradley-terry"]
    r_w, r_l, d = (sp.Symbol(name, real=True) for name in ("r_w", "r_l", "d"))
    k, m = sp.symbols("k m", positive=True)
    t = sp.Symbol("t", real=True)
    share, _, slope, top = theorem.chains
    log_likelihood = slope.start.args[0]
    best = top.start.point[0]
    curvature = sp.diff(log_likelihood, d, 2)
    error = sp.sqrt(sp.simplify((-1 / curvature).subs(d, best).rewrite(sp.exp)))
    dpo = LOSSES["dpo"].expr
    (read,) = {one.args[0] for one in dpo.atoms(logsigmoid)}  # the loss's expression of the gap
    margin = sp.solve(read.subs({u: sp.Symbol("h"), v: 0}) - d, sp.Symbol("h"))
    return {
        "share": printed((r_w, r_l), (share.steps[-1].expr,)),
        "likelihood": printed((d, k, m), (log_likelihood, slope.steps[0].expr)),
        "part": printed((d, k, m, t), (sp.exp(log_likelihood - t),)),
        "top": printed((k, m), (best, log_likelihood.subs(d, best), error)),
        "dpo": printed((d,), (*margin, dpo.xreplace({read: d})), (BETA,)),
    }


def check_data(n: int, wins: int) -> None:
    """Raise `ValueError` unless `n` comparisons can have this many wins."""
    COUNT.check(n)
    WINS.check(wins)
    if wins > n:
        raise ValueError(f"wins = {wins} of n = {n}: wins cannot exceed comparisons")


class BradleyTerry(Figure):
    """Two rewards and the judgements of one pair: the Bradley-Terry probability, its likelihood,
    and the log-ratios that beta turns into the same gap.

    `r_w` and `r_l` are the rewards of the preferred and the dispreferred response (log-odds), `n`
    the number of comparisons (1 to 10,000), `wins` those that went to the preferred, and `beta` > 0
    the scale from log-ratios to rewards. With a kernel, the page updates all five. To change `n`
    and `wins` together, do so under `hold_trait_notifications()`.

    Raises `traitlets.TraitError` for a reward that is not finite, more wins than comparisons, and
    beta <= 0.

    >>> figure = BradleyTerry(n=3, wins=3)
    >>> figure.n = 2
    Traceback (most recent call last):
    ...
    traitlets.traitlets.TraitError: wins = 3 of n = 2: wins cannot exceed comparisons
    """

    demo = Demo(
        "Two rewards and a judge",
        "Move the rewards of two responses, the judgements and beta in the Bradley-Terry model: a "
        "stand-alone page.",
        "Drag the dot along the dotted line: both rewards change, and no number does. Drag it "
        "across: now the chance moves. Then let the preferred win every comparison, and the best "
        "gap is gone. Beta only changes how many nats of log-ratio make the same gap.",
    )
    r_w = Number(REWARD, 1.0)
    r_l = Number(REWARD)
    n = traitlets.Int(COUNT.default).tag(sync=True)
    wins = traitlets.Int(WINS.default).tag(sync=True)
    beta = Number(BETA)
    _height, _height_narrow = room(710, 1362)

    def exports(self) -> dict[str, Any]:
        """Formulas and parameters."""
        parameters = {"BETA": BETA, "REWARD": REWARD, "COUNT": COUNT, "WINS": WINS}
        return {"FORMULAS": formulas(), **{name: facts(p) for name, p in parameters.items()}}

    @checks("n", "wins")
    def _check_data(self, name: str, value: int) -> None:
        check_data(**({"n": self.n, "wins": self.wins} | {name: value}))
