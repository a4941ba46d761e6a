"""The field in training: recorded paths against Theorem 1, Corollary 1 and the law of motion.

The frames of runs have one row per run that kept its paths. A *margin* is the mean of u - v over
the pairs of a run, in nats. A value "per step" is a change between two records, divided by the
number of steps between them.
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
"""Largest relative rounding error of a stored number."""


def setting(runs: pd.DataFrame, name: Setting) -> pd.DataFrame:
    """The runs of one setting, in the order of their seeds."""
    sft_steps, optimizer = SETTINGS[name]
    chosen = (runs["sft_steps"] == sft_steps) & (runs["optimizer"] == optimizer)
    return runs[chosen].sort_values("seed", ignore_index=True)


class Trace(NamedTuple):
    """The paths of one run: `step` (T,), all others (T, N), see `columns.PATH`."""

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
    """Largest relative difference of `values` recorded derivatives from Theorem 1.

    `rounding` is the largest quotient of a difference and the rounding error that float32 storage
    of u, v and the derivative can cause. If it is at most 1, rounding explains all differences.
    """

    values: int
    largest: float
    rounding: float


def theorem_1(runs: pd.DataFrame) -> Agreement:
    """The recorded autograd derivatives by x1 and x2 against the closed form of Theorem 1.

    dL/dx1 = -b x2^b / (x1 S) and dL/dx2 = b x2^(b - 1) / S with S = x1^b + x2^b (Feng et al. 2024).
    """
    largest, rounding, values = 0.0, 0.0, 0
    for (_, run), trace in zip(runs.iterrows(), traces(runs), strict=True):
        b = Config.from_flat(run).params["beta"]
        x1, x2 = np.exp(trace.u), np.exp(trace.v)
        S = x1**b + x2**b
        # A relative error of |u| 2^-24 in x changes a derivative by at most 1 + b times as much.
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
    """One row per pair and interval between records.

    `speed_ratios`, `speed_logs`: distances moved by (x1, x2) and (u, v) in the interval, per step.
    All other columns are values at the start of the interval. `magnitude`: length of the recorded
    gradient by (x1, x2), in nats per unit. `u`, `v`: position of the pair. `region`: its `Region`,
    or "" for the start of the run, which is in none.
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
    """A region: its share of pairs and records after the start, and medians per seed.

    `magnitude`: length of the gradient by the ratios. `ratios`, `logs`: distances per step in the
    ratio chart and in the log-ratio chart.
    """

    share: Interval
    magnitude: Interval
    ratios: Interval
    logs: Interval


def regions(moved: pd.DataFrame) -> dict[Region, InRegion]:
    """`InRegion` of each `Region`, from `speeds`; medians have geometric means over seeds."""
    later = moved[moved["region"] != ""]
    found = {}
    for name in Region:
        inside = later[later["region"] == name].groupby("seed")
        shares = inside.size().div(later.groupby("seed").size(), fill_value=0.0)
        medians = [
            stats.geometric(inside[c].median()) for c in ("magnitude", "speed_ratios", "speed_logs")
        ]
        found[name] = InRegion(of_seeds(shares), *medians)
    return found


def rank_correlation(moved: pd.DataFrame, x: str, y: str) -> Interval:
    """Spearman's correlation of two columns of `speeds` within each seed, averaged over seeds."""
    return of_seeds(stats.within(moved, [], stats.rho, x, y))


def rates(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per pair and interval between records: measured and predicted changes.

    - `du`, `dv`: measured changes of both log-probabilities, in nats. `law_u`, `law_v`: the
      first-order changes for the optimizer's steps.
    - `quotient_ratios`: measured -dx1/dx2. `corollary_1`: its value for a pair that moves along its
      own field, on a circle around the origin: (x2 + x2')/(x1 + x1'), which is Corollary 1's x2/x1
      for a finite change.
    - `quotient_logs`: measured -du/dv, which is 1 for the field in the log-ratio chart.
      `quotient_law`: -law_u/law_v.
    - `u`, `v`, `step`: position of the pair and step at the start of the interval.

    A quotient is infinite or nan if the dispreferred response did not move.
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
    """Shares of pairs and intervals by the error of a predicted ratio of rates; they add up to 1.

    `sign`: wrong sign. `off`: right sign, and wrong by more than a factor of 2. `near`: within a
    factor of 2.
    """

    sign: Interval
    off: Interval
    near: Interval


def verdicts(found: pd.DataFrame) -> dict[str, Verdicts]:
    """`Verdicts` of the two charts and of the law of motion, from `rates`.

    "ratios" predicts -dx1/dx2; "log-ratios" and "law" predict -du/dv.
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
    """Share of the squared changes of both log-probabilities that each prediction explains.

    A prediction of no change has the share 0. "law" has no fitted factor. "ratios" and "log-ratios"
    predict directions and relative speeds only: a pair that moves along the field changes (u, v) by
    c W (1/x1^2, -1/x2^2) and by c W (1, -1), where W = beta s(-beta m). The factor c is fitted per
    seed.
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
    """The preferred's share of a margin: 1/2 if both move equally far, below 0 if it falls.

    Both values are for the kernel of the start. `own`: with each pair's own terms only. `start`:
    with the cross terms.
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
    """One row per run: mean changes where the margin first reaches `goal`; nan if it never does.

    `u`, `v`: the changes, in nats. Each is the sum of five parts, whose names end in `_u` or `_v`:

    - `own`: change by the kernel of the start, from each pair's own terms only;
    - `cross`: change by the cross terms of that kernel;
    - `drift`: change by plain gradient steps along the run, minus that by the kernel of the start;
    - `optimizer`: first-order change for the actual steps, minus that for plain gradient steps; it
      comes from the optimizer's preconditioner and momentum;
    - `size`: change minus first-order change, from the finite size of the steps. `concavity` is the
      part of `size` that is due to the concavity of log-softmax.

    `step`: the step at which the margin reaches `goal`. `preferred_share`: u / (u - v).
    `dispreferred_farther`: share of pairs whose dispreferred response moved farther than the
    preferred one. `fell`: share of pairs whose preferred response fell.
    """
    rows, said = [], start_share(runs)
    for trace, own, start in zip(traces(runs), *said, strict=True):
        when = reached(trace.step, trace.margin, goal)
        values = {name: at(trace.step, getattr(trace, name), when) for name in Trace._fields[2:]}
        mean = {name: float(x.mean()) for name, x in values.items()}
        # The margin of plain gradient steps differs slightly from the observed margin.
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
        farther = np.abs(values["v"]) > np.abs(values["u"])
        row["dispreferred_farther"] = float(np.mean(farther)) if known else np.nan
        row["fell"] = float(np.mean(values["u"] < 0)) if known else np.nan
        rows.append(row)
    return pd.DataFrame(rows)


def at_step(runs: pd.DataFrame, step: float) -> pd.DataFrame:
    """One row per run: mean `u`, `v`, `margin` and first-order changes at a step."""
    rows = []
    for t in traces(runs):
        names = ("u", "v", "first_order_u", "first_order_v")
        mean = {name: float(at(t.step, getattr(t, name), step).mean()) for name in names}
        rows.append({"seed": t.seed, "margin": mean["u"] - mean["v"]} | mean)
    return pd.DataFrame(rows)


def difference(one: pd.DataFrame, other: pd.DataFrame, column: str) -> Interval:
    """Mean of `one` minus `other` in a column of `parts` or `at_step`, paired by seed."""
    both = one.merge(other, on="seed", suffixes=("", "_other"))
    return of_seeds(both[column] - both[f"{column}_other"])


def mean_path(runs: pd.DataFrame, margins: ArrayLike) -> tuple[Floats, Floats]:
    """Mean u and mean v of S runs where their margins first reach M `margins`: both (S, M)."""
    found = []
    for t in traces(runs):
        whens = [reached(t.step, t.margin, float(m)) for m in np.asarray(margins, dtype=float)]
        found.append([[at(t.step, x, w).mean() for w in whens] for x in (t.u, t.v)])
    both = np.array(found)
    return both[:, 0], both[:, 1]
