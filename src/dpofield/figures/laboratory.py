"""Figures of the laboratory: SFT losses, a run, the prefix tree of a pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from dpofield.figures.notes import note
from dpofield.figures.style import LINES, colour, with_looks


def draw_sft(ax: Axes, curves: Mapping[str, ArrayLike], floor: float, *, smooth: int = 40) -> None:
    """SFT loss (nats per response) against step, one running mean per level, and the entropy."""
    for (name, losses), role in with_looks(curves.items(), LINES):
        kernel = np.ones(smooth) / smooth
        mean = np.convolve(np.asarray(losses, dtype=float), kernel, mode="valid")
        ax.plot(np.arange(len(mean)) + smooth, mean, color=colour(role), label=f"{name} SFT")
    ax.axhline(floor, color=colour("muted"), linestyle="--", linewidth=1.4)
    note(
        ax, "entropy of the grammar", (1, floor), (-4, -5), xycoords=("axes fraction", "data"),
        ha="right", va="top",
    )  # fmt: skip
    ax.set_xlabel("SFT step")
    ax.set_ylabel("loss (nats a response)")
    ax.set_ylim(floor - 1, floor + 6)  # the first losses are far above this range
    ax.legend()


def draw_changes(ax: Axes, step: ArrayLike, u: ArrayLike, v: ArrayLike) -> None:
    """Change of both log-probs since the start (T, N), in nats; thin: pairs, thick: their mean."""
    for values, role in ((u, "preferred"), (v, "dispreferred")):
        change = np.asarray(values, dtype=float)
        ax.plot(step, change, color=colour(role), linewidth=0.7, alpha=0.35)
        ax.plot(step, change.mean(axis=1), color=colour(role), linewidth=2.8, label=role)
    ax.axhline(0, color=colour("muted"), linewidth=1)
    ax.set_xlabel("training step")
    ax.set_ylabel("change of log-probability (nats)")
    ax.legend()


def draw_tree(
    ax: Axes, prompt: Sequence[str], preferred: Sequence[str], dispreferred: Sequence[str]
) -> None:
    """The words of a prompt and two responses as a tree, from left to right.

    The prompt and the common prefix are on one line; then each response has a branch. The last word
    of a branch is in brackets: the model predicts it but does not read it.
    """
    alike = takewhile(lambda ab: ab[0] == ab[1], zip(preferred, dispreferred, strict=False))
    common = len(list(alike))
    stem = [(word, "muted") for word in prompt]
    stem += [(word, "text") for word in preferred[:common]]
    _words(ax, stem, 0, 0.0)
    for words, role, height in (
        (preferred[common:], "preferred", 1.0),
        (dispreferred[common:], "dispreferred", -1.0),
    ):
        branch = [(word, role) for word in words[:-1]] + [(f"({words[-1]})", role)]
        _words(ax, branch, len(stem), height)
        ends = [len(stem) - 0.5, len(stem) - 0.5 + 0.12]
        ax.plot(ends, [0.3 * height, 0.72 * height], color=colour(role), linewidth=1.6)
    longest = len(stem) + max(len(preferred), len(dispreferred)) - common
    ax.set(xlim=(-0.6, longest - 0.4), ylim=(-1.6, 1.6))
    ax.axis("off")


def _words(ax: Axes, words: Sequence[tuple[str, str]], start: int, height: float) -> None:
    for place, (word, role) in enumerate(words, start):
        ax.text(place, height, word, color=colour(role), ha="center", va="center", fontsize=10)
