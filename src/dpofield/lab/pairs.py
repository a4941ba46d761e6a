"""Preference pairs, and the files that hold them, with TRL's names of the columns."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from dpofield.lab.chat import Conversation, Message, check_text, messages, written_out
from dpofield.lab.files import replacing
from dpofield.lab.reading import rows

# Field of `Pair` -> TRL's name of the same field in a file.
_FIELDS = {"prompt": "prompt", "preferred": "chosen", "dispreferred": "rejected"}
_REFERENCE = ("ref_chosen_logps", "ref_rejected_logps")
_COLUMNS = (
    *_FIELDS.values(), *_REFERENCE, "conversations", "system", "tools", "chat_template_kwargs",
    "image", "images",
)  # fmt: skip
_SHOWN = 3


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
            check_text(name, text)
        if self.preferred == self.dispreferred:
            raise ValueError(
                f"preferred and dispreferred are identical ({self.preferred!r}): "
                "such a pair teaches nothing; remove it"
            )


class PairList(list[Pair | Conversation]):
    """Pairs of a file: a list that also says where they come from.

    `places` has each pair's file and line, `skipped` one sentence for each row that was passed
    over. `reference` has the file's reference log-probabilities (TRL's `ref_chosen_logps`, then
    `ref_rejected_logps`), float64 nats of shape (2 N,) in the order of the rows that `encode`
    makes; None if the file has none. A slice or a sum of it is a plain list.
    """

    def __init__(
        self,
        pairs: Iterable[Pair | Conversation] = (),
        *,
        places: Sequence[str] = (),
        skipped: Sequence[str] = (),
        reference: NDArray[np.float64] | None = None,
    ) -> None:
        super().__init__(pairs)
        self.places, self.skipped = tuple(places), tuple(skipped)
        self.reference = reference

    def keep(self, index: Sequence[int], skipped: Sequence[str] = ()) -> PairList:
        """The pairs at these places of the list, with the same places of what stands beside."""
        chosen = list(index)
        reference = self.reference
        if reference is not None:
            reference = reference.reshape(2, -1)[:, chosen].reshape(-1)
        places = [self.places[i] for i in chosen] if self.places else ()
        return PairList(
            [self[i] for i in chosen],
            places=places, skipped=[*self.skipped, *skipped], reference=reference,
        )  # fmt: skip


def write_pairs(path: str | os.PathLike[str], pairs: Iterable[Pair | Conversation]) -> None:
    """Write pairs as JSON lines `{"prompt", "chosen", "rejected"}`; an error changes no file.

    Conversations, and the reference of a `PairList`, are written in TRL's form too.
    """
    reference = getattr(pairs, "reference", None)
    with replacing(path) as draft, draft.open("w", encoding="utf-8", newline="\n") as file:
        for i, pair in enumerate(pairs):
            row = {theirs: getattr(pair, ours) for ours, theirs in _FIELDS.items()}
            if isinstance(pair, Conversation):
                more = {"tools": pair.tools, "chat_template_kwargs": pair.template_kwargs}
                row |= {name: value for name, value in more.items() if value}
            if reference is not None:
                values = reference.reshape(2, -1)[:, i].tolist()
                row |= dict(zip(_REFERENCE, values, strict=True))
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_pairs(
    path: str | os.PathLike[str],
    *,
    skip_bad: bool = False,
    encoding: str | None = None,
    split: str | None = None,
    progress: bool = True,
) -> PairList:
    """Read the pairs of a file of any format that `dpofield.lab.reading` knows.

    Columns are TRL's: `prompt`, `chosen` and `rejected`, each a text or a list of chat messages
    (`role` and `content`, or ShareGPT's `from` and `value`). Texts give a `Pair`, messages a
    `Conversation`. If no row has a `prompt`, the common beginning of both responses is the prompt,
    cut where TRL's `extract_prompt` cuts it. Other columns are ignored. `encoding` is the file's
    encoding if it is not UTF-8 and has no byte order mark; `split` chooses one of several splits of
    a `DatasetDict` on disk.

    Raises `ValueError` with file, line, field and remedy for the first row that cannot be read, and
    for a file without any pair; `ModuleNotFoundError` if a format needs a library that is not
    installed. With `skip_bad`, good rows are kept, one warning names the others, and `skipped` of
    the result lists them all.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "tastes.csv")
    ...     _ = file.write_text("prompt,chosen,rejected\\nsoup :,good .,cold .\\n")
    ...     read_pairs(file)
    [Pair(prompt='soup :', preferred='good .', dispreferred='cold .')]
    """
    found: list[tuple[str, Pair | Conversation, _Score]] = []
    skipped: list[str] = []
    with closing(_parsed(Path(path), encoding, split)) as parsed:
        for place, result in tqdm(
            parsed, desc="reading", unit=" rows", disable=not progress, leave=False, delay=1
        ):
            if not isinstance(result, ValueError):
                found.append((place, *result))
            elif skip_bad:
                skipped.append(f"{place}: {result}")
            else:
                raise ValueError(f"{place}: {result}") from result
    if any(score for _, _, score in found):
        for place, _, score in found:
            if score is None:
                lacks = f'{place}: "{_REFERENCE[0]}" is missing, and other rows have it'
                if not skip_bad:
                    raise ValueError(lacks)
                skipped.append(lacks)
        found = [row for row in found if row[2]]
    if not found:
        why = f": {skipped[0]}" if skipped else '; write rows with "prompt", "chosen", "rejected"'
        raise ValueError(f"{path}: no pairs{why}")
    if skipped:
        warnings.warn(f"{path}: {listing(skipped, len(found))}", stacklevel=2)
    scores = np.array([score for _, _, score in found if score], dtype=np.float64)
    return PairList(
        [pair for _, pair, _ in found],
        places=[place for place, _, _ in found],
        skipped=skipped,
        reference=scores.T.reshape(-1) if len(scores) else None,
    )


def listing(skipped: Sequence[str], kept: int) -> str:
    """What a warning says about rows that were passed over: how many, and the first few."""
    shown = "; ".join(skipped[:_SHOWN]) + "; ..." * (len(skipped) > _SHOWN)
    return f"{len(skipped)} of {kept + len(skipped)} pairs skipped ({shown})"


_Score = tuple[float, float] | None


def _parsed(
    path: Path, encoding: str | None, split: str | None
) -> Generator[tuple[str, tuple[Pair | Conversation, _Score] | ValueError]]:
    with_prompt: bool | None = None
    try:
        for place, row in rows(
            path, _COLUMNS, ("chosen", "rejected"), encoding=encoding, split=split
        ):
            try:
                if isinstance(row, ValueError):
                    raise row
                if with_prompt is None and row.keys() >= {"chosen", "rejected"}:
                    with_prompt = not {"prompt", "conversations"}.isdisjoint(row)
                yield f"{path}, {place}", (_pair(row, with_prompt), _score(row))
            except ValueError as error:
                yield f"{path}, {place}", error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _pair(row: dict[str, Any], with_prompt: bool | None) -> Pair | Conversation:
    for name in ("image", "images", "system"):
        if row.get(name):
            remedy = "make it the first message of the prompt" if name == "system" else "remove it"
            raise ValueError(f'field "{name}" is not read (nor by TRL for these pairs); {remedy}')
    w, l = _field(row, "chosen"), _field(row, "rejected")  # noqa: E741
    name = "conversations" if "conversations" in row and "prompt" not in row else "prompt"
    if not with_prompt and name in row:
        raise ValueError(f'field "{name}" is there, and earlier rows have none; give all or none')
    prompt = _field(row, name) if with_prompt else ""
    if isinstance(w, str) != isinstance(l, str):
        raise ValueError(
            'one of "chosen" and "rejected" is text, the other messages; write one kind'
        )
    if w == l:
        raise ValueError('"chosen" and "rejected" are identical; remove the row')
    if isinstance(w, str) and isinstance(l, str):
        if not with_prompt:
            at = _common(w, l)
            prompt, w, l = w[:at], w[at:], l[at:]  # noqa: E741
        if isinstance(prompt, str):
            return Pair(prompt, w, l)
        raise ValueError(
            f'"{name}" has messages and "chosen" text; write all as messages, "chosen" as '
            '[{"role": "assistant", "content": ...}]'
        )
    assert isinstance(w, list)
    assert isinstance(l, list)
    if isinstance(prompt, str):
        # TRL calls this an implicit prompt too: the messages hold the prompt, which is also a text.
        at, text = _common(w, l), prompt
        prompt, w, l = w[:at], w[at:], l[at:]  # noqa: E741
        if text.strip() not in "\n".join(str(m.get("content")) for m in prompt):
            raise ValueError(
                '"prompt" is text that the messages of "chosen" and "rejected" do not begin with; '
                'write it as [{"role": "user", "content": ...}]'
            )
    tools, more = (_json(row, name) for name in ("tools", "chat_template_kwargs"))
    return Conversation(prompt, w, l, tools or None, more or {})


def _field(row: dict[str, Any], name: str) -> str | list[Message]:
    if name not in row:
        raise ValueError(
            f'field "{name}" is missing (there are: {", ".join(row) or "none"}); write or rename it'
        )
    value = row[name]
    if isinstance(value, str):
        check_text(f'field "{name}"', value)
        if written_out(value):
            raise ValueError(
                f'field "{name}" is a list of messages that was turned into text; '
                "save the data as JSON lines or Parquet, which hold lists"
            )
        return value
    value = [value] if isinstance(value, dict) else value  # LLaMA-Factory writes one message so
    if isinstance(value, list) and all(isinstance(message, dict) for message in value):
        return messages(value, name)
    kind = {type(None): "null", bool: "a boolean", int: "a number", float: "a number"}
    kind[bytes] = "bytes"
    raise ValueError(
        f'field "{name}" is {kind.get(type(value), f"a {type(value).__name__}")}, '
        "not text or messages; write the text or remove the row"
    )


def _common(w: str | list[Message], l: str | list[Message]) -> int:  # noqa: E741
    """Where TRL's `extract_prompt` ends the common beginning of two different responses."""
    shorter = min(len(w), len(l))
    at = next((i for i in range(shorter) if w[i] != l[i]), shorter - 1)
    if at > 0 and at < shorter and w[at] != l[at] and w[at - 1] == " ":
        at -= 1
    if at == 0 or (isinstance(w, str) and not w[:at].strip()):
        raise ValueError(
            'field "prompt" is missing, and "chosen" and "rejected" have no common beginning '
            "to take in its place; write a prompt"
        )
    return at


def _json(row: dict[str, Any], name: str) -> Any:
    value = row.get(name)
    try:
        return json.loads(value) if isinstance(value, str) and value else value
    except ValueError as error:
        raise ValueError(f'field "{name}" is not JSON ({error})') from error


def _score(row: dict[str, Any]) -> _Score:
    values = [None if row.get(name) == "" else row.get(name) for name in _REFERENCE]
    if values == [None, None]:
        return None
    found = []
    for name, value in zip(_REFERENCE, values, strict=True):
        try:
            number = math.nan if value is None or isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not (math.isfinite(number) and number <= 0):
            raise ValueError(
                f'field "{name}" is {value!r}, not a log-probability (in nats, 0 at most); '
                "compute it again or remove the column"
            )
        found.append(number)
    return found[0], found[1]
