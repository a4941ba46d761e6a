"""Read the claims, run their checks, and make the table for the page.

`pages/SLUG.yml` lists the claims of one page of the book; the pages come in the order of the table
of contents, `_toc.yml`. Each entry has an id, a kind, a status, a statement, its source, and the
check that backs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from dpofield.ledger import checks
from dpofield.places import shipped
from dpofield.words import markdown

PAGES = Path(__file__).with_name("pages")
CONTENTS = shipped("_toc.yml")
KINDS = ("theorem", "computation", "paper", "observation")
STATUSES = ("proved", "verified numerically", "observed", "qualified", "refuted")


@dataclass(frozen=True)
class Claim:
    """One claim: `check` is a name for `checks.find`, `page` a file of the book without `.md`."""

    page: str
    id: str
    kind: str
    status: str
    statement: str
    source: str
    check: str


@dataclass(frozen=True)
class Entry:
    """A claim and the evidence of its check in this run."""

    claim: Claim
    evidence: str


def load(folder: Path = PAGES) -> tuple[Claim, ...]:
    """The claims in reading order. Raises `ValueError` with the file, entry and field of an error.

    >>> load()[0].id
    'bradley-terry'
    """
    order = reading_order()
    pages = {path.stem: path for path in sorted(folder.glob("*.yml"))}
    stray = sorted(set(pages) - set(order)) if order else []
    if stray:
        raise ValueError(f"{folder}: no page of _toc.yml is called {', '.join(stray)}")
    claims = tuple(
        claim for name in order or pages if name in pages for claim in _page(pages[name])
    )
    ids = [claim.id for claim in claims]
    twice = {i for i in ids if ids.count(i) > 1}
    if twice:
        raise ValueError(f"{folder}: ids used twice: {sorted(twice)}")
    return claims


def reading_order(contents: Path = CONTENTS) -> list[str]:
    """The slugs of the book's pages in the order of its table of contents.

    Empty if there is no table of contents.

    >>> reading_order()[:2]
    ['preferences', 'rlhf-to-dpo']
    """
    if not contents.is_file():
        return []
    parts = yaml.safe_load(contents.read_text(encoding="utf-8"))["parts"]
    return [Path(chapter["file"]).name for part in parts for chapter in part["chapters"]]


def _page(path: Path) -> Iterator[Claim]:
    for number, entry in enumerate(yaml.safe_load(path.read_text(encoding="utf-8")), 1):
        yield _claim(f"{path}, entry {number} ({entry.get('id', 'no id')})", path.stem, entry)


def _claim(where: str, page: str, entry: dict[str, Any]) -> Claim:
    names = {f.name for f in fields(Claim)} - {"page"}
    if set(entry) != names:
        raise ValueError(f"{where}: fields must be {sorted(names)}, not {sorted(entry)}")
    for name, allowed in (("kind", KINDS), ("status", STATUSES)):
        if entry[name] not in allowed:
            raise ValueError(f"{where}: {name} {entry[name]!r} is none of {', '.join(allowed)}")
    try:
        checks.find(entry["check"], entry["id"])
    except LookupError as error:
        raise ValueError(f"{where}: check {entry['check']!r}: {error}") from None
    return Claim(page=page, **entry)


def run(claims: Iterable[Claim] | None = None) -> Iterator[Entry]:
    """Run each claim's check and yield its evidence; `AssertionError` names a claim that fails.

    >>> next(run()).evidence
    '... steps, residual 0; facts decided: 1'
    """
    for claim in load() if claims is None else claims:
        try:
            yield Entry(claim, checks.find(claim.check, claim.id)())
        except AssertionError as failure:
            raise AssertionError(f"claim {claim.id!r} does not hold: {failure}") from failure


def table(entries: Iterable[Entry], *, kind: str) -> str:
    """The entries of one kind as a Markdown table that links to the pages."""
    rows = []
    for entry in entries:
        claim = entry.claim
        if claim.kind == kind:
            where = f"[{claim.id}]({claim.page}.md)"
            cells = (f"{where}: {claim.statement}", claim.source, f"**{claim.status}**")
            rows.append((*cells, entry.evidence))
    return markdown(["claim", "source", "status", "evidence in this build"], rows)
