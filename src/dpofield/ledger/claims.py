"""Reading `claims.yml`, running the checks it names, and the table for the page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from dpofield.ledger.checks import CHECKS

KINDS = ("theorem", "computation", "paper", "observation")
STATUSES = ("proved", "verified numerically", "observed", "qualified", "refuted")


@dataclass(frozen=True)
class Claim:
    """One claim: `check` is a name in `checks.CHECKS`, `page` a file of the book without `.md`."""

    id: str
    page: str
    kind: str
    status: str
    statement: str
    source: str
    check: str


@dataclass(frozen=True)
class Entry:
    """A claim and what its check found just now."""

    claim: Claim
    evidence: str


def load(path: Path | None = None) -> tuple[Claim, ...]:
    """The claims in order; `ValueError` naming the file, the entry and the field that is wrong.

    >>> load()[0].id
    'bradley-terry'
    """
    source = path or files("dpofield.ledger") / "claims.yml"
    entries = yaml.safe_load(source.read_text(encoding="utf-8"))
    claims = tuple(_claim(str(source), n, entry) for n, entry in enumerate(entries, 1))
    ids = [claim.id for claim in claims]
    twice = {i for i in ids if ids.count(i) > 1}
    if twice:
        raise ValueError(f"{source}: ids used twice: {sorted(twice)}")
    return claims


def _claim(source: str, number: int, entry: dict[str, Any]) -> Claim:
    where = f"{source}, entry {number} ({entry.get('id', 'no id')})"
    names = {f.name for f in fields(Claim)}
    if set(entry) != names:
        raise ValueError(f"{where}: fields must be {sorted(names)}, not {sorted(entry)}")
    for name, allowed in (("kind", KINDS), ("status", STATUSES), ("check", tuple(CHECKS))):
        if entry[name] not in allowed:
            raise ValueError(f"{where}: {name} {entry[name]!r} is none of {', '.join(allowed)}")
    return Claim(**entry)


def run(claims: Iterable[Claim] | None = None) -> Iterator[Entry]:
    """Run each claim's check and yield what it found; `AssertionError` naming a claim that fails.

    >>> next(run()).evidence
    '... steps, residual 0; facts decided: 1'
    """
    for claim in load() if claims is None else claims:
        try:
            yield Entry(claim, CHECKS[claim.check]())
        except AssertionError as failure:
            raise AssertionError(f"claim {claim.id!r} does not hold: {failure}") from failure


def table(entries: Iterable[Entry], *, kind: str) -> str:
    """The entries of one kind as a Markdown table that links to the pages."""
    lines = ["| claim | source | status | evidence in this build |", "|---|---|---|---|"]
    for entry in entries:
        claim = entry.claim
        if claim.kind == kind:
            where = f"[{claim.id}]({claim.page}.md)"
            cells = (f"{where}: {claim.statement}", claim.source, f"**{claim.status}**")
            lines.append("| " + " | ".join(_cell(c) for c in (*cells, entry.evidence)) + " |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
