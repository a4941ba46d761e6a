"""One row of a preference file: TRL's columns, and the forms in which people write them."""

from __future__ import annotations

import json
import math
from typing import Any

from dpofield.lab.chat import Message, check_text, messages, written_out

REFERENCE = ("ref_chosen_logps", "ref_rejected_logps")
NEEDED = ("chosen", "rejected")
_MEDIA = ("image", "images", "system")
KNOWN = ("prompt", "conversations", "tools", "chat_template_kwargs", *NEEDED, *REFERENCE, *_MEDIA)

_KINDS = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", bytes: "bytes"}
# A sum of float32 log-probabilities near 0 may be positive by rounding.
_ROUNDING = 1e-4


def has_prompt(row: dict[str, Any]) -> bool:
    """Whether the row has a prompt of its own, as text or messages."""
    return "prompt" in row or "conversations" in row


def texts(row: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Prompt, preferred and dispreferred response: three texts, or three lists of messages.

    Without a prompt, or if it is a text and the responses are messages, the common beginning of
    both responses is the prompt, as in TRL. Raises `ValueError`, which names the field.
    """
    for name in _MEDIA:
        if row.get(name):
            remedy = "make it the first message of the prompt" if name == "system" else "remove it"
            raise ValueError(f'field "{name}" is not read (nor by TRL for these pairs); {remedy}')
    w, l = _field(row, "chosen"), _field(row, "rejected")  # noqa: E741
    if isinstance(w, str) != isinstance(l, str):
        raise ValueError(
            '"chosen" or "rejected" is text, and the other is messages; write one kind'
        )
    if w == l:
        raise ValueError('"chosen" and "rejected" are identical; remove the row')
    prompt = None
    if has_prompt(row):
        prompt = _field(row, "prompt" if "prompt" in row else "conversations")
    if isinstance(prompt, list) and isinstance(w, str):
        raise ValueError(
            'the prompt is messages, and "chosen" is text; write "chosen" as '
            '[{"role": "assistant", "content": ...}]'
        )
    if prompt is not None and isinstance(prompt, str) == isinstance(w, str):
        return prompt, w, l
    at = _common(w, l)
    if prompt is not None and str(prompt).strip() not in "\n".join(
        str(m.get("content")) for m in w[:at] if isinstance(m, dict)
    ):
        raise ValueError(
            '"prompt" is text that the messages of "chosen" and "rejected" do not begin with; '
            'write it as [{"role": "user", "content": ...}]'
        )
    return w[:at], w[at:], l[at:]


def json_field(row: dict[str, Any], name: str) -> Any:
    """A value that a table may hold as JSON in a text; None if it is missing or empty."""
    value = row.get(name)
    try:
        return (json.loads(value) if isinstance(value, str) and value else value) or None
    except ValueError as error:
        raise ValueError(f'field "{name}" is not JSON ({error})') from error


def reference(row: dict[str, Any]) -> tuple[float, float] | None:
    """TRL's precomputed log-probabilities, in nats; None for a row that has neither."""
    values = [None if row.get(name) == "" else row.get(name) for name in REFERENCE]
    if values == [None, None]:
        return None
    return _logprob(REFERENCE[0], values[0]), _logprob(REFERENCE[1], values[1])


def _logprob(name: str, value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if math.isfinite(number) and number <= _ROUNDING:
        return number
    raise ValueError(
        f'field "{name}" is {value!r}, not a log-probability (in nats, 0 at most); '
        "compute it again or remove the column"
    )


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
    raise ValueError(
        f'field "{name}" is {_KINDS.get(type(value), f"a {type(value).__name__}")}, '
        "not text or messages; write the text or remove the row"
    )


def _common(w: str | list[Message], l: str | list[Message]) -> int:  # noqa: E741
    """Where TRL's `extract_prompt` ends the common beginning of two different responses."""
    shorter = min(len(w), len(l))
    at = next((i for i in range(shorter) if w[i] != l[i]), shorter - 1)
    if at > 0 and w[at] != l[at] and w[at - 1] == " ":
        at -= 1
    if at == 0 or (isinstance(w, str) and not w[:at].strip()):
        raise ValueError(
            'field "prompt" is missing, and "chosen" and "rejected" have no common beginning '
            "to take in its place; write a prompt"
        )
    return at
