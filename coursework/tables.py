"""Tables as CSV files that a spreadsheet may change: the only module that writes or reads them.

A spreadsheet executes cells that look like formulas, turns ``007`` into 7 and ``1-2`` into a date,
and saves with its own separator and encoding. Cells at risk are written with an apostrophe before
them, which every spreadsheet takes as the beginning of a text.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from coursework.names import printable

MONTHS = "jan|feb|mar|mär|mrz|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez"
# What a spreadsheet would not keep as it is; it keeps whole numbers of up to 8 digits.
CHANGED = re.compile(
    rf"['=+\-@.,]|0\d|\d{{9}}|\d+\D|\s|({MONTHS})\w*\W?\d+$|(true|false)$|.*\s$", re.I | re.S
)
WHOLE = re.compile(r"(\d+)([.,]0*)?")
SHORTENED = re.compile(r"\d([.,](\d+))?e\+?\d\d?", re.I)
LONG = 10**8  # from here on, a spreadsheet may write fewer digits
MOJIBAKE = ("cp1252", "mac_roman")  # in these, spreadsheets read UTF-8 without a byte order mark


def harmless(cell: Any) -> Any:
    """A cell of one line that no spreadsheet executes, since students choose their file names."""
    if not isinstance(cell, str):
        return cell
    return f"'{printable(cell)}" if cell.startswith(("=", "+", "-", "@")) else printable(cell)


def kept(name: str) -> str:
    """A name that every spreadsheet keeps, for a table that comes back.

    >>> [kept(name) for name in ("anna", "42", "@ben", "007", "1-2", "SEPT2")]
    ['anna', '42', "'@ben", "'007", "'1-2", "'SEPT2"]
    """
    return f"'{name}" if CHANGED.match(name) else name


def text_of(rows: Sequence[Sequence[Any]], separator: str = ",") -> str:
    """Rows as CSV, without formulas."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator="\n")
    writer.writerows([[harmless(cell) for cell in row] for row in rows])
    return text.getvalue()


@dataclass(frozen=True)
class Table:
    """A table that came back; `rows` have the number of their line, and their cells by column."""

    text: str
    encoding: str
    separator: str
    header: list[str]
    rows: list[tuple[int, dict[str, str]]]

    def with_rows(self, rows: Sequence[dict[str, str]]) -> bytes:
        """The file with further rows at its end; whatever was in it stays as it is."""
        old = self.text if self.text.endswith(("\n", "\r")) else f"{self.text}\n"
        new = text_of([[row.get(c, "") for c in self.header] for row in rows], self.separator)
        end = "\r\n" if "\r\n" in old else "\n"
        text = old + new.replace("\n", end)
        try:
            return text.encode(self.encoding)
        except UnicodeEncodeError:  # an old encoding has no letter for the new name
            return text.encode("utf-8-sig")


def read(path: Path, columns: Sequence[str]) -> Table:
    """A CSV file that has these columns, whatever spreadsheet saved it.

    Raises ValueError, with the remedy, if the columns are not there.
    """
    text, encoding = _decoded(path.read_bytes())
    broken = ""
    for separator in ",;\t|":
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        try:
            rows = [(lines.line_num, row) for row in lines if any(cell.strip() for cell in row)]
        except csv.Error as error:
            broken = f" (line {lines.line_num}: {error})"
            continue
        if rows and rows[0][1][0].casefold().startswith("sep="):
            rows = rows[1:]
        header = [name.strip().casefold() for name in rows[0][1]] if rows else []
        if all(header.count(column) == 1 for column in columns):
            found = [
                (n, dict.fromkeys(header, "") | dict(zip(header, r, strict=False)))
                for n, r in rows[1:]
            ]
            return Table(text, encoding, separator, header, found)
    raise ValueError(
        f"{path.name} has no columns {', '.join(columns)}{broken}; save it as CSV with these names "
        "in its first line, separated by commas, semicolons or tabs"
    )


def _decoded(data: bytes) -> tuple[str, str]:
    encodings = ["utf-8", "cp1252", "latin-1"]
    if data.startswith(codecs.BOM_UTF8):
        encodings = ["utf-8-sig", *encodings]
    elif data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16", *encodings]
    elif b"\0" in data[:2]:
        encodings = ["utf-16-be" if data[:1] == b"\0" else "utf-16-le", *encodings]
    for encoding in encodings:
        try:
            return data.decode(encoding).lstrip("\ufeff"), encoding
        except UnicodeDecodeError:
            continue
    raise AssertionError("latin-1 decodes everything")


def _loose(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).casefold().split()).lstrip("'")


def _repaired(name: str) -> str | None:
    for encoding in MOJIBAKE:
        try:
            return _loose(name.encode(encoding).decode("utf-8"))
        except UnicodeError:
            continue
    return None


def _whole(name: str) -> int | None:
    found = WHOLE.fullmatch(name.strip().lstrip("'"))
    return int(found[1]) if found and len(found[1]) < 100 else None


# How a cell may name a student, surest way first: the form of the cell, the form of the name.
Form = Callable[[str], str | int | None]
FORMS: list[tuple[Form, Form]] = [
    (str, kept),
    (str, str),
    (_loose, _loose),
    (_repaired, _loose),
    (_whole, _whole),
]


def matcher(names: Sequence[str]) -> Callable[[str], list[str]]:
    """A function from a cell to the names that it may mean: one, none, or several.

    >>> meant = matcher(["007", "anna", "202000000001"])
    >>> meant("7"), meant("Anna "), meant("2.02E+11"), meant("ben")
    (['007'], ['anna'], ['202000000001'], [])
    """
    indices: list[dict[str | int | None, list[str]]] = []
    for _, of_name in FORMS:
        indices.append({})
        for name in names:
            indices[-1].setdefault(of_name(name), []).append(name)

    def meant(cell: str) -> list[str]:
        for (of_cell, _), index in zip(FORMS, indices, strict=True):
            form = of_cell(cell)
            if form is not None and form in index:
                return index[form]
        return _shortened(cell.strip(), names)

    return meant


def _shortened(cell: str, names: Sequence[str]) -> list[str]:
    found = SHORTENED.fullmatch(cell)
    if found is None:
        return []
    value, digits = Decimal(cell.replace(",", ".")), len(found[2] or "")
    numbers = [(name, _whole(name)) for name in names]
    long = [(name, Decimal(n)) for name, n in numbers if n and n >= LONG]
    return [name for name, n in long if Decimal(f"{n:.{digits}E}") == value]
