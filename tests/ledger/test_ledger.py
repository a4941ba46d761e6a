"""The ledger is complete and true: every check exists, runs and passes; every theorem is listed."""

from __future__ import annotations

import dataclasses
import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from dpofield.formulas import THEOREMS
from dpofield.ledger import Claim, checks, load, run, table
from dpofield.ledger.claims import reading_order

BOOK = Path(__file__).parents[2] / "book"
BLOCK = re.compile(r"\{prf:(?:theorem|proposition|lemma|corollary)\}[^\n]*\n:label: (\S+)")
CLAIMS = {claim.id: claim for claim in load()}


def blocks() -> dict[str, str]:
    """Label -> page of every theorem-like block in the book."""
    return {
        label: page.stem
        for page in sorted(BOOK.glob("*.md"))
        for label in BLOCK.findall(page.read_text(encoding="utf-8"))
    }


@pytest.mark.parametrize("name", CLAIMS)
def test_check_passes(name):
    """Each claim's check runs and finds its claim true."""
    (entry,) = run([CLAIMS[name]])
    assert entry.evidence


def test_every_theorem_block_is_a_claim_on_that_page():
    """Every theorem of the book has an entry, and every theorem entry is in the book."""
    theorems = {c.id: c.page for c in CLAIMS.values() if c.kind == "theorem"}
    assert blocks() == theorems


def test_every_theorem_block_has_a_label():
    """The test above would miss a theorem without a label."""
    for page in BOOK.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        opened = re.findall(r"^[`:]{3,}\{prf:(?:theorem|proposition|lemma|corollary)\}", text, re.M)
        assert len(opened) == len(BLOCK.findall(text)), page.name


def test_every_derivation_is_claimed_and_every_check_used():
    """Every derivation of the library is a claim, and every check is used."""
    used = {claim.check for claim in CLAIMS.values()} - {checks.DERIVATION}
    there = {
        f"{chapter}.{name}"
        for chapter in checks.chapters()
        for name in checks.checks_of(import_module(f"dpofield.ledger.checks.{chapter}"))
    }
    assert used == there
    assert {claim.id for claim in CLAIMS.values() if claim.check == checks.DERIVATION} == set(
        THEOREMS
    )


def test_theorems_carry_the_source_of_their_derivation():
    """A theorem and its claim name the same source."""
    for name, theorem in THEOREMS.items():
        number = re.search(r"(Theorem|Corollary) \d", theorem.source)
        if number:
            assert number.group() in CLAIMS[name].source


def test_claims_come_in_reading_order():
    """The ledger lists the pages in the order in which the book has them."""
    pages = [claim.page for claim in CLAIMS.values()]
    assert list(dict.fromkeys(pages)) == [p for p in reading_order() if p in set(pages)]


def test_a_page_outside_the_book_is_refused(tmp_path):
    """Without this error, the claims in a misspelt file would be left out silently."""
    (tmp_path / "corolary-1.yml").write_text("[]")
    with pytest.raises(ValueError, match=r"no page of _toc.yml is called corolary-1"):
        load(tmp_path)


def test_pages_exist():
    """Each claim links to an existing page."""
    for claim in CLAIMS.values():
        assert (BOOK / f"{claim.page}.md").is_file(), claim.id


def test_a_false_claim_is_named(monkeypatch):
    """Protects `run`: a failing check is not swallowed, and the message names the claim."""

    def fails() -> str:
        raise AssertionError("the moon is not cheese")

    monkeypatch.setattr(checks, "find", lambda *_: fails)
    with pytest.raises(AssertionError, match=r"'circles' does not hold: the moon"):
        list(run([CLAIMS["circles"]]))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"status": "certain"}, "status 'certain'"),
        ({"check": "hope"}, "check 'hope': no chapter 'hope'"),
        (
            {"check": "corollary_1.hope"},
            "check 'corollary_1.hope': corollary_1 has no check 'hope'",
        ),
        ({"id": "squares"}, "check 'derivation': no derivation is called 'squares'"),
        ({"kind": "rumour"}, "kind 'rumour'"),
        ({"extra": 1}, "fields must be"),
    ],
)
def test_bad_entries_are_refused_by_place(tmp_path, change, says):
    """The error for a wrong entry names the file, the entry and the field."""
    good = dataclasses.asdict(CLAIMS["circles"])
    page = good.pop("page")
    entry = good | change
    path = tmp_path / f"{page}.yml"
    path.write_text(yaml.safe_dump([entry]))
    with pytest.raises(ValueError, match=rf"entry 1 \(\w+\): {says}"):
        load(tmp_path)
    path.write_text(yaml.safe_dump([good, good]))
    with pytest.raises(ValueError, match="used twice"):
        load(tmp_path)


def test_table_escapes_bars():
    """|dL/dx1| must not split a table cell."""
    claim = dataclasses.replace(CLAIMS["corollary-1"], statement="|a| and |b|")
    assert isinstance(claim, Claim)
    from dpofield.ledger import Entry

    row = table([Entry(claim, "|c|")], kind="theorem").splitlines()[-1]
    assert len(re.findall(r"(?<!\\)\|", row)) == 5
