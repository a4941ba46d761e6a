"""The field in training: recorded paths against Theorem 1, Corollary 1 and the law of motion.

Frames have one row per run that kept its paths. A *margin* is the mean of u - v over the pairs of a
run, in nats. "Per step" always means: over the steps between two records, divided by their number.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from dpofield.experiments import stats
from dpofield.experiments.columns import path
from dpofield.experiments.config import Config
from dpofield.experiments.margins import at, reached
from dpofield.experiments.stats import Interval, of_seeds

Floats = NDArray[np.float64]


class Setting(StrEnum):
    """The settings of the plan "training-field"; the value is the label."""

    WEAK_ADAMW = "weak, AdamW"
    WEAK_SGD = "weak, SGD"
    STRONG_ADAMW = "strong, AdamW"
    STRONG_SGD = "strong, SGD"


SETTINGS: dict[Setting, tuple[int, str]] = {
    Setting.WEAK_ADAMW: (100, "adamw"),
    Setting.WEAK_SGD: (100, "sgd"),
    Setting.STRONG_ADAMW: (600, "adamw"),
    Setting.STRONG_SGD: (600, "sgd"),
}
"""SFT steps and optimizer of each setting."""


class Region(StrEnum):
    """The four quarters of the ratio plane around the start (1, 1); the value is the label."""

    APART = "preferred up, dispreferred down"
    DOWN = "both down"
    UP = "both up"
    AGAINST = "preferred down, dispreferred up"


FLOAT32 = 2.0**-24
"""Relative rounding of a stored number."""


def setting(runs: pd.DataFrame, name: Setting) -> pd.DataFrame:
    """The runs of one setting, in the order of their seeds."""
    sft_steps, optimizer = SETTINGS[name]
    chosen = (runs["sft_steps"] == sft_steps) & (runs["optimizer"] == optimizer)
    return runs[chosen].sort_values("seed", ignore_index=True)


class Trace(NamedTuple):
    """One run's paths: `step` (T,), all else (T, N), see `columns.PATH`."""

    seed: int
    step: Floats
    u: Floats
    v: Floats
    dloss_dx1: Floats
    dloss_dx2: Floats
    first_order_u: Floats
    first_order_v: Floats
    plain_gradient_u: Floats
    plain_gradient_v: Floats
    concavity_u: Floats
    concavity_v: Floats

    @property
    def margin(self) -> Floats:
        """Mean margin at each record, (T,)."""
        found: Floats = (self.u - self.v).mean(axis=1)
        return found


def traces(runs: pd.DataFrame) -> Iterator[Trace]:
    """The paths of every run."""
    for _, run in runs.iterrows():
        yield Trace(int(run["seed"]), *(path(run, name) for name in Trace._fields[1:]))


class Agreement(NamedTuple):
    """Recorded derivatives against Theorem 1: the largest relative difference of `values` numbers.

    `rounding` is the largest of these differences over what storing u, v and the derivative in
    float32 may cause at its place; up to 1, rounding explains all.
    """

    values: int
    largest: float
    rounding: float


def theorem_1(runs: pd.DataFrame) -> Agreement:
    """Autograd's derivatives by x1 and x2, as recorded, against the closed form of Theorem 1.

    dL/dx1 = -b x2^b / (x1 S) and dL/dx2 = b x2^(b - 1) / S with S = x1^b + x2^b (Feng et al. 2024).
    """
    largest, rounding, values = 0.0, 0.0, 0
    for (_, run), trace in zip(runs.iterrows(), traces(runs), strict=True):
        b = Config.from_flat(run).params["beta"]
        x1, x2 = np.exp(trace.u), np.exp(trace.v)
        S = x1**b + x2**b
        # A relative change of x by |u| 2^-24 moves a derivative by at most 1 + b times as much.
        allowed = (1 + b) * (np.abs(trace.u) + np.abs(trace.v) + 1) * FLOAT32
        for recorded, closed in (
            (trace.dloss_dx1, -b * x2**b / (x1 * S)),
            (trace.dloss_dx2, b * x2 ** (b - 1) / S),
        ):
            miss = np.abs(recorded / closed - 1)
            largest, rounding = max(largest, miss.max()), max(rounding, (miss / allowed).max())
            values += miss.size
    return Agreement(values, float(largest), float(rounding))


def speeds(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per pair and interval between records; magnitude and region are those at its start.

    `magnitude`: length of the recorded gradient by (x1, x2), nats per unit. `speed_ratios`,
    `speed_logs`: how far (x1, x2) and (u, v) moved, per step. `u`, `v`: where the pair was.
    `region`: a `Region`; "" at the start, which belongs to none.
    """
    frames = []
    for t in traces(runs):
        steps = np.diff(t.step)[:, None]
        x1, x2, u, v = np.exp(t.u), np.exp(t.v), t.u[:-1], t.v[:-1]
        place = np.select(
            [(u > 0) & (v < 0), (u < 0) & (v < 0), (u > 0) & (v > 0), (u < 0) & (v > 0)],
            list(Region), default="",
        )  # fmt: skip
        columns = {
            "magnitude": np.hypot(t.dloss_dx1, t.dloss_dx2)[:-1],
            "speed_ratios": np.hypot(np.diff(x1, axis=0), np.diff(x2, axis=0)) / steps,
            "speed_logs": np.hypot(np.diff(t.u, axis=0), np.diff(t.v, axis=0)) / steps,
            "u": u, "v": v, "region": place,
        }  # fmt: skip
        frames.append(pd.DataFrame({k: x.ravel() for k, x in columns.items()}).assign(seed=t.seed))
    return pd.concat(frames, ignore_index=True)


class InRegion(NamedTuple):
    """A region: its share of pairs and records after the start, and medians of one value per seed.

    `magnitude` is the length of the gradient by the ratios. `ratios` and `logs` are distances per
    step in the two charts.
    """

    share: Interval
    magnitude: Interval
    ratios: Interval
    logs: Interval


def regions(moved: pd.DataFrame) -> dict[Region, InRegion]:
    """`InRegion` of each `Region`, from `speeds`; medians are averaged as logarithms."""
    later = moved[moved["region"] != ""]
    found = {}
    for name in Region:
        here = later[later["region"] == name].groupby("seed")
        shares = here.size().div(later.groupby("seed").size(), fill_value=0.0)
        medians = [
            stats.geometric(here[c].median()) for c in ("magnitude", "speed_ratios", "speed_logs")
        ]
        found[name] = InRegion(of_seeds(shares), *medians)
    return found


def rank_correlation(moved: pd.DataFrame, x: str, y: str) -> Interval:
    """Spearman's correlation of two columns of `speeds` within each seed, averaged over seeds."""
    return of_seeds(stats.within(moved, [], stats.rho, x, y))


def rates(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per pair and interval between records: measured changes, and predicted ones.

    `du`, `dv`: measured changes of both log-probabilities, nats. `law_u`, `law_v`: first order
    along the optimizer's steps. `quotient_ratios`: -dx1/dx2, measured; `corollary_1`: its value if
    the pair had moved along its own field, on a circle around the origin: (x2 + x2')/(x1 + x1'),
    which is Corollary 1's x2/x1 for a finite change. `quotient_logs`: -du/dv, measured, which is 1
    for the field of the log-ratio chart; `quotient_law`: the same by the law. `u`, `v`, `step`:
    where and when the interval began. A quotient is infinite or nan where the dispreferred did not
    move.
    """
    frames = []
    for t in traces(runs):
        x1, x2 = np.exp(t.u), np.exp(t.v)
        moved = (t.u, t.v, t.first_order_u, t.first_order_v)
        du, dv, law_u, law_v = (np.diff(x, axis=0) for x in moved)
        with np.errstate(divide="ignore", invalid="ignore"):
            measured = -np.diff(x1, axis=0) / np.diff(x2, axis=0)
            logs, law = -du / dv, -law_u / law_v
        columns = {
            "du": du, "dv": dv, "law_u": law_u, "law_v": law_v,
            "quotient_ratios": measured, "quotient_logs": logs, "quotient_law": law,
            "corollary_1": (x2[1:] + x2[:-1]) / (x1[1:] + x1[:-1]),
            "u": t.u[:-1], "v": t.v[:-1],
            "step": np.broadcast_to(t.step[:-1, None], du.shape),
        }  # fmt: skip
        frames.append(pd.DataFrame({k: x.ravel() for k, x in columns.items()}).assign(seed=t.seed))
    return pd.concat(frames, ignore_index=True)


class Verdicts(NamedTuple):
    """How often a predicted ratio of rates had the wrong sign, was off by more than a factor of 2,
    or was within that factor: shares of pairs and intervals between records; they add up to one."""

    sign: Interval
    off: Interval
    near: Interval


def verdicts(found: pd.DataFrame) -> dict[str, Verdicts]:
    """`Verdicts` of the two charts and of the law of motion, from `rates`.

    "ratios" is judged by -dx1/dx2, "log-ratios" and "law" by -du/dv.
    """
    quotients = {
        "ratios": found["quotient_ratios"] / found["corollary_1"],
        "log-ratios": found["quotient_logs"],
        "law": found["quotient_logs"] / found["quotient_law"],
    }
    result = {}
    for name, quotient in quotients.items():
        classes = {
            "sign": quotient <= 0,
            "off": (quotient > 0) & ~quotient.between(0.5, 2),
            "near": quotient.between(0.5, 2),
        }
        shares = [c.groupby(found["seed"]).mean() for c in classes.values()]
        result[name] = Verdicts(*(of_seeds(s) for s in shares))
    return result


def explained(found: pd.DataFrame, beta: float) -> dict[str, Interval]:
    """Share of the squared changes of both log-probabilities that each prediction accounts for.

    1 is all of it, 0 no better than predicting no change. "law" has no free factor. "ratios" and
    "log-ratios" predict directions and relative speeds only: a pair that moved along its own arrow
    changes (u, v) by c W (1/x1^2, -1/x2^2) and by c W (1, -1), W = beta s(-beta m); c is the best
    factor of each run.
    """
    W = beta / (1 + np.exp(beta * (found["u"] - found["v"])))
    said = {
        "ratios": (W * np.exp(-2 * found["u"]), -W * np.exp(-2 * found["v"])),
        "log-ratios": (W, -W),
        "law": (found["law_u"], found["law_v"]),
    }
    result = {}
    for name, (a, b) in said.items():
        by_seed = pd.DataFrame(
            {"aa": a**2 + b**2, "ad": a * found["du"] + b * found["dv"],
             "dd": found["du"] ** 2 + found["dv"] ** 2}
        ).groupby(found["seed"]).sum()  # fmt: skip
        c = 1.0 if name == "law" else by_seed["ad"] / by_seed["aa"]
        left = by_seed["dd"] - 2 * c * by_seed["ad"] + c**2 * by_seed["aa"]
        result[name] = of_seeds(1 - left / by_seed["dd"])
    return result


class Share(NamedTuple):
    """The preferred's share of a margin: 1/2 if both move alike, below 0 if the preferred falls.

    `own`: by the kernel of the start, each pair's own terms; `start`: cross terms included.
    """

    own: Floats
    start: Floats


def start_share(runs: pd.DataFrame) -> Share:
    """`Share` of every run, from the mean push on both responses before the first step."""
    own, start = [], []
    for _, run in runs.iterrows():
        ww, wl, ll = (np.mean(run[f"pair_kernel_{name}"]) for name in ("ww", "wl", "ll"))
        own.append((ww - wl) / (ww - 2 * wl + ll))
        up, down = np.mean(run["pair_push_w"]), np.mean(run["pair_push_l"])
        start.append(up / (up - down))
    return Share(np.array(own), np.array(start))


PARTS = ("own", "cross", "drift", "optimizer", "size")
"""The terms of the change of a mean log-probability at a margin, see `parts`."""


def parts(runs: pd.DataFrame, goal: float) -> pd.DataFrame:
    """One row per run: mean changes where the margin first is `goal`, in parts; nan if never.

    `u`, `v`: the changes (nats). Each is the sum of five parts, named with `_u` or `_v` at the end:

    - `own`: by the kernel of the start, if each pair had its own terms only;
    - `cross`: what the cross terms of that kernel add;
    - `drift`: the plain gradient along the run less the kernel of the start;
    - `optimizer`: metric and memory, the first order of the real steps less the plain gradient;
    - `size`: what finite steps add to the first order; `concavity` is the softmax's share of it.

    `step`: the step at which the margin is `goal`. `preferred_share`: u / (u - v).
    `dispreferred_farther`, `fell`: shares of pairs whose dispreferred moved farther than the
    preferred, and whose preferred fell.
    """
    rows, said = [], start_share(runs)
    for trace, own, start in zip(traces(runs), *said, strict=True):
        when = reached(trace.step, trace.margin, goal)
        here = {name: at(trace.step, getattr(trace, name), when) for name in Trace._fields[2:]}
        mean = {name: float(values.mean()) for name, values in here.items()}
        # The plain law has its own margin, a little off the observed one.
        gain = mean["plain_gradient_u"] - mean["plain_gradient_v"]
        row = {"seed": trace.seed, "step": when, "u": mean["u"], "v": mean["v"]}
        for letter, sign, shares in (("u", 1, (own, start)), ("v", -1, (1 - own, 1 - start))):
            lazy = [sign * share * gain for share in shares]
            row |= {
                f"own_{letter}": lazy[0],
                f"cross_{letter}": lazy[1] - lazy[0],
                f"drift_{letter}": mean[f"plain_gradient_{letter}"] - lazy[1],
                f"optimizer_{letter}": mean[f"first_order_{letter}"]
                - mean[f"plain_gradient_{letter}"],
                f"size_{letter}": mean[letter] - mean[f"first_order_{letter}"],
                f"concavity_{letter}": mean[f"concavity_{letter}"],
            }
        row["preferred_share"] = mean["u"] / (mean["u"] - mean["v"])
        known = not np.isnan(when)
        farther = np.abs(here["v"]) > np.abs(here["u"])
        row["dispreferred_farther"] = float(np.mean(farther)) if known else np.nan
        row["fell"] = float(np.mean(here["u"] < 0)) if known else np.nan
        rows.append(row)
    return pd.DataFrame(rows)


def at_step(runs: pd.DataFrame, step: float) -> pd.DataFrame:
    """One row per run: mean `u`, `v`, `margin` and the law's `first_order_{u,v}` at a step."""
    rows = []
    for t in traces(runs):
        names = ("u", "v", "first_order_u", "first_order_v")
        here = {name: float(at(t.step, getattr(t, name), step).mean()) for name in names}
        rows.append({"seed": t.seed, "margin": here["u"] - here["v"]} | here)
    return pd.DataFrame(rows)


def difference(one: pd.DataFrame, other: pd.DataFrame, column: str) -> Interval:
    """Mean of `one` minus `other` in a column of `parts` or `at_step`, seed by seed."""
    both = one.merge(other, on="seed", suffixes=("", "_other"))
    return of_seeds(both[column] - both[f"{column}_other"])


def mean_path(runs: pd.DataFrame, margins: ArrayLike) -> tuple[Floats, Floats]:
    """Mean u and v of each run where its margin first is each of M `margins`: (S, M) twice."""
    found = []
    for t in traces(runs):
        whens = [reached(t.step, t.margin, float(m)) for m in np.asarray(margins, dtype=float)]
        found.append([[at(t.step, x, w).mean() for w in whens] for x in (t.u, t.v)])
    both = np.array(found)
    return both[:, 0], both[:, 1]
