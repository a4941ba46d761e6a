"""Token ids of prompts and their responses, split as TRL's `DPOTrainer` (1.16) splits them.

Prompt and response are tokenised together, as one text. The scored part begins where the tokens of
this text first differ from those of the prompt alone, for any response to the prompt. So a token
that is merged across the border is scored; a prompt that ends in a space often has one.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypedDict

from dpofield.lab.chat import Conversation, check_utf8, rendered

# A prompt and the responses to it.
Item = tuple[str, tuple[str, ...]] | Conversation
# One row per response: the ids before its scored part, and those of the scored part.
Rows = list[tuple[list[int], list[int]]]


class RowOptions(TypedDict, total=False):
    """How texts become rows: the arguments of `dpofield.lab.batch.encode` of the same names."""

    eos: bool
    max_length: int | None
    truncation: Literal["keep_start", "keep_end"] | None
    doubled: bool


def tokenised(
    tokenizer: Any,
    items: Sequence[Item],
    *,
    eos: bool = True,
    max_length: int | None = None,
    truncation: Literal["keep_start", "keep_end"] | None = None,
    doubled: bool = False,
) -> list[Rows | ValueError]:
    """The rows of each item, or what is wrong with it.

    Raises `ValueError` for arguments that fit no item, and for a tokenizer without an end of
    sequence if one is needed.
    """
    if truncation not in (None, "keep_start", "keep_end"):
        raise ValueError(f'truncation={truncation!r}: use "keep_start" or "keep_end"')
    if (max_length is None and truncation) or (max_length is not None and max_length < 2):
        raise ValueError(f"max_length must be at least 2 to cut rows, got {max_length}")
    if eos and not tokenizer.eos_token and not all(isinstance(i, Conversation) for i in items):
        raise ValueError(
            "the tokenizer has no end of sequence: set tokenizer.eos_token, or use eos=False"
        )
    texts: list[list[str] | ValueError] = []
    for item in items:
        try:
            texts.append(_texts(tokenizer, item, eos, doubled))
        except ValueError as error:
            texts.append(error)
    # Texts of a chat template have all special tokens, so the tokenizer must add none.
    special = [doubled and not isinstance(item, Conversation) for item in items]
    tables = [
        _table(
            tokenizer,
            (
                text
                for row, its in zip(texts, special, strict=True)
                if its is flag and not isinstance(row, ValueError)
                for text in row
            ),
            flag,
        )
        for flag in (False, True)
    ]
    added = _added(tokenizer)
    found: list[Rows | ValueError] = []
    for item, row, flag in zip(items, texts, special, strict=True):
        try:
            if isinstance(row, ValueError):
                raise row
            ids = _known(
                tokenizer, row, [tables[flag][text] for text in row], added if flag else ()
            )
            if not isinstance(item, Conversation) and not doubled:
                before = added[0]
                ids = [one if one[: len(before)] == before else before + one for one in ids]
            rows = _split(tokenizer, row, ids, eos)
            if eos and not isinstance(item, Conversation):
                _check_end(tokenizer, rows)
            found.append(_cut(rows, max_length, truncation))
        except ValueError as error:
            found.append(error)
    return found


def _texts(tokenizer: Any, item: Item, eos: bool, doubled: bool) -> list[str]:
    """The text of the prompt, then the prompt with each response and its end."""
    end = tokenizer.eos_token or ""
    if isinstance(item, Conversation):
        prompt, *whole = rendered(tokenizer, item)
    else:
        prompt, responses = item
        for name, text in (("the prompt", prompt), *(("a response", r) for r in responses)):
            check_utf8(name, text)
        ended = [(r if doubled else r.rstrip()).endswith(end) for r in responses]
        whole = [prompt + r + end * (not has) for r, has in zip(responses, ended, strict=True)]
    if not eos and end:
        # What follows the end goes here, and the end itself in `_split`.
        whole = [t.rstrip() if t.rstrip().endswith(end) else t for t in whole]
    return [prompt, *whole]


def _table(tokenizer: Any, texts: Iterable[str], special: bool) -> dict[str, list[int]]:
    """Text -> its ids; texts that occur often, as a shared prompt does, are tokenised once."""
    unique = list(dict.fromkeys(texts))
    if not unique:
        return {}
    with warnings.catch_warnings(action="ignore"):  # of lengths and ends, which are treated here
        ids = tokenizer(unique, add_special_tokens=special)["input_ids"]
    return dict(zip(unique, map(list, ids), strict=True))


def _added(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens that the tokenizer puts before and after every text."""
    plain, whole = (_table(tokenizer, ["a"], special)["a"] for special in (False, True))
    for start in range(len(whole) - len(plain) + 1):
        if whole[start : start + len(plain)] == plain:
            return whole[:start], whole[start + len(plain) :]
    raise ValueError("the tokenizer changes a text's tokens when it adds special tokens")


def _known(
    tokenizer: Any, texts: list[str], rows: list[list[int]], added: Sequence[list[int]]
) -> list[list[int]]:
    """The rows without unknown tokens; raises `ValueError` with the words that are unknown.

    A text may contain the unknown token like any other. If only the place where prompt and response
    meet is unknown ("was" and "good" to a tokenizer of words), they are tokenised apart.
    """
    unk = tokenizer.unk_token_id
    before, after = added or ([], [])

    def lacking(text: str, ids: list[int]) -> bool:
        return ids.count(unk) > text.count(tokenizer.unk_token) + (before + after).count(unk)

    known = rows[:1]  # the end of the prompt alone need not be in any row
    for text, ids in zip(texts[1:], rows[1:], strict=True):
        if unk is not None and lacking(text, ids):
            prompt = texts[0] if text.startswith(texts[0]) else ""
            response = text.removeprefix(prompt)
            apart = _table(tokenizer, [prompt, response], False)
            ids = [*before, *apart[prompt], *apart[response], *after]
            if lacking(text, ids):
                raise _unknown(
                    tokenizer, (prompt, response.removesuffix(tokenizer.eos_token or ""))
                )
        known.append(ids)
    return known


def _unknown(tokenizer: Any, parts: Iterable[str]) -> ValueError:
    for part in parts:
        words = _table(tokenizer, part.split(), False)
        names = [
            repr(word)
            for word, ids in words.items()
            if ids.count(tokenizer.unk_token_id) > word.count(tokenizer.unk_token)
        ]
        if names:
            return ValueError(
                f"unknown to this tokenizer: {', '.join(names)} in {part!r}; "
                "use its vocabulary, or a model with a subword tokenizer"
            )
    return ValueError("a character is unknown to this tokenizer; use one of subwords")


def _split(tokenizer: Any, texts: list[str], ids: list[list[int]], eos: bool) -> Rows:
    prompt, *whole = ids
    if not eos:
        whole = [_without_end(row, tokenizer.eos_token_id) for row in whole]
    border = min(_common(prompt, row) for row in whole)
    for text, scored in zip(texts, [prompt, *(row[border:] for row in whole)], strict=True):
        if not scored:
            said = text.removeprefix(texts[0]).removesuffix(tokenizer.eos_token or "") or text
            raise ValueError(f"{said!r} has no tokens; every prompt and response needs one")
    if border == 0:
        raise ValueError(
            "the first tokens of prompt and response are merged, so nothing predicts the first "
            f"scored token ({texts[0]!r}): write a longer prompt, or end it with a line break"
        )
    return [(prompt[:border], row[border:]) for row in whole]


def _check_end(tokenizer: Any, rows: Rows) -> None:
    if any(tokenizer.eos_token_id not in scored for _, scored in rows):
        raise ValueError(
            f"the tokenizer reads its own end of sequence, {tokenizer.eos_token!r}, as several "
            "tokens: set tokenizer.split_special_tokens = False"
        )


def _without_end(ids: list[int], end: int | None) -> list[int]:
    length = len(ids)
    while length and ids[length - 1] == end:
        length -= 1
    return ids[:length]


def _common(a: list[int], b: list[int]) -> int:
    """How many tokens two rows have in common at their beginning."""
    shorter = min(len(a), len(b))
    if a[:shorter] == b[:shorter]:
        return shorter
    return next(i for i in range(shorter) if a[i] != b[i])


def _cut(rows: Rows, max_length: int | None, truncation: str | None) -> Rows:
    """The rows cut as TRL cuts them; `ValueError` if this leaves nothing of prompt or response."""
    before, longest = len(rows[0][0]), max(len(scored) for _, scored in rows)
    if max_length is None or before + longest <= max_length:
        return rows
    if truncation is None:
        raise ValueError(
            f"{before + longest} tokens are more than max_length={max_length}: "
            'leave the pair out, or cut it with truncation="keep_start" or "keep_end"'
        )
    if truncation == "keep_start" and before >= max_length:
        raise ValueError(
            f"the prompt alone has {before} tokens, so max_length={max_length} leaves "
            'nothing of the responses: leave the pair out, or use truncation="keep_end"'
        )
    if truncation == "keep_end" and longest >= max_length:
        raise ValueError(
            f"a response has {longest} tokens, so max_length={max_length} leaves nothing before "
            'its first token: leave the pair out, or use truncation="keep_start"'
        )
    if truncation == "keep_start":
        return [(prompt, scored[: max_length - before]) for prompt, scored in rows]
    return [(prompt[max(0, before + len(r) - max_length) :], r) for prompt, r in rows]
