"""Rows of a data file of any common format, each with its place or with what is wrong there.

The format is recognised by content: JSON lines, a JSON array, CSV with any usual separator,
Parquet, or a folder of `save_to_disk` of `datasets`; text may be compressed (gzip, bzip2, xz) and
in any encoding.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import json
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from dpofield.lab.columns import KNOWN, NEEDED

# What a file yields: ("line 3", its fields), or ("line 3", what is wrong there).
Row = tuple[str, "dict[str, Any] | ValueError"]

_BOMS = {  # UTF-32 first, because its mark begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
_PACKED: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
_REFUSED = {
    b"PK\x03\x04": "is a zip archive (or a spreadsheet): unpack it, or save it as CSV",
    b"\x28\xb5\x2f\xfd": "is packed with zstd: unpack it (zstd -d) or pack it with gzip",
    b"version https://git-lfs": "is a git-LFS pointer, not the data: fetch it with git lfs pull",
    b"ARROW1": "is an Arrow file: give the folder that save_to_disk wrote, or save it as Parquet",
    b"\xff\xff\xff\xff": "is an Arrow stream: give the folder that save_to_disk wrote",
    b"\x80\x04": "is a pickle, which could run any code: save it as JSON lines or Parquet",
}
_BROKEN = (EOFError, OSError, UnicodeError, zlib.error, lzma.LZMAError)
_REMEDY = "write one object per line"
_ESCAPED = re.compile("[\udc80-\udcff]")  # how "surrogateescape" keeps bytes of no character


def rows(path: Path, encoding: str | None = None, split: str | None = None) -> Iterator[Row]:
    """The rows of a file or folder. A table (CSV, Parquet, `datasets`) gives known columns only.

    Raises `ValueError`, without the name of the file, if the file as a whole cannot be read or is a
    table without a column that is needed. `encoding` is for text without a byte order mark, `split`
    for a folder with several.
    """
    if path.is_dir():
        yield from _saved(path, split)
        return
    if split is not None:
        raise ValueError(f"is one file, so it has no split {split!r}: leave out split")
    with path.open("rb") as file:
        head = _peek(file)
        if head.startswith(b"PAR1"):
            yield from _parquet(path)
            return
        stream: Any = file
        for magic, opener in _PACKED.items():
            if head.startswith(magic):
                stream = io.BufferedReader(opener(file))
                head = _peek(stream)
        yield from _text(stream, head, path.name, encoding)


def _peek(stream: Any) -> bytes:
    try:
        head: bytes = stream.peek(4096)
    except _BROKEN as error:
        raise ValueError(f"cannot be unpacked ({error}): fetch it again") from error
    if not head:
        raise ValueError("is empty: fetch or write it again")
    return head


def _text(stream: IO[bytes], head: bytes, name: str, encoding: str | None) -> Iterator[Row]:
    bom = next((codec for mark, codec in _BOMS.items() if head.startswith(mark)), None)
    for magic, reason in _REFUSED.items():
        if head.startswith(magic) and bom is None:
            raise ValueError(reason)
    if head.startswith(b"PAR1"):
        raise ValueError("is Parquet within another packing: unpack it")
    try:
        codec = bom or codecs.lookup(encoding or "utf-8").name
        b"-".decode(codec, errors="replace")  # some of Python's codecs are not for text
    except LookupError as error:
        raise ValueError(f"encoding={encoding!r} is unknown; use one that Python has") from error
    if b"\0" in head[:4] and not codec.startswith(("utf-16", "utf-32")):
        raise ValueError(
            "is binary, or UTF-16 or UTF-32 without a byte order mark: save it as UTF-8, "
            'or name its encoding, for example encoding="utf-16-le"'
        )
    start = head.decode(codec, errors="replace").lstrip("\ufeff \t\r\n")
    if start.startswith("<"):
        raise ValueError("is an HTML or XML page, not data: download the file itself")
    first = re.split(r"[\r\n]", start, maxsplit=1)[0]
    separator = next((s for s in ",\t;|" if {*NEEDED} <= {*_cells(first, s)}), None)
    if re.fullmatch("sep=.", first):  # as Excel writes it before the header
        separator = first[-1]
    if not start.startswith(("{", "[")) and (separator or name.lower().endswith((".csv", ".tsv"))):
        yield from _table(_Lines(stream, codec, newline=""), separator or ",")
    elif start.startswith("["):
        yield from _array(_Lines(stream, codec))
    else:
        yield from _json_lines(_Lines(stream, codec))


class _Lines:
    """The lines of a stream; `number` counts them, and `bad` has those with undecodable bytes."""

    def __init__(self, stream: IO[bytes], codec: str, newline: str | None = None) -> None:
        self.codec, self.number, self.bad = codec, 0, dict[int, ValueError]()
        self._file = io.TextIOWrapper(stream, codec, errors="surrogateescape", newline=newline)

    def __iter__(self) -> Iterator[str]:
        try:
            for line in self._file:
                self.number += 1
                wrong = _ESCAPED.search(line)
                if wrong:
                    before = line[: wrong.start()].encode(self.codec, errors="surrogateescape")
                    self.bad[self.number] = ValueError(
                        f"byte {len(before) + 1} (0x{ord(wrong[0]) - 0xDC00:02x}) is no text in "
                        f"{self.codec}: save the file as UTF-8, or name its encoding, "
                        'for example encoding="cp1252"'
                    )
                yield line.removeprefix("\ufeff")  # left where files were joined
        except _BROKEN as error:
            self.number += 1
            self.bad[self.number] = ValueError(
                f"the file breaks off or is damaged here ({error}): fetch it again"
            )
            yield ""
        finally:
            self._file.close()


class _Json:
    """A strict reader of JSON values that notes keys that an object has twice."""

    def __init__(self) -> None:
        self._twice: list[str] = []
        self._decoder = json.JSONDecoder(object_pairs_hook=self._object)

    def _object(self, items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) < len(items):
            keys = [key for key, _ in items]
            self._twice += [key for key in found if keys.count(key) > 1]
        return found

    def row(self, text: str, start: int = 0) -> tuple[dict[str, Any] | ValueError, int]:
        """The object that begins at `start`, or what is wrong with it, and where it ends."""
        self._twice.clear()
        try:
            value, end = self._decoder.raw_decode(text, start)
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, " * (error.lineno > 1) + f"column {error.colno}"
            raise ValueError(f"not JSON ({error.msg} at {where}); {_REMEDY}") from error
        except (RecursionError, ValueError) as error:  # nested too deep, or a number too long
            raise ValueError(f"not JSON that can be read ({error})") from error
        if self._twice:
            return ValueError(f"key {self._twice[0]!r} stands twice in an object; keep one"), end
        if not isinstance(value, dict):
            return ValueError(f"not a JSON object; {_REMEDY}"), end
        return value, end


def _json_lines(lines: _Lines) -> Iterator[Row]:
    parser = _Json()
    for line in lines:
        place, text = f"line {lines.number}", line.strip()
        if lines.number in lines.bad:
            yield place, lines.bad[lines.number]
        elif text:
            try:
                found, end = parser.row(text)
                if text[end:].strip() == ",":
                    raise ValueError("a comma follows the object; remove it")
                if text[end:].strip():
                    raise ValueError(f"more text follows at column {end + 1}; {_REMEDY}")
            except ValueError as error:
                found = error
            yield place, found


def _array(lines: _Lines) -> Iterator[Row]:
    text = "".join(lines)
    parser, gap = _Json(), re.compile(r"\s*")
    at, line, counted, comma = text.index("[") + 1, 1, 0, False
    while True:
        at = gap.match(text, at).end()  # type: ignore[union-attr]
        line, counted = line + text.count("\n", counted, at), at
        place = f"line {line}"
        if text.startswith("]", at):
            if comma:
                yield place, ValueError("a comma stands before the closing bracket; remove it")
            if text[at + 1 :].strip():
                yield place, ValueError("more text follows the closing bracket; remove it")
            return
        try:
            found, end = parser.row(text, at)
            last = line + text.count("\n", at, end)
            wrong = [lines.bad[n] for n in range(line, last + 1) if n in lines.bad]
            yield place, wrong[0] if wrong else found
            at = gap.match(text, end).end()  # type: ignore[union-attr]
            comma = text.startswith(",", at)
            if not comma and not text.startswith("]", at):
                raise ValueError("the array is not closed, or a comma is missing after this object")
        except ValueError as error:
            reason = next((why for n, why in lines.bad.items() if n >= line), error)
            yield place, ValueError(f"{reason}; nothing after it was read")
            return
        at += comma


def _cells(line: str, separator: str) -> list[str]:
    return [cell.strip() for row in csv.reader([line], delimiter=separator) for cell in row]


def _table(lines: _Lines, separator: str) -> Iterator[Row]:
    csv.field_size_limit(max(csv.field_size_limit(), 2**31 - 1))
    reader = csv.reader(iter(lines), delimiter=separator, strict=True)
    names: list[str] = []
    while True:
        first = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield f"line {first}", ValueError(f"not CSV ({error}); put texts into quotes")
            continue
        found: dict[str, Any] | ValueError = dict(zip(names, cells, strict=False))
        if not lines.bad.keys().isdisjoint(range(first, lines.number + 1)):
            found = next(lines.bad[n] for n in range(first, lines.number + 1) if n in lines.bad)
            if not names:
                raise ValueError(f"line {first}: {found}")
        elif not cells or (not names and cells[0] == "sep="):
            continue
        elif not names:
            names = [cell.strip() for cell in cells]
            _known(names)
            continue
        elif len(cells) != len(names):
            found = ValueError(
                f"{len(cells)} cells below {len(names)} columns; put quotes around a text that "
                f"contains {separator!r} or a line break"
            )
        yield f"line {first}", found


def _known(names: list[str]) -> list[str]:
    """The known columns of a table; `ValueError` for one that is lacking or there twice."""
    for name in NEEDED:
        if name not in names:
            raise ValueError(
                f'column "{name}" is missing (there are: {", ".join(names)}); rename one'
            )
    known = [name for name in names if name in KNOWN]
    for name in known:
        if known.count(name) > 1:
            raise ValueError(f'column "{name}" is there twice; keep one')
    return known


def _parquet(path: Path) -> Iterator[Row]:
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError as error:
        raise _needs("pyarrow", error) from error
    number = 0
    try:
        with ParquetFile(path) as file:
            for batch in file.iter_batches(1024, columns=_known(file.schema_arrow.names)):
                for row in batch.to_pylist():
                    number += 1
                    yield f"row {number}", _without_null(row)
    except (pyarrow.ArrowException, OSError) as error:
        broken = ValueError(f"is not whole Parquet ({error}): fetch it again")
        if not number:
            raise broken from error
        yield f"after row {number}", broken


def _saved(folder: Path, split: str | None) -> Iterator[Row]:
    if (folder / "dataset_dict.json").is_file():
        splits = json.loads((folder / "dataset_dict.json").read_text(encoding="utf-8"))["splits"]
        if split is None and len(splits) == 1:
            split = splits[0]
        if split not in splits:
            raise ValueError(f"has the splits {', '.join(splits)}: choose one by split=")
        folder = folder / str(split)
    elif not (folder / "state.json").is_file():
        files = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
        raise ValueError(
            "is a folder that save_to_disk did not write: name one file "
            f"(there are: {', '.join(files[:5]) or 'none'}{', ...' * (len(files) > 5)})"
        )
    elif split is not None:
        raise ValueError(f"is one data set without splits: leave out split={split!r}")
    try:
        from datasets import load_from_disk
    except ModuleNotFoundError as error:
        raise _needs("datasets", error) from error
    try:
        data = load_from_disk(str(folder))
    except Exception as error:  # any of several libraries may find it damaged
        raise ValueError(f"cannot be loaded by datasets ({error}): save it again") from error
    data = data.with_format(None).select_columns(_known(data.column_names))
    for number, row in enumerate(data, start=1):
        yield f"row {number}", _without_null(row)


def _without_null(row: dict[str, Any]) -> dict[str, Any]:
    """The row without the null that Arrow puts into messages for keys that other messages have."""

    def clean(value: Any) -> Any:
        if isinstance(value, list):
            return [clean(item) for item in value]
        if isinstance(value, dict):
            return {name: clean(item) for name, item in value.items() if item is not None}
        return value

    return {name: clean(value) for name, value in row.items()}


def _needs(package: str, error: ModuleNotFoundError) -> ModuleNotFoundError:
    return ModuleNotFoundError(
        f"reading it needs {package}: pip install {package}", name=error.name
    )
