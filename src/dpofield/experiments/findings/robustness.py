"""Whether the verdicts on the main GPT-2 hold for a smaller GPT-2 and a Llama of the same size.

A *verdict* compares the mean over seeds of a number per run with a bound. It is "yes" or "no" if
the whole interval lies on one side of the bound, and "open" otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from dpofield.experiments import stats
from dpofield.experiments.findings import training_field
from dpofield.experiments.stats import Interval
from dpofield.experiments.tables import recorded

SHAPES: dict[str, tuple[str, int, int]] = {
    "main": ("gpt2", 4, 128),
    "small": ("gpt2", 2, 64),
    "Llama": ("llama", 4, 128),
}
"""Model -> architecture, layers and width."""

OTHERS = ("small", "Llama")

TRAINING, SFT, EDITS = "training-field", "sft-quality", "edit-distance"
EXPERIMENTS = {
    TRAINING: "the field in training",
    SFT: "SFT quality",
    EDITS: "edit distance",
}
"""Plan of the main model -> its label."""

LEVELS = (50, 600)
"""The two SFT levels that are compared, in steps: the lowest and the highest of three."""

DISTANCES = (1, 3, None)

BAND = 0.5
"""A difference of means below this many nats counts as small: a quarter of the margin of 2."""

Answer = Literal["yes", "no", "open"]
Word = Literal["same", "not the same", "undecided"]


def shape_of(runs: pd.DataFrame) -> pd.Series:
    """The name in `SHAPES` of each run's model; nan if it has none."""
    names = {shape: name for name, shape in SHAPES.items()}
    of_run = zip(runs["architecture"], runs["layers"], runs["width"], strict=True)
    return pd.Series([names.get(shape, np.nan) for shape in of_run], index=runs.index, dtype=object)


def load() -> pd.DataFrame:
    """All recorded runs of the four plans, without repetitions, with a column `shape`."""
    plans = [recorded(name) for name in (*EXPERIMENTS, "robustness")]
    runs = pd.concat(plans, ignore_index=True).drop_duplicates("key", ignore_index=True)
    return runs.assign(shape=shape_of(runs))


def select(
    runs: pd.DataFrame,
    *,
    optimizer: str = "adamw",
    keep_paths: bool | None = False,
    sft_steps: int = 100,
    source: str = "grammar",
    edit_distance: int | None = None,
) -> pd.DataFrame:
    """The runs of one setting, with the defaults of `Config` otherwise, indexed by seed.

    `keep_paths` also determines the number of pairs: 32 with paths, 64 without. None selects both.
    """
    distance = runs["edit_distance"]
    chosen = (
        (runs["optimizer"] == optimizer)
        & (runs["sft_steps"] == sft_steps)
        & (runs["source"] == source)
        & (distance.isna() if edit_distance is None else distance == edit_distance)
        & runs["edit_position"].isna()
        & ~runs["matched"].astype(bool)
    )
    if keep_paths is not None:
        chosen &= runs["keep_paths"].astype(bool) == keep_paths
    return runs[chosen].set_index("seed", drop=False).sort_index()


class Question(NamedTuple):
    """A number per run of a shape, and the bound that its mean is compared with.

    `key` identifies the question, and `label` is for readers. `values`: one number per seed.
    `kind`: the claim is that the mean is "above" or "below" `bound`, or that its size is below
    `bound` ("within"). `geometric`: use the geometric mean, so results are factors.
    """

    experiment: str
    key: str
    label: str
    unit: str
    values: Callable[[pd.DataFrame], pd.Series]
    kind: Literal["above", "below", "within"]
    bound: float
    geometric: bool = False

    def interval(self, runs: pd.DataFrame) -> Interval:
        """The mean over seeds for the runs of one shape."""
        return _interval(self.values(runs), self.geometric)

    def answer(self, found: Interval) -> Answer:
        """Whether the claim holds for the whole interval, for no part of it, or neither.

        >>> question = Question("", "", "", "", lambda runs: runs["u"], "below", 0.0)
        >>> [question.answer(x) for x in (Interval(-2, -3, -1), Interval(0, -1, 1))]
        ['yes', 'open']
        """
        low, high = found.low, found.high
        if self.kind == "above":
            yes, no = low > self.bound, high < self.bound
        elif self.kind == "below":
            yes, no = high < self.bound, low > self.bound
        else:
            yes = -self.bound < low and high < self.bound
            no = high < -self.bound or low > self.bound
        return "yes" if yes else "no" if no else "open"

    @property
    def asks(self) -> str:
        """The bound with its sign."""
        sign = {"above": "> ", "below": "< ", "within": "± "}[self.kind]
        return f"{sign}{self.bound:g}"


def _interval(values: pd.Series, geometric: bool) -> Interval:
    return stats.geometric(values) if geometric else stats.of_seeds(values)


def word(one: Answer, other: Answer) -> Word:
    """Whether two answers are the same; undecided if one of them is open.

    >>> word("yes", "yes"), word("yes", "no"), word("yes", "open")
    ('same', 'not the same', 'undecided')
    """
    if "open" in (one, other):
        return "undecided"
    return "same" if one == other else "not the same"


def answers(runs: pd.DataFrame, questions: tuple[Question, ...] | None = None) -> pd.DataFrame:
    """One row per question and shape: the question's fields, shape, value, low, high, seeds.

    `answer`: the shape's answer. `word`: its comparison with the main model's answer. `more`,
    `more_low`, `more_high`: mean difference from the main model, paired by seed (or mean ratio, for
    a geometric mean). `runs` is the table from `load`.
    """
    by_shape = {name: runs[runs["shape"] == name] for name in SHAPES}
    rows = []
    for question in QUESTIONS if questions is None else questions:
        main = question.values(by_shape["main"])
        said = question.answer(_interval(main, question.geometric))
        for shape, own in by_shape.items():
            values = question.values(own)
            found = _interval(values, question.geometric)
            answer = question.answer(found)
            gap = values / main if question.geometric else values - main
            more = _interval(gap, question.geometric)
            rows.append(
                {"experiment": question.experiment, "key": question.key, "label": question.label,
                 "unit": question.unit, "asks": question.asks, "shape": shape,
                 **found._asdict(), "seeds": int(values.notna().sum()), "answer": answer,
                 "word": word(said, answer),
                 "more": more.value, "more_low": more.low, "more_high": more.high}
            )  # fmt: skip
    return pd.DataFrame(rows)


def counts(found: pd.DataFrame) -> pd.DataFrame:
    """How often each word occurs: one row per shape except the main one, one column per word."""
    others = found[found["shape"] != "main"]
    table = pd.crosstab(others["shape"], others["word"])
    return table.reindex(index=list(OTHERS), columns=["same", "not the same", "undecided"],
                         fill_value=0)  # fmt: skip


# Training field.


def at_margin(column: str, goal: int, **setting: object) -> Callable[[pd.DataFrame], pd.Series]:
    """Mean `column` ("u") of each run of a setting where its mean margin first reaches `goal`."""
    return lambda runs: select(runs, **setting)[f"{column}_at_margin_{goal}"]  # type: ignore[arg-type]


def preferred_share(goal: int, **setting: object) -> Callable[[pd.DataFrame], pd.Series]:
    """u / (u - v) where the mean margin is `goal`; below 1/2 if the dispreferred moves more."""
    return lambda runs: at_margin("u", goal, **setting)(runs) / goal


def by_seed(values: list[float], runs: pd.DataFrame) -> pd.Series:
    """Values in the order of the runs, indexed by the runs' seeds."""
    return pd.Series(values, index=runs["seed"].to_numpy(), dtype=float)


def with_paths(runs: pd.DataFrame) -> pd.DataFrame:
    """The AdamW runs that kept their paths."""
    return select(runs, keep_paths=True)


def explained(runs: pd.DataFrame) -> pd.Series:
    """Share of the squared changes of u and v that the law of motion explains, over whole runs.

    The law uses the steps that the optimizer took, and has no fitted parameter.
    """
    kept = with_paths(runs)
    q = training_field.rates(kept)
    left = (q["du"] - q["law_u"]) ** 2 + (q["dv"] - q["law_v"]) ** 2
    squares = pd.DataFrame({"left": left, "all": q["du"] ** 2 + q["dv"] ** 2})
    sums = squares.groupby(q["seed"]).sum()
    return 1 - sums["left"] / sums["all"]


def near(account: str) -> Callable[[pd.DataFrame], pd.Series]:
    """Share of pairs and intervals whose ratio of rates is predicted within a factor of 2."""

    def values(runs: pd.DataFrame) -> pd.Series:
        kept = with_paths(runs)
        q = training_field.rates(kept)
        if account == "ratios":
            quotient = q["quotient_ratios"] / q["corollary_1"]
        else:
            quotient = q["quotient_logs"] / q["quotient_law"]
        return quotient.between(0.5, 2).groupby(q["seed"]).mean()

    return values


def miss(letter: str) -> Callable[[pd.DataFrame], pd.Series]:
    """Measured minus first-order mean change of log x1 ("u") or log x2 ("v") over whole runs."""

    def values(runs: pd.DataFrame) -> pd.Series:
        kept = with_paths(runs)
        gaps = [
            float((getattr(t, letter)[-1] - getattr(t, f"first_order_{letter}")[-1]).mean())
            for t in training_field.traces(kept)
        ]
        return by_seed(gaps, kept)

    return values


def part(name: str, goal: float = 5.0) -> Callable[[pd.DataFrame], pd.Series]:
    """A part (of `training_field.PARTS`) of the preferred's mean change at a margin."""
    return lambda runs: training_field.parts(with_paths(runs), goal).set_index("seed")[f"{name}_u"]


# SFT quality.


def over_levels(column: str, source: str) -> Callable[[pd.DataFrame], pd.Series]:
    """Difference of a column between the highest and the lowest SFT level, paired by seed."""

    def values(runs: pd.DataFrame) -> pd.Series:
        low, high = (select(runs, sft_steps=n, source=source)[column] for n in LEVELS)
        return high - low

    return values


def slower(source: str) -> Callable[[pd.DataFrame], pd.Series]:
    """Steps to a margin of 2, ratio of the highest to the lowest SFT level, paired by seed."""

    def values(runs: pd.DataFrame) -> pd.Series:
        low, high = (select(runs, sft_steps=n, source=source)["steps_to_margin_2"] for n in LEVELS)
        return high / low

    return values


# Edit distance.


def between_distances(high: int | None, low: int | None) -> Callable[[pd.DataFrame], pd.Series]:
    """Mean u at a margin of 2, difference between two edit distances, paired by seed."""

    def values(runs: pd.DataFrame) -> pd.Series:
        one, other = (select(runs, edit_distance=d)["u_at_margin_2"] for d in (high, low))
        return one - other

    return values


def pace_of_edits(runs: pd.DataFrame) -> pd.Series:
    """Steps to a margin of 2, ratio of one edit to independent responses, paired by seed."""
    one, other = (select(runs, edit_distance=d)["steps_to_margin_2"] for d in (1, None))
    return one / other


PREDICTORS = {
    "kernel_ratio": "$K_{wl}/K_{ww}$",
    "gradient_cosine": "cosine",
    "levenshtein": "edit distance",
}
"""Predictor of the change u of a pair's preferred response -> its label."""


def edit_pairs(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per pair of the three edit distances: seed, `asked`, predictors, u_at_margin_2.

    `kernel_ratio`: K_wl / K_ww before DPO. `asked`: edit distance in the configuration, as text.
    """
    names = ["kernel_wl", "kernel_ww", "gradient_cosine", "levenshtein", "u_at_margin_2"]
    frames = []
    for asked in DISTANCES:
        chosen = select(runs, edit_distance=asked)
        columns = {c: np.concatenate([np.asarray(x) for x in chosen[f"pair_{c}"]]) for c in names}
        seeds = np.repeat(chosen["seed"].to_numpy(), [len(x) for x in chosen["pair_kernel_ww"]])
        frames.append(pd.DataFrame(columns).assign(seed=seeds, asked=str(asked)))
    made = pd.concat(frames, ignore_index=True).astype({c: float for c in names})
    return made.assign(kernel_ratio=made["kernel_wl"] / made["kernel_ww"])


def predicts(x: str) -> Callable[[pd.DataFrame], pd.Series]:
    """Spearman's correlation of `x` and u at a mean margin of 2, over all pairs of a seed."""
    return lambda runs: _rho(edit_pairs(runs), x)


def predicts_within(x: str, asked: int | None) -> Callable[[pd.DataFrame], pd.Series]:
    """The same correlation over the pairs of one run, with one edit distance."""

    def values(runs: pd.DataFrame) -> pd.Series:
        pairs = edit_pairs(runs)
        return _rho(pairs[pairs["asked"] == str(asked)], x)

    return values


def predicts_better(x: str, other: str) -> Callable[[pd.DataFrame], pd.Series]:
    """|rho| of `x` minus |rho| of `other`, over all pairs of a seed."""

    def values(runs: pd.DataFrame) -> pd.Series:
        pairs = edit_pairs(runs)
        return stats.oriented(_rho(pairs, x)) - stats.oriented(_rho(pairs, other))

    return values


def _rho(pairs: pd.DataFrame, x: str) -> pd.Series:
    return stats.within(pairs, [], stats.rho, x, "u_at_margin_2")


_ADAMW: dict[str, object] = {"keep_paths": True}
_SGD: dict[str, object] = {"optimizer": "sgd", "keep_paths": None}

QUESTIONS = (
    *(
        question
        for how, setting in (("AdamW", _ADAMW), ("SGD", _SGD))
        for question in (
            Question(TRAINING, f"{how.lower()}_share_at_2",
                     f"{how}: preferred's share of a margin of 2", "share",
                     preferred_share(2, **setting), "below", 0.5),
            Question(TRAINING, f"{how.lower()}_u_at_2",
                     f"{how}: preferred, at a margin of 2", "nats",
                     at_margin("u", 2, **setting), "above", 0.0),
            Question(TRAINING, f"{how.lower()}_u_at_5",
                     f"{how}: preferred, at a margin of 5", "nats",
                     at_margin("u", 5, **setting), "below", 0.0),
        )
    ),
    Question(TRAINING, "law_explains", "law of motion: share of squared changes explained",
             "share", explained, "above", 0.9),
    Question(TRAINING, "law_misses", "preferred, measured minus law, whole run", "nats",
             miss("u"), "below", 0.0),
    Question(TRAINING, "corollary_1_near", "Corollary 1 within a factor of 2", "share",
             near("ratios"), "below", 0.1),
    Question(TRAINING, "law_near", "law of motion within a factor of 2", "share",
             near("law"), "above", 0.85),
    Question(TRAINING, "own_part_at_5", "preferred at 5 by own terms, at the start", "nats",
             part("own"), "above", 0.0),
    Question(TRAINING, "drift_part_at_5", "preferred at 5 by change of the kernel", "nats",
             part("drift"), "below", 0.0),
    *(
        question
        for policy, source in (("off", "grammar"), ("on", "model"))
        for question in (
            Question(SFT, f"{policy}_policy_pace", f"{policy}-policy: steps to 2 nats, 600 over 50",
                     "times", slower(source), "above", 1.0, geometric=True),
            Question(SFT, f"{policy}_policy_end",
                     f"{policy}-policy: preferred after 80 steps, 600 minus 50", "nats",
                     over_levels("u", source), "above", 0.0),
            Question(SFT, f"{policy}_policy_path",
                     f"{policy}-policy: preferred at 2 nats, 600 minus 50", "nats",
                     over_levels("u_at_margin_2", source), "within", BAND),
        )
    ),
    Question(EDITS, "edit_pace", "steps to 2 nats, one edit over any", "times",
             pace_of_edits, "above", 1.0, geometric=True),
    Question(EDITS, "one_edit", "preferred at 2 nats, one edit", "nats",
             at_margin("u", 2, edit_distance=1), "below", 0.0),
    Question(EDITS, "any_minus_one", "preferred at 2 nats, any minus one edit", "nats",
             between_distances(None, 1), "above", 0.0),
    Question(EDITS, "three_minus_one", "preferred at 2 nats, three edits minus one", "nats",
             between_distances(3, 1), "above", 0.0),
    Question(EDITS, "any_minus_three", "preferred at 2 nats, any minus three edits", "nats",
             between_distances(None, 3), "above", 0.0),
    *(
        Question(EDITS, f"rho_{x}", f"rank correlation with the preferred: {label}", "rho",
                 predicts(x), "above" if x == "levenshtein" else "below", 0.0)
        for x, label in PREDICTORS.items()
    ),
    *(
        Question(EDITS, f"rho_one_edit_{x}", f"the same within one edit: {PREDICTORS[x]}", "rho",
                 predicts_within(x, 1), "below", 0.0)
        for x in ("kernel_ratio", "gradient_cosine")
    ),
    *(
        Question(EDITS, f"gain_{x}", f"{PREDICTORS[x]} over edit distance, gain in $|\\rho|$",
                 "rho", predicts_better(x, "levenshtein"), "above", 0.0)
        for x in ("kernel_ratio", "gradient_cosine")
    ),
)  # fmt: skip
"""Every verdict, in the order of the chapters; the bounds are from the claims on the main model."""

GAINS = ("gain_kernel_ratio", "gain_gradient_cosine")
"""The verdicts that compare two predictors."""
