"""Formatting of numbers for the chapters: rounding, intervals, tables, glued text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

How = int | Callable[[float], str]  # number of digits, or a function that formats the number


class Estimate(Protocol):
    """A value with its interval, such as `experiments.stats.Interval`."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


def number(x: float, digits: int = 2) -> str:
    """A number with `digits` decimal places and a typographic minus sign.

    >>> number(-1.234), number(-0.001), number(12.0, 0)
    ('−1.23', '0.00', '12')
    """
    return f"{round(float(x), digits) + 0.0:.{digits}f}".replace("-", "−")


def percent(x: float) -> str:
    """A share in percent, without decimal places.

    >>> percent(0.254), percent(-0.001)
    ('25%', '0%')
    """
    return f"{round(float(x), 2) + 0.0:.0%}".replace("-", "−")


def _words(x: float, how: How) -> str:
    return number(x, how) if isinstance(how, int) else how(x)


def say(estimate: Estimate, how: How = 2) -> str:
    """A value, followed by its interval.

    >>> from dpofield.experiments.stats import Interval
    >>> say(Interval(-0.5, -1.0, 0.25)), say(Interval(0.5, 0.4, 0.6), percent)
    ('−0.50 [−1.00, 0.25]', '50% [40%, 60%]')
    """
    value, low, high = (_words(x, how) for x in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def span(estimates: Iterable[Estimate], how: How = 2) -> str:
    """The smallest and the largest of several values.

    >>> from dpofield.experiments.stats import Interval
    >>> span([Interval(0.5, 0.4, 0.6), Interval(0.2, 0.1, 0.3)], percent)
    '20% to 50%'
    """
    values = [estimate.value for estimate in estimates]
    return f"{_words(min(values), how)} to {_words(max(values), how)}"


def put(**named: Any) -> None:
    """Glue each value under its name, with hyphens for underscores."""
    from myst_nb import glue

    for name, text in named.items():
        glue(name.replace("_", "-"), text, display=False)


def markdown(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """The text of a Markdown table; pipes and line breaks in cells are escaped.

    >>> print(markdown(["size", "note"], [["|x|", "two\\nlines"]]))
    | size | note |
    | --- | --- |
    | \\|x\\| | two lines |
    """

    def line(cells: Iterable[Any]) -> str:
        texts = (str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells)
        return f"| {' | '.join(texts)} |"

    return "\n".join(map(line, [head, ["---"] * len(head), *rows]))


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Any:
    """A table as Markdown output, in which mathematics is rendered.

    >>> print(table(["loss", "reward"], [["$x$", 1]]).data)
    | loss | reward |
    | --- | --- |
    | $x$ | 1 |
    """
    from IPython.display import Markdown

    return Markdown(markdown(head, rows))
