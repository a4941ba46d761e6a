"""Two finished runs side by side: their numbers, and their mean log-ratios against the steps."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, fields
from html import escape

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dpofield.experiments.config import Config
from dpofield.palette import PALETTE

Floats = NDArray[np.float64]
NAMES = ("A", "B")
DASHES = ("-", "--")


@dataclass(frozen=True)
class Finished:
    """A run that has ended: its records `step` (T,), `u` and `v` (T, N) in nats.

    `step[-1]` is less than `config.steps` if the run was stopped.
    """

    name: str
    config: Config
    step: NDArray[np.int64]
    u: Floats
    v: Floats


ROWS = (
    "steps made",
    "mean u (nats)",
    "mean v (nats)",
    "mean margin (nats)",
    "preferred fell",
    "dispreferred moved more",
)


def numbers(run: Finished) -> dict[str, float]:
    """The final numbers of a run by `ROWS`: means over pairs, then shares of pairs.

    >>> u, v = np.array([[0.0, 0.0], [1.0, -1.0]]), np.array([[0.0, 0.0], [-2.0, 0.5]])
    >>> list(numbers(Finished("", Config(), np.array([0, 8]), u, v)).values())
    [8.0, 0.0, -0.75, 0.75, 0.5, 0.5]
    """
    u, v = run.u[-1], run.v[-1]
    found = (
        run.step[-1], u.mean(), v.mean(), (u - v).mean(), (u < 0).mean(),
        (np.abs(v) > np.abs(u)).mean(),
    )  # fmt: skip
    return dict(zip(ROWS, map(float, found), strict=True))


def said(row: str, value: float) -> str:
    """A number of the table as text.

    >>> said("mean u (nats)", -2.0), said("preferred fell", 0.5), said("steps made", 80.0)
    ('−2.000', '50%', '80')
    """
    if row == "steps made":
        return f"{value:.0f}"
    return f"{value:.3f}".replace("-", "−") if "nats" in row else f"{value:.0%}"


def differ(one: Config, other: Config) -> dict[str, tuple[object, object]]:
    """The fields in which two configurations differ.

    >>> differ(Config(), Config(params={"beta": 0.5}))
    {'params': ({'beta': 0.1}, {'beta': 0.5})}
    """
    return {
        f.name: (getattr(one, f.name), getattr(other, f.name))
        for f in fields(Config)
        if getattr(one, f.name) != getattr(other, f.name)
    }


def table(runs: tuple[Finished, Finished]) -> str:
    """The numbers of both runs in HTML, and the differences of their configurations."""
    found = [numbers(run) for run in runs]
    head = "".join(f'<th scope="col">{name}</th>' for name in NAMES)
    body = "".join(
        f'<tr><th scope="row">{row}</th>{"".join(f"<td>{said(row, n[row])}</td>" for n in found)}'
        "</tr>"
        for row in ROWS
    )
    other = differ(runs[0].config, runs[1].config)
    what = ", ".join(f"{name} ({a!r}, {b!r})" for name, (a, b) in other.items())
    words = f"They differ in {what}." if what else "Their configurations are the same."
    return (
        f"<table><caption>Two runs at their last records</caption><thead><tr><td></td>{head}</tr>"
        f"</thead><tbody>{body}</tbody></table><p>{escape(words, quote=False)}</p>"
    )


def picture(runs: tuple[Finished, Finished]) -> str:
    """Mean log-ratios of both runs against the steps, as SVG with CSS variables for colours."""
    # No rcParams and no pyplot: a run may end while the reader's own cell draws.
    light, size = {role: pair[0] for role, pair in PALETTE.items()}, 11
    fig = Figure(figsize=(5.6, 3.4), layout="constrained", facecolor="none")
    ax = fig.subplots()
    ax.set_facecolor("none")
    for name, run, dash in zip(NAMES, runs, DASHES, strict=True):
        for values, letter, role in ((run.u, "u", "preferred"), (run.v, "v", "dispreferred")):
            label = f"{name}: mean ${letter}$"
            ax.plot(run.step, values.mean(axis=1), dash, lw=2, color=light[role], label=label)
    ax.axhline(0, lw=1, color=light["muted"])
    ax.grid(color=light["grid"], lw=0.7)
    ax.tick_params(color=light["muted"], labelcolor=light["muted"], labelsize=size)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(light["muted"])
    ax.set_xlabel("steps made", color=light["text"], fontsize=size)
    ax.set_ylabel("log-ratio (nats)", color=light["text"], fontsize=size)
    ax.legend(frameon=False, labelcolor=light["text"], fontsize=size)
    file = io.StringIO()
    fig.savefig(file, format="svg")
    return _themed(file.getvalue())


def _themed(svg: str) -> str:
    """The SVG element without metadata, with CSS variables for the palette's colours."""
    svg = svg[svg.index("<svg") :]
    for role, (light, _) in PALETTE.items():
        svg = svg.replace(light, f"var(--{role})")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    return svg.replace("<svg ", '<svg aria-hidden="true" ', 1)


def side_by_side(runs: tuple[Finished, Finished]) -> str:
    """Picture and table; the table has the numbers for readers who cannot see the picture."""
    return f'<div class="dpf-compared"><div>{picture(runs)}</div><div>{table(runs)}</div></div>'
