"""Preference pairs, and the files that hold them, with TRL's names of the columns."""

from __future__ import annotations

import json
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

from dpofield.lab import columns
from dpofield.lab.chat import Conversation, check_text
from dpofield.lab.columns import REFERENCE
from dpofield.lab.files import replacing
from dpofield.lab.reading import rows

# Field of `Pair` -> TRL's name of the same field in a file.
_FIELDS = {"prompt": "prompt", "preferred": "chosen", "dispreferred": "rejected"}
_TEMPLATE = ("tools", "chat_template_kwargs")
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

    def starts_again(self) -> bool:
        """Whether both responses begin with the whole prompt."""
        return all(r.startswith(self.prompt) for r in (self.preferred, self.dispreferred))


class PairList(list[Pair | Conversation]):
    """Pairs of a file: a list that also says where they come from.

    `places` has each pair's file and line, `skipped` one sentence for each row that was passed
    over. `reference` has the columns `ref_chosen_logps` and `ref_rejected_logps` that TRL may have
    computed: (2, N) float64, in nats, summed over the response; None if the file has none. A slice
    or a sum of such a list is a plain list.
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
        reference = None if self.reference is None else self.reference[:, chosen]
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
                more = zip(_TEMPLATE, (pair.tools, pair.template_kwargs), strict=True)
                row |= {name: value for name, value in more if value}
            if reference is not None:
                row |= dict(zip(REFERENCE, reference[:, i].tolist(), strict=True))
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

    Warns if every response begins with its prompt.

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
    found: list[tuple[str, bool, tuple[float, float] | None, Pair | Conversation]] = []
    skipped: list[str] = []

    def wrong(place: str, error: object) -> None:
        skipped.append(f"{place}: {error}")
        if not skip_bad:
            raise ValueError(skipped[0])

    with closing(_parsed(Path(path), encoding, split)) as parsed:
        for place, result in tqdm(
            parsed, desc="reading", unit=" rows", disable=not progress, leave=False, delay=1
        ):
            if isinstance(result, ValueError):
                wrong(place, result)
            else:
                found.append((place, *result))
    for column, name in ((1, "prompt"), (2, REFERENCE[0])):
        if any(row[column] for row in found):
            for row in found:
                if not row[column]:
                    wrong(row[0], f'field "{name}" is missing, and other rows have it; write it')
            found = [row for row in found if row[column]]
    if not found:
        why = f": {skipped[0]}" if skipped else '; write rows with "prompt", "chosen", "rejected"'
        raise ValueError(f"{path}: no pairs{why}")
    if skipped:
        warnings.warn(f"{path}: {listing(skipped, len(found))}", stacklevel=2)
    texts = [row[3] for row in found if isinstance(row[3], Pair)]
    if len(texts) > 1 and all(p.starts_again() for p in texts):
        warnings.warn(
            f"{path}: every response begins with its whole prompt, which is then read "
            "twice: remove it there, or remove the prompts",
            stacklevel=2,
        )
    places, _, scores, pairs = zip(*found, strict=True)
    reference = np.array(scores, dtype=np.float64).T if scores[0] else None
    return PairList(pairs, places=places, skipped=skipped, reference=reference)


def listing(skipped: Sequence[str], kept: int) -> str:
    """What a warning says about rows that were passed over: how many, and the first few."""
    shown = "; ".join(skipped[:_SHOWN]) + "; ..." * (len(skipped) > _SHOWN)
    return f"{len(skipped)} of {kept + len(skipped)} pairs skipped ({shown})"


def _parsed(path: Path, encoding: str | None, split: str | None) -> Generator[tuple[str, Any]]:
    """Place, and either the row with its pair or what is wrong with it."""
    try:
        for place, row in rows(path, encoding, split):
            try:
                if isinstance(row, ValueError):
                    raise row
                fields = columns.texts(row)
                if isinstance(fields[0], str):
                    pair: Pair | Conversation = Pair(*fields)
                else:
                    tools, more = (columns.json_field(row, name) for name in _TEMPLATE)
                    pair = Conversation(*fields, tools, more or {})
                yield f"{path}, {place}", (columns.has_prompt(row), columns.reference(row), pair)
            except ValueError as error:
                yield f"{path}, {place}", error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
