"""The parts of MyST Markdown that the chapters use: directives, displayed formulas, macros."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

FENCE = re.compile(r"(`{3,})(?:\{([\w:-]+)\})? *(.*)")
OPTION = re.compile(r":([\w-]+): *(.*)")
DISPLAY = re.compile(r"^\$\$(.+?)\$\$(?: *\(([\w-]+)\))?", re.M | re.S)
ROLE = re.compile(r"\{([\w:-]+)\}`([^`]+)`")


@dataclass
class Directive:
    """A fenced block; without a name it is code, and `argument` is its language."""

    name: str
    argument: str
    options: dict[str, str] = field(default_factory=dict)
    body: str = ""


def parts(text: str) -> Iterator[str | Directive]:
    """The directives of a text, and the texts between them, in order.

    >>> [p if isinstance(p, str) else p.name for p in parts("a\\n```{math}\\nx\\n```\\nb")]
    ['a', 'math', 'b']
    """
    lines, plain = text.split("\n"), list[str]()
    while lines:
        line = lines.pop(0)
        found = FENCE.fullmatch(line)
        if not found:
            plain.append(line)
            continue
        if plain:
            yield "\n".join(plain)
            plain = []
        end = next((i for i, x in enumerate(lines) if x.rstrip() == found[1]), None)
        if end is None:
            raise ValueError(f"the block has no end: {line}")
        inside, lines = lines[:end], lines[end + 1 :]
        options = dict[str, str]()
        while found[2] and inside and (option := OPTION.fullmatch(inside[0])):
            options[option[1]] = option[2]
            inside.pop(0)
        yield Directive(found[2] or "", found[3].strip(), options, "\n".join(inside))
    if plain:
        yield "\n".join(plain)


def expand(text: str, macros: Mapping[str, str]) -> str:
    r"""Replace TeX macros, with at most one argument each, by their definitions.

    >>> expand(r"$K_\yw \yws$", {r"\yw": "y_w"})
    '$K_{y_w} \\yws$'
    >>> expand(r"\half{a_{1}}", {r"\half": r"\frac{#1}{2}"})
    '\\frac{a_{1}}{2}'
    """
    for name, body in macros.items():
        pattern = re.escape(name) + r"(?![A-Za-z])"
        if "#1" in body:
            pattern += r"\{((?:[^{}]|\{[^{}]*\})*)\}"
        pieces = re.split(pattern, text)
        if "#1" in body:  # then every second piece is an argument
            pieces[1::2] = [body.replace("#1", argument) for argument in pieces[1::2]]
            text = "".join(pieces)
        else:
            text = (f"{{{body}}}" if "_" in body else body).join(pieces)
    return text
