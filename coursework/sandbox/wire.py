"""Values as JSON, between the grader and the student's process. Data only: nothing is unpickled.

Both processes import this module, so it imports NumPy and torch only when a value needs them.
Student code can change only its own copy; the grader reads with another one.
"""

from __future__ import annotations

import base64
import json
import os
import select
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LARGEST = 32 * 2**20  # bytes of one message
DEEPEST = 20  # nested lists
LOOK = 0.1  # seconds between two checks of the time limit
NUMERIC = "biufc"  # NumPy kinds that are plain numbers
TENSOR_TYPES = {
    "bool": 1,
    "uint8": 1,
    "int32": 4,
    "int64": 8,
    "float16": 2,
    "bfloat16": 2,
    "float32": 4,
    "float64": 8,
}


class WireError(Exception):
    """Malformed data from the other process; the message says what is wrong."""


@dataclass(frozen=True)
class FormulaText:
    """A SymPy expression as the text of ``srepr``; `coursework.formula` reads it."""

    text: str


@dataclass(frozen=True)
class Other:
    """A value that is not data, such as a function; only the name of its type is sent."""

    type: str


def encode(value: Any, depth: int = 0) -> Any:
    """A value as plain JSON; a value that is not data becomes `Other`.

    >>> encode((1, 2.5))
    {'tuple': [1, 2.5]}
    >>> encode(print)
    {'other': 'builtin_function_or_method'}
    """
    if depth > DEEPEST:
        return {"other": "a value nested too deep"}
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is complex:
        return {"complex": [value.real, value.imag]}
    if isinstance(value, (list, tuple)):
        name = "list" if isinstance(value, list) else "tuple"
        return {name: [encode(item, depth + 1) for item in value]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: encode(item, depth + 1) for key, item in value.items()}}
    if isinstance(value, FormulaText):
        return {"formula": value.text}
    for module, encoder in (("numpy", _array), ("torch", _tensor), ("sympy", _formula)):
        if module in sys.modules:
            found = encoder(sys.modules[module], value)
            if found is not None:
                return found
    return {"other": type(value).__name__[:80]}


def _array(np: Any, value: Any) -> Any:
    if not isinstance(value, (np.ndarray, np.generic)) or value.dtype.kind not in NUMERIC:
        return None
    array = np.asarray(value)  # a scalar keeps its shape ()
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    scalar = not isinstance(value, np.ndarray)
    return {"array": array.dtype.str, "shape": list(array.shape), "data": data, "scalar": scalar}


def _tensor(torch: Any, value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return None
    name = str(value.dtype).removeprefix("torch.")
    if name not in TENSOR_TYPES:
        return None
    flat = value.detach().cpu().contiguous().reshape(-1)
    data = base64.b64encode(flat.view(torch.uint8).numpy().tobytes()).decode()
    return {"tensor": name, "shape": list(value.shape), "data": data, "grad": value.requires_grad}


def _formula(sympy: Any, value: Any) -> Any:
    if not isinstance(value, sympy.Expr):
        return None
    return {"formula": sympy.srepr(value.doit())}


def decode(plain: Any, depth: int = 0) -> Any:
    """The value that `encode` made plain. Raises WireError for anything else.

    >>> decode(encode([1, (2.0, "a")]))
    [1, (2.0, 'a')]
    """
    if depth > DEEPEST:
        raise WireError("nested too deep")
    if plain is None or isinstance(plain, (bool, int, float, str)):
        return plain
    if not isinstance(plain, dict) or not plain:
        raise WireError("not a value")
    head, body = next(iter(plain.items()))
    try:
        if head == "complex":
            return complex(float(body[0]), float(body[1]))
        if head in ("list", "tuple") and isinstance(body, list):
            items = [decode(item, depth + 1) for item in body]
            return items if head == "list" else tuple(items)
        if head == "dict":
            return {str(key): decode(item, depth + 1) for key, item in body.items()}
        if head == "array":
            return _read_array(plain)
        if head == "tensor":
            return _read_tensor(plain)
        if head == "formula":
            return FormulaText(str(body))
        if head == "other":
            return Other(str(body)[:80])
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise WireError(f"a broken {head}") from error
    raise WireError("of an unknown type")


def _read_array(plain: dict[str, Any]) -> Any:
    import numpy as np

    dtype = np.dtype(str(plain["array"]))
    if dtype.kind not in NUMERIC or dtype.itemsize > 32:
        raise ValueError(dtype)
    data = base64.b64decode(plain["data"], validate=True)
    array = np.frombuffer(bytearray(data), dtype).reshape(_shape(plain))
    return array[()] if plain["scalar"] is True and array.shape == () else array


def _shape(plain: dict[str, Any]) -> list[int]:
    shape = [int(n) for n in plain["shape"]]
    if min(shape, default=0) < 0:
        raise ValueError(shape)
    return shape


def _read_tensor(plain: dict[str, Any]) -> Any:
    import torch

    size = TENSOR_TYPES[str(plain["tensor"])]
    data = bytearray(base64.b64decode(plain["data"], validate=True))
    shape = _shape(plain)
    dtype = getattr(torch, str(plain["tensor"]))
    if len(data) % size:
        raise ValueError(len(data))
    flat = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
    tensor = flat.reshape(shape)
    return tensor.requires_grad_() if plain["grad"] is True else tensor


def send(pipe: int, message: dict[str, Any]) -> None:
    """Write one message to a file descriptor."""
    text = json.dumps(message).encode()
    if len(text) > LARGEST:
        raise WireError(f"larger than {LARGEST >> 20} MiB")
    rest = memoryview(struct.pack(">Q", len(text)) + text)
    while rest:
        rest = rest[os.write(pipe, rest) :]


def receive(pipe: int, expired: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    """Read one message; EOFError at the end, WireError if malformed, TimeoutError if `expired`."""
    (size,) = struct.unpack(">Q", _read(pipe, 8, expired))
    if size > LARGEST:
        raise WireError(f"larger than {LARGEST >> 20} MiB")
    try:
        message = json.loads(_read(pipe, size, expired))
    except (ValueError, RecursionError) as error:
        raise WireError("not JSON") from error
    if not isinstance(message, dict):
        raise WireError("not a message")
    return message


def _read(pipe: int, size: int, expired: Callable[[], bool]) -> bytes:
    parts: list[bytes] = []
    while size:
        if not select.select([pipe], [], [], LOOK)[0] or parts:
            if expired():
                raise TimeoutError
            if not select.select([pipe], [], [], 0)[0]:
                continue
        part = os.read(pipe, min(size, 2**20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
