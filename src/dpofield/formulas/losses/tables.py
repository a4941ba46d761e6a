"""The tables of the zoo, as Markdown: what each loss is, what it does, what TRL calls it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dpofield.formulas.losses import LOSSES, Loss
from dpofield.formulas.losses.classify import pushes, tilt
from dpofield.formulas.losses.conventions import ELSEWHERE, TRL
from dpofield.formulas.printers import latex


def _table(head: str, rows: Iterable[tuple[str, ...]]) -> str:
    names = head.split(" | ")
    lines = [names, ["---"] * len(names), *([cell.replace("|", "\\|") for cell in r] for r in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def classes(losses: Iterable[Loss]) -> str:
    """What each loss does to the field; the ratio of components where the losses differ in it.

    >>> print(classes([LOSSES["dpo"]]).splitlines()[-1])
    | DPO | always up | always down |
    """
    losses = list(losses)
    rows: list[tuple[str, ...]] = [tuple(p.text for p in pushes(loss)) for loss in losses]
    head = "preferred | dispreferred"
    if len({tilt(loss) for loss in losses}) > 1:
        head = f"ratio | {head}"
        rows = [(_ratio(loss), *row) for loss, row in zip(losses, rows, strict=True)]
    titled = [(loss.title, *row) for loss, row in zip(losses, rows, strict=True)]
    return _table(f"loss | {head}", titled)


def _ratio(loss: Loss) -> str:
    constant = tilt(loss)
    return "varies" if constant is None else f"${latex(constant)}$"


def definitions(losses: Iterable[Loss]) -> str:
    """What each loss is, with its defaults and where it is from.

    >>> definitions([LOSSES["ipo"]]).splitlines()[-1].split(" | ")[3]
    'beta = 0.1'
    """
    rows = []
    for loss in losses:
        defaults = ", ".join(f"{name} = {value:g}" for name, value in loss.defaults.items())
        rows.append((loss.title, f"`{loss.name}`", f"${loss.latex}$", defaults, loss.source))
    return _table("loss | name | $L$ | defaults | source", rows)


def in_trl() -> str:
    """What TRL's settings are here.

    >>> print(in_trl().splitlines()[2])
    | DPO: `sigmoid` | DPO | sums | `label_smoothing` is ignored: no cDPO |
    """
    rows = []
    for row in TRL:
        title = LOSSES[row.loss].title + (", no reference" if row.free else "")
        chosen = [_setting(name, value) for name, value in row.setting.items()]
        asked = f"{row.trainer}: {', '.join(chosen)}".removesuffix(": ")
        rows.append((asked, title, row.reads, row.note))
    return _table("trainer and setting | here | reads | mind", rows)


def elsewhere() -> str:
    """What other projects and papers mean by a name, with a link to where that was read.

    >>> print(elsewhere().splitlines()[2].split(" | ")[2:])
    ['IPO', 'sums |']
    """
    rows = [
        (row.name, f"[{row.where}](https://{row.source})", LOSSES[row.loss].title, row.note)
        for row in ELSEWHERE
    ]
    return _table("name | where | here | mind", rows)


def _setting(name: str, value: Any) -> str:
    # the types need no name: no two settings of a trainer share a value
    if name.endswith("_type"):
        return " + ".join(f"`{x}`" for x in ([value] if isinstance(value, str) else value))
    return f"`{name}={value}`"
