"""The tables of the zoo, as Markdown: what each loss is, what it does, what TRL calls it."""

from __future__ import annotations

from collections.abc import Iterable

from dpofield.formulas.losses import LOSSES, Loss
from dpofield.formulas.losses.classify import pushes, tilt
from dpofield.formulas.losses.conventions import TRL, VERSION
from dpofield.formulas.printers import latex


def _table(head: str, rows: Iterable[tuple[str, ...]]) -> str:
    names = head.split(" | ")
    lines = [names, ["---"] * len(names), *([cell.replace("|", "\\|") for cell in r] for r in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def classes(losses: Iterable[Loss]) -> str:
    """What each loss does to the field.

    >>> print(classes([LOSSES["dpo"]]).splitlines()[-1])
    | DPO | $1$ | always up | always down |
    """
    rows = []
    for loss in losses:
        constant = tilt(loss)
        ratio = "varies" if constant is None else f"${latex(constant)}$"
        rows.append((loss.title, ratio, *(push.text for push in pushes(loss))))
    return _table("loss | ratio of components | preferred | dispreferred", rows)


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
    | `DPOConfig(loss_type="sigmoid")` | DPO | sums | `label_smoothing` is ignored: no cDPO |
    """
    rows = []
    for row in TRL:
        chosen = ", ".join(f"{k}={v!r}".replace("'", '"') for k, v in row.setting.items())
        title = LOSSES[row.loss].title + (", no reference" if row.free else "")
        rows.append((f"`{row.trainer}Config({chosen})`", title, row.reads, row.note))
    return _table(f"TRL {VERSION} | here | reads | mind", rows)
