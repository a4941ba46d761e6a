"""Token ids of prompts and their responses, split as TRL's `DPOTrainer` (1.16) splits them.

Prompt and response are tokenised together, as one text. The scored part begins where the tokens of
this text first differ from those of the prompt alone, for any response to the prompt. So a token
that is merged across the border is scored; a prompt that ends in a space often has one.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dpofield.lab.chat import Conversation, check_utf8, rendered

# A prompt and the responses to it.
Item = tuple[str, tuple[str, ...]] | Conversation


@dataclass(frozen=True)
class Tokens:
    """Ids of a prompt, and of the scored part of each response to it."""

    prompt: list[int]
    responses: list[list[int]]


def tokenised(
    tokenizer: Any, items: Sequence[Item], *, eos: bool, doubled: bool
) -> list[Tokens | ValueError]:
    """The tokens of each item, or what is wrong with it.

    `eos` and `doubled` as in `dpofield.lab.batch.encode`. Raises `ValueError` for a tokenizer
    without an end of sequence, if one is needed.
    """
    if eos and not tokenizer.eos_token and not all(isinstance(i, Conversation) for i in items):
        raise ValueError(
            "the tokenizer has no end of sequence: set tokenizer.eos_token, or use eos=False"
        )
    work = [_texts_or_error(tokenizer, item, eos, doubled) for item in items]
    # Texts of a chat template have all special tokens, so the tokenizer must add none.
    special = [doubled and not isinstance(item, Conversation) for item in items]
    tables = {
        flag: _table(
            tokenizer,
            (t for texts, s in zip(work, special, strict=True) if s == flag for t in _good(texts)),
            flag,
        )
        for flag in set(special)
    }
    before, after = _added(tokenizer)
    found: list[Tokens | ValueError] = []
    for item, texts, flag in zip(items, work, special, strict=True):
        if isinstance(texts, ValueError):
            found.append(texts)
            continue
        try:
            rows = [tables[flag][text] for text in texts]
            rows = _known(tokenizer, texts, rows, *((before, after) if flag else ([], [])))
            if not flag and not isinstance(item, Conversation):
                rows = [ids if ids[: len(before)] == before else before + ids for ids in rows]
            tokens = _split(tokenizer, texts, rows, eos)
            if eos and not isinstance(item, Conversation):
                _check_end(tokenizer, tokens)
            found.append(tokens)
        except ValueError as error:
            found.append(error)
    return found


def _texts_or_error(tokenizer: Any, item: Item, eos: bool, doubled: bool) -> list[str] | ValueError:
    try:
        return _texts(tokenizer, item, eos, doubled)
    except ValueError as error:
        return error


def _good(texts: list[str] | ValueError) -> list[str]:
    return [] if isinstance(texts, ValueError) else texts


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
        # `_split` removes this end; a tokenizer may change the characters before it.
        stripped = [text.rstrip() for text in whole]
        whole = [s if s.endswith(end) else t + end for s, t in zip(stripped, whole, strict=True)]
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
    plain = _table(tokenizer, ["a"], False)["a"]
    whole = _table(tokenizer, ["a"], True)["a"]
    for start in range(len(whole) - len(plain) + 1):
        if whole[start : start + len(plain)] == plain:
            return whole[:start], whole[start + len(plain) :]
    raise ValueError("the tokenizer changes a text's tokens when it adds special tokens")


def _split(tokenizer: Any, texts: list[str], rows: list[list[int]], eos: bool) -> Tokens:
    prompt, *whole = rows
    if not eos:
        whole = [_without_end(ids, tokenizer.eos_token_id) for ids in whole]
    border = min(_common(prompt, ids) for ids in whole)
    for text, scored in zip(texts, [prompt, *(ids[border:] for ids in whole)], strict=True):
        if not scored:
            said = text.removeprefix(texts[0]).removesuffix(tokenizer.eos_token or "") or text
            raise ValueError(f"{said!r} has no tokens; every prompt and response needs one")
    if border == 0:
        raise ValueError(
            "the first tokens of prompt and response are merged, so nothing predicts the first "
            f"scored token ({texts[0]!r}): write a longer prompt, or end it with a line break"
        )
    return Tokens(prompt[:border], [ids[border:] for ids in whole])


def _check_end(tokenizer: Any, tokens: Tokens) -> None:
    if any(tokenizer.eos_token_id not in ids for ids in tokens.responses):
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


def _known(
    tokenizer: Any,
    texts: list[str],
    rows: list[list[int]],
    before: list[int],
    after: list[int],
) -> list[list[int]]:
    """The rows without unknown tokens; raises `ValueError` with the words that are unknown.

    A text may contain the unknown token like any other. If only the place where prompt and response
    meet is unknown ("was" and "good" to a tokenizer of words), they are tokenised apart.
    """
    unk = tokenizer.unk_token_id
    if unk is None:
        return rows
    around = (before + after).count(unk)

    def lacking(text: str, ids: list[int]) -> bool:
        return ids.count(unk) > text.count(tokenizer.unk_token) + around

    known = rows[:1]  # the end of the prompt alone need not be in any row
    for text, ids in zip(texts[1:], rows[1:], strict=True):
        prompt = texts[0] if text.startswith(texts[0]) else ""
        response = text.removeprefix(prompt)
        if lacking(text, ids):
            apart = _table(tokenizer, [prompt, response], False)
            ids = [*before, *apart[prompt], *apart[response], *after]
        if lacking(text, ids):
            response = response.removesuffix(tokenizer.eos_token or "")
            for part in (prompt, response):
                words = _table(tokenizer, part.split(), False)
                names = [repr(word) for word in words if lacking(word, words[word])]
                if names:
                    raise ValueError(
                        f"unknown to this tokenizer: {', '.join(names)} in {part!r}; "
                        "use its vocabulary, or a model with a subword tokenizer"
                    )
            raise ValueError(f"a character of {text!r} is unknown to this tokenizer; remove it")
        known.append(ids)
    return known
