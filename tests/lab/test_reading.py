"""Files of every usual format are read; a fault is named with its place and a remedy."""

from __future__ import annotations

import bz2
import gc
import gzip
import json
import lzma
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dpofield.lab import check
from dpofield.lab.pairs import Pair, read_pairs, write_pairs

PAIRS = [
    Pair("soup :", "good \u2028 .", 'it was "cold" ,\nso .'),
    Pair("naïve 東京 :", " 🙂\x85", "\tno\x0b;"),
    Pair("007", "=1+1", "NA"),
]
ROWS = [{"prompt": p.prompt, "chosen": p.preferred, "rejected": p.dispreferred} for p in PAIRS]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
GOOD = '{"prompt": "a", "chosen": "b", "rejected": "c"}'


def table(separator: str, quoting: int = 0) -> str:
    import csv
    import io

    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, ["id", *ROWS[0]], delimiter=separator, quoting=quoting)  # type: ignore[arg-type]
    writer.writeheader()
    writer.writerows([row | {"id": i} for i, row in enumerate(ROWS)])
    return file.getvalue()


CONTENTS: dict[str, bytes] = {
    "json lines": LINES.encode(),
    "escaped": "".join(json.dumps(row) + "\n" for row in ROWS).encode(),
    "no line break at the end": LINES.rstrip("\n").encode(),
    "CRLF": LINES.replace("\n", "\r\n").encode(),
    "CR only": LINES.replace("\n", "\r").encode(),
    "blank lines": ("\n  \n" + LINES.replace("\n", "\n\n\t\n")).encode(),
    "byte order mark": LINES.encode("utf-8-sig"),
    "two files joined": "".join("\ufeff" + line + "\n" for line in LINES.split("\n")[:-1]).encode(),
    "a mark, whatever encoding=": LINES.encode("utf-8-sig"),
    "UTF-16": LINES.encode("utf-16"),
    "UTF-16 of the other order": b"\xfe\xff" + LINES.encode("utf-16-be"),
    "UTF-32": LINES.encode("utf-32"),
    "array": json.dumps(ROWS).encode(),
    "array over lines": json.dumps(ROWS, indent=2, ensure_ascii=False).encode("utf-8-sig"),
    "empty places in an array": (" [ " + ",\r\n\n ".join(map(json.dumps, ROWS)) + " ] \n").encode(),
    "CSV": table(",").encode(),
    "CSV of a spreadsheet": table(";").encode("utf-8-sig"),
    "CSV of Excel": ("sep=;\r\n" + table(";")).encode("utf-8-sig"),
    "tabs, all quoted": table("\t", 1).encode(),
    "bars, UTF-16": table("|").encode("utf-16"),
    "gzip": gzip.compress(LINES.encode()),
    "gzip of CSV of UTF-16": gzip.compress(table(",").encode("utf-16")),
    "bzip2": bz2.compress(LINES.encode()),
    "xz": lzma.compress(json.dumps(ROWS).encode()),
}


@pytest.mark.parametrize("name", ["pairs", "pairs.jsonl", "pairs.csv", "pairs.jsonl.gz"])
@pytest.mark.parametrize("kind", CONTENTS)
def test_formats_by_content(tmp_path: Path, kind: str, name: str) -> None:
    """The same pairs, to the last character, whatever the name of the file says."""
    path = tmp_path / name
    path.write_bytes(CONTENTS[kind])
    assert read_pairs(path, encoding="cp1252" if "encoding=" in kind else None) == PAIRS


@pytest.mark.parametrize("kind", ["parquet", "pandas", "dataset", "split"])
def test_tables_of_other_libraries(tmp_path: Path, kind: str) -> None:
    """Parquet of pyarrow and pandas, and folders of `save_to_disk`, with other columns beside."""
    rows = [row | {"id": i, "when": None} for i, row in enumerate(ROWS)]
    path, more = tmp_path / "data", dict[str, Any]()
    if kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
    elif kind == "pandas":
        import pandas as pd

        pd.DataFrame(rows, index=[5, 7, 9]).to_parquet(path)
    else:
        from datasets import Dataset, DatasetDict, disable_progress_bars

        disable_progress_bars()
        data: Any = Dataset.from_list(rows)
        if kind == "split":
            data, more = DatasetDict(train=data, test=data.select([0])), {"split": "train"}
        data.save_to_disk(path)
    assert read_pairs(path, **more) == PAIRS
    if kind == "split":
        with pytest.raises(ValueError, match=r"data: has the splits train, test: choose one by sp"):
            read_pairs(path)
        with pytest.raises(ValueError, match="has the splits"):
            read_pairs(path, split="valid")
    else:
        with pytest.raises(ValueError, match="leave out split"):
            read_pairs(path, split="train")


def refused(path: Path, content: bytes, **options: Any) -> str:
    path.write_bytes(content)
    with pytest.raises(ValueError, match=path.name) as caught:
        read_pairs(path, **options)
    return str(caught.value)


WHOLE_FILES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "is empty: fetch"),
    "nothing, packed": (gzip.compress(b""), "is empty: fetch"),
    "only a mark": (b"\xef\xbb\xbf\n", 'no pairs; write rows with "prompt"'),
    "no item": (b"[]", "no pairs"),
    "git-LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
    "HTML": (b"\xef\xbb\xbf\n<!DOCTYPE html>\n<html>", "HTML .*download the file itself"),
    "zip": (b"PK\x03\x04" + bytes(30), "zip archive .*unpack"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(30), "zstd: unpack"),
    "pickle": (b"\x80\x04\x95" + bytes(30), "pickle, .*save it as"),
    "Arrow": (b"ARROW1" + bytes(30), "give the folder that save_to_disk wrote"),
    "UTF-16 without a mark": (LINES.encode("utf-16-le"), 'encoding="utf-16-le"'),
    "an image": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "line 1: byte 1 .0x89."),
    "plain text": (b"hello\nthere\n", "line 1: not JSON .*one object per line"),
    "gzip cut in its head": (gzip.compress(LINES.encode())[:12], "cannot be unpacked|is empty"),
    "Parquet cut": (b"PAR1" + bytes(99), "not whole Parquet .*fetch it again"),
    "Parquet in gzip": (gzip.compress(b"PAR1" + bytes(99)), "Parquet within another packing"),
    "no such column": (b"prompt,good,bad\na,b,c\n", "line 1: not JSON"),
    "header of another encoding": (
        "é,prompt,chosen,rejected\n1,a,b,c\n".encode("latin-1"),
        "line 1: byte 1 .0xe9. .*cp1252",
    ),
    "column twice": (b"prompt,chosen,chosen,rejected\na,b,c,d\n", 'column "chosen" is there twice'),
}


@pytest.mark.parametrize("kind", WHOLE_FILES)
@pytest.mark.parametrize("skip_bad", [False, True])
def test_files_that_are_no_data(tmp_path: Path, kind: str, skip_bad: bool) -> None:
    """One ValueError with file and remedy, also if bad rows may be skipped."""
    import re

    content, words = WHOLE_FILES[kind]
    said = refused(tmp_path / "mine.jsonl", content, skip_bad=skip_bad)
    assert re.search(words, said), said


def test_other_places(tmp_path: Path) -> None:
    """A folder lists what is in it; a table names the column that it lacks; a wrong encoding."""
    (tmp_path / "a.jsonl").write_text(GOOD)
    with pytest.raises(ValueError, match=r"did not write: name one file \(there are: a.jsonl\)"):
        read_pairs(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_pairs(tmp_path / "b.jsonl")
    for codec in ("utf-9", "base64"):
        with pytest.raises(ValueError, match=f"encoding='{codec}' is unknown"):
            read_pairs(tmp_path / "a.jsonl", encoding=codec)
    said = refused(tmp_path / "a.csv", b"prompt,good,bad\na,b,c\n")
    assert 'column "chosen" is missing (there are: prompt, good, bad); rename' in said
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train"]}')
    with pytest.raises(ValueError, match="cannot be loaded by datasets"):
        read_pairs(tmp_path)


LINE_FAULTS: dict[str, tuple[str, str]] = {
    "cut": ('{"prompt": "a", "cho', r"not JSON \(.* at column \d+\); write one object per line"),
    "comma after": (GOOD + ",", "a comma follows the object; remove it"),
    "comma within": (GOOD[:-1] + ",}", "not JSON"),
    "two in a line": (GOOD + GOOD, "more text follows at column 48; write one"),
    "single quotes": (GOOD.replace('"', "'"), "not JSON"),
    "key twice": (GOOD[:-1] + ', "chosen": "d"}', "key 'chosen' stands twice .*; keep one"),
    "key twice within": (GOOD[:-1] + ', "x": [{"y": 1, "y": 2}]}', "key 'y' stands twice"),
    "list": ("[]", "not a JSON object"),
    "null": (GOOD.replace('"b"', "null"), '"chosen" is null, not text or messages; write'),
    "number": (GOOD.replace('"b"', "12"), '"chosen" is a number, not text'),
    "NaN": (GOOD.replace('"b"', "NaN"), '"chosen" is a number, not text'),
    "truth": (GOOD.replace('"c"', "true"), '"rejected" is a boolean'),
    "missing": ('{"prompt": "a", "chosen": "b", "x": 1}', r'"rejected" is missing \(there are: pr'),
    "empty": (GOOD.replace('"b"', '""'), '"chosen" is empty; write'),
    "whitespace": (GOOD.replace('"a"', '" \\n\u3000"'), '"prompt" is empty'),
    "identical": (GOOD.replace('"b"', '"c"'), "identical; remove the row"),
    "half a character": (GOOD.replace('"b"', '"b\\ud83d!"'), r"half a .*U\+D83D, character 2"),
    "nested too deep": ("[" * 100_000, "not JSON that can be read"),
    "number too long": (GOOD[:-1] + ', "x": ' + "1" * 5000 + "}", "not JSON that can be read"),
    "list of texts": (GOOD.replace('"b"', '["b"]'), "is a list, not text or messages"),
}


@pytest.mark.parametrize("kind", LINE_FAULTS)
@pytest.mark.parametrize("form", ["lines", "array"])
def test_a_bad_line(tmp_path: Path, kind: str, form: str) -> None:
    """The line is named. With `skip_bad` the good lines are kept, and one warning and `skipped`
    name the others; an array may end where it cannot be parsed."""
    bad, words = LINE_FAULTS[kind]
    rows = [GOOD, GOOD.replace("a", "d"), bad, GOOD.replace("a", "e")]
    path = tmp_path / "mine.jsonl"
    if form == "lines":
        path.write_text("\n".join(rows), encoding="utf-8")
    else:
        path.write_text("[" + ",\n".join(rows) + "]", encoding="utf-8")
        words = "line 3"
    with pytest.raises(
        ValueError, match=f"mine.jsonl, line 3: .*{words if form == 'lines' else ''}"
    ):
        read_pairs(path)
    with pytest.warns(UserWarning, match=r"mine.jsonl: \d of \d pairs skipped .*line 3") as caught:
        pairs = read_pairs(path, skip_bad=True)
    assert len(caught) == 1
    assert [p.prompt for p in pairs][:2] == ["a", "d"]
    assert pairs.places[1] == f"{path}, line 2"
    if form == "lines":
        assert [p.prompt for p in pairs] == ["a", "d", "e"]
        assert len(pairs.skipped) == 1
    assert pairs.skipped[0].startswith(f"{path}, line 3: ")


def test_harmless_oddities(tmp_path: Path) -> None:
    """Other fields may be NaN, null or lists; a mark may begin a later line."""
    path = tmp_path / "mine.jsonl"
    path.write_text(GOOD[:-1] + ', "score": NaN, "x": [1]}\n\ufeff' + GOOD, encoding="utf-8")
    assert read_pairs(path) == [Pair("a", "b", "c")] * 2


@pytest.mark.parametrize("kind", ["lines", "CSV", "array"])
def test_bytes_of_another_encoding(tmp_path: Path, kind: str) -> None:
    """Latin-1 is an error with line, byte and remedy, which works; other lines can be kept."""
    path = tmp_path / "mine.txt"
    rows = [GOOD, GOOD.replace("a", "é"), GOOD]
    if kind == "CSV":
        rows = ["prompt,chosen,rejected", "é,b,c", "a,b,c"]
    text = "[" + ",\n".join(rows) + "]" if kind == "array" else "\n".join(rows)
    said = refused(path, text.encode("latin-1"))
    byte = {"lines": 13, "CSV": 1, "array": 13}[kind]
    assert f"line 2: byte {byte} (0xe9) is no text in utf-8: save" in said
    assert 'encoding="cp1252"' in said
    assert "é" in {p.prompt for p in read_pairs(path, encoding="cp1252")}
    with pytest.warns(UserWarning, match="1 of "):
        assert set(read_pairs(path, skip_bad=True)) == {Pair("a", "b", "c")}


def test_files_that_break_off(tmp_path: Path) -> None:
    """What could be unpacked is kept on request, and the place of the damage is named."""
    path = tmp_path / "mine.gz"
    import random

    noise = random.Random(0)
    rows = [GOOD.replace("a", f"{noise.random()}") for _ in range(5000)]
    whole = gzip.compress("\n".join(rows).encode())
    said = refused(path, whole[: len(whole) // 2])
    assert "the file breaks off or is damaged here" in said
    with pytest.warns(UserWarning, match="breaks off"):
        pairs = read_pairs(path, skip_bad=True)
    assert 1000 < len(pairs) < 4000
    assert f"line {len(pairs) + 1}:" in pairs.skipped[-1]
    path.write_bytes(LINES.encode("utf-16")[:-1])
    with pytest.warns(UserWarning, match="1 of 3 pairs|1 of 4 pairs"):
        assert read_pairs(path, skip_bad=True)[:2] == PAIRS[:2]


def test_faults_of_tables(tmp_path: Path) -> None:
    """Rows with too many cells, an open quote, messages that became text: named with the line."""
    path = tmp_path / "mine.csv"
    head = "prompt,chosen,rejected\n"
    assert "line 3: 4 cells below 3 columns; put quotes" in refused(
        path, (head + "a,b,c\na,b,c,d\n").encode()
    )
    assert "line 2: not CSV" in refused(path, (head + 'a,"b,c\nd,e,f\n').encode())
    path.write_text(head + 'a,"b"x,c\n"d\ne",f,g\nh,,i\n')
    with pytest.warns(UserWarning, match=r"line 2: not CSV.*line 5: field \"chosen\" is empty"):
        assert read_pairs(path, skip_bad=True) == [Pair("d\ne", "f", "g")]
    said = refused(path, (head + """"[{'role': 'user'}]",b,c\n""").encode())
    assert "line 2" in said
    assert "messages that was turned into text" in said
    long = "x" * 300_000
    path.write_text(f"{head}{long},b,c\n")
    assert read_pairs(path)[0].prompt == long


def test_a_library_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + bytes(20))
    with pytest.raises(ModuleNotFoundError, match="reading it needs pyarrow: pip install pyarrow"):
        read_pairs(tmp_path / "a.parquet")


def test_time_is_linear(tmp_path: Path) -> None:
    """Four times the rows take about four times as long, in lines and in an array."""
    rows = [GOOD.replace("a", f"prompt {i} " + "x" * 50) for i in range(16_000)]

    def seconds(n: int, form: str) -> float:
        path = tmp_path / form
        path.write_text("\n".join(rows[:n]) if form == "lines" else f"[{','.join(rows[:n])}]")
        gc.disable()  # its time depends on all that the test process holds
        start = time.process_time()
        assert len(read_pairs(path, progress=False)) == n
        gc.enable()
        return time.process_time() - start

    for form in ("lines", "array"):
        short = min(seconds(4_000, form) for _ in range(2))
        assert seconds(16_000, form) < 10 * short


texts = st.text(min_size=1, max_size=20).filter(str.strip)


@given(
    st.lists(st.tuples(texts, texts, texts).filter(lambda t: t[1] != t[2]), min_size=1, max_size=4),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    st.sampled_from([",", ";", "\t", "|"]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_survives_a_table(
    tmp_path: Path, rows: list[tuple[str, str, str]], codec: str, separator: str
) -> None:
    """CSV in any encoding and with any separator gives back every text."""
    import csv

    path = tmp_path / "any"
    with path.open("w", encoding=codec, newline="") as file:
        writer = csv.writer(file, delimiter=separator, quoting=csv.QUOTE_ALL)
        writer.writerows([("prompt", "chosen", "rejected"), *rows])
    assert read_pairs(path) == [Pair(*row) for row in rows]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what can be read and what is wrong, and its exit status is 1 if anything is."""
    path = tmp_path / "mine.jsonl"
    write_pairs(path, PAIRS)
    assert check.main([str(path)]) == 0
    said = capsys.readouterr().out
    assert "mine.jsonl: 3 pairs can be read, 0 of them as chat messages." in said
    assert "The first is Pair(prompt='soup :'," in said
    path.write_text(
        "\n".join([GOOD.replace('"b"', '"a b"').replace('"c"', '"a c"'), "{"] + ["["] * 30)
    )
    with warnings.catch_warnings(action="error"):
        assert check.main([str(path)]) == 1
    said = capsys.readouterr().out
    assert "31 rows cannot be read:" in said
    assert "line 2: not JSON" in said
    assert "line 21: " in said
    assert "line 22: " not in said
    assert "Every preferred response begins with its prompt" in said
    for wrong in (tmp_path / "none", tmp_path):
        assert check.main([str(wrong)]) == 1
        assert str(wrong) in capsys.readouterr().out
