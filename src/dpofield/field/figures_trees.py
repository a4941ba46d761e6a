"""Picture of two rows of tokens as one tree: what they share stands once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from matplotlib.axes import Axes

from dpofield.field.style import colour


def draw_tree(
    ax: Axes, prompt: Sequence[str], preferred: Sequence[str], dispreferred: Sequence[str]
) -> None:
    """The words of a prompt and of two responses, from left to right, each computed once.

    Prompt and common beginning on one line, then a branch for each response. The last word of a
    branch is predicted and never read: it stands in brackets.

    >>> import matplotlib.pyplot as plt
    >>> draw_tree(plt.figure().gca(), ["a", ":"], ["b", "c"], ["b", "d", "c"]); plt.close("all")
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
