"""Tables come back from a spreadsheet unharmed, and what is not certain is said, never guessed."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from coursework import tables
from coursework.names import file_names, printable
from coursework.reading import COLUMNS, new_rows, read_entries, unread
from tests.coursework import cases

ABOUT = cases.assignment("01-bradley-terry-to-dpo")
QUESTION = ABOUT.readings[0].name
MOST = ABOUT.readings[0].points
STUDENTS = (
    *("anna", "@ben", "-x", "=x", "+x", "'quoted", "007", "42", "1-2", "SEPT2", "1E5", "true"),
    *(
        "12345678901234567",
        "1234567890",
        "Lee, Kim",
        'the "tall" one',
        "Jürgen",
        "Łukasz",
        "a;b",
        " spaces ",
    ),
)


def rows_of(table: str) -> list[list[str]]:
    """The cells of a CSV."""
    return list(csv.reader(io.StringIO(table)))


def table_of(rows: list[list[str]], separator: str = ",", end: str = "\r\n") -> str:
    """Rows as a spreadsheet writes them."""
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator=end).writerows(rows)
    return text.getvalue()


def given() -> list[list[str]]:
    """reading.csv as it is written, with other points for every student."""
    pairs = [(student, QUESTION) for student in STUDENTS]
    rows = rows_of(tables.text_of([COLUMNS, *(row.values() for row in new_rows(pairs))]))
    for number, row in enumerate(rows[1:]):
        row[2] = f"{number % (MOST + 1)}"
    return rows


SAVED: dict[str, Callable[[list[list[str]]], bytes]] = {
    "as it was": lambda rows: table_of(rows, end="\n").encode(),
    "byte order mark": lambda rows: table_of(rows).encode("utf-8-sig"),
    "two byte order marks": lambda rows: b"\xef\xbb\xbf" + table_of(rows).encode("utf-8-sig"),
    "semicolons": lambda rows: table_of(rows, ";").encode(),
    "tabs in UTF-16": lambda rows: table_of(rows, "\t").encode("utf-16"),
    "UTF-16 without a mark": lambda rows: table_of(rows, "\t").encode("utf-16-le"),
    "sep= in the first line": lambda rows: b"sep=;\r\n" + table_of(rows, ";").encode(),
    "line ends of an old Mac": lambda rows: table_of(rows, end="\r").encode(),
    "everything quoted": lambda rows: "\n".join(
        ",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows
    ).encode(),
    "other columns and order": lambda rows: table_of(
        [["", "Points ", " QUESTION", "remark", "Student", ""]]
        + [["", row[2], row[1], "good; 1,5?", row[0], ""] for row in rows[1:]]
    ).encode(),
    "empty rows and columns": lambda rows: table_of(
        [[], *([*row, "", ""] for row in rows), ["", "", ""], [], [""] * 5]
    ).encode(),
    "sorted": lambda rows: table_of([rows[0], *sorted(rows[1:])]).encode(),
    "decimal points": lambda rows: table_of(
        [rows[0], *([*row[:2], f"{row[2]}.0"] for row in rows[1:])]
    ).encode(),
    "decimal commas": lambda rows: table_of(
        [rows[0], *([*row[:2], f"{row[2]},0"] for row in rows[1:])], ";"
    ).encode(),
    # Google's spreadsheet takes the apostrophe for its own mark of a text.
    "apostrophes gone": lambda rows: table_of(
        [rows[0], *([row[0].removeprefix("'"), *row[1:]] for row in rows[1:])]
    ).encode(),
    "read as another encoding": lambda rows: (
        table_of(rows).encode().decode("cp1252", "replace").encode("utf-8-sig")
    ),
}


@pytest.mark.parametrize("kind", SAVED)
def test_a_spreadsheet_changes_nothing(kind: str, tmp_path: Path) -> None:
    """Protects: points typed into reading.csv arrive at their students, however it was saved."""
    students = STUDENTS
    if kind == "read as another encoding":  # which has no sign for a byte of this letter
        students = tuple(name for name in STUDENTS if name != "Łukasz")
    rows = [row for row in given() if row[0] in {"student", *map(tables.kept, students)}]
    (tmp_path / "reading.csv").write_bytes(SAVED[kind](rows))
    wanted = {
        (tables_name, QUESTION): float(row[2])
        for tables_name, row in zip(students, rows[1:], strict=True)
    }
    assert read_entries(tmp_path, ABOUT, students).points == wanted


def test_an_old_encoding_is_read(tmp_path: Path) -> None:
    """Protects: Excel's plain CSV, which is not in UTF-8."""
    text = f"student;question;points\nJürgen;{QUESTION};2,5\n"
    (tmp_path / "reading.csv").write_bytes(text.encode("cp1252"))
    assert read_entries(tmp_path, ABOUT, STUDENTS).points == {("Jürgen", QUESTION): 2.5}


NAMES = {
    ("007", "anna"): [("7", "007"), ("7.0", "007"), ("7,0", "007"), ("ANNA", "anna")],
    ("Zoë", "anna"): [("Zoe\u0308", "Zoë"), ("zoë ", "Zoë"), ("ZoÃ«", "Zoë")],
    ("20260000000123", "41"): [("2.026E+13", "20260000000123"), ("2,026e+13", "20260000000123")],
    ("@ben", "ben"): [("'@ben", "@ben"), ("@ben", "@ben"), ("ben", "ben"), ("'ben", "ben")],
    # Not certain, or nobody:
    ("007", "07"): [("7", None), ("8", None)],
    ("Anna", "anna"): [("ANNA", None), ("anna", "anna")],
    ("20260000000123", "20260000000456"): [("2.026E+13", None)],
    ("1234567890", "anna"): [("1.23E+09", "1234567890"), ("1234567890,0", "1234567890")],
    ("104", "anna"): [("1E+02", None), ("104.00", "104")],
    ("1-2", "2-1"): [("01.Feb", None), ("", None), ("1", None)],
}


@pytest.mark.parametrize("names", NAMES, ids=str)
def test_a_changed_name_is_matched_or_not_certain(names: tuple[str, ...]) -> None:
    """Protects: a changed name finds its student if only one can be meant, and nobody else."""
    for cell, expected in NAMES[names]:
        found = tables.matcher(names)(cell)
        assert (found[0] if len(found) == 1 else None) == expected, cell


MISTAKES = {
    "points for nobody": ("zoe,{q},1", "no student is called 'zoe'"),
    "a name as a date": ("01.Feb,{q},1", "a spreadsheet may have changed it"),
    "not certain whose": ("aNNa,{q},", "may be Anna or anna"),
    "no question": ("ben,words-9,1", "no question 'words-9' of ben"),
    "twice": ("ben,{q},1\nBEN,{q},2", "a second row for ben"),
    "above the most": ("ben,{q},99", "'99' for ben"),
    "negative": ("ben,{q},-1", "'-1' for ben"),
    "no number": ("ben,{q},good", "'good' for ben"),
    "a date": ("ben,{q},02. Mai", "'02. Mai' for ben"),
    "not a number": ("ben,{q},nan", "'nan' for ben"),
    "thousands": ("ben,{q},1_0", "'1_0' for ben"),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_mistake_has_its_line_and_remedy(kind: str, tmp_path: Path) -> None:
    """Protects: nothing in reading.csv is dropped in silence; all mistakes are named together."""
    row, words = MISTAKES[kind]
    text = "student,question,points\nAnna,{q},1\n" + row + "\nalso nobody,{q},1\n"
    (tmp_path / "reading.csv").write_text(text.replace("{q}", QUESTION))
    with pytest.raises(ValueError, match="line 3") as caught:
        read_entries(tmp_path, ABOUT, ["Anna", "anna", "ben"])
    if kind != "twice":
        assert words in str(caught.value).splitlines()[0]
    assert words in str(caught.value)
    assert "also nobody" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "name,question,points\n", 'student,question,points\n"anna,x\n', "\0\0\0\0"]
)
def test_a_file_that_is_no_such_table_is_refused(text: str, tmp_path: Path) -> None:
    """Protects: a file without the columns gives a sentence with the remedy."""
    (tmp_path / "reading.csv").write_text(text)
    with pytest.raises(ValueError, match=r"reading.csv has no columns student, .* save it as CSV"):
        read_entries(tmp_path, ABOUT, STUDENTS)


def test_rows_without_points_are_said(tmp_path: Path) -> None:
    """Protects: an answer without points, and an empty row of nobody, are named."""
    (tmp_path / "reading.csv").write_text(f"student,question,points\nanna,{QUESTION},\nx,y,\n")
    entries = read_entries(tmp_path, ABOUT, ["anna", "ben"])
    assert "line 3: no student is called 'x'" in entries.unknown[0]
    told = unread(entries, [("anna", QUESTION), ("ben", QUESTION)])
    assert (
        told
        == f"2 of 2 answers have no points yet: anna {QUESTION} (line 2), ben {QUESTION} (line ?)"
    )


@pytest.mark.parametrize("kind", [kind for kind in SAVED if "encoding" not in kind])
def test_rows_for_late_students_leave_the_rest_as_it_is(kind: str, tmp_path: Path) -> None:
    """Protects: what the instructor has typed, remarks too, when students are added."""
    path = tmp_path / "reading.csv"
    path.write_bytes(SAVED[kind](given()))
    before = tables.read(path, COLUMNS)
    path.write_bytes(before.with_rows(new_rows([("Ōe; Kenzaburō", QUESTION)])))
    after = tables.read(path, COLUMNS)
    assert after.text.startswith(before.text)
    assert after.rows[:-1] == before.rows
    late = read_entries(tmp_path, ABOUT, [*STUDENTS, "Ōe; Kenzaburō"])
    assert ("Ōe; Kenzaburō", QUESTION) in late.lines


def test_late_students_in_an_old_encoding(tmp_path: Path) -> None:
    """Protects: a name that the file's encoding does not have."""
    path = tmp_path / "reading.csv"
    path.write_bytes(f"student;question;points\nJürgen;{QUESTION};1".encode("cp1252"))
    path.write_bytes(tables.read(path, COLUMNS).with_rows(new_rows([("Łukasz", QUESTION)])))
    entries = read_entries(tmp_path, ABOUT, ["Jürgen", "Łukasz"])
    assert (list(entries.lines.values()), entries.points) == ([2, 3], {("Jürgen", QUESTION): 1.0})


def test_no_cell_is_a_formula() -> None:
    """Protects: a spreadsheet executes no cell of a table, since students choose their names."""
    names = ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1"]
    rows = rows_of(tables.text_of([[name] for name in names]))
    assert [row[0][0] for row in rows] == ["'"] * 4 + ["\\"] * 2
    assert rows_of(tables.text_of([[7, -1.5, "a"]])) == [["7", "-1.5", "a"]]


HARD = ["J\udcfcrgen", "a\nb", "\x1b[2Jx", "CON", "con", "a" * 250, "a" * 249 + "ä", "x:y/z", "d. "]
HARD += ["\u202egnp", "\ud83d", "é" * 120, "anna", "ANNA", "..", "nul.txt"]


def test_every_name_has_a_file(tmp_path: Path) -> None:
    """Protects: whatever a student is called, names are one line, and files are legal and apart."""
    names = [printable(name) for name in HARD]
    assert all(name.isprintable() and name.encode() for name in names)
    assert printable("Zoe\u0308") == "Zoë"
    files = file_names(names)
    assert len({name.casefold() for name in files.values()}) == len(HARD)
    for name in files.values():
        assert len(name.encode()) <= 120
        assert not set(name) & set('<>:"/\\|?*')
        assert name.rstrip(". ") == name
        assert name.split(".")[0].casefold() not in ("con", "nul")
        (tmp_path / f"{name}.md").write_text("")
    assert files["anna"] != "anna"  # on some systems it would be the file of ANNA
    assert file_names(["anna", "@ben"]) == {"anna": "anna", "@ben": "@ben"}
