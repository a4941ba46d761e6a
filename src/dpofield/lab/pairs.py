"""Preference pairs, and their file format: JSON lines with TRL's field names."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dpofield.lab.files import replacing

# Field of `Pair` -> TRL's name of the same field in a file.
_FIELDS = {"prompt": "prompt", "preferred": "chosen", "dispreferred": "rejected"}


@dataclass(frozen=True)
class Pair:
    """A prompt and two different responses, the first of which is preferred.

    >>> Pair("review :", "good .", "good .")
    Traceback (most recent call last):
    ...
    ValueError: preferred and dispreferred are identical ('good .'): ...
    """

    prompt: str
    preferred: str
    dispreferred: str

    def __post_init__(self) -> None:
        for name, text in vars(self).items():
            if not text.strip():
                raise ValueError(f"{name} is empty: write a text there or remove the pair")
        if self.preferred == self.dispreferred:
            raise ValueError(
                f"preferred and dispreferred are identical ({self.preferred!r}): "
                "such a pair teaches nothing; remove it"
            )


def write_pairs(path: str | os.PathLike[str], pairs: Iterable[Pair]) -> None:
    """Write pairs as JSON lines `{"prompt", "chosen", "rejected"}`; an error changes no file."""
    with replacing(path) as draft, draft.open("w", encoding="utf-8") as file:
        for pair in pairs:
            row = {theirs: getattr(pair, ours) for ours, theirs in _FIELDS.items()}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_pairs(path: str | os.PathLike[str]) -> list[Pair]:
    """Read JSON lines `{"prompt", "chosen", "rejected"}`; other fields are ignored.

    Raises `ValueError` for a line that is not a JSON object, a field that is missing, empty or not
    a text, identical responses, and a file without any pair. The message names file, line and
    remedy.
    """
    pairs: list[Pair] = []
    with Path(path).open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                pairs.append(_parse(line))
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
    if not pairs:
        raise ValueError(f"{path}: no pairs; write one JSON object per line with {_wanted()}")
    return pairs


def _wanted() -> str:
    return ", ".join(f'"{name}"' for name in _FIELDS.values())


def _parse(line: str) -> Pair:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"not JSON ({error.msg} at column {error.colno}); write one object per line "
            f"with the fields {_wanted()}"
        ) from error
    if not isinstance(row, dict):
        raise ValueError(f"not a JSON object; write one per line with the fields {_wanted()}")
    for name in _FIELDS.values():
        if name not in row:
            raise ValueError(f'field "{name}" is missing; every line needs {_wanted()}')
        if not isinstance(row[name], str):
            raise ValueError(
                f'field "{name}" is {type(row[name]).__name__}, not text; '
                "write the plain text (conversations: apply the chat template first)"
            )
        if not row[name].strip():
            raise ValueError(f'field "{name}" is empty; write a text there or remove the line')
    if row["chosen"] == row["rejected"]:
        raise ValueError('"chosen" and "rejected" are identical; remove the line')
    return Pair(row["prompt"], row["chosen"], row["rejected"])
